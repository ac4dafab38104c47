//! What travels between nodes: small versioned envelopes. The one place that knows bincode.
//!
//! An envelope is `version: u16 | length of the head: u16 | head | payload`. The version comes first and outside of
//! the encoding, so that every node can read it from every other, and say [`refuse_version`] in a form that never
//! changes. The payload is not encoded at all: it is copied once.

use std::fmt;

use bytes::Bytes;
use config::Name;
use serde::{Deserialize, Serialize};

use crate::link::{Failure, Incarnation};

/// The version that this code writes.
pub const VERSION: u16 = 1;
/// The largest payload of one envelope; what is larger travels in parts, so that small envelopes get in between.
pub const MAX_PART: usize = 64 * 1024;
/// The largest message, parts taken together, unless the settings say otherwise.
pub const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// The longest idempotency key, in bytes.
pub const MAX_KEY: usize = 200;
/// The largest head; anything longer is no head of ours.
const MAX_HEAD: usize = 4096;
/// The longest sentence that goes into a head, in bytes.
pub const MAX_TEXT: usize = 2048;
/// The longest word that goes into a head, in bytes.
pub const MAX_WORD: usize = 64;
/// Stands where a version would, in the answer to a version that is not spoken.
const REFUSAL: u16 = 0;

/// The versions that a node can read, oldest and newest included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Versions {
    /// The oldest.
    pub oldest: u16,
    /// The newest.
    pub newest: u16,
}

impl Versions {
    /// What this code can read.
    pub const OURS: Self = Self { oldest: VERSION, newest: VERSION };

    /// Whether `version` is one of them.
    pub fn contains(self, version: u16) -> bool {
        (self.oldest..=self.newest).contains(&version)
    }

    /// The newest version that both can read.
    pub fn common(self, other: Self) -> Option<u16> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.oldest, self.newest)
    }
}

/// What an envelope says about its payload.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Head {
    /// Unique within one incarnation of the source.
    pub id: u64,
    /// The node that sends it.
    pub source: Name,
    /// Which start of that node.
    pub incarnation: Incarnation,
    /// How long the sender waits, in milliseconds from now: a time of day would need equal clocks.
    pub budget_ms: u64,
    /// The same for each try of the same errand, so that a handler can do it once.
    pub key: Option<String>,
    /// What it is.
    pub kind: Kind,
}

/// What an envelope is. New kinds are added at the end, with a new version.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// Are you there?
    Ping,
    /// A request. With `parts` it has no payload of its own: that came before, in so many parts.
    Call {
        /// How many parts went ahead.
        parts: u32,
    },
    /// A hint that needs no answer but [`Kind::Taken`].
    Cast,
    /// A part of the payload of the call with the same id.
    Part {
        /// Which part, from 0.
        at: u32,
        /// The size of the whole payload.
        size: u64,
    },
    /// The wish for a part of the answer to the call with the same id.
    Fetch {
        /// Which part, from 0.
        at: u32,
    },
    /// The answer to a call, or a part of it.
    Answer,
    /// The answer to a call is this large and waits to be fetched.
    Parted {
        /// The size of the whole answer.
        size: u64,
    },
    /// The answer to a ping, a cast or a part.
    Taken,
    /// There is no answer.
    Refused(Refusal),
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Refusal {
    /// The message is larger than the node accepts.
    TooLarge {
        /// The size of the message.
        size: u64,
        /// What the node accepts.
        limit: u64,
    },
    /// The node has too much to do already.
    Busy,
    /// The envelope makes no sense.
    Garbled(String),
    /// The node has no link to the source, or only to another incarnation of it.
    Stranger,
    /// The deadline has passed.
    Late,
    /// What the handler says.
    Failed(Failure),
}

/// A head and its payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    /// What it is.
    pub head: Head,
    /// At most [`MAX_PART`] bytes.
    pub payload: Bytes,
}

/// Why an envelope cannot be written or read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// It is of a version that is not spoken here.
    #[error("envelope version {0} is not spoken here")]
    Version(u16),
    /// The other side does not speak the version that it was sent.
    #[error("the other side reads envelope versions {0}")]
    VersionRefused(Versions),
    /// Its payload is larger than one envelope carries.
    #[error("the payload of one envelope is {0} bytes, at most {MAX_PART}")]
    TooLarge(usize),
    /// It is not an envelope.
    #[error("not an envelope: {0}")]
    Garbled(String),
}

fn coding() -> bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<MAX_HEAD>,
> {
    // The limit keeps a forged length from allocating anything large.
    bincode::config::standard().with_limit::<MAX_HEAD>()
}

