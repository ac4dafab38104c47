//! FTP connections against real servers: every call, both ways to do TLS, and all that can go wrong in between.

mod calls;
mod faults;
mod large;
mod outages;

use std::time::Duration;

use sdk::Ftp;
use serde_json::Value;

use crate::kit::engine::Engine;
use crate::kit::ftp::FtpServer;

/// How long a call may take that nothing slows down.
const LIMIT: Duration = Duration::from_secs(30);

/// An engine with the connection `my.ftp` to this server, with these parameters changed.
async fn engine(server: &FtpServer, changes: Value) -> Engine {
    engine_to(server.params(), changes).await
}

/// The same, to what these parameters say.
async fn engine_to(mut params: Value, changes: Value) -> Engine {
    for (name, value) in changes.as_object().into_iter().flatten() {
        params[name] = value.clone();
    }
    let engine = Engine::start().await;
    assert_eq!(engine.apply("connection/my.ftp", "connection.ftp", params).await, []);
    engine
}

/// The connection as a service sees it.
fn ftp(engine: &Engine) -> Ftp {
    engine.connection("my.ftp", LIMIT)
}

/// The state of the pool.
async fn pool(engine: &Engine) -> Value {
    let report = engine.tell("connection/my.ftp", actors::worker::Verb::Stats).await.expect("a report");
    report.more["pool"].clone()
}
