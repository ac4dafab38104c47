//! The description of the admin API is one that others can read, and the API does what it says.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::kit::ftp::{Brand, FtpServer, Tls};
use crate::kit::process::installed;
use crate::kit::program::Program;

/// What schemathesis is told beside its arguments. Its checks of status, media type, headers and shape of each answer, of
/// verbs that are not there and of callers without the token are all on.
const SETTINGS: &str = r#"
seed = 4711
[[operations]]
# A revision that never comes is not to be waited for.
include-operation-id = "revision"
parameters = { "query.timeout" = "100ms" }
[checks]
# What a bundle may hold, no schema of this document says: its definitions are checked by their kinds.
positive_data_acceptance.enabled = false
negative_data_rejection.enabled = false
# The services that it calls may meet a server that is away, and may be paused by it; nothing else may fail.
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 502, 503, 504]
"#;

/// Runs a program of the folder `openapi` of the servers; it must be content.
fn content(program: &str, folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(installed("openapi", &format!("bin/{program}")))
        .args(arguments)
        .current_dir(folder)
        .env("NO_PROXY", "*")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}:\n{said}");
    said.into_owned()
}

#[test]
fn the_description_is_openapi_and_every_schema_in_it_is_one() {
    let node = Program::start(&[]);
    let description = node.admin("/api/v1/openapi.json").send().ok();
    assert_eq!(description.header("content-type"), Some("application/json"));
    node.write("openapi.json", &description.text());
    content("openapi-spec-validator", node.folder.path(), &["--errors", "all", "openapi.json"]);
}

#[tokio::test]
async fn the_api_does_what_its_description_says_whatever_it_is_asked() {
    let ftp = FtpServer::start(Brand::Pyftpdlib, Tls::No).await;
    let node = Program::start(&[]);
    let mut my_ftp = ftp.params();
    (my_ftp["name"], my_ftp["type"]) = ("my.ftp".into(), "ftp".into());
    node.apply(&json!({
        "security": [{"name": "clerk", "type": "basic", "username": "clerk", "password": "hush-hush"}],
        "connections": [my_ftp],
        "channels": [{"name": "ping", "type": "rest", "path": "/ping", "service": "zeugma.ping"}],
    }));
    node.write("schemathesis.toml", SETTINGS);
    let description = format!("{}/api/v1/openapi.json", node.admin);
    let token = format!("Authorization: Bearer {}", node.token());
    // The stream of events has no end, so it is left out.
    let arguments =
        ["run", &description, "-H", &token, "--max-examples", "3", "--exclude-operation-id", "events"];
    let bounds =
        ["--request-timeout", "15", "--no-shrink", "--phases", "coverage,fuzzing", "--warnings", "off"];
    let said = content("schemathesis", node.folder.path(), &[&arguments[..], &bounds].concat());
    assert!(said.contains("No issues found"), "{said}");
    // Nothing of all that has broken it.
    assert_eq!(node.admin("/healthz").send().ok().json()["status"], "ok");
    let log = node.log();
    assert!(!log.contains("panicked"), "{log}");
    let faults = log.lines().find(|line| line.contains(" ERROR ") && !line.contains("nobody waits for"));
    assert_eq!(faults, None);
    assert_eq!(node.stop(), 0);
}
