//! Endpoints about what is wanted: definitions, bundles, history.

use config::Role;
use config::bundle::{self, Bundle};
use http::HeaderValue;
use http::header::ACCEPT;
use sdk::{Error, ErrorKind, Result};
use warp::reply::Response;

use super::answer::{self, Failure};
use super::call::Call;
use super::endpoint::Unanswered;
use super::shapes::{Format, Listing, Rollback, Single};
use crate::definitions::{Event, Options, Outcome, WAIT};

/// The media type of YAML.
pub(super) const YAML: &str = "application/yaml";
/// How many revisions a page of the history holds unless the caller says otherwise, and at most.
const PAGE: (usize, usize) = (50, 500);

/// What every change understands in its query.
pub(super) fn changes(endpoint: Unanswered) -> Unanswered {
    endpoint
        .in_history()
        .query::<config::Revision>("expect", "Refuse the change if the revision is another by now.")
        .query::<config::Span>(
            "wait",
            "How long to wait until every node serves it; 10s if left out, 0 not to wait.",
        )
        .query::<bool>("dry_run", "Say what would change, and change nothing.")
        .query::<String>("reason", "Why, for the history.")
}

pub(super) fn options(call: &Call) -> Result<Options> {
    Ok(Options {
        expect: call.revision("expect")?,
        dry_run: call.flag("dry_run")?,
        prune: false,
        wait: call.wait("wait", WAIT)?,
        role: call.role(),
    })
}

/// Lists definitions.
pub(super) async fn list(call: Call) -> Result<Listing, Failure> {
    let family = call.query("family")?;
    let (revision, definitions) = call.app.definitions.list(family).await?;
    Ok(Listing { revision, definitions })
}

/// Shows one.
pub(super) async fn get(call: Call) -> Result<Single, Failure> {
    let (revision, view) = call.app.definitions.get(&call.id()?).await?;
    Ok(Single { revision, view })
}

/// Creates or replaces one.
pub(super) async fn put(call: Call) -> Result<Outcome, Failure> {
    let (options, note) = (options(&call)?, call.note()?);
    let draft = bundle::parse_definition(&call.text()?, &call.id()?)?;
    Ok(call.app.definitions.apply(vec![draft], options, note).await?)
}

/// Deletes one.
pub(super) async fn delete(call: Call) -> Result<Outcome, Failure> {
    let (options, note) = (options(&call)?, call.note()?);
    Ok(call.app.definitions.delete(call.id()?, options, note).await?)
}

/// Applies a bundle.
pub(super) async fn apply(call: Call) -> Result<Outcome, Failure> {
    let options = Options { prune: call.flag("prune")?, ..options(&call)? };
    let (note, text) = (call.note()?, call.text()?);
    // Megabytes of YAML take their time, and this thread has requests to serve.
    let read = tokio::task::spawn_blocking(move || read(&text)).await.map_err(Error::from)?;
    Ok(call.app.definitions.apply(read, options, note).await?)
}

fn read(text: &str) -> Bundle {
    let Bundle { drafts, mut faults } = Bundle::read(text, None);
    let filled = Bundle::from(drafts).filled(&|_| None);
    let hint = "a node fills nothing in from its environment: fill it in before sending, as the command line does, \
                or write $${ for the characters themselves";
    faults.extend(filled.faults.into_iter().map(|fault| fault.hint(hint)));
    Bundle { drafts: filled.drafts, faults }
}

/// Writes a bundle.
pub(super) async fn export(call: Call) -> Result<Response, Failure> {
    let family = call.query("family")?;
    let reveal = call.flag("reveal")?;
    if reveal && call.role() < Role::Admin {
        return Err(Error::new(ErrorKind::Forbidden, "only an admin may see secrets in clear").into());
    }
    let definitions = call.app.definitions.export(family, reveal).await?;
    let accept = call.headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let by_accept = || match accept.contains("json") && !accept.contains("yaml") {
        true => Format::Json,
        false => Format::Yaml,
    };
    if call.query("format")?.unwrap_or_else(by_accept) == Format::Json {
        return Ok(answer::bytes(answer::JSON, bundle::write_json(definitions.into_iter())));
    }
    Ok(answer::bytes(HeaderValue::from_static(YAML), bundle::write_yaml(definitions.into_iter())))
}

/// Lists revisions, newest first.
pub(super) async fn history(call: Call) -> Result<Vec<Event>, Failure> {
    let limit = call.query::<usize>("limit")?.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let (before, definitions) = (call.revision("before")?, &call.app.definitions);
    Ok(match call.query("only")? {
        None => definitions.history(before, limit).await?,
        Some(id) => definitions.history_of(&id, before, limit).await?,
    })
}

/// Seals every secret anew that the first key does not open.
pub(super) async fn rotate(call: Call) -> Result<Outcome, Failure> {
    let (options, note) = (options(&call)?, call.note()?);
    Ok(call.app.definitions.reseal(options, note).await?)
}

/// Makes everything as it was at a revision.
pub(super) async fn rollback(call: Call) -> Result<Outcome, Failure> {
    let (options, note) = (options(&call)?, call.note()?);
    let Rollback { revision, only } = call.json()?;
    Ok(match only {
        None => call.app.definitions.rollback(revision, options, note).await?,
        Some(id) => call.app.definitions.rollback_one(&id, revision, options, note).await?,
    })
}
