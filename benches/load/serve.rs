//! The servers of the load harness.

use std::convert::Infallible;
use std::sync::OnceLock;

use config::settings::{Environment, Flags, Settings};
use config::store::Note;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeugma::app::{Extras, Node};
use zeugma::definitions::Options;
use zeugma::{Context, Error, Result, Service};

/// Serves one variant until it is killed; prints its address when it answers.
pub fn serve(variant: &str, beside: Option<&str>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build(); // as many workers as TOKIO_WORKER_THREADS says
    runtime.expect("a runtime").block_on(async {
        if variant == "hyper" { hyper_echo().await } else { node(variant, beside).await }
    });
}

/// The reference: nothing but hyper.
#[allow(clippy::disallowed_methods)] // it is to be bare
async fn hyper_echo() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        let echo = hyper::service::service_fn(async |request: Request<Incoming>| {
            let body = request.into_body().collect().await.expect("a body").to_bytes();
            let response = Response::builder().header("content-type", "application/json");
            Ok::<_, Infallible>(response.body(Full::new(body)).expect("a response"))
        });
        tokio::spawn(async move {
            let http =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), echo);
            drop(http.await); // a client that hangs up is no news
        });
    }
}

/// What a customer is looked up by.
#[derive(Deserialize, JsonSchema)]
struct Lookup {
    cust_id: u64,
    #[serde(default)]
    verbose: bool,
    #[serde(default)]
    note: String,
}

/// A customer.
#[derive(Serialize, JsonSchema)]
struct Customer {
    id: u64,
    name: &'static str,
    verbose: bool,
    note: String,
}

fn customer(input: Lookup) -> Customer {
    Customer { id: input.cust_id, name: "Customer", verbose: input.verbose, note: input.note }
}

/// The work, done in place.
#[zeugma::service]
async fn direct(_ctx: &Context, input: Lookup) -> Result<Customer> {
    Ok(customer(input))
}

/// The same work, done by an actor.
#[zeugma::service]
async fn hop(_ctx: &Context, input: Lookup) -> Result<Customer> {
    let actor = HOP.get().ok_or_else(|| Error::internal("no actor"))?;
    match actor.call(|reply| Ask(input, reply), None).await {
        Ok(ractor::rpc::CallResult::Success(customer)) => Ok(customer),
        _ => Err(Error::internal("the actor has gone")),
    }
}

static HOP: OnceLock<ActorRef<Ask>> = OnceLock::new();
static SERVICES: &[&dyn Service] = &[&direct, &hop];

struct Ask(Lookup, RpcReplyPort<Customer>);

impl ractor::Message for Ask {}

struct Hop;

impl Actor for Hop {
    type Msg = Ask;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Ask>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Ask>,
        Ask(input, reply): Ask,
        (): &mut (),
    ) -> std::result::Result<(), ActorProcessingErr> {
        Ok(reply.send(customer(input))?)
    }
}

/// A node on free ports in a folder of its own.
pub async fn start(folder: &std::path::Path, redis: Option<&str>) -> Node {
    let flags = Flags {
        store: redis.map(config::Secret::new),
        cluster: redis.map(|_| format!("bench-{}", std::process::id())), // another one is none of its business
        cluster_listen: redis.map(|_| "127.0.0.1:0".into()),
        key_file: redis.map(|_| folder.join("secret.key")),
        listen: Some("127.0.0.1:0".into()),
        admin: Some("127.0.0.1:0".into()),
        data: Some(folder.to_owned()),
        ..Flags::default()
    };
    let environment = Environment::default();
    let settings = Settings::load(None, &environment, &flags).expect("settings");
    // As the program does: what a span costs is part of the price.
    drop(zeugma::logging::start(&settings)); // a second node of this process logs like the first
    Node::start(settings, &environment, Extras { services: SERVICES, kinds: &[] }).await.expect("a node")
}

/// Applies a bundle and waits for its receipt.
pub async fn apply(node: &Node, bundle: &str) {
    let drafts = config::bundle::parse(bundle, None).expect("a bundle");
    let note = Note { author: "bench".into(), reason: None, ..Note::default() };
    let options = Options { wait: std::time::Duration::from_secs(120), ..Options::default() };
    let outcome = node.app.definitions.apply(drafts, options, note).await.expect("it applies");
    assert!(outcome.receipt.settled);
}

async fn node(variant: &str, beside: Option<&str>) {
    let (actor, _) = Actor::spawn(None, Hop, ()).await.expect("an actor");
    assert!(HOP.set(actor).is_ok());
    let folder = tempfile::TempDir::new().expect("a folder");
    let node = start(folder.path(), beside.filter(|_| variant == "limited")).await;
    if variant.starts_with("python") {
        super::python::deploy(&node, variant).await;
        println!("{}", node.data);
        return std::future::pending().await;
    }
    let hash = actors::security::basic::hash_password("s3cret").expect("a hash");
    let (service, security) = match variant {
        "basic" => ("direct", "clerk"),
        "hashed" => ("direct", "hashed"),
        "key" | "limited" => ("direct", "key"),
        "vault" => ("direct", "vaulted"),
        "jwt" => ("direct", "browsers"),
        "actor" => ("hop", "null"),
        "raw" => ("zeugma.helpers.echo", "null"),
        _ => ("direct", "null"),
    };
    let mut bundle = format!(
        "security:
- {{name: clerk, type: basic, username: clerk, password: s3cret}}
- {{name: hashed, type: basic, username: clerk, password_hash: '{hash}'}}
- {{name: key, type: api-key, key: s3cret}}
- {{name: browsers, type: jwt, username: web, password: s3cret}}
channels:
- {{name: c, type: rest, path: /customer, method: POST, service: {service}, security: {security}, {}}}
",
        match variant {
            "raw" => "compression: true",
            "limited" => "data_format: json, rate: {limit: 100000000, per: 1s, by: caller}",
            _ => "data_format: json",
        }
    );
    if let ("vault", Some(url)) = (variant, beside) {
        let token = super::counterparts::TOKEN;
        bundle.push_str(&format!("connections: [{{name: v, type: vault, url: '{url}', token: {token}}}]\n"));
        bundle = bundle
            .replace("channels:", "- {name: vaulted, type: vault, connection: v, method: token}\nchannels:");
    }
    let routes = match variant {
        "route" => 5000..5001,
        "routes" => 0..10_000,
        _ => 0..0,
    };
    for n in routes {
        bundle.push_str(&format!(
            "- {{name: c{n}, type: rest, path: '/customer{n}/{{x}}', method: POST, service: direct, data_format: json}}\n"
        ));
    }
    apply(&node, &bundle).await;
    println!("{}", node.data);
    std::future::pending::<()>().await;
    drop((node, folder));
}
