//! The contract that all slots keep, as a test.

use std::time::Duration;

use super::{Answer, Claim, Ending, JobState, Outcome, Record, Slots, Wanted, bucket_of, lease_of};
use crate::definition::{Definition, Params};
use crate::lease::{Held, Leases};
use crate::name::{DefId, Family, KindTag, Name, Revision};
use crate::store::{Change, Note, Store};

const LONG: Duration = Duration::from_secs(20);

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

/// A job that is not wanted without being another one.
fn job(text: &str, extra: &str) -> Definition {
    let params = serde_json::json!({"service": "x", "extra": extra});
    Definition {
        id: DefId::new(Family::Job, name(text)),
        kind: KindTag::new(Family::Job, "interval"),
        enabled: true,
        params: serde_json::from_value::<Params>(params).expect("parameters"),
        needs: crate::SmallSet::default(),
        claims: crate::SmallSet::default(),
        changed_at: Revision::ZERO,
    }
}

struct Kit<'a> {
    store: &'a dyn Store,
    leases: &'a dyn Leases,
    slots: &'a dyn Slots,
}

impl Kit<'_> {
    async fn write(&self, put: Vec<Definition>, delete: Vec<DefId>) -> Revision {
        let at = self.store.load().await.expect("loads").revision;
        let change = Change { put, delete };
        self.store.commit(at, change, Note::default()).await.expect("commits").revision
    }

    async fn lease(&self, of: &Name, owner: &str) -> Held {
        let key = lease_of(bucket_of(of));
        self.leases.lease(&key, owner, LONG).await.expect("answers").expect("is free")
    }

    async fn take(
        &self,
        held: &Held,
        of: &Name,
        plan: Revision,
        known: Option<JobState>,
    ) -> Option<JobState> {
        let wanted = [Wanted { name: of.clone(), plan, known }];
        self.slots.take_over(held, &wanted).await.expect("answers").map(|states| states[0])
    }

    async fn claim(&self, held: &Held, claims: &[Claim]) -> Vec<Answer> {
        self.slots.claim(&held.owner, claims).await.expect("answers")
    }

    async fn now(&self) -> i64 {
        self.slots.look().await.expect("answers").now
    }
}

fn run(of: &Name, held: &Held, state: &JobState, slot: i64) -> Claim {
    Claim {
        name: of.clone(),
        fence: held.fence,
        plan: state.plan,
        turn: state.turn,
        anchor: state.anchor,
        slot,
        until: slot,
        spent: false,
        record: Record::begins(slot, &held.owner, slot, format!("cid of {slot}")),
    }
}

fn skip(of: &Name, held: &Held, state: &JobState, slot: i64, until: i64) -> Claim {
    let record = Record::skips(slot, until, 2, &held.owner, until, "missed");
    Claim { until, record, ..run(of, held, state, slot) }
}

pub(crate) async fn keeps(store: &dyn Store, leases: &dyn Leases, slots: &dyn Slots) {
    let kit = Kit { store, leases, slots };
    a_slot_is_decided_once(&kit).await;
    a_retired_plan_decides_nothing(&kit).await;
    what_is_known_moves_and_goes(&kit).await;
}

