//! The correlation id: one for each invocation, shown to the caller and in every log line and record.

use std::fmt;
use std::str::FromStr;

/// The header that carries it.
pub const CID_HEADER: &str = "x-zeugma-cid";

/// 12 random bytes as 24 hexadecimal digits. It identifies, it does not authorise: it may be shown to anyone.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cid([u8; 24]);

impl Cid {
    /// A new one.
    #[allow(clippy::new_without_default)] // each is different: nothing about it is a default
    pub fn new() -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 24];
        let bits = [fastrand::u64(..), fastrand::u64(..)];
        for (i, digit) in text.iter_mut().enumerate() {
            *digit = DIGITS[((bits[i / 12] >> (4 * (i % 12))) & 15) as usize];
        }
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Cid {
    type Err = crate::Error;
    fn from_str(text: &str) -> crate::Result<Self> {
        let digits =
            text.as_bytes().try_into().ok().filter(|d: &[u8; 24]| d.iter().all(u8::is_ascii_hexdigit));
        digits.map(Self).ok_or_else(|| crate::Error::invalid("a correlation id is 24 hexadecimal digits"))
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
