//! What the fuzz targets share: an engine with the definitions that are tried, and the heads of requests.

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use actors::meter::Meters;
use actors::{Live, Part, Reconciler, Registry};
use bytes::Bytes;
use cluster::Board;
use config::store::memory::Memory;
use config::{Change, Clock, Definition, Family, Keyring, Note, Revision, Rules as _, Store as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use sdk::engine::Engine as _;
use sdk::task::Tasks;
use sdk::{Caller, Cid, ErrorKind, HttpHead, Security, Visit};
use tokio::time::Instant;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// An engine in which the definitions of a bundle run.
pub struct Tried {
    runtime: tokio::runtime::Runtime,
    live: Live,
    /// The keys that it has.
    pub keyring: Keyring,
}

impl Tried {
    /// Starts one.
    pub fn start(bundle: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (keyring, tasks) = (Keyring::generate(), Tasks::default());
        let live = Live::new(tasks.clone(), Clock::System);
        runtime.block_on(apply(bundle, &keyring, &live, tasks));
        Self { runtime, live, keyring }
    }

    /// What checks callers by this name.
    pub fn security(&self, name: &str) -> Arc<dyn Security> {
        let snapshot = self.live.now();
        match snapshot.part(Family::Security, name).map(|running| &running.part) {
            Some(Part::Security(guard)) => guard.incoming.clone().expect("it checks callers"),
            other => panic!("{name} does not run: {other:?} {:?}", snapshot.faults),
        }
    }

    /// Waits for something.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// A token for whoever logs in by this name.
    pub fn log_in(&self, username: &str, password: &str) -> String {
        let issuers = self.live.now().issuers();
        let token = self.wait(issuers[0].log_in(username, password, None));
        token.expect("sessions are kept").expect("the right password")
    }

    /// Who this is, if somebody. Whatever is shown: nothing panics, every refusal is one of a caller, and a lock-out
    /// would tell a guess by its fingerprint.
    pub fn admit(&self, security: &Arc<dyn Security>, head: &HttpHead) -> Option<Caller> {
        let snapshot = self.live.now();
        let engine: Arc<dyn sdk::engine::Engine> = snapshot;
        let visit = Visit { cid: Cid::new(), deadline: Instant::now() + PATIENCE, engine: &engine };
        let (mut one, mut two) = (DefaultHasher::new(), DefaultHasher::new());
        let guessed = security.fingerprint(head, &mut one);
        assert_eq!(guessed, security.fingerprint(head, &mut two));
        assert_eq!(one.finish(), two.finish());
        assert_eq!(guessed, security.guess(head).is_some(), "{head:?}");
        match self.wait(security.admit(head, &visit)) {
            Ok(admitted) => Some(admitted.caller),
            Err(error) => {
                let expected = [ErrorKind::Unauthenticated, ErrorKind::Unavailable, ErrorKind::TooMany];
                assert!(expected.contains(&error.kind()), "{error:?}");
                if error.kind() == ErrorKind::Unauthenticated
                    && let Some(refusal) = security.guess(head)
                {
                    assert_eq!(
                        refusal.to_string(),
                        error.to_string(),
                        "a lock-out would be told from a wrong guess"
                    );
                }
                None
            }
        }
    }
}

async fn apply(bundle: &str, keyring: &Keyring, live: &Live, tasks: Tasks) {
    let clock = Clock::System;
    let (store, board) = (Arc::new(Memory::new(clock.clone())), Arc::<Board>::default());
    let registry = Arc::new(Registry::new(&[], &[]).expect("a registry"));
    let reconciler = Reconciler {
        node: "fuzzed".parse().expect("a name"),
        store: store.clone(),
        registry: registry.clone(),
        keyring: keyring.clone(),
        live: live.clone(),
        board: board.clone(),
        meters: Meters::new(&prometheus::Registry::new()).expect("metrics"),
        clock,
        tasks,
    };
    let (_reconciler, _) = ractor::Actor::spawn(None, reconciler, ()).await.expect("a reconciler");
    let drafts = config::bundle::parse(bundle, None).expect("a bundle");
    let definition = |draft: config::Draft| {
        let checked = registry.check(&draft);
        assert_eq!(checked.faults, [], "{}", draft.id);
        Definition {
            params: keyring.seal(&draft.params, &checked.secrets, None).expect("it can be sealed"),
            id: draft.id,
            kind: draft.kind,
            enabled: true,
            needs: checked.needs.into_iter().map(|need| need.id).collect(),
            claims: checked.claims.into_iter().map(|claim| claim.what).collect(),
            changed_at: Revision::ZERO,
        }
    };
    let put = drafts.into_iter().map(definition).collect();
    let change = Change { put, delete: Vec::new() };
    let after = store.commit(Revision::ZERO, change, Note::default()).await.expect("nobody else commits");
    let receipt = board.settled(after.revision, Instant::now(), PATIENCE).await;
    assert!(receipt.settled, "{receipt:?}");
}

/// The head of a request for this path and query; none if they cannot be in one.
pub fn head(uri: &[u8]) -> Option<HttpHead> {
    let uri = http::Uri::try_from(uri).ok()?;
    let (method, peer) = (http::Method::GET, ([192, 0, 2, 1], 1).into());
    Some(HttpHead { method, uri, headers: HeaderMap::new(), peer, certificates: None, params: Vec::new() })
}

/// The head of a request with these lines as values of one header; none if they cannot be.
pub fn with_header(name: &'static str, values: &[u8]) -> Option<HttpHead> {
    let mut head = head(b"/")?;
    add_header(&mut head, name, values)?;
    Some(head)
}

/// Adds these lines as values of one header; none if they cannot be.
pub fn add_header(head: &mut HttpHead, name: &'static str, values: &[u8]) -> Option<()> {
    for value in values.split(|b| *b == b'\n') {
        let value = HeaderValue::from_bytes(value).ok()?;
        head.headers.append(HeaderName::from_static(name), value);
    }
    Some(())
}

/// The head of a request on a connection with these certificates.
pub fn with_certificates(chain: Vec<Vec<u8>>) -> Option<HttpHead> {
    let mut head = head(b"/")?;
    head.certificates = Some(chain.into_iter().map(Bytes::from).collect());
    Some(head)
}
