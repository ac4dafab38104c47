//! How a node joins its cluster: a number for this start, links to the other nodes, and a pulse. All of it happens in
//! the background: with Redis away a node serves, and joins when it can.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actors::Live;
use actors::supervisor::Supervisor;
use actors::worker::Verb;
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cluster::pulse::{Beat, Pulse};
use cluster::{
    Dispatch, Errands, Failure, Identity, Incarnation, Invoked, LinkSettings, Links, PeerState, RactorLinks,
    Transport,
};
use config::members::{Load, Membership};
use config::settings::{ClusterTls, Settings};
use config::store::redis::Redis;
use config::{DefId, Revision, Secret, Store as _};
use http::HeaderValue;
use sdk::task::{Endless, Tasks};
use sdk::{ChannelInfo, Context, Origin, Request};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::app::App;

/// How long to wait before trying again to join.
const AGAIN: Duration = Duration::from_secs(1);
/// How long after a nudge the news itself should have come.
const OVERDUE: Duration = Duration::from_millis(200);
/// How long the links may take to end.
const LINKS_END: Duration = Duration::from_secs(2);

/// A node's place in its cluster. A clone is the same.
#[derive(Clone)]
pub struct Cluster {
    /// How nodes know of each other.
    pub membership: Arc<dyn Membership>,
    /// How this node is heard by the others.
    pub beat: watch::Receiver<Beat>,
    redis: Arc<Redis>,
    joined: Arc<OnceLock<Joined>>,
}

/// What a node has once it has joined.
struct Joined {
    incarnation: u64,
    links: Arc<RactorLinks>,
    dispatch: Dispatch,
}

impl Cluster {
    /// Begins to join; it goes on for as long as the guard is kept.
    pub fn begin(app: &App, redis: Arc<Redis>) -> (Self, Endless) {
        let (told, beat) = watch::channel(Beat { trouble: Some("not joined yet".into()), ..Beat::default() });
        let cluster = Self { membership: redis.clone(), beat, redis, joined: Arc::default() };
        app.definitions.board.ask(app.settings.node.clone(), cluster.membership.clone());
        let work = cluster.clone().run(app.clone(), told);
        let guard = app.tasks.endless("cluster", work);
        (cluster, guard)
    }

    /// The way to the other nodes, once this one has joined.
    pub fn dispatch(&self) -> Option<&Dispatch> {
        self.joined.get().map(|joined| &joined.dispatch)
    }

    /// The store of the cluster, for what only an operator may decide.
    pub fn store(&self) -> &Redis {
        &self.redis
    }

    /// The number of this start of the process, once it has one.
    pub fn incarnation(&self) -> Option<u64> {
        self.joined.get().map(|joined| joined.incarnation)
    }

    /// How the links to the other nodes are.
    pub fn peers(&self) -> Vec<PeerState> {
        self.joined.get().map(|joined| joined.links.peers()).unwrap_or_default()
    }

    /// Says goodbye to the others.
    pub async fn leave(&self, app: &App) {
        if let Some(joined) = self.joined.get() {
            joined.links.stop(LINKS_END).await;
            Pulse::leave(&*self.membership, &app.settings.node, joined.incarnation).await;
        }
        self.redis.flush(LINKS_END).await;
    }

