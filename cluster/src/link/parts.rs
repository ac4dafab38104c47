//! Messages in parts: those that are put together, and the answers that wait to be fetched. Bounded in number, bytes
//! and time, because the other side decides how many it begins and whether it ever ends them.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::envelope::{MAX_PART, Refusal};
use crate::link::settings::Limits;
use crate::link::{Incarnation, NodeId};

/// Which message: who sends it, in which start, and its id there.
pub(crate) type Key = (NodeId, Incarnation, u64);

/// How many parts a message of this size has.
pub(crate) fn count(size: usize) -> usize {
    size.div_ceil(MAX_PART)
}

/// Part `at` of a message.
pub(crate) fn part(whole: &Bytes, at: usize) -> Option<Bytes> {
    let from = at.checked_mul(MAX_PART).filter(|from| *from < whole.len())?;
    Some(whole.slice(from..whole.len().min(from + MAX_PART)))
}

/// A message whose parts arrive, in any order.
struct Arriving {
    size: usize,
    parts: Vec<Option<Bytes>>,
    until: Instant,
}

/// An answer whose parts are fetched, in any order.
struct Waiting {
    whole: Bytes,
    fetched: Vec<bool>,
    until: Instant,
}

/// See the module.
pub(crate) struct Store {
    limits: Limits,
    arriving: HashMap<Key, Arriving>,
    waiting: HashMap<Key, Waiting>,
    kept: usize,
}

