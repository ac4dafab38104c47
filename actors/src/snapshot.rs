//! The live snapshot: everything that runs, at one revision. A request takes it once and reads nothing newer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use config::cache::{Caches, Memory};
use config::{Clock, DefId, Family, Fault, Leases, Name, Revision, lease};
use imbl::ordmap::DiffItem;
use sdk::cache::Caching;
use sdk::lock::Locking;
use sdk::task::Tasks;
use sdk::{Error, Result};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::cache::Kept;
use crate::engine::{Bound, Route};
use crate::lock::Locks;
use crate::part::{HttpChannel, Part};
use crate::routes::Routes;
use crate::running::{Parts, Running};

/// How many services that nobody waits for may run at once on a node.
const MAX_BACKGROUND: usize = 10_000;

/// Everything that runs, at one revision.
#[derive(Clone)]
pub struct Snapshot {
    /// The revision of the catalog that it was built from.
    pub revision: Revision,
    /// All parts.
    pub parts: Parts,
    /// The HTTP routes.
    pub routes: Routes,
    /// Whether connections must ask clients for certificates.
    pub certificates: bool,
    /// What is wrong, by definition.
    pub faults: Arc<BTreeMap<DefId, Fault>>,
    pub(crate) around: Arc<Around>,
}

/// What all snapshots of a node share.
#[derive(Clone)]
pub(crate) struct Around {
    pub(crate) tasks: Tasks,
    pub(crate) background: Arc<Semaphore>,
    pub(crate) clock: Clock,
    pub(crate) caching: Arc<dyn Caching>,
    pub(crate) locking: Arc<dyn Locking>,
    /// Where the snapshot of later is found.
    pub(crate) live: Weak<ArcSwap<Snapshot>>,
    /// From now on nothing that was put off begins.
    pub(crate) stopping: CancellationToken,
}

impl Snapshot {
    /// Nothing runs.
    fn empty(around: Around) -> Self {
        Self {
            revision: Revision::ZERO,
            parts: Parts::new(),
            routes: Routes::default(),
            certificates: false,
            faults: Arc::default(),
            around: Arc::new(around),
        }
    }

    /// The next one, made of these parts. It costs what is different, and a glance at the channels if services or
    /// security definitions are.
    pub fn next(&self, revision: Revision, parts: Parts, mut faults: BTreeMap<DefId, Fault>) -> Self {
        let changed: Vec<&DefId> = self.parts.diff(&parts).map(id_of).collect();
        let of = |family| changed.iter().filter(move |id| id.family == family);
        let names = |family| of(family).map(|id| &id.name).collect::<BTreeSet<_>>();
        let (services, security) = (names(Family::Service), names(Family::Security));
        let bound_to_one = |channel: &Arc<dyn HttpChannel>| {
            services.contains(channel.service()) || channel.security().is_some_and(|n| security.contains(n))
        };
        let mut channels: BTreeSet<&DefId> = of(Family::Channel).copied().collect();
        if !services.is_empty() || !security.is_empty() {
            let all = parts.iter().filter(|(id, _)| id.family == Family::Channel);
            let bound = all.filter(|(_, running)| mounted(running).is_some_and(bound_to_one));
            channels.extend(bound.map(|(id, _)| id));
        }
        let gone = channels.iter().filter_map(|id| Some((&id.name, mounted(self.parts.get(*id)?)?.mount())));
        let new = channels.iter().filter_map(|id| parts.get(*id));
        let new = new.filter_map(|running| Some(Arc::new(bind(running, mounted(running)?, &parts))));
        let routes = self.routes.changed(gone, &new.collect::<Vec<_>>());
        for (name, reason) in routes.refused() {
            let id = DefId::new(Family::Channel, name.clone());
            faults.entry(id.clone()).or_insert_with(|| Fault::new(id.to_string(), reason));
        }
        let asks = |running: &Running| matches!(&running.part, Part::Security(guard) if guard.certificates);
        let mut guards = parts.iter().filter(|(id, _)| id.family == Family::Security);
        Self {
            revision,
            certificates: guards.any(|(_, running)| asks(running)),
            parts,
            routes,
            faults: Arc::new(faults),
            around: self.around.clone(),
        }
    }

