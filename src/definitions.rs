//! The use case of changing what is wanted: check everything, commit once, wait for the receipt.

mod audit;
mod deed;
mod diff;
mod error;
mod inspect;
mod over;
mod prepare;
mod read;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use actors::Registry;
use chrono::{DateTime, Utc};
use cluster::{Board, Receipt};
use config::bundle::Bundle;
use config::{
    ById, Catalog, CommitError, DefId, Definition, Draft, Family, Keyring, Note, Place, Principal, Revision,
    Role, Slots, Store,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;

pub use self::audit::{Asked, Audited, Search};
pub(crate) use self::deed::{Doing, note};
pub use self::diff::{Changed, Field, What};
pub use self::error::Refused;
use self::prepare::{Prepared, Wish};

/// How often a change is checked and tried anew because somebody else was faster.
const ATTEMPTS: usize = 30;
/// How long a change waits for the revision that its writer has seen, if this node has not.
const CATCH_UP: Duration = Duration::from_secs(1);
/// How many definitions the log names for each change.
const LOGGED: usize = 10;
/// How long a writer waits for the receipt unless they say otherwise.
pub const WAIT: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Clone)]
pub struct Definitions {
    /// Where the truth lives.
    pub store: Arc<dyn Store>,
    /// Whose clock says what has passed; none where nothing is made, only checked, since that holds at any time.
    pub slots: Option<Arc<dyn Slots>>,
    /// The kinds.
    pub registry: Arc<Registry>,
    /// Seals the secrets.
    pub keyring: Keyring,
    /// Where nodes say what they serve.
    pub board: Arc<Board>,
}

/// How a change is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// The revision that the writer has seen: with any other the change is refused. None: the change is checked
    /// against whatever is there.
    pub expect: Option<Revision>,
    /// Say what would change, and change nothing.
    pub dry_run: bool,
    /// Delete every definition that the bundle does not hold.
    pub prune: bool,
    /// How long to wait until every node serves the change.
    pub wait: Duration,
    /// What the writer may do.
    pub role: Role,
}

impl Default for Options {
    fn default() -> Self {
        Self { expect: None, dry_run: false, prune: false, wait: WAIT, role: Role::Admin }
    }
}

/// What came of a change.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// The revision that holds it; the one before, if nothing had to be changed or it was a dry run.
    pub revision: Revision,
    /// Whether it only says what would change.
    pub dry_run: bool,
    /// What is different now, by family and name.
    pub changes: Vec<Changed>,
    /// How many definitions were given that are there already, just so. They are not touched.
    pub unchanged: usize,
    /// What a rollback of everything leaves as it is, though it was another then: what gives rights over nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<DefId>,
    /// Which nodes serve that revision.
    pub receipt: Receipt,
}

/// A definition, for a reader.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct View {
    /// Family and name.
    pub id: DefId,
    /// The definition as a bundle lists it, with `(sealed)` in place of each secret. A `PUT` takes the same.
    pub definition: Map<String, Value>,
    /// The revision that changed it last.
    pub changed_at: Revision,
    /// What it refers to.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub needs: BTreeSet<DefId>,
    /// What refers to it. While there is something, it cannot be deleted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub needed_by: BTreeSet<DefId>,
}

/// One revision of the history, for a reader.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Which.
    pub revision: Revision,
    /// When.
    pub at: DateTime<Utc>,
    /// Who changed something.
    pub author: String,
    /// The admin token that they showed, if it was changed that way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Principal>,
    /// The address that they came from, if it was changed through a channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Why, if they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What they changed.
    pub changes: Vec<Changed>,
}

impl Definitions {
    /// Makes the definitions of a bundle what is wanted.
    ///
    /// # Errors
    /// Everything that is wrong with them; a conflict; a store that does not answer.
    pub async fn apply(
        &self,
        bundle: impl Into<Bundle>,
        options: Options,
        note: Note,
    ) -> Result<Outcome, Refused> {
        self.replace(bundle, &BTreeSet::new(), options, note).await
    }

