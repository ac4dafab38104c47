//! Fingerprints of credentials: what is kept to recognise one without comparing it byte by byte.

use aws_lc_rs::{hmac, rand};
use sdk::{Error, Result};

/// A keyed hash of one credential, under a random key of its own. Comparing takes the same time whether or not
/// anything of it is right, and what is in memory is of no use elsewhere.
pub(super) struct Fingerprint {
    key: hmac::Key,
    tag: hmac::Tag,
    /// How often it was compared.
    #[cfg(test)]
    pub(super) compared: std::sync::atomic::AtomicUsize,
}

impl Fingerprint {
    /// Of this credential.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(super) fn of(credential: &[u8]) -> Result<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new());
        let key = key.map_err(|_| Error::internal("the system gives no random numbers"))?;
        let tag = hmac::sign(&key, credential);
        Ok(Self {
            key,
            tag,
            #[cfg(test)]
            compared: Default::default(),
        })
    }

    /// Whether this is the credential.
    pub(super) fn matches(&self, credential: &[u8]) -> bool {
        #[cfg(test)]
        self.compared.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        hmac::verify(&self.key, credential, self.tag.as_ref()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_credential_matches() {
        let print = Fingerprint::of(b"clerk:s3cret").expect("random numbers");
        assert!(print.matches(b"clerk:s3cret"));
        for other in [&b"clerk:s3cre"[..], b"clerk:s3crets", b""] {
            assert!(!print.matches(other));
        }
    }
}