    async fn run(self, app: App, told: watch::Sender<Beat>) {
        let joined = loop {
            match self.join(&app).await {
                Ok(joined) => break joined,
                Err(trouble) => {
                    let news = told.send_if_modified(|beat| {
                        let news = beat.trouble.as_ref() != Some(&trouble);
                        beat.trouble = Some(trouble.clone());
                        news
                    });
                    if news {
                        tracing::warn!(%trouble, "this node has not joined its cluster yet");
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            }
        };
        let Joined { incarnation, links, dispatch } = self.joined.get_or_init(|| joined);
        tracing::info!(incarnation, address = %links.address(), "joined the cluster");
        let (live, redis, supervisor) = (app.live.clone(), self.redis.clone(), app.supervisor.clone());
        let pulse = Pulse {
            node: app.settings.node.clone(),
            incarnation: *incarnation,
            address: Some(advertised(links.address(), &app.settings)),
            version: env!("CARGO_PKG_VERSION").into(),
            membership: self.membership.clone(),
            store: app.definitions.store.clone(),
            board: app.definitions.board.clone(),
            links: Some(links.clone()),
            load: Box::new(move || {
                let channels = live.now();
                let inside = channels.parts.values().map(|part| part.gate.inside() as u64).sum();
                Load { in_flight: inside, ..Load::default() }
            }),
            nudge: Box::new({
                let dispatch = dispatch.clone();
                move |revision| dispatch.nudge(revision)
            }),
            resync: Box::new(move || {
                redis.look();
                supervisor.wake();
            }),
        };
        pulse.run(told).await;
    }

    async fn join(&self, app: &App) -> Result<Joined, String> {
        let settings = &app.settings;
        let incarnation = self.membership.incarnation().await.map_err(|e| e.to_string())?;
        let secret = settings
            .cluster_secret
            .clone()
            .filter(|s| s.reveal().len() >= cluster::link::settings::MIN_SECRET);
        let secret = secret.unwrap_or_else(|| app.definitions.keyring.shared("links between nodes"));
        let listen = settings.cluster_listen.unwrap_or((Ipv4Addr::LOCALHOST, 0).into());
        let (cluster, node) = (settings.cluster.clone(), settings.node.clone());
        let mut with = LinkSettings::new(cluster, node.clone(), Incarnation(incarnation), secret, listen);
        if let Some(files) = &settings.cluster_tls {
            with.transport = Transport::Tls(identity(files)?);
        }
        let links = Arc::new(RactorLinks::start(with).await.map_err(|e| e.to_string())?);
        let (supervisor, redis, tasks) = (app.supervisor.clone(), self.redis.clone(), app.tasks.clone());
        let errands = Arc::new(Here { supervisor, live: app.live.clone(), redis, tasks });
        let dispatch = Dispatch::open(node, links.clone(), errands);
        Ok(Joined { incarnation, links, dispatch })
    }
}

fn identity(files: &ClusterTls) -> Result<Identity, String> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
    Ok(Identity {
        authority: read(&files.ca)?,
        certificate: read(&files.cert)?,
        key: Secret::new(read(&files.key)?),
        name: None,
    })
}

/// Where other nodes reach this one. Who listens everywhere says the address that leads to Redis.
fn advertised(listening: SocketAddr, settings: &Settings) -> String {
    if let Some(address) = settings.cluster_advertise {
        return address.to_string();
    }
    if !listening.ip().is_unspecified() {
        return listening.to_string();
    }
    let outward = || -> Option<IpAddr> {
        let (host, port) = settings.store.redis()?.hosts.into_iter().next()?;
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect((host.as_str(), port)).ok()?; // nothing is sent: only the way is looked up
        Some(socket.local_addr().ok()?.ip())
    };
    let ip = outward().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    SocketAddr::new(ip, listening.port()).to_string()
}

/// Does errands on this node.
struct Here {
    supervisor: Supervisor,
    live: Live,
    redis: Arc<Redis>,
    tasks: Tasks,
}

#[async_trait]
impl Errands for Here {
    async fn verb(&self, id: &DefId, verb: &str, limit: Duration, _: Option<&str>) -> Result<Value, Failure> {
        // Telling a verb twice is the same as telling it once, so the key is not needed.
        let verb: Result<Verb, serde::de::value::Error> = Verb::deserialize(verb.into_deserializer());
        let verb = verb.map_err(|error| Failure::new("not-found", error.to_string()))?;
        let told = self.supervisor.tell(id, verb, limit).await;
        let report = told.map_err(|error| Failure::new(error.kind().as_str(), error.to_string()))?;
        serde_json::to_value(report).map_err(|error| Failure::new("internal", error.to_string()))
    }

    async fn invoke(&self, service: &str, body: &str, cid: &str, limit: Duration) -> Result<Value, Failure> {
        let failed = |error: sdk::Error| Failure::new(error.kind().as_str(), error.message());
        let wrong = |error: &dyn std::fmt::Display| Failure::new("invalid", error.to_string());
        let body = STANDARD.decode(body).map_err(|error| wrong(&error))?;
        let cid = cid.parse().map_err(|error: sdk::Error| wrong(&error))?;
        let snapshot = self.live.now();
        let bound = snapshot.service(service).map_err(failed)?;
        let channel = ChannelInfo::new("admin", "invoke");
        let ctx =
            Context::new(cid, None, channel, Instant::now() + limit, bound.name.clone(), snapshot.clone());
        let ctx = ctx.with_origin(Origin::Within); // only operators call across nodes
        let response = bound.call(&ctx, Request::new(body)).await.map_err(failed)?;
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let invoked = Invoked {
            status: response.status.as_u16(),
            headers: response.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body: STANDARD.encode(&response.body),
        };
        serde_json::to_value(invoked).map_err(|error| Failure::new("internal", error.to_string()))
    }

    fn nudge(&self, revision: Revision) {
        let behind = move |redis: &Redis| redis.health().revision < revision;
        if !behind(&self.redis) {
            return;
        }
        // The news is on its way by another road, and nearly always quicker.
        let redis = self.redis.clone();
        self.tasks.spawn("nudge", async move {
            tokio::time::sleep(OVERDUE).await;
            if behind(&redis) {
                redis.look();
            }
        });
    }
}
