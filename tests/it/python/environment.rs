//! What the processes that run services get to see of the node's: variables that are named, and no file of it.

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{deploy, json, pids, zygote};
use crate::kit::program::{Program, command};

const LOOK: &str = "
import os
from zeugma import Service

class Environment(Service):
    name = 'json-environment'
    def handle(self):
        self.response.payload = {
            'seen': dict(os.environ),
            'open': sorted(os.readlink('/proc/self/fd/' + fd).split(':')[0] for fd in os.listdir('/proc/self/fd')
                           if os.path.exists('/proc/self/fd/' + fd)),
        }
";

/// A node in this environment, and what a service sees in it.
fn node(variables: &[(&str, &str)]) -> (Program, Value) {
    let folder = TempDir::new().expect("a folder");
    let mut command: Command = command(folder.path());
    command.envs(variables.iter().copied());
    let node = Program::launch(command, folder, &[]);
    deploy(&node, LOOK, &["--workers", "1"]);
    let seen = node.curl("/json-environment").send().ok().json();
    (node, seen)
}

#[test]
fn services_see_the_variables_that_every_program_needs_and_no_secret() {
    let needed = [("LC_ALL", "C.UTF-8"), ("TZ", "Europe/London"), ("https_proxy", "http://proxy:1")];
    let secret = [
        ("ZEUGMA_KEYS_OF_NOBODY", "hush-1"),
        ("AWS_SECRET_ACCESS_KEY", "hush-2"),
        ("DATABASE_URL", "postgres://app:hush-3@db"),
        ("PYTHONPATH", "/hush-4"),
        ("LD_PRELOAD_OF_NOBODY", "hush-5"),
    ];
    let (node, found) = node(&[&needed[..], &secret].concat());
    for (name, value) in needed {
        assert_eq!(found["seen"][name], value);
    }
    assert_eq!(found["seen"]["USER"], "ada");
    assert!(!found["seen"].to_string().contains("hush"), "{found}");
    // Nor is it in what the system shows of the processes.
    for pid in [zygote(&node), pids(&node)[0]] {
        let shown = std::fs::read(format!("/proc/{pid}/environ")).expect("it runs");
        let shown = String::from_utf8_lossy(&shown);
        assert!(shown.contains("TZ=Europe/London") && !shown.contains("hush"), "{shown}");
    }
    // Nothing of the engine's is open in it but its own socket, and the pipe of what it prints.
    let open = found["open"].to_string();
    assert!(!open.contains(".redb") && !open.contains("zeugma-data"), "{open}");
}

#[test]
fn a_setting_names_the_variables_that_services_see_besides() {
    let variables = [
        ("ZEUGMA_PYTHON_ENVIRONMENT", "APP_MODE, AWS_*"),
        ("APP_MODE", "test"),
        ("AWS_REGION", "eu"),
        ("OTHER", "hush"),
    ];
    let (_node, found) = node(&variables);
    let seen = &found["seen"];
    assert_eq!((&seen["APP_MODE"], &seen["AWS_REGION"]), (&json!("test"), &json!("eu")));
    assert_eq!((&seen["OTHER"], &seen["ZEUGMA_PYTHON_ENVIRONMENT"]), (&Value::Null, &Value::Null));

    let folder = TempDir::new().expect("a folder");
    let start = ["start", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let said = command(folder.path()).args(start).env("ZEUGMA_PYTHON_ENVIRONMENT", "ZEUGMA_KEYS").output();
    let said = said.expect("it runs");
    let error = String::from_utf8_lossy(&said.stderr);
    assert!(
        !said.status.success() && error.contains("python_environment is not a list of names of variables"),
        "{error}"
    );
}
