//! The Python that runs packages: none, one that is no Python, a virtual environment; and what it gets to see.

use std::process::Command;

use super::{deploy, json};
use crate::kit::program::{Program, command};

const WORK: &str = "
from zeugma import Service

class Quick(Service):
    name = 'quick'
    def handle(self):
        self.response.payload = 'quick'
";

#[test]
fn without_python_native_services_run_and_a_deployment_says_what_is_missing() {
    for (python, told) in [("/nowhere/python3", "install"), ("/bin/false", "has to be Python 3.9 or newer")] {
        let node = Program::start(&["--python", python]);
        node.write("work.py", WORK);
        let said = node.run(&["deploy", "work.py"]);
        assert!(said.code == 1 && said.err.contains(told) && said.err.contains(python), "{said:?}");
        assert!(node.good(&["invoke", "zeugma.ping"]).contains("pong"));
        assert!(node.json(&["package", "list"]).as_array().is_none_or(Vec::is_empty));
    }
}

#[test]
fn a_virtual_environment_can_be_named_for_the_node_and_for_a_package() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let made = Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(folder.path()).status();
    assert!(made.expect("python3 runs").success());
    let library = folder.path().join("lib");
    let version = std::fs::read_dir(&library).expect("a folder").flatten().next().expect("one").path();
    std::fs::write(version.join("site-packages/our_rates.py"), "EUR = 4\n").expect("written");
    let work = WORK.replace("class Quick", "import our_rates\n\nclass Quick")
        + "\n\nclass Rate(Service):\n    name = 'rate'\n    def handle(self):\n        self.response.payload = str(our_rates.EUR)\n";
    let python = folder.path().join("bin/python3");
    let python = python.to_str().expect("text");

    let node = Program::start(&["--python", python]);
    deploy(&node, &work, &[]);
    assert_eq!(node.curl("/rate").send().ok().text(), "4");

    let node = Program::start(&[]);
    node.write("work.py", &work);
    let said = node.run(&["deploy", "work.py"]);
    assert!(said.code == 1 && said.err.contains("No module named 'our_rates'"), "{said:?}");
    deploy(&node, &work, &["--python", python]);
    assert_eq!(node.curl("/rate").send().ok().text(), "4");
}

#[test]
fn services_see_the_environment_but_nothing_of_the_engine_s_own() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let mut command = command(folder.path());
    command.env("ZEUGMA_KEYS_OF_NOBODY", "hush").env("SHOWN", "yes");
    let node = Program::launch(command, folder, &[]);
    let text = "
import os
from zeugma import Service

class Environment(Service):
    name = 'json-environment'
    def handle(self):
        self.response.payload = {
            'ours': [name for name in os.environ if name.startswith('ZEUGMA')], 'shown': os.environ.get('SHOWN'),
            'open': sorted(os.readlink('/proc/self/fd/' + fd).split(':')[0] for fd in os.listdir('/proc/self/fd')
                           if os.path.exists('/proc/self/fd/' + fd)),
        }
";
    deploy(&node, text, &["--workers", "1"]);
    let seen = node.curl("/json-environment").send().ok().json();
    assert_eq!((&seen["ours"], &seen["shown"]), (&json!([]), &json!("yes")));
    // Nothing of the engine's is open in it but its own socket, and the pipe of what it prints.
    let open = seen["open"].to_string();
    assert!(!open.contains(".redb") && !open.contains("zeugma-data"), "{open}");
}