async fn a_slot_is_decided_once(kit: &Kit<'_>) {
    let a = name("one job, of \"many\"");
    let plan = kit.write(vec![job(a.as_str(), "1")], Vec::new()).await;
    let held = kit.lease(&a, "n1#1").await;
    let before = kit.now().await;
    let state = kit.take(&held, &a, plan, None).await.expect("held");
    assert!(state.plan == plan && state.last == 0 && !state.spent);
    assert!(state.anchor >= before && state.anchor <= kit.now().await);
    assert_eq!(kit.take(&held, &a, plan, None).await, Some(state), "the anchor stays");

    let t = before - 10_000_000;
    let first = run(&a, &held, &state, t);
    assert_eq!(kit.claim(&held, std::slice::from_ref(&first)).await, [Answer::Granted]);
    assert_eq!(kit.claim(&held, std::slice::from_ref(&first)).await, [Answer::Granted], "asked again");
    let mut other = first.clone();
    other.record.cid = Some("another".into());
    assert_eq!(kit.claim(&held, &[other]).await, [Answer::Taken]);
    let open = kit.slots.under_way(bucket_of(&a)).await.expect("answers");
    assert_eq!(open, [(a.clone(), first.record.clone())]);

    // Several in one step: in order, and each for itself.
    let all = [
        run(&a, &held, &state, t + 1),
        skip(&a, &held, &state, t + 2, t + 4),
        run(&a, &held, &state, t + 3),
        run(&a, &held, &state, t + 5),
        run(&a, &held, &state, kit.now().await + 10_000_000),
    ];
    let answers = kit.claim(&held, &all).await;
    assert_eq!(answers, [Answer::Granted, Answer::Granted, Answer::Taken, Answer::Granted, Answer::Early]);

    let ended = |slot, outcome, presumed| Ending {
        name: a.clone(),
        slot,
        record: run(&a, &held, &state, slot).record.ended(outcome, slot + 9, Some("so")),
        presumed,
    };
    // What is presumed is written only if nothing better is known; what is known replaces it.
    let endings = [ended(t, Outcome::Lost, true), ended(t + 1, Outcome::Done, false)];
    kit.slots.end(&endings).await.expect("writes");
    kit.slots
        .end(&[ended(t + 1, Outcome::Lost, true), ended(t + 7, Outcome::Lost, true)])
        .await
        .expect("writes");
    let told = async || -> Vec<(i64, Outcome)> {
        let history = kit.slots.history(&a, 50).await.expect("reads");
        history.iter().map(|record| (record.at() - t, record.outcome)).collect()
    };
    let late = [(5, Outcome::Running), (2, Outcome::Skipped), (1, Outcome::Done)];
    assert_eq!(told().await, [late.as_slice(), &[(0, Outcome::Lost)]].concat());
    kit.slots.end(&[ended(t, Outcome::Failed, false)]).await.expect("writes");
    assert_eq!(told().await, [late.as_slice(), &[(0, Outcome::Failed)]].concat());
    assert_eq!(kit.slots.history(&a, 1).await.expect("reads").len(), 1);

    // The history has a bound.
    for page in 0..3 {
        let many: Vec<_> = (0..50)
            .map(|n| skip(&a, &held, &state, t + 10 + page * 50 + n, t + 10 + page * 50 + n))
            .collect();
        assert!(kit.claim(&held, &many).await.iter().all(|answer| *answer == Answer::Granted));
    }
    let lines = kit.slots.history(&a, 1_000).await.expect("reads");
    assert_eq!((lines.len(), lines[0].at() - t), (super::HISTORY, 159));

    // Nobody else decides, and neither does who has lost the lease.
    let foreign = Held { owner: "n2#2".into(), ..held.clone() };
    assert_eq!(kit.claim(&foreign, &[run(&a, &held, &state, t + 900)]).await, [Answer::Lost]);
    assert_eq!(kit.take(&foreign, &a, plan, None).await, None);
    assert!(kit.leases.release(&held).await.expect("answers"));
    assert_eq!(kit.claim(&held, &[run(&a, &held, &state, t + 900)]).await, [Answer::Lost]);
    let next = kit.lease(&a, "n2#2").await;
    assert_eq!(kit.claim(&held, &[run(&a, &held, &state, t + 900)]).await, [Answer::Lost]);
    assert_eq!(kit.claim(&next, &[run(&a, &next, &state, t + 159)]).await, [Answer::Taken]);
    let mut last = run(&a, &next, &state, t + 900);
    last.spent = true;
    assert_eq!(kit.claim(&next, &[last]).await, [Answer::Granted]);
    let state = kit.take(&next, &a, plan, None).await.expect("held");
    assert!(state.spent && state.last == t + 900, "{state:?}");

    // Another turn goes on where the last one ended.
    let changes = kit.slots.look().await.expect("answers").changes;
    assert!(kit.slots.activate(&a).await.expect("answers"));
    assert!(!kit.slots.activate(&name("unknown")).await.expect("answers"));
    assert!(kit.slots.look().await.expect("answers").changes > changes);
    assert_eq!(kit.claim(&next, &[run(&a, &next, &state, t + 901)]).await, [Answer::Retired]);
    let again = kit.take(&next, &a, plan, None).await.expect("held");
    assert!(!again.spent && again.last == state.last && again.anchor > state.anchor);
    // Somebody who knows more than the store tells it.
    let more = JobState { last: again.last + 5, ..again };
    assert_eq!(kit.take(&next, &a, plan, Some(more)).await, Some(more));
    assert_eq!(kit.take(&next, &a, plan, Some(again)).await, Some(more));
    assert!(kit.leases.release(&next).await.expect("answers"));
}

