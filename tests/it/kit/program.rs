//! The program itself: a node as a process of its own in a folder of its own, and the commands that speak to it.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use super::curl::Curl;

/// The program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_zeugma");
/// What `${CLERK_PASSWORD}` is in bundles. No command may ever show it, unless it is asked to reveal secrets.
pub(crate) const PASSWORD: &str = "hush-hush";

/// A node as a process. It ends with this value.
pub(crate) struct Program {
    child: Child,
    _stdout: BufReader<ChildStdout>,
    /// The address of its admin listener.
    pub(crate) admin: String,
    /// The address of its data listener.
    pub(crate) data: String,
    /// The folder it runs in.
    pub(crate) folder: TempDir,
}

impl Program {
    /// Starts one on free ports.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(TempDir::new().expect("a folder"), arguments)
    }

    /// Starts one in a folder that may hold the data of an earlier one.
    pub(crate) fn start_in(folder: TempDir, arguments: &[&str]) -> Self {
        let command = command(folder.path());
        Self::launch(command, folder, arguments)
    }

    /// The same by a command that ends as the program, such as a shell that sets limits before.
    pub(crate) fn launch(mut command: Command, folder: TempDir, arguments: &[&str]) -> Self {
        let log = File::options().create(true).append(true).open(log_of(&folder)).expect("a log file");
        let mut child = command
            .args(["start", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(arguments)
            .args(if arguments.contains(&"--log") { &[][..] } else { &["--log", "warn"] })
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the program runs");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("its output"));
        stdout.read_line(&mut line).expect("a line");
        let words: Vec<&str> = line.split_whitespace().collect();
        let [.., data, "admin", admin] = words[..] else {
            drop(child.kill());
            let log = std::fs::read_to_string(log_of(&folder)).unwrap_or_default();
            panic!("{line:?}, and its log:\n{log}")
        };
        let (data, admin) = (data.trim_end_matches(',').to_owned(), admin.to_owned());
        Self { child, _stdout: stdout, admin, data, folder }
    }

    /// A command that speaks to this node.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(self.folder.path());
        command.env("ZEUGMA_ADMIN_URL", &self.admin).args(arguments);
        command
    }

    /// Runs a command.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        said(self.command(arguments).output().expect("the program runs"))
    }

    /// Runs a command that must succeed, and gives what it wrote.
    pub(crate) fn good(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.code, 0, "{arguments:?}: {said:?}\n{}", self.log());
        said.out
    }

    /// Runs a command that must succeed, and reads the JSON that it wrote.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let out = self.good(&[arguments, &["--output", "json"]].concat());
        serde_json::from_str(&out).expect("JSON")
    }

    /// Applies this bundle with `zeugma apply`.
    pub(crate) fn apply(&self, bundle: &Value) -> String {
        self.write("bundle.json", &bundle.to_string());
        self.good(&["apply", "-f", "bundle.json"])
    }

    /// Writes a file into the folder that the commands run in.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    /// A request by curl to a path of the data listener.
    pub(crate) fn curl(&self, path: &str) -> Curl {
        Curl::new(&format!("{}{path}", self.data))
    }

    /// A request by curl to a path of the admin listener, with the token.
    pub(crate) fn admin(&self, path: &str) -> Curl {
        let token = format!("Authorization: Bearer {}", self.token());
        Curl::new(&format!("{}{path}", self.admin)).with(&["-H", &token])
    }

    /// The admin token.
    pub(crate) fn token(&self) -> String {
        let path = self.folder.path().join("zeugma-data/admin.token");
        std::fs::read_to_string(path).expect("the token").trim().to_owned()
    }

    /// How many calls are inside an actor right now, its state, and the rest of what `zeugma actors` says of it.
    pub(crate) fn actor(&self, family: &str, name: &str) -> Value {
        let actors = self.json(&["actors"]);
        let id = format!("{family}/{name}");
        let found = actors.as_array().expect("a list").iter().find(|actor| actor["id"] == id.as_str());
        found.unwrap_or_else(|| panic!("no {id} in {actors}")).clone()
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        logged(&self.folder)
    }

    /// Sends it a signal, such as `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().expect("kill runs").success());
    }

    /// Waits until it has ended by itself, `limit` at most.
    pub(crate) fn ended(&mut self, limit: Duration) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return status;
            }
            assert!(begun.elapsed() < limit, "it still runs after {limit:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Tells it to stop, as a service manager does, and waits for it.
    pub(crate) fn stop(self) -> i32 {
        self.stop_and_keep().0
    }

    /// The same; what is left is its folder.
    pub(crate) fn stop_and_keep(mut self) -> (i32, TempDir) {
        self.signal("TERM");
        let code = self.ended(Duration::from_secs(60)).code().expect("it ends by itself");
        (code, std::mem::replace(&mut self.folder, TempDir::new().expect("a folder")))
    }

    /// Ends it as a crash would; what is left is its folder.
    pub(crate) fn crash(mut self) -> TempDir {
        self.child.kill().expect("it runs");
        let status = self.child.wait().expect("it ends");
        assert_eq!(status.signal(), Some(9), "it had ended before");
        std::mem::replace(&mut self.folder, TempDir::new().expect("a folder"))
    }

    /// Ends it as a crash would, and starts it again with the same files.
    pub(crate) fn crash_and_restart(self, arguments: &[&str]) -> Self {
        Self::start_in(self.crash(), arguments)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    /// Its exit code.
    pub(crate) code: i32,
    /// Its standard output.
    pub(crate) out: String,
    /// Its standard error.
    pub(crate) err: String,
}

/// What a command said.
pub(crate) fn said(output: Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let code = output.status.code().expect("it ends by itself");
    let said = Said { code, out: text(output.stdout), err: text(output.stderr) };
    assert!(!said.err.contains(PASSWORD), "{said:?}");
    said
}

/// The program in this folder, with nothing of the tests' own environment that could change what it does.
pub(crate) fn command(folder: &Path) -> Command {
    in_folder(PROGRAM, folder)
}

/// The same for another program that ends as ours.
pub(crate) fn in_folder(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env_clear().env("CLERK_PASSWORD", PASSWORD).env("USER", "ada");
    command
}

/// What a node in this folder has logged.
pub(crate) fn logged(folder: &TempDir) -> String {
    std::fs::read_to_string(log_of(folder)).unwrap_or_default()
}

fn log_of(folder: &TempDir) -> PathBuf {
    folder.path().join("node.log")
}
