//! The process that workers are forked from: one for each interpreter, with everything imported and no threads.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use sdk::task::{Endless, Tasks};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

use super::declared::InspectError;
use super::runtime::RuntimeSettings;

/// How long an interpreter may take to import what workers need.
const READY_LIMIT: Duration = Duration::from_secs(20);
/// How long a fork may take.
const FORK_LIMIT: Duration = Duration::from_secs(10);
/// How many orders may wait.
const ORDERS: usize = 256;
/// How much of what it said before it ended is shown.
const SHOWN: usize = 2000;

/// How a worker ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Exit {
    /// What it ended with.
    pub(super) status: Option<i32>,
    /// The signal that ended it.
    pub(super) signal: Option<i32>,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.signal, self.status) {
            (Some(signal), _) => write!(f, "ended by signal {signal}"),
            (None, Some(status)) => write!(f, "ended with status {status}"),
            (None, None) => f.write_str("ended"),
        }
    }
}

/// A worker that was forked.
pub(super) struct Forked {
    pub(super) pid: i32,
    /// How it ends; nothing, if the zygote ends before.
    pub(super) exit: oneshot::Receiver<Exit>,
}

enum Order {
    Fork { fds: [OwnedFd; 2], memory: Option<u64>, reply: oneshot::Sender<io::Result<Forked>> },
    Kill(i32),
}

/// What it says.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Said {
    Ready { python: String },
    Forked { id: u64, pid: i32 },
    Failed { id: u64, error: String },
    Exited { pid: i32, status: Option<i32>, signal: Option<i32> },
}

/// See the module.
pub(super) struct Zygote {
    orders: mpsc::Sender<Order>,
    /// The version of Python.
    pub(super) python: String,
    driving: Mutex<Option<Endless>>,
}

impl Zygote {
    /// Starts one and waits until it is ready.
    pub(super) async fn start(
        python: &Path,
        script: &Path,
        settings: &RuntimeSettings,
        output: &Tasks,
    ) -> Result<Self, InspectError> {
        let failed = |error: io::Error| InspectError::Failed(format!("Python cannot be started: {error}"));
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let mut command = Command::new(python);
        command.args(["-s", "-u"]).arg(script).stdin(Stdio::from(OwnedFd::from(theirs)));
        command.env_clear().envs(settings.environment.iter().cloned());
        command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let child = command.spawn();
        drop(command); // it holds the other end of the socket
        let mut child = child.map_err(|error| missing(python, &error))?;
        let mut errors = child.stderr.take();
        let stream = UnixStream::from_std(ours).map_err(failed)?;
        let mut driver = Driver::new(stream, child);
        match tokio::time::timeout(READY_LIMIT, driver.ready()).await {
            Ok(Ok(version)) => {
                let (orders, taken) = mpsc::channel(ORDERS);
                if let Some(errors) = errors {
                    let lines = super::logs::lines(errors, "zygote".into());
                    output.spawn("python-zygote-errors", lines);
                }
                let driving = settings.tasks.endless("python-zygote", driver.run(taken));
                Ok(Self { orders, python: version, driving: Mutex::new(Some(driving)) })
            }
            Ok(Err(error)) => {
                let mut said = Vec::new();
                if let Some(errors) = &mut errors {
                    let mut errors = errors.take(64 * 1024);
                    let reading = errors.read_to_end(&mut said);
                    drop(tokio::time::timeout(Duration::from_secs(1), reading).await);
                }
                Err(unusable(python, &error.to_string(), &said))
            }
            Err(_) => Err(unusable(python, &format!("it is not ready within {READY_LIMIT:?}"), &[])),
        }
    }

