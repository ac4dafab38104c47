//! A YAML 1.2 or JSON text as a tree that remembers where each of its nodes was written.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::scalar;

/// How deep a value may be nested. What is stored is JSON, and its reader stops at 128.
const MAX_DEPTH: usize = 100;
/// How much aliases may add to a text, in nodes and bytes: a few lines of nested aliases can ask for terabytes.
const MAX_ALIASED: usize = 1 << 20;

/// Line and column, from 1.
pub(super) type Position = (u64, u64);

/// One value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where it begins.
    pub(super) position: Position,
    /// What it is.
    pub(super) tree: Tree,
    /// Nodes and bytes in it, itself included.
    size: usize,
    /// Levels of lists and maps in it, itself included.
    depth: usize,
}

/// What a node can be.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    /// Text, number, boolean or null.
    Scalar(Value),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order written; a key may be there twice.
    Map(Vec<Entry>),
    /// Something that cannot be used.
    Bad(Problem),
}

/// One key of a map and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where the key is.
    pub(super) position: Position,
    /// The key.
    pub(super) key: String,
    /// The value.
    pub(super) node: Node,
}

/// What is wrong with a node, and what to do about it. The node's text is never in it: it may be a secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Problem {
    /// What is wrong.
    pub(super) message: &'static str,
    /// What to do.
    pub(super) hint: &'static str,
}

/// Why a text could not be read to its end.
#[derive(Debug)]
pub(super) struct Broken {
    /// Where.
    pub(super) position: Position,
    /// What is wrong.
    pub(super) message: String,
    /// What to do.
    pub(super) hint: Option<&'static str>,
}

/// Reads every document of a text. An empty document is left out.
pub(super) fn read(text: &str) -> Result<Vec<Node>, Broken> {
    let mut options = granit_parser::options! {
        // YAML asks for keys of at most 1024 characters; JSON does not, and it is read by the same parser.
        simple_key_max_lookahead: 1 << 20,
    };
    options.set_emit_comments(false);
    let text = json_as_yaml(text);
    let mut reader = Reader::default();
    let mut documents = Vec::new();
    for next in Parser::new_from_str_with_options(&text, options) {
        let (event, span) = next.map_err(|error| Broken {
            position: (error.marker().line() as u64, error.marker().col() as u64 + 1),
            message: error.info(),
            hint: None,
        })?;
        if let Some(root) = reader.take(event, &span)? {
            documents.push(root);
        }
    }
    Ok(documents.into_iter().filter(|root| !matches!(root.tree, Tree::Scalar(Value::Null))).collect())
}

/// JSON is YAML but for a few characters that its texts may hold as they are, and that YAML wants to see escaped.
fn json_as_yaml(text: &str) -> Cow<'_, str> {
    let refused = |c: char| matches!(c, '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}');
    if !text.contains(refused) || serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Cow::Borrowed(text);
    }
    let escape = |c| if refused(c) { format!("\\u{:04x}", u32::from(c)) } else { String::from(c) };
    Cow::Owned(text.chars().map(escape).collect())
}

/// A list or map whose end has not been read yet.
#[derive(Debug)]
struct Open {
    position: Position,
    anchor: usize,
    size: usize,
    depth: usize,
    content: Content,
}

#[derive(Debug)]
enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<(Position, Result<String, Problem>)> },
}

#[derive(Debug, Default)]
struct Reader {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    aliased: usize,
}