async fn a_retired_plan_decides_nothing(kit: &Kit<'_>) {
    let b = name("edited");
    let old = kit.write(vec![job("edited", "1")], Vec::new()).await;
    let held = kit.lease(&b, "n1#1").await;
    let state = kit.take(&held, &b, old, None).await.expect("held");
    let t = kit.now().await - 1_000_000;
    assert_eq!(kit.claim(&held, &[run(&b, &held, &state, t)]).await, [Answer::Granted]);
    let new = kit.write(vec![job("edited", "2")], Vec::new()).await;
    // Though nobody has told the one who claims.
    assert_eq!(kit.claim(&held, &[run(&b, &held, &state, t + 1)]).await, [Answer::Retired]);
    let moved = kit.take(&held, &b, new, Some(state)).await.expect("held");
    assert!(moved.plan == new && moved.last == t && moved.anchor > state.anchor, "{moved:?}");
    let mut twice = run(&b, &held, &moved, t);
    twice.record.cid = Some("by the new plan".into());
    assert_eq!(kit.claim(&held, &[twice]).await, [Answer::Taken]);
    assert_eq!(kit.claim(&held, &[run(&b, &held, &state, t + 1)]).await, [Answer::Retired]);
    assert_eq!(kit.claim(&held, &[run(&b, &held, &moved, t + 1)]).await, [Answer::Granted]);
    // Who is behind does not bring the old plan back.
    assert_eq!(kit.take(&held, &b, old, None).await.expect("held").plan, new);
    kit.write(Vec::new(), vec![DefId::new(Family::Job, b.clone())]).await;
    assert_eq!(kit.claim(&held, &[run(&b, &held, &moved, t + 2)]).await, [Answer::Retired], "deleted");
    assert!(kit.leases.release(&held).await.expect("answers"));
}

async fn what_is_known_moves_and_goes(kit: &Kit<'_>) {
    let [from, to] = ["before", "after"].map(name);
    let plan = kit.write(vec![job("before", "1")], Vec::new()).await;
    let held = kit.lease(&from, "n1#1").await;
    let state = kit.take(&held, &from, plan, None).await.expect("held");
    let t = kit.now().await - 1_000_000;
    assert_eq!(kit.claim(&held, &[skip(&from, &held, &state, t, t)]).await, [Answer::Granted]);
    let numbers = kit.slots.numbers(&[from.clone(), name("third"), from.clone()]).await.expect("answers");
    assert!(numbers[0] == numbers[2] && numbers[0] != numbers[1]);
    let plan = kit.write(vec![job("after", "1")], vec![DefId::new(Family::Job, from.clone())]).await;
    kit.slots.rename(&from, &to).await.expect("renames");
    assert_eq!(kit.slots.numbers(std::slice::from_ref(&to)).await.expect("answers"), [numbers[0]]);
    assert_eq!(kit.slots.history(&to, 5).await.expect("reads").len(), 1);
    let states = kit.slots.states(&[from.clone(), to.clone()]).await.expect("answers");
    assert!(states[0].is_none() && states[1].is_some_and(|state| state.last == t), "{states:?}");
    assert!(kit.leases.release(&held).await.expect("answers"));
    let held = kit.lease(&to, "n1#1").await;
    let state = kit.take(&held, &to, plan, None).await.expect("held");
    assert_eq!((state.plan, state.last), (plan, t));

    // A run that nobody planned.
    let manual = Record { manual: true, ..Record::begins(t + 5, "n1#1", t + 5, "c".into()) };
    kit.slots.begin(&to, &manual).await.expect("writes");
    assert_eq!(kit.slots.history(&to, 5).await.expect("reads")[0], manual);
    assert_eq!(kit.slots.states(std::slice::from_ref(&to)).await.expect("answers"), [Some(state)]);

    // Nor one of a job that no node has taken over yet: its end is written down all the same, and its plan begins anew.
    let young = name("young");
    let plan = kit.write(vec![job("young", "1")], Vec::new()).await;
    let manual = Record { manual: true, ..Record::begins(t + 6, "n1#1", t + 6, "c".into()) };
    kit.slots.begin(&young, &manual).await.expect("writes");
    let ended = manual.ended(Outcome::Done, t + 7, None);
    let ending = Ending { name: young.clone(), slot: t + 6, record: ended.clone(), presumed: false };
    kit.slots.end(&[ending]).await.expect("writes");
    assert_eq!(kit.slots.history(&young, 5).await.expect("reads"), [ended]);
    let held = kit.lease(&young, "n1#1").await;
    let state = kit.take(&held, &young, plan, None).await.expect("held");
    assert_eq!((state.plan, state.turn, state.last, state.spent), (plan, 0, 0, false));

    let bucket = bucket_of(&to);
    assert!(kit.slots.known(bucket).await.expect("answers").contains(&to));
    kit.slots.forget(bucket, std::slice::from_ref(&to)).await.expect("answers");
    assert!(kit.slots.known(bucket).await.expect("answers").contains(&to), "it is wanted");
    kit.write(Vec::new(), vec![DefId::new(Family::Job, to.clone())]).await;
    kit.slots.forget(bucket, std::slice::from_ref(&to)).await.expect("answers");
    assert!(!kit.slots.known(bucket).await.expect("answers").contains(&to));
    assert!(kit.slots.history(&to, 5).await.expect("reads").is_empty());
    assert_eq!(kit.slots.states(&[to]).await.expect("answers"), [None]);
}
