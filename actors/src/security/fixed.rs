//! Credentials that are the same in every request: a header, or a parameter of the query.

use async_trait::async_trait;
use http::{HeaderName, HeaderValue};
use sdk::connection::http::HttpCall;
use sdk::{Error, Result};

use crate::part::Credentials;

/// A header that says who we are.
pub(super) struct FixedHeader {
    name: HeaderName,
    value: HeaderValue,
}

impl FixedHeader {
    /// With this value, which logs and header compression are told to keep to themselves.
    ///
    /// # Errors
    /// If the value cannot be in a header.
    pub(super) fn new(name: HeaderName, value: &str) -> Result<Self> {
        let value = HeaderValue::from_str(value);
        // The error of the parser is left out: nothing of a secret is to be seen.
        let mut value =
            value.map_err(|_| Error::internal(format!("the value of {name} cannot be a header")))?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }
}

#[async_trait]
impl Credentials for FixedHeader {
    async fn apply(&self, call: &mut HttpCall) -> Result<()> {
        call.headers.insert(self.name.clone(), self.value.clone());
        Ok(())
    }
}

/// A parameter of the query that says who we are.
pub(super) struct FixedParam {
    /// Its name.
    pub(super) name: String,
    /// Its value.
    pub(super) value: config::Secret,
}

#[async_trait]
impl Credentials for FixedParam {
    async fn apply(&self, call: &mut HttpCall) -> Result<()> {
        call.params.retain(|(name, _)| *name != self.name);
        call.params.push((self.name.clone(), self.value.reveal().to_owned()));
        Ok(())
    }
}
