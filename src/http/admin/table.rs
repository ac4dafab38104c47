//! The table of endpoints: requests are routed by it, and the description of the API is made of it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use config::{DefId, Family, Name, Revision, Span};
use http::Method;

use super::definitions::{self, YAML, changes};
use super::endpoint::{Endpoint, on};
use super::shapes::{Alive, Bundle, Deployed, Format, Rollback, Started, Written};
use super::{audit, events, jobs, kinds, packages, pages, runtime, services, store};

const JSON: &[&str] = &["application/json"];
const JSON_OR_PYTHON: &[&str] = &["application/json", "text/x-python"];
const YAML_OR_JSON: &[&str] = &[YAML, "application/json"];

/// Every endpoint of the admin listener.
#[rustfmt::skip] // a table reads by its lines
pub(super) fn endpoints() -> Vec<Arc<Endpoint>> {
    let (get, put, post, delete) = (Method::GET, Method::PUT, Method::POST, Method::DELETE);
    let get = move |path, operation| on(get.clone(), path, operation);
    let post = move |path, operation| on(post.clone(), path, operation);
    vec![
        get("/", "root").open()
            .raw("The first page.", &["text/html"], pages::root),
        get("/healthz", "healthz").open()
            .json("Whether the process is alive.", runtime::healthy),
        get("/readyz", "readyz").open()
            .or::<Alive>(503, "The node stops.")
            .raw("Whether the node takes requests; 503 while it stops.", JSON, runtime::ready),
        get("/metrics", "metrics")
            .raw("The metrics, as Prometheus reads them.", &["text/plain"], runtime::metrics),
        get("/api/v1/openapi.json", "openapi")
            .raw("This description.", JSON, pages::description),

        get("/api/v1/definitions", "listDefinitions")
            .query::<Family>("family", "Only this family.")
            .json("Lists definitions, secrets masked.", definitions::list),
        get("/api/v1/definitions/{family}/{name}", "getDefinition")
            .json("Shows a definition, secrets masked.", definitions::get),
        on(put.clone(), "/api/v1/definitions/{family}/{name}", "putDefinition")
            .queries(changes)
            .takes::<Written>(JSON)
            .json("Creates or replaces a definition; (sealed) keeps a secret that is there.", definitions::put),
        on(delete.clone(), "/api/v1/definitions/{family}/{name}", "deleteDefinition")
            .queries(changes)
            .json("Deletes a definition that nothing refers to.", definitions::delete),
        post("/api/v1/apply", "apply")
            .queries(changes)
            .query::<bool>("prune", "Delete every definition that the bundle does not hold.")
            .takes::<Bundle>(YAML_OR_JSON)
            .json("Applies a bundle: all of it, or nothing.", definitions::apply),
        get("/api/v1/export", "export").noted_with("reveal")
            .query::<Family>("family", "Only this family.")
            .query::<bool>("reveal", "Secrets in clear.")
            .query::<Format>("format", "yaml or json; by Accept if left out.")
            .raw("The definitions as a bundle.", YAML_OR_JSON, definitions::export),
        get("/api/v1/history", "history")
            .query::<Revision>("before", "Only revisions before this one.")
            .query::<usize>("limit", "How many: 50 if left out, 500 at most.")
            .query::<DefId>("only", "Only what changed this definition, written family/name.")
            .json("The revisions, newest first.", definitions::history),
        get("/api/v1/audit", "audit")
            .query::<DateTime<Utc>>("before", "Only what is older than this time.")
            .query::<usize>("limit", "How many: 50 if left out, 500 at most.")
            .query::<String>("who", "Only what somebody did whose token, name or address this is part of.")
            .query::<String>("text", "Only entries with this text anywhere in them, in whichever case.")
            .json("What was done and what was refused, newest first.", audit::search),
        post("/api/v1/rollback", "rollback")
            .queries(changes)
            .takes::<Rollback>(JSON)
            .json("Makes the definitions what they were at a revision, as a new one.", definitions::rollback),

        post("/api/v1/keys/rotate", "rotateKeys")
            .queries(changes)
            .json("Seals every secret that an older key has sealed with the first one.", definitions::rotate),

        get("/api/v1/revision", "revision")
            .query::<Revision>("settled", "Wait until every node serves this revision.")
            .query::<Span>("timeout", "How long to wait: 10s if left out.")
            .json("Which node serves which revision.", runtime::revision),
        get("/api/v1/nodes", "nodes")
            .json("The nodes.", runtime::nodes),
        post("/api/v1/store/{decision}", "decideStore").admin()
            .query::<Span>("wait", "How long to wait until every node serves it; 10s if left out.")
            .query::<String>("reason", "Why, for the history.")
            .json("When Redis lost its data: restore what this node holds, or accept what is there.", store::decide),
        get("/api/v1/actors", "actors")
            .query::<bool>("tree", "Each under the one that supervises it.")
            .json("The actors.", runtime::actors),
        post("/api/v1/actors/{family}/{name}/{verb}", "tell")
            .query::<Span>("timeout", "How long the actor may take: 30s if left out.")
            .query::<Name>("node", "The node whose actor is meant, or all; the one that is asked if left out.")
            .query::<String>("reason", "Why, for the log.")
            .json("Tells an actor to ping, pause, resume, drain, restart or to say its stats.", runtime::tell),

        get("/api/v1/packages", "listPackages")
            .json("The packages, and the services in them.", packages::list),
        get("/api/v1/packages/{file}", "getPackage")
            .json("A package with its files.", packages::show),
        on(put, "/api/v1/packages/{file}", "deployPackage")
            .queries(changes)
            .takes::<Deployed>(JSON_OR_PYTHON)
            .json("Deploys files: the text of one file of Python, or several as JSON.", packages::put),
        on(delete, "/api/v1/packages/{file}", "undeployPackage")
            .queries(changes)
            .json("Undeploys a package whose services nothing refers to.", packages::delete),

        get("/api/v1/jobs", "listJobs")
            .json("The jobs, with their next slots.", jobs::list),
        get("/api/v1/jobs/{name}", "getJob")
            .json("A job.", jobs::show),
        get("/api/v1/jobs/{name}/preview", "previewJob")
            .query::<usize>("n", "How many slots: 10 if left out, 1000 at most.")
            .json("The next slots of a job, with what a time zone makes of them.", jobs::preview),
        get("/api/v1/jobs/{name}/history", "jobHistory")
            .query::<usize>("limit", "How many: 20 if left out; 100 are kept.")
            .json("What became of the newest slots of a job, newest first.", jobs::history),
        post("/api/v1/jobs/{name}/run", "runJob")
            .json("Fires a job now, and does not wait for the end.", jobs::run),
        post("/api/v1/jobs/{name}/activate", "activateJob")
            .query::<Span>("wait", "How long to wait until every node serves it; 10s if left out.")
            .query::<String>("reason", "Why, for the history.")
            .json("Switches a job on. One that has run out begins another turn.", jobs::activate),
        post("/api/v1/jobs/{name}/deactivate", "deactivateJob")
            .query::<Span>("wait", "How long to wait until every node serves it; 10s if left out.")
            .query::<String>("reason", "Why, for the history.")
            .in_history()
            .json("Switches a job off.", jobs::deactivate),

        get("/api/v1/services", "listServices")
            .json("The services that run.", services::list),
        get("/api/v1/services/{name}", "getService")
            .json("A service with its documentation and schemas.", services::show),
        post("/api/v1/services/{name}/invoke", "invoke")
            .query::<bool>("async", "Do not wait for it: 202 with the cid of the invocation.")
            .query::<Span>("timeout", "How long it may run: 30s if left out.")
            .query::<Name>("node", "The node that calls it; the one that is asked if left out.")
            .takes_bytes()
            .or::<Started>(202, "It runs, and nobody waits for it.")
            .raw("Calls a service: the body is its input, the answer its output.", &["*/*"], services::invoke),

        get("/api/v1/kinds", "kinds")
            .json("Every kind of definition, with its schema and an example.", kinds::list),
        get("/api/v1/events", "events")
            .raw("What happens, as it happens: revision, node, lagged, stopping.", &["text/event-stream"], events::stream),
    ]
}
