//! Tokens made and read by others: PyJWT, and the Fernet of `cryptography`.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::process::installed;

/// What `tokens.py` answers to this.
pub(crate) fn python(ask: &Value) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/kit/tokens.py");
    let mut child = Command::new(installed("tokens", "bin/python"))
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python runs; tests/servers.sh tokens installs it");
    let mut input = child.stdin.take().expect("an input");
    input.write_all(ask.to_string().as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{ask}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}
