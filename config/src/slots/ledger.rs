//! The rules by which slots are decided, over tables of any kind. What a store does in a script of its own keeps the
//! same rules, as the contract shows.

use super::{Answer, Claim, EARLY, Ending, HISTORY, JobState, Micros, Outcome, Record, Wanted};
use crate::name::{Name, Revision};

/// What is kept, in a store that can change all of it in one step.
pub(crate) trait Tables {
    /// Why it cannot be read or written.
    type Error;

    /// The state of a job.
    fn state(&self, name: &Name) -> Result<Option<JobState>, Self::Error>;
    /// Sets it.
    fn set_state(&mut self, name: &Name, state: &JobState) -> Result<(), Self::Error>;
    /// The run of this slot, if it is under way.
    fn under_way(&self, name: &Name, slot: Micros) -> Result<Option<Record>, Self::Error>;
    /// Sets or removes it.
    fn set_under_way(
        &mut self,
        name: &Name,
        slot: Micros,
        record: Option<&Record>,
    ) -> Result<(), Self::Error>;
    /// Writes a line of the history, in place of an earlier one of the same slot, and keeps [`HISTORY`] of them.
    fn write(&mut self, name: &Name, slot: Micros, record: &Record, keep: usize) -> Result<(), Self::Error>;
}

/// The state of a job whose plan a node wants to carry out.
pub(crate) fn take_over<T: Tables>(
    tables: &mut T,
    wanted: &Wanted,
    now: Micros,
) -> Result<JobState, T::Error> {
    let Wanted { name, plan, known } = wanted;
    let begin = JobState { plan: *plan, turn: 0, anchor: now, last: 0, spent: false };
    let state = match tables.state(name)? {
        None => known.filter(|known| known.plan == *plan).unwrap_or(begin),
        Some(there) if there.plan < *plan => JobState { turn: there.turn, last: there.last, ..begin },
        // A store that fell back knows less than a node that goes on.
        Some(there) => match known {
            Some(known)
                if (known.plan, known.turn) == (there.plan, there.turn) && known.last > there.last =>
            {
                JobState { last: known.last, spent: known.spent, ..there }
            }
            _ => return Ok(there),
        },
    };
    tables.set_state(name, &state)?;
    Ok(state)
}

/// Decides a slot; the lease is held, and `wanted` is the plan in the catalog.
pub(crate) fn claim<T: Tables>(
    tables: &mut T,
    claim: &Claim,
    wanted: Option<Revision>,
    now: Micros,
) -> Result<Answer, T::Error> {
    let Some(state) = tables.state(&claim.name)? else { return Ok(Answer::Retired) };
    if (state.plan, state.turn, state.anchor) != (claim.plan, claim.turn, claim.anchor) {
        return Ok(Answer::Retired);
    }
    let runs = claim.record.outcome == Outcome::Running;
    if state.last >= claim.slot {
        let ours = runs && tables.under_way(&claim.name, claim.slot)?.as_ref() == Some(&claim.record);
        return Ok(if ours { Answer::Granted } else { Answer::Taken });
    }
    if claim.until > now + EARLY {
        return Ok(Answer::Early);
    }
    if wanted != Some(claim.plan) {
        return Ok(Answer::Retired);
    }
    tables.set_state(&claim.name, &JobState { last: claim.until, spent: claim.spent, ..state })?;
    if runs {
        tables.set_under_way(&claim.name, claim.slot, Some(&claim.record))?;
    } else {
        tables.write(&claim.name, claim.slot, &claim.record, HISTORY)?;
    }
    Ok(Answer::Granted)
}

/// Writes down that a run begins that belongs to no slot. The job may be so new that no node has taken it over yet: from
/// now on it is known, by no plan.
pub(crate) fn begin<T: Tables>(
    tables: &mut T,
    name: &Name,
    record: &Record,
    now: Micros,
) -> Result<(), T::Error> {
    if tables.state(name)?.is_none() {
        let known = JobState { plan: Revision::ZERO, turn: 0, anchor: now, last: 0, spent: false };
        tables.set_state(name, &known)?;
    }
    tables.set_under_way(name, record.at(), Some(record))
}

/// Writes down the end of a run, of a job that is still known.
pub(crate) fn end<T: Tables>(tables: &mut T, ending: &Ending) -> Result<(), T::Error> {
    let Ending { name, slot, record, presumed } = ending;
    let there = tables.under_way(name, *slot)?.is_some();
    if there {
        tables.set_under_way(name, *slot, None)?;
    }
    if (there || !presumed) && tables.state(name)?.is_some() {
        tables.write(name, *slot, record, HISTORY)?;
    }
    Ok(())
}

/// The state of a job that begins another turn.
pub(crate) fn next_turn(state: JobState, now: Micros) -> JobState {
    JobState { turn: state.turn + 1, anchor: now, spent: false, ..state }
}

/// The state of a job that takes over what is known of another; `there` is what it has already.
pub(crate) fn renamed(from: JobState, there: Option<JobState>, now: Micros) -> JobState {
    match there {
        Some(there) => JobState { last: there.last.max(from.last), turn: there.turn + 1, ..there },
        None => JobState { anchor: now, spent: false, plan: Revision::ZERO, ..from },
    }
}
