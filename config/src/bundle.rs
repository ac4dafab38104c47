//! Bundles: definitions as people write them, in YAML or JSON, and as an export writes them.
//!
//! A bundle is a map from a family's plural to a list of definitions, each with `name`, `type`, sometimes `enabled`,
//! and its parameters. In every text of a parameter, `${NAME}` stands for a variable and `$${` for `${` itself; so
//! whoever parses a bundle also calls [`substitute`], and what [`write_yaml`] and [`write_json`] write is escaped.
//! Faults name keys and places, never values: any of them may be a secret.

mod document;
mod files;
mod scalar;
mod variables;
mod write;

#[cfg(test)]
mod round_trip;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

pub use self::files::{Stamp, read_paths, stamp};
pub use self::variables::substitute;
pub use self::write::{write_json, write_yaml};

use self::document::{Broken, Entry, Node, Position, Tree};
use crate::definition::{Clear, Draft, Place};
use crate::fault::{Fault, Faults, suggest};
use crate::name::{DefId, Family, KindTag, Name};
use crate::sources;

/// What a bundle holds, as far as it can be read, and what is wrong with the rest. Both are kept, so that whoever checks
/// the drafts further can tell all faults at once.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Bundle {
    /// The definitions that could be read.
    pub drafts: Vec<Draft>,
    /// What is wrong, each with its place.
    pub faults: Vec<Fault>,
}

impl Bundle {
    /// Reads a bundle; `source` names it in faults. JSON is read as the YAML that it is.
    pub fn read(text: &str, source: Option<&str>) -> Self {
        let mut reader = Reader { source, drafts: Vec::new(), faults: Vec::new() };
        match document::read(text) {
            Ok(documents) => documents.into_iter().for_each(|root| reader.bundle(root)),
            Err(broken) => reader.broken(broken),
        }
        let Reader { drafts, faults, .. } = reader;
        Self { drafts, faults }.without_repeated()
    }

    /// The same with `${NAME}` filled in by what `lookup` knows of it.
    pub fn filled(mut self, lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        let drafts = std::mem::take(&mut self.drafts);
        self.drafts = variables::fill(drafts, lookup, &mut self.faults);
        self
    }

    /// The same with what is in the files of packages in the place of their paths. Only for a bundle of this machine's
    /// own disk, and after [`Self::filled`]: in the files, `${NAME}` is nothing special.
    pub fn with_sources(mut self) -> Self {
        sources::fill(&mut self.drafts, &mut self.faults);
        self
    }

    /// The definitions, if nothing is wrong.
    ///
    /// # Errors
    /// Everything that is.
    pub fn sound(self) -> Result<Vec<Draft>, Faults> {
        Faults(self.faults).unless_any(self.drafts)
    }

    /// Both together; an id that both define is a fault.
    pub fn and(mut self, other: Self) -> Self {
        self.drafts.extend(other.drafts);
        self.faults.extend(other.faults);
        self.without_repeated()
    }

    /// Takes each draft out whose id an earlier one has, and says so.
    fn without_repeated(mut self) -> Self {
        let mut seen: BTreeMap<DefId, String> = BTreeMap::new();
        let faults = &mut self.faults;
        self.drafts.retain(|draft| match seen.get(&draft.id) {
            None => {
                seen.insert(draft.id.clone(), draft.at());
                true
            }
            Some(first) => {
                let fault = Fault::new(draft.at(), format!("{} is already defined at {first}", draft.id));
                faults.push(fault.hint("give one of them another name, or take it out"));
                false
            }
        });
        self
    }
}

impl From<Vec<Draft>> for Bundle {
    fn from(drafts: Vec<Draft>) -> Self {
        Self { drafts, faults: Vec::new() }
    }
}

/// Reads a bundle in which nothing is wrong; `source` names it in faults.
///
/// # Errors
/// Everything that is wrong with it, each fault with its place.
pub fn parse(text: &str, source: Option<&str>) -> Result<Vec<Draft>, Faults> {
    Bundle::read(text, source).sound()
}