impl Store {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, arriving: HashMap::new(), waiting: HashMap::new(), kept: 0 }
    }

    /// How many bytes are promised or kept.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.kept
    }

    /// Drops what nobody waits for any more.
    pub(crate) fn expire(&mut self, now: Instant) {
        let mut freed = 0;
        self.arriving.retain(|_, a| {
            a.until > now || {
                freed += a.size;
                false
            }
        });
        self.waiting.retain(|_, w| {
            w.until > now || {
                freed += w.whole.len();
                false
            }
        });
        self.kept -= freed;
    }

    /// Takes a part of a message of `size` bytes. The whole size is set aside with the first part, so that a message
    /// that is begun can be ended.
    pub(crate) fn put(
        &mut self,
        key: Key,
        at: u32,
        size: u64,
        part: Bytes,
        until: Instant,
    ) -> Result<(), Refusal> {
        let limit = self.limits.message;
        let size = usize::try_from(size)
            .ok()
            .filter(|size| *size <= limit)
            .ok_or(Refusal::TooLarge { size, limit: limit as u64 })?;
        if !self.arriving.contains_key(&key) {
            self.reserve(size)?;
            let parts = vec![None; count(size)];
            self.arriving.insert(key.clone(), Arriving { size, parts, until });
        }
        let garbled = |text: &str| Refusal::Garbled(text.into());
        let arriving = self.arriving.get_mut(&key).ok_or(Refusal::Busy)?;
        if arriving.size != size {
            return Err(garbled("its parts do not agree on its size"));
        }
        let at = at as usize;
        let from = at.saturating_mul(MAX_PART);
        if part.len() != size.saturating_sub(from).min(MAX_PART) || part.is_empty() {
            return Err(garbled("a part has the wrong size"));
        }
        let place = arriving.parts.get_mut(at).ok_or_else(|| garbled("there is no such part"))?;
        *place = Some(part);
        Ok(())
    }

    /// The message, if all of its parts are here. Either way it is not kept any longer.
    pub(crate) fn take(&mut self, key: &Key) -> Result<Bytes, Refusal> {
        let arriving =
            self.arriving.remove(key).ok_or_else(|| Refusal::Garbled("none of its parts is here".into()))?;
        self.kept -= arriving.size;
        let mut whole = BytesMut::with_capacity(arriving.size);
        for part in arriving.parts {
            whole.extend_from_slice(&part.ok_or_else(|| Refusal::Garbled("not all parts are here".into()))?);
        }
        Ok(whole.freeze())
    }

    /// Keeps an answer until it is fetched.
    pub(crate) fn keep(&mut self, key: Key, whole: Bytes, until: Instant) -> Result<(), Refusal> {
        if whole.len() > self.limits.message {
            let limit = self.limits.message as u64;
            return Err(Refusal::TooLarge { size: whole.len() as u64, limit });
        }
        self.reserve(whole.len())?;
        let fetched = vec![false; count(whole.len())];
        if let Some(before) = self.waiting.insert(key, Waiting { whole, fetched, until }) {
            self.kept -= before.whole.len();
        }
        Ok(())
    }

    /// A part of an answer; the answer goes with the last one.
    pub(crate) fn fetch(&mut self, key: &Key, at: u32) -> Result<Bytes, Refusal> {
        let gone = || Refusal::Garbled("there is no such part of the answer".into());
        let at = at as usize;
        let waiting = self.waiting.get_mut(key).ok_or_else(gone)?;
        let found = part(&waiting.whole, at).ok_or_else(gone)?;
        if let Some(mark) = waiting.fetched.get_mut(at) {
            *mark = true;
        }
        if waiting.fetched.iter().all(|fetched| *fetched) {
            self.kept -= waiting.whole.len();
            self.waiting.remove(key);
        }
        Ok(found)
    }

    fn reserve(&mut self, size: usize) -> Result<(), Refusal> {
        let transfers = self.arriving.len() + self.waiting.len();
        if transfers >= self.limits.transfers || self.kept + size > self.limits.kept {
            return Err(Refusal::Busy);
        }
        self.kept += size;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(id: u64) -> Key {
        ("a".parse().expect("a name"), Incarnation(1), id)
    }

    fn store() -> (Store, Instant) {
        let limits = Limits { message: 300_000, kept: 500_000, transfers: 3, ..Limits::default() };
        (Store::new(limits), Instant::now() + Duration::from_secs(9))
    }

    #[test]
    fn parts_in_any_order_make_the_message_again() {
        let (mut store, until) = store();
        let whole: Bytes = (0..200_000u32).map(|n| n as u8).collect::<Vec<_>>().into();
        for at in [2, 0, 3, 1] {
            let part = part(&whole, at).expect("a part");
            store.put(key(1), at as u32, 200_000, part, until).expect("fits");
        }
        assert_eq!(store.take(&key(1)).expect("whole"), whole);
        assert_eq!(store.kept(), 0);
        store.keep(key(2), whole.clone(), until).expect("fits");
        let fetched: Vec<u8> =
            (0..4).flat_map(|at| store.fetch(&key(2), at).expect("a part").to_vec()).collect();
        assert_eq!(Bytes::from(fetched), whole);
        assert_eq!(store.kept(), 0);
        assert!(store.fetch(&key(2), 0).is_err());
    }

    #[test]
    fn number_bytes_and_time_are_bounded() {
        let (mut store, until) = store();
        let part = Bytes::from(vec![0; MAX_PART]);
        let put = |store: &mut Store, id, size| store.put(key(id), 0, size, part.clone(), until);
        let too_large = Refusal::TooLarge { size: 300_001, limit: 300_000 };
        assert_eq!(put(&mut store, 1, 300_001), Err(too_large));
        put(&mut store, 1, 300_000).expect("fits");
        assert_eq!(put(&mut store, 2, 300_000), Err(Refusal::Busy), "bytes");
        put(&mut store, 2, 70_000).expect("fits");
        put(&mut store, 3, 70_000).expect("fits");
        assert_eq!(put(&mut store, 4, 70_000), Err(Refusal::Busy), "number");
        store.expire(until);
        assert_eq!(store.kept(), 0);
        put(&mut store, 4, 70_000).expect("fits again");
    }

    #[test]
    fn parts_that_make_no_sense_are_refused() {
        let (mut store, until) = store();
        let part = Bytes::from(vec![0; MAX_PART]);
        store.put(key(1), 0, 100_000, part.clone(), until).expect("fits");
        assert!(store.put(key(1), 1, 100_000, part.clone(), until).is_err(), "too long for the last");
        assert!(store.put(key(1), 9, 100_000, part.clone(), until).is_err(), "no such part");
        assert!(store.put(key(1), 0, 100_001, part, until).is_err(), "another size");
        assert!(store.put(key(2), 0, 0, Bytes::new(), until).is_err(), "nothing");
        assert!(store.take(&key(1)).is_err(), "not all are here");
    }
}
