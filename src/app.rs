//! The composition root: what a node is made of, and the order in which it starts and stops.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actors::admission::lockout::Lockout;
use actors::python::{Runtime, RuntimeSettings};
use actors::scheduler::{self, Scheduler};
use actors::supervisor::Supervisor;
use actors::{AnyKind, Live, Reconciler, Registry};
use cluster::Board;
use config::secret::whole;
use config::settings::{Environment, StoreUrl};
use config::store::embedded::Embedded;
use config::store::redis::Redis;
use config::{Clock, Leases, Revision, Secret, Slots, Store};
use ractor::Actor as _;
use sdk::task::{Endless, Tasks};
use sdk::{Error, Result, Service};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::definitions::Definitions;
use crate::http::{admin, ingress, listener, tls};
use crate::jobs::Jobs;
use crate::joining::Cluster;
use crate::management::Management;
use crate::metrics::Metrics;

pub use config::settings::Settings;

/// What is compiled into a node beside the engine's own.
#[derive(Clone, Copy, Default)]
pub struct Extras {
    /// Services.
    pub services: &'static [&'static dyn Service],
    /// Kinds of definitions.
    pub kinds: &'static [&'static dyn AnyKind],
}

/// What a node is made of. A clone is the same node.
#[derive(Clone)]
pub struct App {
    /// What it was told at its start.
    pub settings: Arc<Settings>,
    /// The kinds and the compiled-in services.
    pub registry: Arc<Registry>,
    /// Changes what is wanted.
    pub definitions: Definitions,
    /// What requests see.
    pub live: Live,
    /// The operator's view of the actors.
    pub supervisor: Supervisor,
    /// Fires jobs; none before the node has started.
    pub scheduler: Option<Scheduler>,
    /// What operators and programs do to jobs; none before the node has started.
    pub jobs: Option<Arc<Jobs>>,
    /// What it counts.
    pub metrics: Metrics,
    /// Its place in its cluster; none on a node that is no part of one.
    pub cluster: Option<Cluster>,
    /// Who has been wrong too often.
    pub lockout: Arc<Lockout>,
    /// Background work.
    pub tasks: Tasks,
    /// Time.
    pub clock: Clock,
    /// When it started.
    pub started: Instant,
    /// The bearer token that the admin listener wants.
    pub admin_token: Secret,
    /// Turns true when the node begins to stop.
    pub stopping: watch::Receiver<bool>,
    /// What the management services work with.
    _managed: Arc<Definitions>,
}

/// A node that runs.
pub struct Node {
    /// What it is made of.
    pub app: App,
    /// Where the data listener really listens.
    pub data: SocketAddr,
    /// Where the admin listener really listens.
    pub admin: SocketAddr,
    stop: watch::Sender<bool>,
    listeners: Vec<listener::Listener>,
    reconciling: JoinHandle<()>,
    jobs: Endless,
    /// None on a node that is no part of a cluster.
    joining: Option<Endless>,
}

