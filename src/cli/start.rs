//! `zeugma start`: runs a node until it is told to stop.

use std::path::PathBuf;

use clap::Args;
use config::settings::{Environment, Flags, Settings, env_var};
use config::{Note, Secret, bundle};
use sdk::{Error, Service};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::{Exit, Stop};
use super::output::print;
use crate::app::{Extras, Node};
use crate::definitions::{Options, Refused};
use crate::demo::Demo;
use crate::{logging, watch};

/// What each flag says can also be said in node.toml and in the environment: --listen is ZEUGMA_LISTEN there.
#[derive(Debug, Args)]
pub(super) struct Start {
    /// Where requests come in [default: 127.0.0.1:11223]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Where the admin API is [default: 127.0.0.1:8183]
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<String>,
    /// The node's own files [default: zeugma-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the definitions are kept: embedded, or redis://HOST:PORT for a cluster [default: embedded]
    #[arg(long, value_name = "STORE", value_parser = secret)]
    store: Option<Secret>,
    /// The cluster that the node belongs to [default: zeugma]
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// The name of the node [default: that of the machine]
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Where other nodes reach this one
    #[arg(long, value_name = "ADDRESS:PORT")]
    cluster_listen: Option<String>,
    /// A bundle, or a folder of them, to apply once the node serves
    #[arg(long, value_name = "FILE|DIR")]
    apply: Vec<PathBuf>,
    /// A folder whose bundles are applied, and whose files of Python are deployed, whenever they change
    #[arg(long, value_name = "DIR")]
    watch: Option<PathBuf>,
    /// A file of settings: TOML, such as listen = "127.0.0.1:8080"
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The certificate of both listeners, with those between it and the root (PEM)
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Listen to the network without TLS: something in front of the node does it
    #[arg(long)]
    insecure: bool,
    /// The file of the keys that seal secrets [default: secret.key in the data folder]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The Python that runs packages, such as that of a virtual environment [default: python3]
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Which log lines are written, such as info,zeugma=debug [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How log lines are written: text or json [default: text]
    #[arg(long, value_name = "FORM")]
    log_format: Option<String>,
    /// Apply the quickstart example, with a throw-away FTP server, and show how to try it
    #[arg(long)]
    demo: bool,
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

impl Start {
    pub(super) fn run(self, services: &'static [&'static dyn Service]) -> Result<Exit, Stop> {
        let (file, demo) = (self.config.clone(), self.demo);
        let environment = Environment::of_process();
        let settings = Settings::load(file.as_deref(), &environment, &self.flags());
        let wrong = |faults: config::Faults| Stop {
            exit: Exit::Usage,
            message: "the node is not started with these settings".into(),
            ..faults.into()
        };
        let settings = settings.map_err(wrong)?;
        logging::start(&settings).map_err(|fault| wrong(fault.into()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let outcome = runtime.block_on(serve(settings, &environment, services, demo));
        // Whatever has not ended by now has had its time, and must not keep the process.
        runtime.shutdown_background();
        outcome
    }

    fn flags(self) -> Flags {
        Flags {
            listen: self.listen,
            admin: self.admin,
            data: self.data,
            store: self.store,
            cluster: self.cluster,
            node: self.node,
            cluster_listen: self.cluster_listen,
            apply: self.apply,
            watch: self.watch,
            tls_cert: self.tls_cert,
            tls_key: self.tls_key,
            insecure: self.insecure.then_some(true),
            log: self.log,
            log_format: self.log_format,
            key_file: self.key_file,
            python: self.python,
        }
    }
}

async fn serve(
    settings: Settings,
    environment: &Environment,
    services: &'static [&'static dyn Service],
    demo: bool,
) -> Result<Exit, Stop> {
    let mut signals = Signals::new()?;
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let extras = Extras { services, kinds: &[] };
    let node = tokio::select! {
        node = Node::start(settings, environment, extras) => node.map_err(|error| Stop::failed(error.to_string()))?,
        () = signals.next() => return Ok(Exit::Done),
    };
    print(&format!(
        "zeugma {} serves on {scheme}://{}, admin {scheme}://{}",
        env!("CARGO_PKG_VERSION"),
        node.data,
        node.admin
    ))?;
    if let Err(stop) = prepare(&node, demo).await {
        node.stop().await;
        return Err(stop);
    }
    signals.next().await;
    tracing::info!("stopping; a second signal stops at once");
    tokio::select! {
        clean = node.stop() => Ok(if clean { Exit::Done } else { Exit::Failed }),
        () = signals.next() => Err(Stop::failed("stopped at once")),
    }
}

/// What a node is to do once it serves, before it is left alone.
async fn prepare(node: &Node, demo: bool) -> Result<(), Stop> {
    let paths = &node.app.settings.apply;
    if !paths.is_empty() {
        let wanted = bundle::read_paths(paths).filled(&env_var).with_sources();
        let note = Note { author: "zeugma start".into(), reason: Some("--apply".into()), ..Note::default() };
        match node.app.definitions.apply(wanted, Options::default(), note).await {
            Ok(outcome) => {
                let (revision, changes) = (outcome.revision, outcome.changes.len());
                tracing::info!(%revision, changes, unchanged = outcome.unchanged, "applied what --apply names");
            }
            Err(Refused::Faults(faults)) => return Err(faults.into()),
            Err(refused) => return Err(Stop::failed(Error::from(refused).to_string())),
        }
    }
    watch::begin(&node.app);
    if demo {
        let demo = Demo::start(node).await.map_err(|error| Stop::failed(error.to_string()))?;
        print(&format!("\n{demo}"))?;
    }
    Ok(())
}

/// The signals that tell a process to stop.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
