//! Starts a worker: forked, welcomed, and with its package loaded.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use bytes::BytesMut;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::declared::{Declared, InspectError, LoadFault, Source};
use super::frame::{self, Message, Reader};
use super::logs;
use super::process::Process;
use super::runtime::Runtime;
use super::unpack::Unpacked;
use super::zygote::Exit;

/// How long a package may take to load.
const LOAD_LIMIT: Duration = Duration::from_secs(12);
/// What the interpreter and its threads reserve of the address space beside what they use.
const RESERVED: u64 = 512 << 20;

/// What a worker is started with.
pub(super) struct Load {
    pub(super) source: Source,
    pub(super) folder: Unpacked,
    pub(super) python: PathBuf,
    pub(super) memory: u64,
    pub(super) threads: usize,
}

/// A worker that has loaded its package.
pub(super) struct Loaded {
    pub(super) process: Process,
    pub(super) reader: Reader,
    pub(super) services: Vec<Declared>,
    pub(super) exit: oneshot::Receiver<Exit>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Error { error: LoadFault },
    Services { services: Vec<Declared> },
}

/// Starts one.
///
/// # Errors
/// If there is no Python, it cannot be forked, or the package does not load.
pub(super) async fn spawn(runtime: &Runtime, load: &Load, number: usize) -> Result<Loaded, InspectError> {
    let failed = |error: io::Error| InspectError::Failed(format!("a worker cannot be started: {error}"));
    let zygote = runtime.zygote(&load.python).await?;
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
    ours.set_nonblocking(true).map_err(failed)?;
    let (printed, prints) = io::pipe().map_err(failed)?;
    let memory = Some(load.memory.saturating_add(RESERVED));
    let forked = match zygote.fork(theirs.into(), prints.into(), memory).await {
        Ok(forked) => forked,
        Err(error) => {
            if error.kind() == io::ErrorKind::TimedOut {
                runtime.give_up(&load.python, &zygote).await;
            }
            return Err(failed(error));
        }
    };
    let stream = UnixStream::from_std(ours).map_err(failed)?;
    let printed = pipe::Receiver::from_owned_fd(OwnedFd::from(printed)).map_err(failed)?;
    let of = format!("{} (process {})", load.source.package, forked.pid);
    runtime.output.spawn("python-output", logs::lines(printed, of));

    let mut reader = Reader::default();
    let loading = async {
        first(&stream, &mut reader, frame::HELLO).await?;
        let settings = &runtime.settings;
        let welcome = json!({
            "worker": number, "node": settings.node, "cluster": settings.cluster, "cluster_id": 1,
            "log_level": logs::level(), "threads": load.threads,
        });
        let source = &load.source;
        let order = json!({
            "package": source.package, "version": source.version, "dir": load.folder.0,
            "files": source.files.keys().collect::<Vec<_>>(), "types_by_name": source.types_by_name,
        });
        let mut out = BytesMut::new();
        frame::write(&mut out, frame::WELCOME, 0, welcome.to_string().as_bytes(), b"");
        frame::write(&mut out, frame::LOAD, 0, order.to_string().as_bytes(), b"");
        let mut left = &out[..];
        while !left.is_empty() {
            stream.writable().await?;
            match stream.try_write(left) {
                Ok(written) => left = &left[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        let loaded = first(&stream, &mut reader, frame::LOADED).await?;
        let header: Value = serde_json::from_slice(&loaded.header).map_err(io::Error::other)?;
        let in_body = header["in_body"] == true;
        let text = if in_body { &loaded.body } else { &loaded.header };
        serde_json::from_slice::<Answer>(text).map_err(io::Error::other)
    };
    let begun = Instant::now();
    let answer = tokio::time::timeout(LOAD_LIMIT, loading).await;
    let process = Process::new(forked.pid, zygote, stream);
    match answer {
        Ok(Ok(Answer::Services { services })) => {
            tracing::debug!(package = %load.source.package, pid = forked.pid, took = ?begun.elapsed(), "a worker has loaded");
            Ok(Loaded { process, reader, services, exit: forked.exit })
        }
        Ok(Ok(Answer::Error { error })) => Err(InspectError::Load(error)),
        Ok(Err(error)) => {
            let ended = tokio::time::timeout(Duration::from_millis(500), forked.exit).await;
            let how = match ended {
                Ok(Ok(exit)) => format!("the process that loaded it {exit}"),
                _ => format!("the process that loaded it failed: {error}"),
            };
            Err(InspectError::Load(LoadFault { message: how, ..LoadFault::default() }))
        }
        Err(_) => {
            let message = format!(
                "it is not loaded within {LOAD_LIMIT:?}: does it wait for something, or go on for ever?"
            );
            Err(InspectError::Load(LoadFault { message, ..LoadFault::default() }))
        }
    }
}

/// The first message of this type; what is printed before it goes to the log.
async fn first(stream: &UnixStream, reader: &mut Reader, wanted: u8) -> io::Result<Message> {
    loop {
        while let Some(message) = reader.next().map_err(|broken| io::Error::other(broken.0))? {
            match message.kind {
                kind if kind == wanted => return Ok(message),
                frame::LOG => logs::frame("", &message.header),
                _ => {}
            }
        }
        stream.readable().await?;
        reader.data.reserve(64 * 1024);
        match stream.try_read_buf(&mut reader.data) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
