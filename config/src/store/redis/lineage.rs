//! Whether what is in Redis is the history that this node knows: older, newer, or a stranger's.
//!
//! Every history has an epoch, a random word that is made with it. When part of a history is lost (a fail-over to a
//! replica that lagged, a restored backup) or brought back by an operator, it goes on under a new epoch, which keeps
//! the old ones behind it: its lineage. So a node can tell a continuation, which it follows, from a Redis that came
//! back empty or belongs to others, which it does not: it keeps what it has, takes no changes, and asks for a decision.

use crate::name::Revision;

/// How far the revision jumps when part of a history was lost, so that no number is ever used for two catalogs: what
/// was lost is what a master had not passed on yet, and less than this.
pub(super) const JUMP: u64 = 1_000;
/// How many epochs are remembered.
const KEPT: usize = 50;

/// The epoch of a history, after it those it continues, newest first. Empty: no history yet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Lineage(String);

impl Lineage {
    /// As it is written in Redis and on disk.
    pub(super) fn parse(text: &str) -> Self {
        Self(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// A new history.
    pub(super) fn begin() -> Self {
        Self::default().continued(&Self::default())
    }

    /// A new epoch that continues this one and `other`.
    pub(super) fn continued(&self, other: &Self) -> Self {
        let fresh = format!("{:016x}", fastrand::u64(..));
        let mut epochs = vec![fresh.as_str()];
        for epoch in self.epochs().chain(other.epochs()) {
            if !epochs.contains(&epoch) {
                epochs.push(epoch);
            }
        }
        epochs.truncate(KEPT);
        Self(epochs.join(" "))
    }

    /// As it is written.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is no history.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn epochs(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|epoch| !epoch.is_empty())
    }

    fn epoch(&self) -> Option<&str> {
        self.epochs().next()
    }

    fn holds(&self, epoch: Option<&str>) -> bool {
        self.epochs().any(|known| Some(known) == epoch)
    }
}

/// Where a history is, and how much it holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Position {
    /// Which history.
    pub(super) lineage: Lineage,
    /// How far.
    pub(super) revision: Revision,
    /// How many definitions.
    pub(super) count: u64,
    /// Whether some of what was written is gone: Redis may have been told to evict keys when its memory is full.
    pub(super) damaged: bool,
}

/// What to do about Redis.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Nobody has written anything: begin a history.
    Begin,
    /// The same history, here or further on: read what is missing.
    Follow,
    /// Take over all of it; with an alarm if there is a reason for one.
    Adopt(Option<String>),
    /// It lost revisions that were confirmed. What is left goes on, under a new epoch and well above the old numbers.
    Rebase(String),
    /// Not ours to decide.
    Refuse(String),
}

/// Compares what this node holds with what is in Redis.
pub(super) fn judge(ours: &Position, redis: &Position) -> Verdict {
    if redis.damaged {
        return Verdict::Refuse("Redis has lost part of what was in it; is it told to evict keys?".into());
    }
    let nothing = ours.revision == Revision::ZERO && ours.count == 0;
    let (have, there) = (ours.revision, redis.revision);
    if redis.lineage.is_empty() {
        return match (nothing, there == Revision::ZERO && redis.count == 0) {
            (true, true) => Verdict::Begin,
            (false, true) => Verdict::Refuse(format!(
                "Redis is empty, but this node holds revision {have} with {} definitions",
                ours.count
            )),
            (_, false) => Verdict::Refuse("Redis has lost the head of the history, but not all of it".into()),
        };
    }
    let same = ours.lineage.epoch() == redis.lineage.epoch();
    if nothing && !same {
        return Verdict::Adopt(None);
    }
    if same && there >= have {
        return Verdict::Follow;
    }
    let continues = redis.lineage.holds(ours.lineage.epoch());
    if continues && there > have {
        return Verdict::Adopt(Some(format!(
            "Redis goes on at revision {there} with a history that was restored or has lost its newest part; this node \
             was at revision {have} of the old one"
        )));
    }
    if !continues && !ours.lineage.holds(redis.lineage.epoch()) {
        return Verdict::Refuse(format!(
            "Redis holds another history, at revision {there} with {} definitions; this node holds revision {have} with \
             {}",
            redis.count, ours.count
        ));
    }
    if redis.count == 0 && ours.count > 0 {
        return Verdict::Refuse(format!(
            "Redis went back to revision {there}, which has no definitions; this node holds revision {have} with {}",
            ours.count
        ));
    }
    Verdict::Rebase(format!(
        "Redis went back from revision {have} to {there}: what was changed since is lost"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lineage: &Lineage, revision: u64, count: u64) -> Position {
        Position { lineage: lineage.clone(), revision: Revision(revision), count, damaged: false }
    }

    #[test]
    fn a_node_follows_its_own_history_and_never_takes_nothing_for_something() {
        use Verdict::{Adopt, Begin, Follow, Rebase, Refuse};
        let none = Lineage::default();
        let old = Lineage::begin();
        let new = old.continued(&none);
        let foreign = Lineage::begin();
        let cases = [
            ("both new", at(&none, 0, 0), at(&none, 0, 0), Begin),
            ("a new node", at(&none, 0, 0), at(&old, 7, 3), Adopt(None)),
            ("a new node's own beginning", at(&old, 0, 0), at(&old, 0, 0), Follow),
            ("nothing here and another beginning", at(&old, 0, 0), at(&foreign, 0, 0), Adopt(None)),
            ("in step", at(&old, 7, 3), at(&old, 7, 3), Follow),
            ("behind", at(&old, 7, 3), at(&old, 9, 0), Follow),
            ("restored above", at(&old, 7, 3), at(&new, 9, 1), Adopt(Some(String::new()))),
            ("lost the newest", at(&old, 7, 3), at(&old, 6, 3), Rebase(String::new())),
            ("lost the newest, and so did others", at(&old, 7, 3), at(&new, 7, 3), Rebase(String::new())),
            ("an older backup", at(&new, 7, 3), at(&old, 5, 2), Rebase(String::new())),
            ("an older backup of nothing", at(&new, 7, 3), at(&old, 0, 0), Refuse(String::new())),
            ("came back empty", at(&old, 7, 3), at(&none, 0, 0), Refuse(String::new())),
            (
                "came back empty and was begun by another",
                at(&old, 7, 3),
                at(&foreign, 0, 0),
                Refuse(String::new()),
            ),
            ("is another's", at(&old, 7, 3), at(&foreign, 70, 30), Refuse(String::new())),
            ("lost its head", at(&none, 0, 0), at(&none, 0, 3), Refuse(String::new())),
        ];
        for (case, ours, redis, expected) in cases {
            let verdict = judge(&ours, &redis);
            assert_eq!(
                std::mem::discriminant(&verdict),
                std::mem::discriminant(&expected),
                "{case}: {verdict:?}"
            );
            if let (Adopt(found), Adopt(expected)) = (&verdict, &expected) {
                assert_eq!(found.is_some(), expected.is_some(), "{case}");
            }
        }
    }

    #[test]
    fn a_lineage_keeps_its_ancestors_and_no_more_than_is_useful() {
        let first = Lineage::begin();
        let mut last = first.clone();
        for _ in 0..10 {
            last = last.continued(&first);
        }
        assert!(last.holds(first.epoch()) && !first.holds(last.epoch()));
        assert_eq!(last.epochs().count(), 11);
        for _ in 0..100 {
            last = last.continued(&Lineage::begin());
        }
        assert_eq!((last.epochs().count(), Lineage::parse(last.as_str())), (KEPT, last.clone()));
    }
}
