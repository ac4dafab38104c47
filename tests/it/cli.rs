//! The command line against a real node, both as processes of their own: what it says, and with which exit code.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;

use crate::kit::program::{PASSWORD, Program, command, said};

const BUNDLE: &str = "
security:
- {name: clerk, type: basic, username: clerk, password: '${CLERK_PASSWORD}'}
channels:
- {name: my front/door, type: rest, path: /echo, method: POST, service: zeugma.helpers.echo, security: clerk}
";

#[test]
fn without_a_node_it_says_how_to_start_one() {
    let folder = TempDir::new().expect("a folder");
    let mut command = command(folder.path());
    // Nothing listens on port 1.
    let said = said(command.args(["status", "--url", "http://127.0.0.1:1"]).output().expect("runs"));
    assert_eq!(said.code, 5, "{said:?}");
    assert!(said.err.contains("zeugma start") && said.err.contains("http://127.0.0.1:1:"), "{said:?}");
}

#[test]
fn the_data_folder_says_where_its_node_is() {
    let node = Program::start(&[]);
    let elsewhere = TempDir::new().expect("a folder");
    let mut command = command(elsewhere.path());
    let data = node.folder.path().join("zeugma-data");
    command.env_remove("ZEUGMA_ADMIN_URL").args(["nodes", "--output", "json", "--data"]).arg(&data);
    let said = said(command.output().expect("runs"));
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(std::fs::read_to_string(data.join("admin.url")).expect("there").trim(), node.admin);
    assert_eq!(node.stop(), 0);
}

#[test]
fn wrong_usage_and_wrong_settings_are_told_apart_from_failure() {
    let folder = TempDir::new().expect("a folder");
    let code = |arguments: &[&str]| said(command(folder.path()).args(arguments).output().expect("runs"));
    assert_eq!(code(&["appply"]).code, 2);
    assert_eq!(code(&["actor", "dance", "channel", "x"]).code, 2);
    assert_eq!(code(&["--version"]).code, 0);
    let settings = code(&["start", "--listen", "nowhere", "--admin", "0.0.0.0:0"]);
    assert_eq!(settings.code, 2, "{settings:?}");
    assert!(settings.err.contains("--listen: ") && settings.err.contains("there is no TLS"), "{settings:?}");
    assert_eq!(code(&["check", "-f", "none.yaml"]).code, 1);
    assert_eq!(code(&["kinds", "rest"]).code, 0);
    assert_eq!(code(&["completions", "bash"]).code, 0);
}

#[test]
fn a_bundle_is_checked_without_a_node() {
    let folder = TempDir::new().expect("a folder");
    let check = |text: &str| {
        std::fs::write(folder.path().join("b.yaml"), text).expect("written");
        said(command(folder.path()).args(["check", "-f", "b.yaml"]).output().expect("runs"))
    };
    assert_eq!(check(BUNDLE).code, 0);
    let wrong =
        check(&BUNDLE.replace("path: /echo", "pth: /echo").replace("security: clerk}", "security: clrk}"));
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(wrong.err.contains("b.yaml:5:3 channel/my front/door.pth: "), "{wrong:?}");
}

