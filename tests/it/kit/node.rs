//! A node inside the test's own process: quick to start, and as real as any other.

use std::time::Duration;

use config::settings::{Environment, Flags, Settings};
use config::store::Note;
use reqwest::{Method, RequestBuilder};
use tempfile::TempDir;
use zeugma::app::{Extras, Node};
use zeugma::definitions::{Options, Outcome, Refused};

/// A node on free ports, with a data folder of its own.
pub struct TestNode {
    node: Node,
    client: reqwest::Client,
    folder: TempDir,
}

impl TestNode {
    /// Starts one, with the test services compiled in.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts one whose settings are changed before.
    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = TempDir::new().expect("a folder");
        Self::start_in(folder, change).await
    }

    /// Starts one in a folder that may hold the data of an earlier one.
    pub async fn start_in(folder: TempDir, change: impl FnOnce(&mut Settings)) -> Self {
        let flags = Flags {
            listen: Some("127.0.0.1:0".into()),
            admin: Some("127.0.0.1:0".into()),
            data: Some(folder.path().join("data")),
            ..Flags::default()
        };
        let environment = Environment::default();
        let mut settings = Settings::load(None, &environment, &flags).expect("settings");
        change(&mut settings);
        let extras = Extras { services: super::services::ALL, kinds: super::kinds::ALL };
        let node = Node::start(settings, &environment, extras).await.expect("the node starts");
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30));
        Self { node, client: client.build().expect("a client"), folder }
    }

    /// What the node is made of.
    pub fn app(&self) -> &zeugma::app::App {
        &self.node.app
    }

    /// Where the data listener is.
    pub fn data(&self) -> std::net::SocketAddr {
        self.node.data
    }

    /// Where the admin listener is.
    pub fn admin(&self) -> std::net::SocketAddr {
        self.node.admin
    }

    /// Applies a bundle and waits until it is served.
    pub async fn try_apply(&self, bundle: &str) -> Result<Outcome, Refused> {
        let drafts = config::bundle::parse(bundle, Some("test.yaml"))?;
        let note = Note { author: "test".into(), reason: None, ..Note::default() };
        let options = Options { wait: Duration::from_secs(20), ..Options::default() };
        self.node.app.definitions.apply(drafts, options, note).await
    }

    /// Applies a bundle that has no fault, and that starts.
    pub async fn apply(&self, bundle: &str) -> Outcome {
        let outcome = self.try_apply(bundle).await.expect("the bundle applies");
        assert!(outcome.receipt.settled, "{:?}", outcome.receipt);
        outcome
    }

    /// A request to the data listener.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.node.data))
    }

    /// A GET request to the data listener.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// A POST request to the data listener.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// The metrics, as text.
    pub fn metrics(&self) -> String {
        let app = self.app();
        let text = app.metrics.render(app);
        String::from_utf8(text).expect("metrics are text")
    }

    /// Stops it and gives back its folder.
    pub async fn stop(self) -> TempDir {
        assert!(self.node.stop().await, "the node stops cleanly");
        self.folder
    }
}

/// Waits until `state` holds; the test fails if it does not within ten seconds.
pub async fn until(what: &str, mut state: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !state().await {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
