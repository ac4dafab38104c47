//! What is wanted and what was, for readers: secrets masked unless somebody asks for them.

use std::collections::BTreeSet;
use std::sync::Arc;

use config::store::Entry;
use config::{DefId, Definition, Family, Revision};
use serde_json::{Map, Value};

use super::{Changed, Definitions, Event, Refused, View};

/// How many revisions are read at once to find those that changed one definition.
const PAGE: usize = 200;

impl Definitions {
    /// The definitions of a family, or all, at which revision.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn list(&self, family: Option<Family>) -> Result<(Revision, Vec<View>), Refused> {
        let current = self.store.load().await?;
        let mut views: Vec<View> = current
            .definitions
            .values()
            .filter(|d| family.is_none_or(|family| d.id.family == family))
            .map(|d| view(d, BTreeSet::new()))
            .collect();
        let mut at = std::collections::HashMap::new();
        for (index, view) in views.iter().enumerate() {
            at.insert(view.id.clone(), index);
        }
        for definition in current.definitions.values() {
            for needed in definition.needs.iter().filter_map(|id| at.get(id)) {
                views[*needed].needed_by.insert(definition.id.clone());
            }
        }
        Ok((current.revision, views))
    }

    /// One definition, at which revision.
    ///
    /// # Errors
    /// If it is not there; if the store does not answer.
    pub async fn get(&self, id: &DefId) -> Result<(Revision, View), Refused> {
        let current = self.store.load().await?;
        let definition = self.stored(&current, id)?;
        let needing = current.definitions.values().filter(|d| d.needs.contains(id)).map(|d| d.id.clone());
        Ok((current.revision, view(definition, needing.collect())))
    }

    /// The definitions of a family, or all, as [`config::bundle::write_yaml`] takes them; with their secrets in clear
    /// if `reveal` says so.
    ///
    /// # Errors
    /// If the store does not answer; if a secret that is asked for cannot be opened.
    pub async fn export(
        &self,
        family: Option<Family>,
        reveal: bool,
    ) -> Result<Vec<(Family, Map<String, Value>)>, Refused> {
        let current = self.store.load().await?;
        let wanted = current.definitions.values().filter(|d| family.is_none_or(|f| d.id.family == f));
        let written = |d: &Arc<Definition>| {
            let written = if reveal { d.written(self.keyring.open(&d.params)?.0) } else { d.masked() };
            Ok((d.id.family, written))
        };
        wanted.map(written).collect()
    }

    /// The newest `limit` revisions before `before`, or of all; newest first.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn history(&self, before: Option<Revision>, limit: usize) -> Result<Vec<Event>, Refused> {
        let entries = self.store.history(before, limit).await?;
        Ok(self.events(entries))
    }

    /// The newest `limit` revisions before `before` that changed this definition, and of each only that; newest first.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn history_of(
        &self,
        id: &DefId,
        mut before: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<Event>, Refused> {
        let mut found = Vec::new();
        while found.len() < limit {
            let page = self.store.history(before, PAGE).await?;
            let Some(last) = page.last() else { break };
            before = Some(last.revision);
            for mut entry in page {
                entry.ops.retain(|op| op.id == *id);
                if !entry.ops.is_empty() {
                    found.push(entry);
                }
            }
        }
        found.truncate(limit);
        Ok(self.events(found))
    }

    fn events(&self, entries: Vec<Entry>) -> Vec<Event> {
        let event = |entry: Entry| Event {
            revision: entry.revision,
            at: entry.at,
            author: entry.note.author,
            by: entry.note.by,
            address: entry.note.address,
            reason: entry.note.reason,
            changes: entry
                .ops
                .iter()
                .filter_map(|op| Changed::between(op.before.as_ref(), op.after.as_ref(), &self.keyring))
                .collect(),
        };
        entries.into_iter().map(event).collect()
    }
}

fn view(definition: &Definition, needed_by: BTreeSet<DefId>) -> View {
    View {
        id: definition.id.clone(),
        definition: definition.masked(),
        changed_at: definition.changed_at,
        needs: definition.needs.iter().cloned().collect(),
        needed_by,
    }
}
