//! Real servers as processes: where they are installed, their ports, signals, and their end with the test.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// A program of a server that `tests/servers.sh` installs.
pub(crate) fn installed(server: &str, program: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    #[allow(clippy::disallowed_methods)] // it is no setting of the engine
    let servers = std::env::var_os("ZEUGMA_TEST_SERVERS").map(PathBuf::from);
    let path = servers.unwrap_or_else(|| root.join("target/servers")).join(server).join(program);
    assert!(path.exists(), "{} is not there; run: tests/servers.sh {server}", path.display());
    path
}

/// A port that nobody listens at. It is below those that the system gives to connections: one of these could be taken by
/// any connection before the server is there, or while it is started anew.
pub(crate) fn free_port() -> u16 {
    let mut tried = std::iter::repeat_with(|| fastrand::u16(10_000..32_000));
    tried
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("there is always another one to try")
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    user_id() == 0
}

/// The user that this process runs as.
pub(crate) fn user_id() -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").expect("this process").uid()
}

/// A server that runs, with all the processes that it starts. It ends with this value.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; what it says goes into the file `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let out = File::options().create(true).append(true).open(log).expect("a log file");
        let also = out.try_clone().expect("the same file");
        let child = command.stdin(Stdio::null()).stdout(out).stderr(also).spawn();
        let child = child.unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
        Self { child, log: log.to_owned() }
    }

    /// What it has said.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal, such as `STOP`, to it and to all the processes it has started.
    pub(crate) fn signal(&self, signal: &str) {
        for id in family(self.child.id()) {
            // One that has ended meanwhile needs none.
            drop(Command::new("kill").args(["-s", signal, &id.to_string()]).stderr(Stdio::null()).status());
        }
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.signal("KILL");
        drop(self.child.wait());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A process and those it has started, and so on.
fn family(id: u32) -> Vec<u32> {
    let mut all = vec![id];
    let mut next = 0;
    while let Some(parent) = all.get(next) {
        let path = format!("/proc/{parent}/task/{parent}/children");
        let children = std::fs::read_to_string(path).unwrap_or_default();
        all.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        next += 1;
    }
    all
}

/// Asks again and again until the answer is yes.
pub(crate) async fn eventually(limit: Duration, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + limit;
    while !is_so().await {
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// How much memory this process uses, and the most that it has used, in bytes.
pub(crate) fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").expect("this process");
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line for each");
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kilobytes * 1024
    };
    (of("VmRSS:"), of("VmHWM:"))
}

/// Whether this test has the process to itself, as the memory of the process is what it measures. If not, it is run
/// again in a process of its own, and this call answers false once that has passed.
pub fn alone(test: &str) -> bool {
    const ALONE: &str = "ZEUGMA_TEST_ALONE";
    if ["NEXTEST", ALONE].iter().any(|name| std::env::var_os(name).is_some()) {
        return true;
    }
    let program = std::env::current_exe().expect("this program");
    let again = Command::new(program).args(["--exact", test]).env(ALONE, "1").output().expect("it runs");
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));
    false
}