impl Reader {
    /// Takes in one event; gives the root of a document once that is whole.
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<Option<Node>, Broken> {
        let position = position(span);
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tree = scalar_tree(&text, style, tag.as_deref());
                (Node { position, tree, size: 1 + text.len(), depth: 0 }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                return self.open(position, anchor, tag.as_deref(), Content::List(Vec::new()));
            }
            Event::MappingStart(_, anchor, tag) => {
                return self.open(
                    position,
                    anchor,
                    tag.as_deref(),
                    Content::Map { entries: Vec::new(), key: None },
                );
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => open.close(),
                None => return Ok(None),
            },
            Event::Alias(id) => (self.alias(id, position)?, 0),
            Event::DocumentStart(..) => {
                self.anchors.clear();
                return Ok(None);
            }
            _ => return Ok(None),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
            self.spend(node.size, position)?;
        }
        let Some(parent) = self.open.last_mut() else { return Ok(Some(node)) };
        parent.add(node);
        Ok(None)
    }

    fn open(
        &mut self,
        position: Position,
        anchor: usize,
        tag: Option<&Tag>,
        content: Content,
    ) -> Result<Option<Node>, Broken> {
        let plain = if matches!(content, Content::List(_)) { "seq" } else { "map" };
        if tag.is_some_and(|tag| tag.core_suffix() != Some(plain)) {
            return Err(Broken { position, message: TAG.message.into(), hint: Some(TAG.hint) });
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(position));
        }
        self.open.push(Open { position, anchor, size: 1, depth: 0, content });
        Ok(None)
    }

    fn alias(&mut self, id: usize, position: Position) -> Result<Node, Broken> {
        let Some(node) = self.anchors.get(&id).cloned() else {
            let message = "this alias stands inside the value that it repeats".into();
            return Err(Broken { position, message, hint: Some("take the alias out") });
        };
        if self.open.len() + node.depth > MAX_DEPTH {
            return Err(too_deep(position));
        }
        self.spend(node.size, position)?;
        Ok(node)
    }

    /// Copies are bounded in sum, whether an anchor or an alias makes them.
    fn spend(&mut self, size: usize, position: Position) -> Result<(), Broken> {
        self.aliased = self.aliased.saturating_add(size);
        if self.aliased > MAX_ALIASED {
            let message = "aliases make the text too large".into();
            return Err(Broken { position, message, hint: Some("write the values out, or split the file") });
        }
        Ok(())
    }
}

impl Open {
    fn add(&mut self, node: Node) {
        self.size = self.size.saturating_add(node.size);
        self.depth = self.depth.max(node.depth);
        match &mut self.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, key } => match key.take() {
                None => *key = Some((node.position, key_of(node))),
                Some((position, Ok(key))) => entries.push(Entry { position, key, node }),
                Some((position, Err(problem))) => {
                    let node = Node { position, tree: Tree::Bad(problem), ..node };
                    entries.push(Entry { position, key: "?".into(), node });
                }
            },
        }
    }

    fn close(self) -> (Node, usize) {
        let tree = match self.content {
            Content::List(items) => Tree::List(items),
            Content::Map { entries, .. } => Tree::Map(entries),
        };
        (Node { position: self.position, tree, size: self.size, depth: self.depth + 1 }, self.anchor)
    }
}

const TAG: Problem = Problem {
    message: "this tag has no meaning here",
    hint: "only !!str, !!int, !!float, !!bool, !!null, !!seq and !!map are understood",
};

fn too_deep(position: Position) -> Broken {
    Broken { position, message: format!("nested more than {MAX_DEPTH} deep"), hint: None }
}

fn position(span: &Span) -> Position {
    (span.start.line() as u64, span.start.col() as u64 + 1)
}

fn scalar_tree(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Tree {
    let plain = style == ScalarStyle::Plain;
    let resolved = match tag.map(|tag| (tag.core_suffix(), tag.handle(), tag.suffix())) {
        None if plain => scalar::plain(text),
        // A lone "!" makes a text of anything.
        None | Some((Some("str"), ..) | (_, "", "!")) => Ok(Value::String(text.into())),
        Some((Some(kind @ ("int" | "float" | "bool" | "null")), ..)) => scalar::tagged(text, kind),
        Some(_) => Err(TAG),
    };
    match resolved {
        // A merge key is YAML 1.1. Taking it for the name of a parameter would be a riddle for its author.
        Ok(Value::String(text)) if plain && text == "<<" => Tree::Bad(scalar::MERGE),
        Ok(value) => Tree::Scalar(value),
        Err(problem) => Tree::Bad(problem),
    }
}

/// The text of a key; a number or a boolean is taken as it prints.
fn key_of(node: Node) -> Result<String, Problem> {
    match node.tree {
        Tree::Scalar(Value::String(text)) => Ok(text),
        Tree::Scalar(value) => Ok(value.to_string()),
        Tree::Bad(problem) => Err(problem),
        Tree::List(_) | Tree::Map(_) => {
            Err(Problem { message: "a list or a map cannot be a key", hint: "write a text before the colon" })
        }
    }
}