impl Node {
    /// Starts a node: first the truth, then what runs, then the doors. When this returns, it serves.
    ///
    /// # Errors
    /// If the store, the keys, the certificates or the addresses cannot be had. What is wrong with definitions does
    /// not keep a node from starting.
    pub async fn start(settings: Settings, environment: &Environment, extras: Extras) -> Result<Self> {
        // Before any TLS: with no default, a second provider that some crate brings in would make each of them panic.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let setup = |what: &str, error: &dyn std::fmt::Display| Error::internal(format!("{what}: {error}"));
        let keyring = settings.keyring(environment).map_err(|e| setup("the sealing keys", &e))?;
        let clock = Clock::System;
        let (store, (slots, leases), redis): (Arc<dyn Store>, JobStores, _) = match &settings.store {
            StoreUrl::Embedded => {
                let (folder, clock) = (settings.data.clone(), clock.clone());
                let opened = tokio::task::spawn_blocking(move || Embedded::open(&folder, clock)).await?;
                let embedded = Arc::new(opened.map_err(|e| setup("the store", &e))?);
                (embedded.clone(), (embedded.clone(), embedded), None)
            }
            url @ StoreUrl::Redis(_) => {
                let opened = Redis::open(url, &settings.cluster, &settings.data, clock.clone()).await;
                let redis = Arc::new(opened.map_err(|e| setup("the store", &e))?);
                (redis.clone(), (redis.clone(), redis.clone()), Some(redis))
            }
        };
        let admin_token = admin_token(&settings.data).map_err(|e| setup("the admin token", &e))?;
        let tls = match &settings.tls {
            Some(files) => Some(tls::Certificates::load(files)?),
            None => None,
        };
        let management = Management::default();
        let tasks = Tasks::default();
        let registry = management.registry(extras.kinds, extras.services);
        let mut registry = registry.map_err(|e| setup("services", &e))?.with_python(python(&settings));
        if let Some(redis) = &redis {
            registry = registry.with_budgets(redis.clone());
        }
        let registry = Arc::new(registry);
        let lockout = registry.lockout.clone();
        let metrics = Metrics::new().map_err(|e| setup("metrics", &e))?;
        let mut live = Live::new(tasks.clone(), clock.clone()).with_locks(leases.clone());
        if let Some(redis) = &redis {
            live = live.with_caches(redis.clone());
        }
        let board = Arc::new(Board::default());
        let definitions = Definitions {
            store: store.clone(),
            slots: Some(slots.clone()),
            registry: registry.clone(),
            keyring,
            board,
        };
        let managed = management.begin(&definitions, settings.node.clone(), tasks.clone());
        let reconciler = Reconciler {
            node: settings.node.clone(),
            store: store.clone(),
            registry: registry.clone(),
            keyring: definitions.keyring.clone(),
            live: live.clone(),
            board: definitions.board.clone(),
            meters: metrics.meters.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
        };
        let (reconciler, reconciling) = Reconciler::spawn(None, reconciler, ()).await?;
        let supervisor = Supervisor::new(live.clone(), reconciler);
        let (stop, stopping) = watch::channel(false);
        let mut app = App {
            cluster: None,
            settings: Arc::new(settings),
            registry,
            definitions,
            live,
            supervisor,
            scheduler: None,
            jobs: None,
            metrics,
            lockout,
            tasks,
            clock,
            started: Instant::now(),
            admin_token,
            stopping,
            _managed: managed,
        };
        app.serving_what_is_stored().await?;
        let joining = redis.map(|redis| {
            let (cluster, guard) = Cluster::begin(&app, redis);
            app.cluster = Some(cluster);
            guard
        });
        let jobs = app.fire_jobs(slots, leases, &management);
        if let Some(tls) = &tls {
            tls.watch(&app);
        }
        let limits = listener::Limits::of(&app.settings);
        let data = ingress::service(app.clone());
        let live = app.live.clone();
        let ask = || -> listener::Ask { Box::new(move || live.now().certificates) };
        let asking = tls.clone().map(|certificates| (certificates, ask()));
        let data = listener::open("data", app.settings.listen, data, &limits, asking, &app).await?;
        let inner = hyper_util::service::TowerToHyperService::new(warp::service(admin::filter(&app)));
        let make = move |peer: listener::Peer| admin::FromPeer { inner: inner.clone(), peer: peer.address };
        let silent = tls.map(|certificates| -> (_, listener::Ask) { (certificates, Box::new(|| false)) });
        let admin = listener::open("admin", app.settings.admin, make, &limits, silent, &app).await?;
        note_admin_url(&app.settings, admin.address);
        Ok(Self {
            app,
            data: data.address,
            admin: admin.address,
            stop,
            listeners: vec![data, admin],
            reconciling,
            jobs,
            joining,
        })
    }

    /// Stops a node: no new connections, then requests under way end, then what they use. Bounded by the setting
    /// `drain_timeout`; returns whether everything ended by itself.
    pub async fn stop(self) -> bool {
        let limit = self.app.settings.drain_timeout.get();
        let deadline = Instant::now() + limit;
        self.stop.send_replace(true);
        self.app.live.begin_no_more();
        let mut clean = true;
        for listener in self.listeners {
            clean &= listener.drained(deadline).await;
        }
        if let Some(scheduler) = &self.app.scheduler {
            let left = deadline.saturating_duration_since(Instant::now());
            clean &= scheduler.stop(left).await;
        }
        drop(self.jobs);
        if let Some(cluster) = &self.app.cluster {
            drop(self.joining); // no beat after the goodbye
            cluster.leave(&self.app).await;
        }
        let stopped = self.app.supervisor.stop(Duration::from_secs(5)).await;
        if let Err(error) = &stopped {
            tracing::warn!(%error, "the actors do not stop");
        }
        if let Some(python) = &self.app.registry.python {
            python.stop().await;
        }
        // It holds the store open until it has really ended.
        let ended = tokio::time::timeout_at(deadline, self.reconciling).await.is_ok();
        let idle = tokio::time::timeout_at(deadline, self.app.tasks.idle()).await.is_ok();
        if !idle {
            tracing::warn!(left = self.app.tasks.len(), "background work is cut off");
        }
        clean && stopped.is_ok() && ended && idle
    }
}

