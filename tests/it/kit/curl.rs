//! curl, the client that everybody has, as a process.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A request that can be sent.
pub(crate) struct Curl {
    command: Command,
    folder: TempDir,
}

/// A request under way.
pub(crate) struct UnderWay {
    child: Child,
    folder: TempDir,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The exit code of curl: 0 if there was an answer, whatever its status.
    pub(crate) exit: i32,
    /// The status; 0 if there was no answer.
    pub(crate) status: u16,
    /// The heads of all answers.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: Vec<u8>,
    /// How long it took, in seconds.
    pub(crate) seconds: f64,
}

impl Curl {
    /// A request to this address: a GET, unless said otherwise.
    pub(crate) fn new(url: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let mut command = Command::new("curl");
        // Nothing of the user's own settings; and no proxy on the way to this machine.
        command.args(["-q", "--noproxy", "*", "--silent", "--show-error", "--max-time", "60", "--globoff"]);
        command.arg("--output").arg(folder.path().join("body"));
        command.arg("--dump-header").arg(folder.path().join("head"));
        command.args(["--write-out", "%{http_code} %{time_total}", url]);
        Self { command, folder }
    }

    /// With these arguments too.
    pub(crate) fn with(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    /// With the body that this file holds, byte for byte.
    pub(crate) fn file(mut self, path: &Path) -> Self {
        self.command.arg("--data-binary").arg(format!("@{}", path.display()));
        self
    }

    /// Sends it and waits for what comes of it.
    pub(crate) fn send(self) -> Answer {
        self.begin().end()
    }

    /// Begins to send it.
    pub(crate) fn begin(mut self) -> UnderWay {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.command.spawn().expect("curl runs; tests/servers.sh curl installs it");
        UnderWay { child, folder: self.folder }
    }
}

impl UnderWay {
    /// Waits for what comes of it.
    pub(crate) fn end(self) -> Answer {
        let output = self.child.wait_with_output().expect("curl ends");
        let read = |name: &str| std::fs::read(self.folder.path().join(name)).unwrap_or_default();
        let out = String::from_utf8(output.stdout).expect("text");
        let (status, seconds) = out.split_once(' ').unwrap_or_else(|| {
            panic!("{out:?}: {}", String::from_utf8_lossy(&output.stderr));
        });
        Answer {
            exit: output.status.code().expect("it ends by itself"),
            status: status.parse().expect("a status"),
            head: String::from_utf8_lossy(&read("head")).into_owned(),
            body: read("body"),
            seconds: seconds.parse().expect("seconds"),
        }
    }
}

impl Answer {
    /// The answer of a request that must have succeeded.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{} {}", self.head, self.text());
        self
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The last header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let named =
            |line: &&str| line.split_once(':').is_some_and(|(n, _)| n.trim().eq_ignore_ascii_case(name));
        let line = self.head.lines().rev().find(named)?;
        line.split_once(':').map(|(_, value)| value.trim())
    }
}
