//! A service: what does the work, whichever channel the request came by.

use async_trait::async_trait;
use schemars::Schema;
use serde::Serialize;

use crate::{Context, Request, Response, Result};

/// What is known about a service without running it. API specifications are made of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceInfo {
    /// Its name, unique in a cluster.
    pub name: String,
    /// The group it belongs to in specifications; not part of the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The first sentence or paragraph of its documentation.
    pub summary: String,
    /// All of its documentation.
    pub description: String,
    /// The schema of its input; none if it takes the raw request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Schema>,
    /// The schema of its output; none if it writes the response itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Schema>,
}

impl ServiceInfo {
    /// From its name and documentation; the first paragraph is the summary.
    pub fn new(name: &str, namespace: Option<&str>, docs: &str) -> Self {
        let description = docs.trim().to_owned();
        let summary = description.split("\n\n").next().unwrap_or_default();
        Self {
            name: name.into(),
            namespace: namespace.map(Into::into),
            summary: summary.split_whitespace().collect::<Vec<_>>().join(" "),
            description,
            input: None,
            output: None,
        }
    }
}

/// What does the work. Mostly written by the `service` attribute.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// What is known about it without running it.
    fn info(&self) -> ServiceInfo;

    /// Whether it reads the whole body as JSON and refuses what is none, so that a channel of that format need not look
    /// through the body first. Asked for each change of the configuration, so it has to be cheap.
    fn reads_json(&self) -> bool {
        false
    }

    /// The roles that a caller from outside must have, all of them, by whichever way they get here. Asked for each call, so
    /// it has to be cheap.
    fn requires(&self) -> &[String] {
        &[]
    }

    /// Does the work for one request.
    ///
    /// # Errors
    /// Whatever went wrong; the channel turns it into what its callers understand.
    async fn call(&self, ctx: &Context, request: Request) -> Result<Response>;
}