/// Where a store keeps what it keeps of jobs, and their leases.
type JobStores = (Arc<dyn Slots>, Arc<dyn Leases>);

impl App {
    /// Begins to fire jobs.
    fn fire_jobs(
        &mut self,
        slots: Arc<dyn Slots>,
        leases: Arc<dyn Leases>,
        management: &Management,
    ) -> Endless {
        let cluster = self.cluster.clone();
        let begun = self.clock.now().timestamp_micros().unsigned_abs();
        let members = cluster.as_ref().map(|cluster| cluster.membership.clone());
        let with = scheduler::With {
            node: self.settings.node.clone(),
            incarnation: Box::new(move || cluster.as_ref().map_or(Some(begun), Cluster::incarnation)),
            slots,
            leases,
            members,
            live: self.live.clone(),
            board: self.definitions.board.clone(),
            tasks: self.tasks.clone(),
            clock: self.clock.clone(),
        };
        let (scheduler, guard) = Scheduler::begin(with, self.metrics.jobs.meters.clone());
        self.scheduler = Some(scheduler.clone());
        let jobs = Arc::new(Jobs { definitions: self.definitions.clone(), scheduler });
        management.begin_jobs(&jobs);
        self.jobs = Some(jobs);
        guard
    }

    /// Waits until requests see what the store holds.
    async fn serving_what_is_stored(&self) -> Result<()> {
        let stored = self.definitions.store.load().await;
        let revision = stored.map_or(Revision::ZERO, |catalog| catalog.revision);
        let limit = Duration::from_secs(60);
        let receipt = self.definitions.board.settled(revision, self.started, limit).await;
        if receipt.settled {
            return Ok(());
        }
        Err(Error::internal(format!("what is stored (revision {revision}) is not served after {limit:?}")))
    }
}

/// What runs packages of Python. It starts nothing before there is one.
fn python(settings: &Settings) -> Arc<Runtime> {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    Runtime::new(RuntimeSettings {
        python: settings.python.clone(),
        environment: config::settings::passed_on(&settings.python_environment),
        data: settings.data.clone(),
        workers: settings.python_workers.map_or_else(cores, |workers| workers.get().into()),
        threads: settings.python_threads.get().into(),
        memory: settings.python_memory.get(),
        node: settings.node.clone(),
        cluster: settings.cluster.clone(),
        // Its work has no end of its own, so a node that stops does not wait for it: it ends with the last request.
        tasks: Tasks::default(),
    })
}

/// The file of the data folder that says where the admin listener is.
pub(crate) const ADMIN_URL_FILE: &str = "admin.url";

/// Reads the admin token; makes one, readable by its owner only, if there is none. One that is empty would let nobody in.
fn admin_token(folder: &Path) -> std::io::Result<Secret> {
    let path = folder.join("admin.token");
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().is_empty() => std::fs::remove_file(&path)?,
        Ok(text) => return Ok(Secret::new(text.trim())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(std::io::Error::other)?;
    let token: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    whole::make(&path, &token)?;
    Ok(Secret::new(token))
}

/// Notes where the admin listener is, for commands on this machine. They can be told otherwise, so the node does without.
fn note_admin_url(settings: &Settings, address: SocketAddr) {
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let host = match address.ip() {
        ip if ip.is_unspecified() && ip.is_ipv6() => Ipv6Addr::LOCALHOST.into(),
        ip if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    let path = settings.data.join(ADMIN_URL_FILE);
    let url = format!("{scheme}://{}\n", SocketAddr::new(host, address.port()));
    if let Err(error) = std::fs::write(&path, url) {
        tracing::warn!(path = %path.display(), %error, "commands on this machine have to be told where the node is");
    }
}