impl Envelope {
    /// The bytes of it, in `version`.
    ///
    /// # Errors
    /// If the payload is too large, or the head is.
    pub fn encode(&self, version: u16) -> Result<Vec<u8>, EnvelopeError> {
        if self.payload.len() > MAX_PART {
            return Err(EnvelopeError::TooLarge(self.payload.len()));
        }
        let garbled = |e: &dyn fmt::Display| EnvelopeError::Garbled(e.to_string());
        let head = bincode::serde::encode_to_vec(&self.head, coding()).map_err(|e| garbled(&e))?;
        let length = u16::try_from(head.len()).ok().filter(|n| usize::from(*n) <= MAX_HEAD);
        let length = length.ok_or_else(|| garbled(&"the head is too long"))?;
        let mut frame = Vec::with_capacity(4 + head.len() + self.payload.len());
        frame.extend_from_slice(&version.to_be_bytes());
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(&head);
        frame.extend_from_slice(&self.payload);
        Ok(frame)
    }

    /// The envelope in `frame`, if it is of one of the `spoken` versions.
    ///
    /// # Errors
    /// See [`EnvelopeError`]; arbitrary bytes are one of those, never a panic.
    pub fn decode(mut frame: Bytes, spoken: Versions) -> Result<Self, EnvelopeError> {
        let garbled = |text: &str| EnvelopeError::Garbled(text.into());
        if frame.len() < 4 {
            return Err(garbled("it is too short"));
        }
        let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        let (version, length) = (word(0), usize::from(word(2)));
        if version == REFUSAL && frame.len() == 6 {
            return Err(EnvelopeError::VersionRefused(Versions { oldest: word(2), newest: word(4) }));
        }
        if !spoken.contains(version) {
            return Err(EnvelopeError::Version(version));
        }
        let mut head = frame.split_off(4);
        if length > MAX_HEAD || length > head.len() {
            return Err(garbled("the head is cut off"));
        }
        let payload = head.split_off(length);
        if payload.len() > MAX_PART {
            return Err(EnvelopeError::TooLarge(payload.len()));
        }
        let (head, read): (Head, usize) =
            bincode::serde::decode_from_slice(&head, coding()).map_err(|e| garbled(&e.to_string()))?;
        if read != length {
            return Err(garbled("the head is longer than it says"));
        }
        Ok(Self { head, payload })
    }
}

/// The answer to an envelope of a version that is not spoken here. Its form is the same for ever.
pub fn refuse_version(spoken: Versions) -> Vec<u8> {
    [REFUSAL, spoken.oldest, spoken.newest].iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// `text`, cut off where it is longer than `most` bytes.
pub fn short(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn envelope(payload: Vec<u8>) -> Envelope {
        Envelope {
            head: Head {
                id: 7,
                source: "a".parse().expect("a name"),
                incarnation: Incarnation(3),
                budget_ms: 500,
                key: Some("once".into()),
                kind: Kind::Call { parts: 0 },
            },
            payload: payload.into(),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let sent = envelope(vec![1; MAX_PART]);
        let frame = sent.encode(VERSION).expect("encodes");
        assert_eq!(Envelope::decode(frame.into(), Versions::OURS).expect("decodes"), sent);
    }

    #[test]
    fn a_payload_over_the_limit_is_neither_written_nor_read() {
        let large = envelope(vec![1; MAX_PART + 1]);
        assert_eq!(large.encode(VERSION), Err(EnvelopeError::TooLarge(MAX_PART + 1)));
        let mut frame = envelope(vec![1; MAX_PART]).encode(VERSION).expect("encodes");
        frame.push(1);
        let read = Envelope::decode(frame.into(), Versions::OURS);
        assert_eq!(read, Err(EnvelopeError::TooLarge(MAX_PART + 1)));
    }

    #[test]
    fn another_version_is_told_which_are_spoken() {
        let frame = envelope(vec![]).encode(9).expect("encodes");
        let read = Envelope::decode(frame.into(), Versions::OURS);
        assert_eq!(read, Err(EnvelopeError::Version(9)));
        let answer = refuse_version(Versions { oldest: 2, newest: 5 });
        let read = Envelope::decode(answer.into(), Versions::OURS);
        assert_eq!(read, Err(EnvelopeError::VersionRefused(Versions { oldest: 2, newest: 5 })));
    }

    #[test]
    fn two_nodes_speak_the_newest_version_of_both() {
        let range = |oldest, newest| Versions { oldest, newest };
        assert_eq!(range(1, 3).common(range(2, 5)), Some(3));
        assert_eq!(range(1, 1).common(range(2, 5)), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Envelope::decode(bytes.clone().into(), Versions::OURS);
            // The same behind a start that looks right, which random bytes seldom have.
            let mut framed = vec![0, 1, 0, u8::try_from(bytes.len() % 256).unwrap_or(0)];
            framed.extend_from_slice(&bytes);
            let _ = Envelope::decode(framed.into(), Versions::OURS);
        }

        #[test]
        fn a_flipped_byte_never_panics(at in 0usize..40, to in any::<u8>()) {
            let mut frame = envelope(vec![5; 20]).encode(VERSION).expect("encodes");
            let at = at % frame.len();
            frame[at] = to;
            let _ = Envelope::decode(frame.into(), Versions::OURS);
        }
    }
}
