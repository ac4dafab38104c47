//! What workers say, put into the engine's log.

use bytes::Bytes;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The longest line of what a process prints by itself.
const LONGEST: usize = 8 * 1024;

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    cid: String,
    #[serde(default)]
    level: String,
    #[serde(default)]
    logger: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    dropped: u64,
}

/// One LOG frame.
pub(super) fn frame(package: &str, header: &Bytes) {
    let Ok(Line { cid, level, logger, text, dropped }) = serde_json::from_slice(header) else { return };
    if dropped > 0 {
        tracing::warn!(target: "service", package, dropped, "lines of the log were lost: there were too many at once");
    }
    match level.as_str() {
        "debug" => tracing::debug!(target: "service", cid, logger, package, "{text}"),
        "warning" => tracing::warn!(target: "service", cid, logger, package, "{text}"),
        "error" | "critical" => tracing::error!(target: "service", cid, logger, package, "{text}"),
        _ => tracing::info!(target: "service", cid, logger, package, "{text}"),
    }
}

/// The level below which workers need not send anything.
pub(super) fn level() -> &'static str {
    use tracing::Level;
    if tracing::enabled!(target: "service", Level::DEBUG) {
        "debug"
    } else if tracing::enabled!(target: "service", Level::INFO) {
        "info"
    } else if tracing::enabled!(target: "service", Level::WARN) {
        "warning"
    } else {
        "error"
    }
}

/// What a process prints by itself, line by line, until it ends. Lines that are too long are cut.
pub(super) async fn lines(mut from: impl AsyncRead + Unpin, of: String) {
    let mut line = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        for byte in &piece[..length] {
            match byte {
                b'\n' => say(&of, &mut line),
                byte if line.len() < LONGEST => line.push(*byte),
                _ => {}
            }
        }
    }
    say(&of, &mut line);
}

fn say(of: &str, line: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end();
    if !text.is_empty() {
        tracing::info!(target: "service", of, "{text}");
    }
    line.clear();
}
