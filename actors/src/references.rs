//! Secrets by reference: read when a part starts, and again and again while it runs, so that it is started anew with
//! the value of now before the old one is of no use.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use config::definition::SEALED_TEXT;
use config::{Clear, Fault, Faults, References, Secret};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use sdk::{Error, Result};
use serde_json::Value;
use tokio::time::Instant;

use crate::kind::{AnyKind, Start};
use crate::part::Part;

/// How long reading all the secrets of one part may take. Other changes wait meanwhile.
const LIMIT: Duration = Duration::from_secs(5);
/// When a secret that could not be read again is tried once more.
const AGAIN: Duration = Duration::from_secs(5);

/// A place where secrets are kept, for definitions that hold a reference instead.
#[async_trait]
pub trait Secrets: Send + Sync + 'static {
    /// Reads one.
    ///
    /// # Errors
    /// If the place is away, does not let us, or there is no such secret.
    async fn read(&self, path: &str, field: &str, deadline: Instant) -> Result<Fetched>;
}

/// A secret, as it was read.
pub struct Fetched {
    /// It.
    pub value: Secret,
    /// After which time it is to be read again; none: it stays as it is.
    pub again: Option<Duration>,
    /// Whether it was made for this reading: one that is read again is another.
    pub once: bool,
}

/// The secrets that a part was started with.
pub(crate) struct Watched(Vec<One>);

struct One {
    name: String,
    source: Arc<dyn Secrets>,
    path: String,
    field: String,
    fetched: Fetched,
}

/// The parameters with the values of all references in them, checked as if they had been written there.
///
/// # Errors
/// If one of them cannot be read now, or what is read is wrong for this kind; no value is shown.
pub(crate) async fn resolve(
    kind: &dyn AnyKind,
    params: Clear,
    start: &Start,
) -> Result<(Clear, Option<Watched>)> {
    if !params.0.values().any(mentions) {
        return Ok((params, None));
    }
    let references = References::among(&params, &kind.shape().secrets);
    let reading = references.found.iter().map(|(_, reference)| async move {
        let name = reference.to_string();
        let source = match &start.part(&reference.connection)?.part {
            Part::Connection(connection) => connection.secrets(),
            _ => None,
        };
        let source = source.ok_or_else(|| {
            Error::unavailable(format!("{name}: {} is no place where secrets are kept", reference.connection))
        })?;
        let (path, field) = (reference.path.clone(), reference.field.clone());
        let read = source.read(&path, &field, Instant::now() + LIMIT).await;
        let fetched = read.map_err(|e| Error::unavailable(format!("{name}: {e}")))?;
        Ok::<_, Error>(One { name, source, path, field, fetched })
    });
    let all = tokio::time::timeout(LIMIT, futures_util::future::try_join_all(reading)).await;
    let all = all.map_err(|_| Error::timeout(format!("its secrets were not read within {LIMIT:?}")))??;
    if all.is_empty() {
        return Ok((params, None));
    }
    let value = |number: usize| all.get(number).map_or("", |one| one.fetched.value.reveal()).to_owned();
    let params = references.replaced(&params, value);
    let faults = faults(kind, &params, &references, &all);
    if !faults.is_empty() {
        return Err(Error::unavailable(format!("what its secrets refer to is wrong: {}", Faults(faults))));
    }
    Ok((params, Some(Watched(all))))
}

/// What the kind says to the values, which nobody but Vault has checked.
fn faults(kind: &dyn AnyKind, params: &Clear, references: &References, all: &[One]) -> Vec<Fault> {
    let read =
        || references.found.iter().zip(all).map(|((place, _), one)| (place, one.fetched.value.reveal()));
    // A check takes this word for a secret that it is not shown.
    let words = read().filter(|(_, value)| *value == SEALED_TEXT);
    let words = words.map(|(place, _)| Fault::new(place.0.join("."), "the word for a secret is no secret"));
    let shows = |fault: &Fault| {
        let text = fault.to_string();
        read().any(|(_, value)| !value.is_empty() && text.contains(value))
    };
    let checked = kind.faults(params).into_iter().map(|fault| match shows(&fault) {
        true => Fault::new(fault.at, "it is wrong; how is not said, since that would show it"),
        false => fault,
    });
    words.chain(checked).collect()
}

fn mentions(value: &Value) -> bool {
    match value {
        Value::String(text) => config::Reference::is(text),
        Value::Array(items) => items.iter().any(mentions),
        Value::Object(map) => map.values().any(mentions),
        _ => false,
    }
}

impl Watched {
    /// Waits until one of them has another value, or is about to end; answers which.
    pub(crate) async fn outdated(self) -> String {
        let mut all: FuturesUnordered<_> = self.0.into_iter().map(One::outdated).collect();
        match all.next().await {
            Some(name) => name,
            None => std::future::pending().await,
        }
    }
}

impl One {
    async fn outdated(self) -> String {
        let Self { name, source, path, field, fetched: Fetched { value, again, once } } = self;
        let Some(mut wait) = again else { return std::future::pending().await };
        let mut failed = false;
        loop {
            tokio::time::sleep(wait).await;
            if once {
                return name; // reading it makes another one, which is for the part that is started anew
            }
            wait = match source.read(&path, &field, Instant::now() + LIMIT).await {
                Ok(fetched) if !same(&fetched.value, &value) => return name,
                Ok(fetched) => {
                    failed = false;
                    fetched.again.unwrap_or(AGAIN)
                }
                Err(error) => {
                    if !std::mem::replace(&mut failed, true) {
                        tracing::warn!(reference = %name, %error, "a secret cannot be read again; the one that was read goes on");
                    }
                    AGAIN
                }
            };
        }
    }
}

fn same(one: &Secret, other: &Secret) -> bool {
    one.reveal() == other.reveal()
}
