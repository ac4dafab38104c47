//! New sealing keys: everything is sealed anew in one revision, and nobody is logged out.

use serde_json::json;

use crate::kit::program::Program;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_sealed_anew_in_one_revision_and_nobody_is_logged_out() {
    let node = Program::start(&[]);
    node.apply(&json!({
        "security": [
            {"name": "browsers", "type": "jwt", "username": "web", "password": "hush"},
            {"name": "partner", "type": "api-key", "key": "k3y"},
        ],
        "channels": [
            {"name": "t", "type": "rest", "path": "/t", "service": "zeugma.ping", "security": "browsers"},
            {"name": "k", "type": "rest", "path": "/k", "service": "zeugma.ping", "security": "partner"},
        ],
    }));
    let token = node.good(&["token", "create", "--security", "browsers", "--username", "web"]);
    let bearer = format!("Authorization: Bearer {}", token.trim());
    let lets_in = |node: &Program| {
        let (token, key) = (["-H", &bearer], ["-H", "X-API-Key: k3y"]);
        [node.curl("/t").with(&token).send().status, node.curl("/k").with(&key).send().status]
    };
    assert_eq!(lets_in(&node), [200, 200]);
    let path = node.folder.path().join("zeugma-data/secret.key");
    let old = std::fs::read_to_string(&path).expect("the key");
    let new = node.good(&["key", "generate"]);
    assert_ne!(new.trim(), old.trim());
    let said = node.good(&["key", "rotate"]);
    assert!(said.contains("nothing to change"), "{said}");

    // Both keys: nothing is lost, and everything moves to the new one.
    std::fs::write(&path, format!("{}\n{}\n", new.trim(), old.trim())).expect("written");
    let node = node.crash_and_restart(&[]);
    assert_eq!(lets_in(&node), [200, 200]);
    let said = node.good(&["key", "rotate", "--reason", "yearly"]);
    assert!(said.contains("revision 2 applied"), "{said}");
    assert!(said.contains("security/browsers") && said.contains("security/partner"), "{said}");
    assert!(node.good(&["key", "rotate"]).contains("nothing to change"));
    assert_eq!(lets_in(&node), [200, 200]);

    // The old key is not needed any more, except for the tokens that were made with it.
    std::fs::write(&path, format!("{}\n", new.trim())).expect("written");
    let node = node.crash_and_restart(&[]);
    assert_eq!(lets_in(&node), [401, 200], "{}", node.log());
}