    /// A part by family and name.
    pub fn part(&self, family: Family, name: &str) -> Option<&Arc<Running>> {
        let name: Name = name.parse().ok()?;
        self.parts.get(&DefId::new(family, name))
    }

    /// Why a definition does not run, if it is there and there is a reason.
    pub fn why_not(&self, family: Family, name: &str) -> Option<&str> {
        let name: Name = name.parse().ok()?;
        self.faults.get(&DefId::new(family, name)).map(|fault| fault.message.as_str())
    }

    /// A service by name.
    ///
    /// # Errors
    /// Not found, or unavailable with the reason.
    pub fn service(&self, name: &str) -> Result<Bound> {
        let name = &*crate::service::canonical(name);
        self.part(Family::Service, name).and_then(Bound::new).ok_or_else(|| {
            match self.why_not(Family::Service, name) {
                Some(reason) => Error::unavailable(format!("service {name:?} does not run: {reason}")),
                None => Error::not_found(format!("there is no service {name:?}")),
            }
        })
    }
}

fn id_of<'a>(item: DiffItem<'a, 'a, DefId, Arc<Running>>) -> &'a DefId {
    match item {
        DiffItem::Add(id, _) | DiffItem::Remove(id, _) | DiffItem::Update { new: (id, _), .. } => id,
    }
}

/// The channel that a part is, if it is one with a place in the routes.
fn mounted(running: &Arc<Running>) -> Option<&Arc<dyn HttpChannel>> {
    match &running.part {
        Part::HttpChannel(channel) => Some(channel),
        _ => None,
    }
}

fn bind(running: &Arc<Running>, channel: &Arc<dyn HttpChannel>, parts: &Parts) -> Route {
    let find = |family, name: &Name| {
        let id = DefId::new(family, name.clone());
        parts.get(&id).ok_or_else(|| format!("{id} does not run"))
    };
    let security = match channel.security() {
        None => Ok(None),
        Some(name) => find(Family::Security, name).and_then(|found| match &found.part {
            Part::Security(guard) => match &guard.incoming {
                Some(security) => Ok(Some(security.clone())),
                None => Err(format!("{} is for outgoing requests only", found.id())),
            },
            _ => Err(format!("{} is no security definition", found.id())),
        }),
    };
    let service = find(Family::Service, channel.service())
        .and_then(|found| Bound::new(found).ok_or_else(|| format!("{} is no service", found.id())));
    Route { running: running.clone(), channel: channel.clone(), security, service }
}

/// The snapshot that is live. A clone is the same.
#[derive(Clone)]
pub struct Live(Arc<ArcSwap<Snapshot>>);

impl Live {
    /// Begins with nothing; caches and locks are in this node's memory.
    pub fn new(tasks: Tasks, clock: Clock) -> Self {
        Self(Arc::new_cyclic(|live| {
            let leases = lease::Memory::new(clock.clone());
            ArcSwap::from_pointee(Snapshot::empty(Around {
                background: Arc::new(Semaphore::new(MAX_BACKGROUND)),
                caching: Arc::new(Kept(Arc::new(Memory::new(clock.clone())))),
                locking: Arc::new(Locks { leases: Arc::new(leases), tasks: tasks.clone() }),
                live: live.clone(),
                stopping: CancellationToken::new(),
                tasks,
                clock,
            }))
        }))
    }

    fn around(&self, change: impl FnOnce(&mut Around)) {
        let now = self.now();
        let mut around = Around::clone(&now.around);
        change(&mut around);
        self.replace(Snapshot { around: Arc::new(around), ..Snapshot::clone(&now) });
    }

    /// The same with caches that are kept elsewhere.
    pub fn with_caches(self, caches: Arc<dyn Caches>) -> Self {
        self.around(|around| around.caching = Arc::new(Kept(caches)));
        self
    }

    /// The same with locks that are kept elsewhere.
    pub fn with_locks(self, leases: Arc<dyn Leases>) -> Self {
        self.around(|around| around.locking = Arc::new(Locks { leases, tasks: around.tasks.clone() }));
        self
    }

    /// From now on no call begins that was put off: the node stops.
    pub fn begin_no_more(&self) {
        self.now().around.stopping.cancel();
    }

    /// The snapshot of now, to be kept for a whole request.
    pub fn now(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Publishes another.
    pub fn replace(&self, next: Snapshot) {
        self.0.store(Arc::new(next));
    }
}
