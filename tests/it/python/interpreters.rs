//! The Python that runs packages: none, one that is no Python, a virtual environment.

use std::process::Command;

use super::deploy;
use crate::kit::program::Program;

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
