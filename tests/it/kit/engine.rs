//! An engine in this process: the reconciler over a store in memory. Definitions are applied, parts run, services'
//! handles are at hand; no HTTP, no cluster.

use std::sync::Arc;
use std::time::Duration;

use actors::meter::Meters;
use actors::reconcile::ReconcilerMsg;
use actors::supervisor::Supervisor;
use actors::worker::{Report, Verb};
use actors::{Live, Reconciler, Registry, Snapshot};
use cluster::Board;
use config::store::memory::Memory;
use config::{
    Change, Clear, Clock, DefId, Definition, Draft, Fault, Keyring, Note, Place, Revision, Rules, Store,
};
use ractor::{Actor, ActorRef};
use sdk::connection::Handle;
use sdk::task::Tasks;
use sdk::{ChannelInfo, Cid, Context};
use serde_json::Value;
use tokio::time::Instant;

/// How long a change may take until it is live.
const SETTLES: Duration = Duration::from_secs(20);

/// See the module.
pub(crate) struct Engine {
    store: Arc<Memory>,
    registry: Arc<Registry>,
    keyring: Keyring,
    board: Arc<Board>,
    live: Live,
    supervisor: Supervisor,
    _reconciler: ActorRef<ReconcilerMsg>,
}

impl Engine {
    /// Starts one with nothing but the kinds and services that come with it.
    pub(crate) async fn start() -> Self {
        let clock = Clock::System;
        let tasks = Tasks::default();
        let store = Arc::new(Memory::new(clock.clone()));
        let registry = Arc::new(Registry::new(&[], &[]).expect("a registry"));
        let (keyring, live, board) =
            (Keyring::generate(), Live::new(tasks.clone(), Clock::System), Arc::<Board>::default());
        let reconciler = Reconciler {
            node: "test".parse().expect("a name"),
            store: store.clone(),
            registry: registry.clone(),
            keyring: keyring.clone(),
            live: live.clone(),
            board: board.clone(),
            meters: Meters::new(&prometheus::Registry::new()).expect("metrics"),
            clock,
            tasks,
        };
        let (reconciler, _) = Actor::spawn(None, reconciler, ()).await.expect("a reconciler");
        let supervisor = Supervisor::new(live.clone(), reconciler.clone());
        Self { store, registry, keyring, board, live, supervisor, _reconciler: reconciler }
    }

    /// What is wrong with a definition, before it is applied.
    pub(crate) fn check(&self, id: &str, kind: &str, params: Value) -> Vec<Fault> {
        self.registry.check(&draft(id, kind, params)).faults
    }

    /// Applies a definition that is right, such as `connection/my.ftp` of the kind `connection.ftp`, and waits until the
    /// engine has acted on it. Answers what is wrong then.
    pub(crate) async fn apply(&self, id: &str, kind: &str, params: Value) -> Vec<Fault> {
        self.commit(Change { put: vec![self.definition(id, kind, params)], delete: vec![] }).await
    }

    /// A definition that is right, to be committed.
    pub(crate) fn definition(&self, id: &str, kind: &str, params: Value) -> Definition {
        let draft = draft(id, kind, params);
        let checked = self.registry.check(&draft);
        assert_eq!(checked.faults, [], "{id}");
        Definition {
            params: self.keyring.seal(&draft.params, &checked.secrets, None).expect("it can be sealed"),
            id: draft.id,
            kind: draft.kind,
            enabled: true,
            needs: checked.needs.into_iter().map(|need| need.id).collect(),
            claims: checked.claims.into_iter().map(|claim| claim.what).collect(),
            changed_at: Revision::ZERO,
        }
    }

    /// Deletes a definition, and waits until its part is out of the way of new calls.
    pub(crate) async fn delete(&self, id: &str) -> Vec<Fault> {
        self.commit(Change { put: vec![], delete: vec![def_id(id)] }).await
    }

    /// What is live.
    pub(crate) fn live(&self) -> Arc<Snapshot> {
        self.live.now()
    }

    /// Commits, whatever a check of the whole would say, and waits until it is live. Answers what is wrong then.
    pub(crate) async fn commit(&self, change: Change) -> Vec<Fault> {
        let before = self.store.load().await.expect("the store").revision;
        let after = self.store.commit(before, change, Note::default()).await.expect("nobody else commits");
        let receipt = self.board.settled(after.revision, Instant::now(), SETTLES).await;
        assert!(receipt.settled, "not live within {SETTLES:?}: {receipt:?}");
        receipt.nodes.into_iter().flat_map(|node| node.faults).collect()
    }

    /// The context of an invocation that may take this long.
    pub(crate) fn context(&self, limit: Duration) -> Context {
        let channel = ChannelInfo::new("test", "test");
        Context::new(Cid::new(), None, channel, Instant::now() + limit, "test".into(), self.live.now())
    }

    /// A connection, as a service sees it that may take this long.
    pub(crate) fn connection<H: Handle>(&self, name: &str, limit: Duration) -> H {
        self.context(limit).connection(name).expect("the connection runs")
    }

    /// Tells an actor a verb.
    pub(crate) async fn tell(&self, id: &str, verb: Verb) -> sdk::Result<Report> {
        self.supervisor.tell(&def_id(id), verb, Duration::from_secs(10)).await
    }
}

fn def_id(id: &str) -> DefId {
    id.parse().expect("an id")
}

fn draft(id: &str, kind: &str, params: Value) -> Draft {
    let Value::Object(params) = params else { panic!("parameters are an object") };
    Draft {
        id: def_id(id),
        kind: kind.parse().expect("a kind"),
        enabled: true,
        params: Clear(params),
        place: Place::default(),
    }
}