#[test]
fn definitions_go_in_change_and_come_out() {
    let node = Program::start(&[]);
    node.write("b.yaml", BUNDLE);
    let diff = node.good(&["diff", "-f", "b.yaml"]);
    assert!(diff.contains("+ channel/my front/door\n") && diff.contains("2 would change"), "{diff}");
    let applied = node.good(&["apply", "-f", "b.yaml", "--reason", "why not"]);
    assert!(
        applied.contains("revision 1 applied on 1/1 nodes in ") && !applied.contains(PASSWORD),
        "{applied}"
    );
    assert!(node.good(&["apply", "-f", "."]).contains("nothing to change, 2 unchanged"));
    assert!(node.good(&["get"]).contains("my front/door  rest   yes"));
    assert!(node.good(&["get", "channels", "my front/door"]).contains("path: /echo"));

    node.write("b.yaml", &BUNDLE.replace("/echo,", "/other,"));
    let conflict = node.run(&["apply", "-f", "b.yaml", "--expect", "0"]);
    assert_eq!(conflict.code, 4, "{conflict:?}");
    let changed = node.good(&["apply", "-f", "b.yaml", "--expect", "1"]);
    assert!(changed.contains("~ channel/my front/door\n    path: \"/echo\" -> \"/other\"\n"), "{changed}");

    node.write("b.yaml", &BUNDLE.replace("zeugma.helpers.echo", "zeugma.helpers.ecko"));
    let faults = node.run(&["apply", "-f", "b.yaml"]);
    assert_eq!(faults.code, 1);
    assert!(faults.err.contains("b.yaml:5:3 channel/my front/door.service: refers to"), "{faults:?}");

    let exported = node.good(&["export"]);
    assert!(exported.contains("(sealed)") && !exported.contains(PASSWORD), "{exported}");
    node.good(&["export", "--reveal-secrets", "-o", "all.yaml"]);
    let revealed = std::fs::read_to_string(node.folder.path().join("all.yaml")).expect("written");
    assert!(revealed.contains(PASSWORD));

    let needed = node.run(&["delete", "security", "clerk"]);
    assert!(
        needed.code == 1 && needed.err.contains("channel/my front/door: refers to security/clerk"),
        "{needed:?}"
    );
    node.good(&["delete", "channel", "my front/door"]);
    let back = node.good(&["rollback", "1"]);
    assert!(back.contains("+ channel/my front/door") && back.contains("revision 4 applied"), "{back}");
    let history = node.good(&["history", "--output", "json"]);
    let history: serde_json::Value = serde_json::from_str(&history).expect("JSON");
    assert_eq!(history.as_array().map(Vec::len), Some(4));
    assert_eq!(history[3]["reason"], "why not");
    assert!(history[3]["author"].as_str().is_some_and(|author| author.starts_with("ada@")), "{history}");

    let pruned =
        node.command(&["apply", "-f", "-", "--prune"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
    let mut pruned = pruned.expect("runs");
    let only = b"channels: [{name: ping, type: rest, path: /ping, service: zeugma.ping}]";
    pruned.stdin.take().expect("its input").write_all(only).expect("written");
    assert!(pruned.wait().expect("it ends").success());
    assert_eq!(node.good(&["get"]).lines().count(), 2);
    assert_eq!(node.stop(), 0);
}

#[test]
fn a_password_is_set_without_being_seen() {
    let node = Program::start(&[]);
    node.write("b.yaml", BUNDLE);
    node.good(&["apply", "-f", "b.yaml"]);
    let mut set = node.command(&["password", "set", "security", "clerk"]);
    let mut set = set.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("runs");
    set.stdin.take().expect("its input").write_all(b"another-one\n").expect("written");
    let set = said(set.wait_with_output().expect("it ends"));
    assert!(set.code == 0 && set.out.contains("password: \"(sealed)\" -> another"), "{set:?}");
    assert!(!set.out.contains("another-one"), "{set:?}");
    assert!(node.good(&["export", "--reveal-secrets"]).contains("another-one"));
}

#[test]
fn what_runs_is_shown_told_and_called() {
    let node = Program::start(&[]);
    assert!(node.good(&["status"]).contains("ok"));
    assert!(node.good(&["nodes", "--output", "yaml"]).contains("stopping: false"));
    assert!(node.good(&["service", "list"]).contains("zeugma.ping"));
    assert!(node.good(&["service", "show", "zeugma.ping"]).contains("OUTPUT  TYPE"));
    assert!(node.good(&["actors", "--tree"]).contains("└─ keeper"));
    assert!(node.good(&["actor", "pause", "service", "zeugma.ping"]).contains("phase: paused"));
    assert!(node.good(&["status"]).contains("\nservice/zeugma.ping is paused"));
    let paused = node.run(&["invoke", "zeugma.ping"]);
    assert!(paused.code == 1 && paused.err.contains("service/zeugma.ping is paused"), "{paused:?}");
    node.good(&["actor", "resume", "service", "zeugma.ping"]);
    assert_eq!(node.good(&["invoke", "zeugma.ping"]), r#"{"pong":"zeugma"}"#);
    assert_eq!(node.good(&["invoke", "zeugma.helpers.echo", "--payload", "just bytes"]), "just bytes");
    assert!(node.good(&["invoke", "zeugma.ping", "--async"]).contains("cid"));
    let token = said(node.command(&["status"]).env("ZEUGMA_ADMIN_TOKEN", "wrong").output().expect("runs"));
    assert!(token.code == 1 && token.err.contains("ZEUGMA_ADMIN_TOKEN"), "{token:?}");
}

#[test]
fn bundles_are_applied_at_the_start_and_when_a_watched_folder_changes() {
    let bundles = TempDir::new().expect("a folder");
    let (first, watched) = (bundles.path().join("first.yaml"), bundles.path().join("watched"));
    std::fs::write(&first, "channels: [{name: a, type: rest, path: /a, service: zeugma.ping}]")
        .expect("written");
    std::fs::create_dir(&watched).expect("made");
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let node = Program::start(&["--apply", &text(&first), "--watch", &text(&watched)]);
    assert!(node.data.starts_with("http://127.0.0.1:"));
    let bundle = "channels: [{name: b, type: rest, path: /b, service: zeugma.ping}]";
    std::fs::write(watched.join("b.yaml"), bundle).expect("written");
    let deadline = std::time::Duration::from_secs(20);
    let begun = tokio::time::Instant::now();
    while !node.good(&["get", "channel"]).contains("\nchannel  b ") {
        assert!(begun.elapsed() < deadline, "the watched folder is not applied");
        #[allow(clippy::disallowed_methods, reason = "nothing else runs on this thread")]
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert!(node.good(&["get", "channel"]).contains("\nchannel  a "));

    // What is wrong ends the start, and says why.
    std::fs::write(&first, "channels: [{name: a, type: rest, path: a, service: zeugma.ping}]")
        .expect("written");
    let start = ["start", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--apply"];
    let folder = TempDir::new().expect("a folder");
    let wrong = said(command(folder.path()).args(start).arg(&first).output().expect("runs"));
    assert!(wrong.code == 1 && wrong.err.contains("first.yaml:1:12 channel/a.path: "), "{wrong:?}");
}

#[test]
fn a_hash_is_made_without_a_node_and_fits_a_bundle_that_a_check_takes() {
    let folder = TempDir::new().expect("a folder");
    let run = |arguments: &[&str], hash: &str, input: &str| {
        let mut command = command(folder.path());
        let command = command.args(arguments).env("HASH", hash).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("written");
        said(child.wait_with_output().expect("it ends"))
    };
    let made = run(&["password", "hash"], "", "hush-hush\n");
    assert!(made.code == 0 && made.out.starts_with("$argon2id$"), "{made:?}");
    let bundle = "security: [{name: a, type: basic, username: a, password_hash: '${HASH}'}]";
    let checked = run(&["check", "-f", "-"], made.out.trim(), bundle);
    assert_eq!((checked.code, checked.out.trim()), (0, "1 definition checked: no fault"), "{checked:?}");
    let wrong = run(&["check", "-f", "-"], "no hash", &bundle.replace("username", "usrname"));
    assert_eq!(wrong.code, 1, "{wrong:?}");
    // A check changes nothing in any case.
    assert!(wrong.err.ends_with("error: there are 2 faults\n"), "{wrong:?}");
    let kind = run(&["kinds", "ftpp"], "", "");
    assert!(kind.err.contains("did you mean \"ftp\"?"), "{kind:?}");
}