    /// The same, and deletes those of `gone` that are there, in the same revision.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn replace(
        &self,
        bundle: impl Into<Bundle>,
        gone: &BTreeSet<DefId>,
        options: Options,
        note: Note,
    ) -> Result<Outcome, Refused> {
        let Bundle { drafts, mut faults } = bundle.into();
        let found = self.inspect(&drafts, &mut faults).await?;
        self.in_time(&drafts, &mut faults).await?;
        let kept: BTreeSet<&DefId> = drafts.iter().map(|draft| &draft.id).collect();
        let wish = |current: &Catalog| {
            let mut delete: BTreeSet<DefId> =
                gone.iter().filter(|id| current.get(id).is_some()).cloned().collect();
            if options.prune {
                delete.extend(current.definitions.keys().cloned());
                delete.retain(|id| !kept.contains(id));
            }
            Ok(Wish {
                drafts: drafts.clone(),
                delete,
                faults: faults.clone(),
                found: found.clone(),
                left: Vec::new(),
            })
        };
        self.change(&options, note, wish).await
    }

    /// Deletes one definition.
    ///
    /// # Errors
    /// If it is not there or something refers to it; a conflict; a store that does not answer.
    pub async fn delete(&self, id: DefId, options: Options, note: Note) -> Result<Outcome, Refused> {
        let wish = |current: &Catalog| {
            self.stored(current, &id)?;
            Ok(Wish { delete: [id.clone()].into(), ..Wish::default() })
        };
        self.change(&options, note, wish).await
    }

    /// Makes what is wanted the same as it was at `revision`: one more revision, checked like any other. What only an
    /// admin may write stays as it is: who goes back for the sake of a channel does not mean to revive a token that was
    /// revoked since.
    ///
    /// # Errors
    /// If the history does not reach back that far; what does not fit this version of the program any more; a
    /// conflict; a store that does not answer.
    pub async fn rollback(
        &self,
        revision: Revision,
        options: Options,
        note: Note,
    ) -> Result<Outcome, Refused> {
        let then = self.store.load_at(revision).await?;
        self.back(&then, true, options, note).await
    }

    /// The same with one definition: the others stay as they are.
    ///
    /// # Errors
    /// If it was not there then; as [`Self::rollback`].
    pub async fn rollback_one(
        &self,
        id: &DefId,
        revision: Revision,
        options: Options,
        note: Note,
    ) -> Result<Outcome, Refused> {
        let mut then = self.store.load_at(revision).await?;
        then.definitions = ById::unit(id.clone(), self.stored(&then, id)?.clone());
        self.back(&then, false, options, note).await
    }

    /// Makes definitions what they were; those that were not there are deleted, if `all` says so.
    async fn back(
        &self,
        then: &Catalog,
        all: bool,
        options: Options,
        note: Note,
    ) -> Result<Outcome, Refused> {
        let revision = then.revision;
        let place = Place { source: Some(format!("revision {revision}")), position: None };
        let wish = |current: &Catalog| {
            let same = |d: &Definition| current.get(&d.id).is_some_and(|now| now.same_as(d));
            let guarded = |id: &DefId| {
                let both = [then.get(id), current.get(id)];
                all && both.into_iter().flatten().any(|d| self.registry.guarded(&d.kind))
            };
            let gone = current.definitions.keys().filter(|id| all && then.get(id).is_none());
            let (left, delete): (Vec<_>, _) = gone.cloned().partition(guarded);
            let mut wish = Wish { delete: delete.into_iter().collect(), left, ..Wish::default() };
            for definition in then.definitions.values().filter(|d| !same(d)) {
                if guarded(&definition.id) {
                    wish.left.push(definition.id.clone());
                    continue;
                }
                let params = self.keyring.open(&definition.params)?;
                let (id, kind, enabled) =
                    (definition.id.clone(), definition.kind.clone(), definition.enabled);
                wish.found.insert(id.clone(), Some(inspect::held(definition)));
                wish.drafts.push(Draft { id, kind, enabled, params, place: place.clone() });
            }
            Ok(wish)
        };
        self.change(&options, note, wish).await
    }

    /// Seals every secret anew that the first key does not open, so that older keys can be taken out: one revision.
    ///
    /// # Errors
    /// If no key opens a secret; what does not fit this version of the program any more; a conflict; a store that does
    /// not answer.
    pub async fn reseal(&self, options: Options, note: Note) -> Result<Outcome, Refused> {
        let place = Place { source: Some("sealed anew".into()), position: None };
        let wish = |current: &Catalog| {
            let mut drafts = Vec::new();
            for definition in current.definitions.values().filter(|d| !self.keyring.is_current(&d.params)) {
                let params = self.keyring.open(&definition.params)?;
                let Definition { id, kind, enabled, .. } = Definition::clone(definition);
                drafts.push(Draft { id, kind, enabled, params, place: place.clone() });
            }
            Ok(Wish { drafts, ..Wish::default() })
        };
        self.change(&options, note, wish).await
    }

    /// Checks and commits until nobody was faster.
    async fn change(
        &self,
        options: &Options,
        note: Note,
        wish: impl Fn(&Catalog) -> Result<Wish, Refused>,
    ) -> Result<Outcome, Refused> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            if let Some(expected) = options.expect {
                // Whoever has read it from another node may be here before it is. Too late or not, the check says it.
                let mut nudges = self.store.nudges();
                let there = nudges.wait_for(|now| *now >= expected);
                drop(tokio::time::timeout(CATCH_UP, there).await);
            }
            let current = self.store.load().await?;
            if let Some(expected) = options.expect
                && expected != current.revision
            {
                return Err(CommitError::Conflict { expected, current: current.revision }.into());
            }
            let mut wish = wish(&current)?;
            let left = std::mem::take(&mut wish.left);
            let Prepared { change, changes, unchanged } = self.prepare(current.clone(), wish).await?;
            self.allowed(options.role, &current, &change)?;
            let begun = Instant::now();
            let mut revision = current.revision;
            if !options.dry_run && !change.is_empty() {
                match self.store.commit(current.revision, change, note.clone()).await {
                    Ok(after) => revision = after.revision,
                    Err(CommitError::Conflict { .. }) if options.expect.is_none() && attempt < ATTEMPTS => {
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                }
                // The history has all of them; a line of the log has the first few.
                let ids = changes.iter().take(LOGGED).map(|c| c.id.to_string()).collect::<Vec<_>>();
                let (count, ids) = (changes.len(), ids.join(", "));
                tracing::info!(%revision, author = note.author, count, ids, "committed");
            }
            let wait = if options.dry_run { Duration::ZERO } else { options.wait };
            let receipt = self.board.settled(revision, begun, wait).await;
            return Ok(Outcome { revision, dry_run: options.dry_run, changes, unchanged, left, receipt });
        }
    }

    /// Refuses a change of what only an admin may write.
    fn allowed(&self, role: Role, current: &Catalog, change: &config::Change) -> Result<(), Refused> {
        if role >= Role::Admin {
            return Ok(());
        }
        let before = |id: &DefId| current.get(id).map(|d| (d.id.clone(), d.kind.clone()));
        let touched = change.put.iter().map(|d| (d.id.clone(), d.kind.clone()));
        let were = change.put.iter().map(|d| &d.id).chain(&change.delete).filter_map(before);
        match touched.chain(were).find(|(_, kind)| self.registry.guarded(kind)) {
            Some((id, _)) => Err(Refused::Forbidden(id)),
            None => Ok(()),
        }
    }

    /// Checks on a thread where that may take its time: requests are served by the same few threads as this.
    async fn prepare(&self, current: Arc<Catalog>, wish: Wish) -> Result<Prepared, Refused> {
        let (registry, keyring) = (self.registry.clone(), self.keyring.clone());
        let work = move || prepare::prepare(&registry, &keyring, &current, &wish);
        match tokio::task::spawn_blocking(work).await {
            Ok(prepared) => Ok(prepared?),
            Err(error) => Err(Refused::Broken(format!("a check panicked: {error}"))),
        }
    }

    pub(crate) fn stored<'c>(
        &self,
        current: &'c Catalog,
        id: &DefId,
    ) -> Result<&'c Arc<Definition>, Refused> {
        current.get(id).ok_or_else(|| {
            let wanted = self.registry.with_implicit(current);
            let package =
                wanted.get(id).and_then(|d| d.needs.iter().find(|n| n.family == Family::Package).cloned());
            let compiled_in = package.is_none() && wanted.get(id).is_some();
            Refused::NotFound { id: id.clone(), compiled_in, package }
        })
    }
}