/// Reads one definition, as a bundle lists it; its name may be left out, since the id says it. In its texts `${` is
/// nothing special: there is no bundle around it.
///
/// # Errors
/// Everything that is wrong with it, each fault with its place.
pub fn parse_definition(text: &str, id: &DefId) -> Result<Draft, Faults> {
    let mut reader = Reader { source: None, drafts: Vec::new(), faults: Vec::new() };
    match document::read(text) {
        Ok(documents) => {
            for root in documents {
                reader.definition(id.family, Some(&id.name), &id.to_string(), root);
            }
        }
        Err(broken) => reader.broken(broken),
    }
    match (reader.drafts.pop(), reader.drafts.is_empty(), reader.faults.is_empty()) {
        (Some(draft), true, true) => Ok(draft),
        (_, _, false) => Err(Faults(reader.faults)),
        _ => Err(Fault::new(id.to_string(), "exactly one definition is expected")
            .hint("write its type and parameters as one map")
            .into()),
    }
}

struct Reader<'a> {
    source: Option<&'a str>,
    drafts: Vec<Draft>,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn place(&self, position: Position) -> Place {
        Place { source: self.source.map(Into::into), position: Some(position) }
    }

    /// Notes a fault at a position of the text and a path of the document.
    fn fault(&mut self, position: Position, path: &str, message: impl Into<String>, hint: Option<String>) {
        let at = format!("{}{path}", self.place(position));
        self.faults.push(Fault::new(at.trim_end(), message).maybe_hint(hint));
    }

    /// Notes why a text could not be read to its end.
    fn broken(&mut self, broken: Broken) {
        self.fault(broken.position, "", broken.message, broken.hint.map(Into::into));
    }

    fn bundle(&mut self, root: Node) {
        let Tree::Map(entries) = root.tree else {
            let known = Family::ALL.map(Family::plural).join(", ");
            let hint = format!("write a family and, under it, a list of definitions; families: {known}");
            return self.fault(root.position, "", "a bundle is a map of families", Some(hint));
        };
        self.same_keys("", &entries);
        for entry in entries {
            match Family::ALL.into_iter().find(|family| family.plural() == entry.key) {
                Some(family) => self.family(family, entry),
                None => {
                    // The singular is an easy slip, and its plural may be further away than a typing error.
                    let near =
                        entry.key.parse::<Family>().ok().map(|f| format!("did you mean {:?}?", f.plural()));
                    let hint = near.or_else(|| suggest(&entry.key, Family::ALL.iter().map(|f| f.plural())));
                    self.fault(entry.position, &entry.key, "there is no such family", hint);
                }
            }
        }
    }

    fn family(&mut self, family: Family, entry: Entry) {
        match entry.node.tree {
            Tree::List(items) => {
                for (index, node) in items.into_iter().enumerate() {
                    self.definition(family, None, &format!("{}[{index}]", family.plural()), node);
                }
            }
            // A family with nothing under it, or with everything under it commented out.
            Tree::Scalar(Value::Null) => {}
            _ => {
                let hint = "begin each definition with \"- name: ...\"";
                self.fault(
                    entry.node.position,
                    &entry.key,
                    "the definitions of a family are a list",
                    Some(hint.into()),
                );
            }
        }
    }

    /// Takes in one definition; its name, if `known`, may be left out and must not be another.
    fn definition(&mut self, family: Family, known: Option<&Name>, numbered: &str, node: Node) {
        let Tree::Map(mut entries) = node.tree else {
            let hint = "write name, type and the parameters, each as key: value";
            return self.fault(node.position, numbered, "a definition is a map", Some(hint.into()));
        };
        let position = node.position;
        self.same_keys(numbered, &entries);
        let name = match known {
            Some(known) if !entries.iter().any(|entry| entry.key == "name") => Some(known.clone()),
            _ => self.name(position, numbered, &mut entries),
        };
        if let (Some(known), Some(name)) = (known, &name)
            && known != name
        {
            let hint = "leave the name out, or create a definition of the other name and delete this one";
            self.fault(position, numbered, format!("the name in it is {name:?}"), Some(hint.into()));
        }
        let path = name.as_ref().map_or_else(|| numbered.into(), |name| format!("{family}/{name}"));
        let r#type = self.r#type(family, position, &path, &mut entries);
        let enabled = self.enabled(&path, &mut entries);
        let params = self.map(&path, entries);
        if let (Some(name), Some(r#type)) = (name, r#type) {
            self.drafts.push(Draft {
                id: DefId::new(family, name),
                kind: KindTag::new(family, r#type),
                enabled,
                params: Clear(params),
                place: self.place(position),
            });
        }
    }

    fn name(&mut self, at: Position, path: &str, entries: &mut Vec<Entry>) -> Option<Name> {
        let Some(node) = take(entries, "name") else {
            self.fault(at, path, "the definition has no name", Some("add name: ...".into()));
            return None;
        };
        let Tree::Scalar(Value::String(text)) = node.tree else {
            let hint = "put it in quotes if it looks like a number or a boolean";
            self.fault(node.position, &format!("{path}.name"), "the name is not a text", Some(hint.into()));
            return None;
        };
        match text.parse::<Name>() {
            Ok(name) => Some(name),
            Err(fault) => {
                self.fault(node.position, &format!("{path}.name"), fault.message, fault.hint);
                None
            }
        }
    }

    fn r#type(
        &mut self,
        family: Family,
        at: Position,
        path: &str,
        entries: &mut Vec<Entry>,
    ) -> Option<String> {
        match take(entries, "type") {
            Some(Node { tree: Tree::Scalar(Value::String(text)), .. }) if !text.is_empty() => Some(text),
            Some(node) => {
                let hint = "write a kind such as rest, http or basic";
                self.fault(
                    node.position,
                    &format!("{path}.type"),
                    "the type is not a text",
                    Some(hint.into()),
                );
                None
            }
            None if family.only_type().is_some() => family.only_type().map(Into::into),
            None => {
                self.fault(at, path, "the definition has no type", Some("add type: ...".into()));
                None
            }
        }
    }

    fn enabled(&mut self, path: &str, entries: &mut Vec<Entry>) -> bool {
        match take(entries, "enabled") {
            None => true,
            Some(Node { tree: Tree::Scalar(Value::Bool(enabled)), .. }) => enabled,
            Some(node) => {
                let at = format!("{path}.enabled");
                self.fault(node.position, &at, "neither true nor false", Some("write enabled: false".into()));
                true
            }
        }
    }

    fn map(&mut self, path: &str, entries: Vec<Entry>) -> Map<String, Value> {
        let value = |entry: Entry| {
            let value = self.value(&format!("{path}.{}", entry.key), entry.node);
            (entry.key, value)
        };
        entries.into_iter().map(value).collect()
    }

    /// A fault for each key that the same map has already. JSON and YAML readers differ in which of the two they keep.
    fn same_keys(&mut self, path: &str, entries: &[Entry]) {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for Entry { position, key, node } in entries {
            if !seen.insert(key) && !matches!(node.tree, Tree::Bad(_)) {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let hint = "take one of them out, or join the two";
                self.fault(*position, &path, "the same key is there twice", Some(hint.into()));
            }
        }
    }

    fn value(&mut self, path: &str, node: Node) -> Value {
        match node.tree {
            Tree::Scalar(value) => value,
            Tree::Map(entries) => {
                self.same_keys(path, &entries);
                Value::Object(self.map(path, entries))
            }
            Tree::List(items) => {
                let item = |(index, node)| self.value(&format!("{path}[{index}]"), node);
                Value::Array(items.into_iter().enumerate().map(item).collect())
            }
            Tree::Bad(problem) => {
                self.fault(node.position, path, problem.message, Some(problem.hint.into()));
                Value::Null
            }
        }
    }
}

/// Takes the first value of this key out. Another one of the same key stays, to be found as a fault.
fn take(entries: &mut Vec<Entry>, key: &str) -> Option<Node> {
    let index = entries.iter().position(|entry| entry.key == key)?;
    Some(entries.remove(index).node)
}

#[cfg(test)]
mod tests;