    /// Ends it, and all that came from it: the socket to it closes.
    pub(super) fn stop(&self) {
        drop(self.driving.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Whether it still runs.
    pub(super) fn is_alive(&self) -> bool {
        !self.orders.is_closed()
    }

    /// Forks a worker with this end of its socket, and this one for what it prints.
    pub(super) async fn fork(
        &self,
        socket: OwnedFd,
        output: OwnedFd,
        memory: Option<u64>,
    ) -> io::Result<Forked> {
        let gone =
            || io::Error::new(io::ErrorKind::BrokenPipe, "the process that workers come from has ended");
        let (reply, answer) = oneshot::channel();
        let order = Order::Fork { fds: [socket, output], memory, reply };
        let forked = async {
            self.orders.send(order).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?
        };
        tokio::time::timeout(FORK_LIMIT, forked).await?
    }

    /// Ends a worker that has not ended, and what it started.
    pub(super) fn kill(&self, pid: i32) {
        drop(self.orders.try_send(Order::Kill(pid))); // the worker's own end of the socket closes anyway
    }
}

fn missing(python: &Path, error: &io::Error) -> InspectError {
    let python = python.display();
    InspectError::NoPython(format!(
        "there is no Python to run packages with ({python}: {error}): install Python 3.9 or newer, such as with `apt-get \
         install python3`, or start the node with `--python PATH`"
    ))
}

fn unusable(python: &Path, error: &str, said: &[u8]) -> InspectError {
    let said = String::from_utf8_lossy(said);
    let from = said.char_indices().rev().nth(SHOWN).map_or(0, |(at, _)| at);
    let said = said.get(from..).unwrap_or_default().trim();
    InspectError::NoPython(format!(
        "{} does not run packages ({error}); it has to be Python 3.9 or newer{}{said}",
        python.display(),
        if said.is_empty() { "" } else { "; it said:\n" },
    ))
}

/// Owns the process and the socket to it.
struct Driver {
    stream: UnixStream,
    child: Child,
    data: Vec<u8>,
    number: u64,
    forking: HashMap<u64, oneshot::Sender<io::Result<Forked>>>,
    workers: HashMap<i32, oneshot::Sender<Exit>>,
}

impl Driver {
    fn new(stream: UnixStream, child: Child) -> Self {
        let (forking, workers) = (HashMap::new(), HashMap::new());
        Self { stream, child, data: Vec::new(), number: 0, forking, workers }
    }

    async fn ready(&mut self) -> io::Result<String> {
        loop {
            for said in self.read().await? {
                if let Said::Ready { python } = said {
                    return Ok(python);
                }
            }
        }
    }

    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            let outcome = tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order).await,
                    None => return,
                },
                said = self.read() => said.map(|said| said.into_iter().for_each(|said| self.heard(said))),
            };
            if let Err(error) = outcome {
                tracing::warn!(%error, "the process that Python workers come from has ended; a new one is started when it is needed");
                drop(self.child.start_kill());
                // Nobody waits for an answer of it any more, and it is no zombie.
                drop(orders);
                drop(self.child.wait().await);
                return;
            }
        }
    }

    async fn obey(&mut self, order: Order) -> io::Result<()> {
        match order {
            Order::Kill(pid) => self.say(&json!({ "op": "kill", "pid": pid }), &[]).await,
            Order::Fork { fds, memory, reply } => {
                self.number += 1;
                self.forking.insert(self.number, reply);
                let order = json!({ "op": "fork", "id": self.number, "limits": { "memory": memory } });
                self.say(&order, &fds).await
            }
        }
    }

    async fn say(&self, order: &serde_json::Value, fds: &[OwnedFd]) -> io::Result<()> {
        let line = format!("{order}\n");
        let mut left = line.as_bytes();
        let fds: Vec<_> = fds.iter().map(OwnedFd::as_fd).collect();
        while !left.is_empty() {
            let first = left.len() == line.len();
            let sent = self.stream.async_io(Interest::WRITABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
                let mut with = SendAncillaryBuffer::new(&mut space);
                if first && !fds.is_empty() && !with.push(SendAncillaryMessage::ScmRights(&fds)) {
                    return Err(io::Error::other("there is no room for the descriptors"));
                }
                Ok(sendmsg(&self.stream, &[IoSlice::new(left)], &mut with, SendFlags::NOSIGNAL)?)
            });
            left = &left[sent.await?..];
        }
        Ok(())
    }

    /// What it says, at least a part of a line.
    async fn read(&mut self) -> io::Result<Vec<Said>> {
        self.stream.readable().await?;
        let mut more = [0; 4096];
        match self.stream.try_read(&mut more) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has ended")),
            Ok(length) => self.data.extend_from_slice(&more[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let Some(end) = self.data.iter().rposition(|byte| *byte == b'\n') else { return Ok(Vec::new()) };
        let lines: Vec<u8> = self.data.drain(..=end).collect();
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).map_err(io::Error::other)).collect()
    }

    fn heard(&mut self, said: Said) {
        match said {
            Said::Ready { .. } => {}
            Said::Forked { id, pid } => {
                let (ended, exit) = oneshot::channel();
                self.workers.insert(pid, ended);
                if let Some(reply) = self.forking.remove(&id) {
                    drop(reply.send(Ok(Forked { pid, exit }))); // whoever wanted it closes its socket, which ends it
                }
            }
            Said::Failed { id, error } => {
                if let Some(reply) = self.forking.remove(&id) {
                    drop(reply.send(Err(io::Error::other(error))));
                }
            }
            Said::Exited { pid, status, signal } => {
                if let Some(ended) = self.workers.remove(&pid) {
                    let _ = ended.send(Exit { status, signal }); // nobody may want to know
                }
            }
        }
    }
}
