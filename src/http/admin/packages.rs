//! Endpoints about packages: files that are deployed while the node runs, and the services in them.

use std::collections::BTreeSet;

use actors::{package, service};
use cluster::receipt::Served;
use config::sources::{Files, MAX_TOTAL};
use config::{DefId, Definition, Family, Fault, KindTag, Name};
use http::header::CONTENT_TYPE;
use sdk::{Error, ErrorKind, Result};
use serde_json::{Map, Value};

use super::answer::Failure;
use super::call::Call;
use super::definitions::options;
use super::shapes::{Deployed, FileView, PackageNode, PackageView};
use crate::definitions::{Outcome, Refused};

/// How the file of a package of one file ends.
const PYTHON: &str = ".py";

/// Lists packages.
pub(super) async fn list(call: Call) -> Result<Vec<PackageView>, Failure> {
    let current = call.app.definitions.store.load().await.map_err(Refused::from)?;
    let packages = current.definitions.values().filter(|d| d.id.family == Family::Package);
    Ok(packages.map(|package| view(&call, package, false)).collect())
}

/// Shows one, with its files.
pub(super) async fn show(call: Call) -> Result<PackageView, Failure> {
    let id = id(&call)?;
    let current = call.app.definitions.store.load().await.map_err(Refused::from)?;
    let package = call.app.definitions.stored(&current, &id)?;
    Ok(view(&call, package, true))
}

/// Deploys one: the text of one file, or a JSON object with several. Parameters that are not given stay as they are.
pub(super) async fn put(call: Call) -> Result<Outcome, Failure> {
    let (options, note, id) = (options(&call)?, call.note()?, id(&call)?);
    let media = call.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let given: Map<String, Value> = if media.starts_with("application/json") {
        let Deployed { files, params } = call.json()?;
        too_long(files.values().map(String::len).sum())?;
        with_files(params, files)
    } else {
        too_long(call.body.len())?;
        let file = format!("{}{PYTHON}", id.name.as_str().rsplit('/').next().unwrap_or_default());
        with_files(Map::new(), Files::from([(file, call.text()?)]))
    };
    let kind = KindTag::new(Family::Package, package::python::TYPE);
    let draft = call.app.definitions.over(id, kind, given).await?;
    Ok(call.app.definitions.apply(vec![draft], options, note).await?)
}

fn with_files(mut params: Map<String, Value>, files: Files) -> Map<String, Value> {
    let files = files.into_iter().map(|(path, text)| (path, Value::String(text))).collect();
    params.insert("files".into(), Value::Object(files));
    params
}

fn too_long(length: usize) -> Result<()> {
    if length <= MAX_TOTAL {
        return Ok(());
    }
    let message = format!("the files are {length} bytes long, and {MAX_TOTAL} at most can be deployed");
    Err(Error::new(ErrorKind::TooLarge, message))
}

/// Undeploys one.
pub(super) async fn delete(call: Call) -> Result<Outcome, Failure> {
    let (options, note, id) = (options(&call)?, call.note()?, id(&call)?);
    Ok(call.app.definitions.delete(id, options, note).await?)
}

/// The package that the path is about: by its name, or that of its one file.
fn id(call: &Call) -> Result<DefId> {
    let text = call.segment("file");
    let fault = |fault: Fault| Error::invalid(fault.message).detail(fault.at, "in the path");
    let name: Name = text.strip_suffix(PYTHON).unwrap_or(text).parse().map_err(fault)?;
    Ok(DefId::new(Family::Package, name))
}

fn view(call: &Call, package: &Definition, whole: bool) -> PackageView {
    let (files, params) = package::python::files_of(package);
    let mut services: BTreeSet<String> = BTreeSet::new();
    services
        .extend(package.claims.iter().filter_map(|claim| service::python::claimed(claim)).map(Into::into));
    let at = package.id.to_string();
    let board = call.app.definitions.board.watch();
    let of_node = |(node, served): (&Name, &Served)| PackageNode {
        node: node.clone(),
        served: served.revision >= package.changed_at,
        fault: served.faults.iter().find(|fault| fault.at == at).cloned(),
    };
    let nodes = board.borrow().iter().map(of_node).collect();
    PackageView {
        name: package.id.name.clone(),
        kind: package.kind.clone(),
        enabled: package.enabled,
        revision: package.changed_at,
        version: package::python::digest(&files),
        services,
        params: if whole { params } else { Map::new() },
        files: files
            .into_iter()
            .map(|(path, text)| FileView { path, bytes: text.len(), text: whole.then_some(text) })
            .collect(),
        nodes,
    }
}
