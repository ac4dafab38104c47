//! `zeugma dev-cluster`: Redis and several nodes on this machine, for trying a cluster out.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::exit::{Exit, Stop};
use super::output::print;
use super::start::Signals;

/// The servers that speak Redis, in the order in which they are looked for.
const SERVERS: [&str; 2] = ["redis-server", "valkey-server"];
/// How long a server or a node may take to begin, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// The ports of the first node; each further one has the next ones.
const PORTS: (u16, u16) = (11_223, 8_183);

/// See the module.
#[derive(Debug, Args)]
pub(super) struct DevCluster {
    /// How many nodes
    #[arg(short, long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: u16,
    /// Where everything is kept; with the same folder, the cluster goes on where it was
    #[arg(long, value_name = "DIR", default_value = "zeugma-cluster")]
    data: PathBuf,
}

impl DevCluster {
    pub(super) fn run(self) -> Result<Exit, Stop> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut signals = Signals::new()?;
            let mut running = Vec::new();
            let outcome = tokio::select! {
                outcome = self.start(&mut running) => outcome,
                () = signals.next() => Ok(()),
            };
            if outcome.is_ok() {
                tokio::select! {
                    () = signals.next() => {}
                    ended = first_to_end(&mut running) => eprintln!("{ended} has ended; so does everything else"),
                }
            }
            stop(running).await;
            outcome.map(|()| Exit::Done)
        })
    }

    async fn start(&self, running: &mut Vec<(String, Child)>) -> Result<(), Stop> {
        std::fs::create_dir_all(&self.data)?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        running.push(("redis".into(), redis(&self.data.join("redis"), port)?));
        answering(port).await?;
        for n in 1..=self.nodes {
            let (data, admin) = (PORTS.0 + n - 1, PORTS.1 + n - 1);
            let folder = self.data.join(format!("node{n}"));
            let mut node = Command::new(std::env::current_exe()?);
            node.arg("start")
                .args(["--store", &format!("redis://127.0.0.1:{port}"), "--node", &format!("node{n}")])
                .args(["--listen", &format!("127.0.0.1:{data}"), "--admin", &format!("127.0.0.1:{admin}")])
                .args(["--cluster-listen", "127.0.0.1:0", "--log", "warn"])
                .arg("--data")
                .arg(&folder)
                .arg("--key-file")
                .arg(self.data.join("secret.key"))
                .stdin(Stdio::null())
                .stdout(Stdio::piped());
            let mut node = node.spawn()?;
            let first = node.stdout.take();
            running.push((format!("node{n}"), node));
            let Some(out) = first else { return Err(Stop::failed("a node without an output")) };
            let mut lines = BufReader::new(out).lines();
            match tokio::time::timeout(PATIENCE, lines.next_line()).await {
                Ok(Ok(Some(line))) => drop(print(&format!("node{n}: {line}"))?),
                _ => return Err(Stop::failed(format!("node{n} does not start; see above"))),
            }
        }
        let node1 = self.data.join("node1");
        print(&format!(
            "\n{} nodes share Redis on port {port}. Try, in another terminal:\n\n  zeugma nodes --data {2}\n  \
             zeugma apply -f examples/cluster/zeugma.yaml --data {2}\n  curl http://127.0.0.1:{1}/hello\n\n\
             Control-C stops all of it; what it holds stays in {3}.",
            self.nodes,
            PORTS.0 + self.nodes - 1,
            node1.display(),
            self.data.display()
        ))?;
        Ok(())
    }
}

fn redis(folder: &Path, port: u16) -> Result<Child, Stop> {
    std::fs::create_dir_all(folder)?;
    for server in SERVERS {
        let started = Command::new(server)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--appendonly", "yes", "--save", ""])
            .args(["--loglevel", "warning", "--dir"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        match started {
            Ok(child) => return Ok(child),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Stop::failed(format!("{server} does not start: {error}"))),
        }
    }
    Err(Stop::failed("there is no redis-server and no valkey-server on this machine")
        .hint("install one, such as with apt-get install redis-server; or start nodes with --store redis://HOST:PORT"))
}

/// Waits until something accepts connections there.
async fn answering(port: u16) -> Result<(), Stop> {
    let deadline = Instant::now() + PATIENCE;
    while tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
        if Instant::now() > deadline {
            return Err(Stop::failed("Redis does not start"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Waits until one of them ends by itself.
async fn first_to_end(running: &mut [(String, Child)]) -> String {
    let waits = running.iter_mut().map(|(name, child)| {
        Box::pin(async move {
            drop(child.wait().await);
            name.clone()
        })
    });
    futures_util::future::select_all(waits).await.0
}

/// Asks all of them to end, the nodes before the store, and waits for that.
async fn stop(running: Vec<(String, Child)>) {
    for (name, mut child) in running.into_iter().rev() {
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid
            && let Err(error) = kill_process(pid, Signal::TERM)
        {
            eprintln!("{name} may have ended already: {error}");
        }
        if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
            eprintln!("{name} does not end; it is killed");
            drop(child.kill().await);
        }
    }
}
