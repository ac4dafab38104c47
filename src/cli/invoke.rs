//! `zeugma invoke`: calls a service.

use std::io::{IsTerminal as _, Read as _};

use clap::Args;
use config::Span;
use reqwest::Method;
use sdk::cid::CID_HEADER;

use super::admin::{Ask, Remote};
use super::exit::{Exit, Stop};
use super::output::print_bytes;

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Invoke {
    /// The service
    service: String,
    /// Its input: the text itself, @FILE, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-", default_value = "")]
    payload: String,
    /// Do not wait for it
    #[arg(long = "async")]
    asynchronous: bool,
    /// The node that calls it; the one that is asked if left out
    #[arg(long, value_name = "NODE", conflicts_with = "asynchronous")]
    node: Option<config::Name>,
    /// How long it may run
    #[arg(long, value_name = "TIME", default_value = "30s")]
    timeout: Span,
    #[command(flatten)]
    remote: Remote,
}

impl Invoke {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        let body = match (self.payload.as_str(), self.payload.strip_prefix('@')) {
            ("-", _) => {
                let mut bytes = Vec::new();
                std::io::stdin().read_to_end(&mut bytes)?;
                bytes
            }
            (_, Some(file)) => std::fs::read(file).map_err(|e| Stop::failed(format!("{file}: {e}")))?,
            (text, None) => text.as_bytes().to_vec(),
        };
        let ask = Ask::new(Method::POST, &["services", &self.service, "invoke"])
            .query("timeout", Some(self.timeout.to_string().replace(' ', "")))
            .query("node", self.node.as_ref())
            .flag("async", self.asynchronous)
            .body(body)
            .waiting(self.timeout.get());
        let answer = self.remote.send(ask).await?;
        let cid = answer.headers().get(CID_HEADER).and_then(|cid| cid.to_str().ok());
        // A program that reads the answer gets nothing but the answer.
        if let Some(cid) = cid.filter(|_| std::io::stderr().is_terminal()) {
            eprintln!("cid: {cid}");
        }
        let body = answer.bytes().await.map_err(|e| Stop::failed(e.to_string()))?;
        print_bytes(&body)?;
        if std::io::stdout().is_terminal() && !body.ends_with(b"\n") {
            print_bytes(b"\n")?;
        }
        Ok(Exit::Done)
    }
}
