//! A secret appears nowhere, whatever goes well or wrong: not in the log at its loudest, not in an error, a metric, an
//! event, an export or a listing, and not on the disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use actors::{AnyKind, Registry};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use config::{Clear, Draft, Place, Rules as _};
use serde_json::{Map, Value, json};

use crate::kit::curl::Answer;
use crate::kit::ftp::{Brand, FtpServer, PASSWORD as FTP_PASSWORD, Tls};
use crate::kit::process::eventually;
use crate::kit::program::{PASSWORD, Program};
use crate::kit::recorder::Recorder;

/// The secrets in use, by what they are for; each is one of its own, so that what leaks is known.
#[derive(Default)]
struct Secrets(BTreeMap<String, String>);

impl Secrets {
    fn make(&mut self, what: &str) -> String {
        let secret = format!("Leak{}x{}", self.0.len(), STANDARD.encode(what).replace(['=', '+', '/'], "0"));
        self.0.insert(what.to_owned(), secret.clone());
        secret
    }

    /// Fails if a text shows one of them, in clear or as basic authentication writes it.
    fn are_not_in(&self, place: &str, text: &[u8]) {
        let found = |secret: &str| text.windows(secret.len()).any(|window| window == secret.as_bytes());
        for (what, secret) in &self.0 {
            assert!(!found(secret), "{place} shows the secret of {what}");
            let encoded = STANDARD.encode(format!("caller:{secret}"));
            assert!(!found(&encoded), "{place} shows the secret of {what} in base64");
        }
    }
}

/// Puts a value at a pointer into the parameters; in place of `*`, under a key of its own.
fn put(params: &mut Map<String, Value>, pointer: &[String], value: Value) {
    let Some((first, rest)) = pointer.split_first() else { return };
    let key = if first == "*" { "X-Secret" } else { first };
    if rest.is_empty() {
        params.insert(key.to_owned(), value);
        return;
    }
    let inner = params.entry(key).or_insert_with(|| json!({}));
    put(inner.as_object_mut().expect("secrets are in maps"), rest, value);
}

/// Definitions of this kind that together use each of its secret parameters.
fn definitions(kind: &dyn AnyKind, registry: &Registry, secrets: &mut Secrets) -> Vec<Draft> {
    let all = kind.shape().secrets.clone();
    let one = |pointer: &config::Pointer| {
        let what = format!("{} {}", kind.tag(), pointer.0.join("."));
        let secret = secrets.make(&what);
        // A parameter may want another form of the secret, or to be the only one.
        let hash = actors::security::basic::hash_password(&secret).expect("a hash");
        let tries = [(&secret, true), (&secret, false), (&hash, true), (&hash, false)];
        let drafts = tries.map(|(value, with_others)| {
            let mut params = kind.shape().example.clone();
            for other in &all {
                let first = other.0.first().expect("a name");
                if !with_others {
                    params.remove(first);
                }
            }
            put(&mut params, &pointer.0, value.as_str().into());
            if let Some(Value::Object(grant)) = params.get_mut("client_credentials") {
                grant.insert("token_url".into(), "http://127.0.0.1:1/token".into());
                grant.insert("client_id".into(), "us".into());
            }
            params.remove("security");
            if pointer.0 == ["secret_id"] {
                params.insert("role_id".into(), "a role".into()); // one is of no use without the other
            }
            let name = what.replace(['.', ' ', '*'], "-");
            let tag: config::KindTag = kind.tag().parse().expect("a tag");
            let id = config::DefId::new(tag.family, name.parse().expect("a name"));
            Draft { id, kind: tag, enabled: true, params: Clear(params), place: Place::default() }
        });
        let right = drafts.into_iter().find(|draft| registry.check(draft).faults.is_empty());
        let draft = right.unwrap_or_else(|| panic!("{what}: teach this test how it is used"));
        if draft.params.0.values().any(|value| value == hash.as_str()) {
            secrets.0.insert(what, hash);
        }
        draft
    };
    all.iter().map(one).collect()
}

/// As a bundle lists it.
fn listed(draft: &Draft) -> Value {
    let mut listed = Map::new();
    listed.insert("name".into(), draft.id.name.as_str().into());
    listed.insert("type".into(), draft.kind.r#type.clone().into());
    listed.extend(draft.params.0.clone());
    listed.into()
}

/// All the files below a folder, as one.
fn everything_in(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        all.extend(if path.is_dir() { everything_in(&path) } else { std::fs::read(path).expect("a file") });
    }
    all
}

#[tokio::test]
async fn no_secret_is_shown_whatever_goes_well_or_wrong() {
    let (ftp, erp) = (FtpServer::start(Brand::Pyftpdlib, Tls::No).await, Recorder::start().await);
    let registry = Registry::new(&[], &[]).expect("a registry");
    let mut secrets = Secrets::default();
    secrets.0.insert("the FTP server".into(), FTP_PASSWORD.into());

    // Each secret parameter of each kind; connections with the wrong and with the right password; each security as what
    // callers must show, and as what a connection shows to others.
    let mut bundle = json!({"security": [], "connections": [], "channels": []});
    let mut add = |family: &str, definition: Value| {
        bundle[family].as_array_mut().expect("a list").push(definition);
    };
    for (_, kind) in registry.kinds() {
        for draft in definitions(kind, &registry, &mut secrets) {
            add(draft.id.family.plural(), listed(&draft));
        }
    }
    let mut my_ftp = ftp.params();
    (my_ftp["name"], my_ftp["type"]) = ("my.ftp".into(), "ftp".into());
    add("connections", my_ftp.clone());
    let wrong = secrets.make("a wrong FTP password");
    (my_ftp["name"], my_ftp["password"]) = ("refused.ftp".into(), wrong.into());
    add("connections", my_ftp);
    let guards = [
        json!({"name": "by-password", "type": "basic", "username": "caller", "password": secrets.make("by-password")}),
        json!({"name": "by-key", "type": "api-key", "header": "X-API-Key", "key": secrets.make("by-key")}),
        json!({"name": "by-token", "type": "bearer", "token": secrets.make("by-token")}),
    ];
    for guard in &guards {
        let name = guard["name"].as_str().expect("a name");
        add("security", guard.clone());
        let header = secrets.make(&format!("a header of {name}"));
        add(
            "connections",
            json!({"name": format!("to {name}"), "type": "http", "url": format!("{}/{name}", erp.url),
                                  "security": name, "secret_headers": {"X-Secret": header}}),
        );
        if name != "by-token" {
            add(
                "channels",
                json!({"name": format!("from {name}"), "type": "rest", "path": format!("/{name}"),
                               "service": "ftp-handler", "security": name}),
            );
        } // a bearer token is for outgoing requests only
    }
    add(
        "connections",
        json!({"name": "ERP", "type": "http", "url": format!("{}/erp", erp.url), "security": "by-token"}),
    );
    add("channels", json!({"name": "billing", "type": "rest", "path": "/billing", "service": "billing"}));
    // An address that is none: the connection is there and fails.
    add(
        "connections",
        json!({"name": "nobody", "type": "http", "url": "http://127.0.0.1:1/", "security": "by-password"}),
    );

    let node = Program::start(&["--log", "trace"]);
    let events = node.admin("/api/v1/events").with(&["--no-buffer", "--max-time", "4"]).begin();
    let mut said = vec![("apply", node.apply(&bundle))];
    ftp.put("home/api/billing.csv", b"a bill");

    let by_name = |what: &str| secrets.0[what].clone();
    let show: [(&str, Vec<String>); 2] = [
        ("by-password", vec!["--user".into(), format!("caller:{}", by_name("by-password"))]),
        ("by-key", vec!["-H".into(), format!("X-API-Key: {}", by_name("by-key"))]),
    ];
    let file = node.write("sent", "a body");
    let mut answers: Vec<Answer> = Vec::new();
    for (index, (path, right)) in show.iter().enumerate() {
        let right: Vec<&str> = right.iter().map(String::as_str).collect();
        let request = || node.curl(&format!("/{path}")).file(&file);
        answers.push(request().with(&right).send().ok());
        // What opens another door does not open this one.
        let other: Vec<&str> = show[1 - index].1.iter().map(String::as_str).collect();
        let refused = request().with(&other).send();
        assert_eq!(refused.status, 401);
        answers.extend([refused, request().send()]);
    }
    answers.push(node.curl("/billing").with(&["-X", "POST"]).send().ok());
    let posted = erp.received().pop().expect("it is posted");
    assert_eq!(posted.head["headers"]["authorization"], format!("Bearer {}", by_name("by-token")));

    // Every connection is asked whether the other side is there; some are, some refuse, some are not there at all.
    let names = |value: Value| -> Vec<String> {
        let definitions = value["definitions"].as_array().expect("a list").clone();
        definitions.iter().map(|d| d["id"].as_str().expect("an id").to_owned()).collect()
    };
    let connections = names(node.json(&["get", "connection"]));
    let mut outcomes = Vec::new();
    for id in &connections {
        for verb in ["ping", "stats"] {
            let path = format!("/api/v1/actors/{}/{verb}?timeout=1s", id.replace(' ', "%20"));
            let report = node.admin(&path).with(&["-X", "POST"]).send();
            outcomes.push(report.status);
            answers.push(report);
        }
    }
    assert!(outcomes.contains(&200) && outcomes.contains(&502), "{outcomes:?}");
    eventually(Duration::from_secs(5), "the refused login is seen", async || {
        node.actor("connection", "refused.ftp")["state"] == "down"
    })
    .await;

    // Faults: a secret of the wrong type, in the wrong place, and one that cannot be.
    let with_login = |scheme: &str| format!("{scheme}://api:{}@files.example", by_name("by-password"));
    let digits = 7_742_091_774_209_177_420_u64;
    let faulty = json!({"security": [
        {"name": "a", "type": "basic", "username": "u", "password": digits},
        {"name": "b", "type": "basic", "username": "u", "passwort": by_name("by-password")},
        {"name": "c", "type": "bearer", "token": [by_name("by-token")]},
        {"name": "d", "type": "basic", "username": "u", "password_hash": by_name("by-password")},
        {"name": "e", "type": "api-key", "header": "X", "key": format!("{}\n", by_name("by-key"))},
        {"name": "f", "type": "bearer", "client_credentials":
            {"token_url": with_login("https"), "client_id": "us", "client_secret": by_name("by-token")}},
        {"name": "g", "type": "bearer", "accept":
            {"jwks_url": with_login("https"), "issuer": "i", "audience": ["a"], "algorithms": ["RS256"]}},
    ], "connections": [
        {"name": "h", "type": "ftp", "host": with_login("ftp")},
        {"name": "i", "type": "http", "url": with_login("http")},
        {"name": "j", "type": "vault", "url": with_login("http"), "nodes": [with_login("https"), with_login("")]},
    ]});
    let faulty = node.write("faulty.json", &faulty.to_string());
    for command in ["apply", "check"] {
        let refused = node.run(&[command, "-f", "faulty.json"]);
        assert_eq!(refused.code, 1, "{refused:?}");
        said.push((command, refused.err));
    }
    answers.push(node.admin("/api/v1/apply").file(&faulty).send());
    assert_eq!(answers.last().map(|answer| answer.status), Some(422));
    assert!(
        !said.iter().any(|(_, text)| text.contains("7742091774209")),
        "a fault shows a secret of digits: {said:?}"
    );

    // Where a node is looked for, with a login for what is in front of it.
    for url in [with_login("http").replace("files.example", "127.0.0.1:1"), with_login("")] {
        let mut status = node.command(&["status"]);
        let status =
            crate::kit::program::said(status.env("ZEUGMA_ADMIN_URL", url).output().expect("it runs"));
        assert!(status.code != 0 && status.err.contains("URL"), "{status:?}");
        said.push(("status", status.err));
    }

    // All that shows something.
    let changed = secrets.make("a changed password");
    let mut set = node.command(&["password", "set", "security", "by-password"]);
    let mut set =
        set.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().expect("runs");
    std::io::Write::write_all(&mut set.stdin.take().expect("its input"), changed.as_bytes())
        .expect("written");
    said.push((
        "password set",
        String::from_utf8(set.wait_with_output().expect("it ends").stdout).expect("text"),
    ));
    for command in [
        &["get"][..],
        &["export"],
        &["history", "--changes"],
        &["history", "--output", "json"],
        &["status"],
        &["actors", "--tree"],
        &["nodes"],
        &["diff", "-f", "bundle.json"],
        &["rollback", "1"],
        &["service", "list"],
    ] {
        said.push((command[0], node.good(command)));
    }
    for id in names(node.json(&["get"])) {
        answers.push(node.admin(&format!("/api/v1/definitions/{}", id.replace(' ', "%20"))).send().ok());
    }
    said.push(("get", node.good(&["get", "connection", "my.ftp"])));
    for path in [
        "/metrics",
        "/api/v1/export?format=json",
        "/api/v1/definitions",
        "/api/v1/history",
        "/api/v1/actors",
        "/api/v1/nodes",
        "/api/v1/kinds",
        "/api/v1/revision",
        "/api/v1/services",
        "/api/v1/openapi.json",
    ] {
        answers.push(node.admin(path).send().ok());
    }
    let events = events.end();
    assert!(events.text().contains("revision"), "{}", events.text());
    answers.push(events);

    for (what, text) in &said {
        secrets.are_not_in(what, text.as_bytes());
    }
    for answer in &answers {
        secrets.are_not_in("an answer", &answer.body);
        secrets.are_not_in("the head of an answer", answer.head.as_bytes());
    }
    let revealed = node.good(&["export", "--reveal-secrets"]);
    for (what, secret) in secrets.0.iter().filter(|(what, _)| *what != "a changed password") {
        assert!(revealed.contains(secret.as_str()), "{what} was not even there");
    }
    secrets.are_not_in("the node's own files", &everything_in(&node.folder.path().join("zeugma-data")));
    let token = node.token();
    secrets.0.insert("the admin listener".into(), token);
    secrets.0.insert("the environment".into(), PASSWORD.into());
    let log = node.log();
    assert!(log.contains("TRACE") && log.contains("DEBUG"), "the log is not at its loudest");
    let shown = log.lines().find(|line| secrets.0.values().any(|secret| line.contains(secret.as_str())));
    assert_eq!(shown, None);
    secrets.are_not_in("the log", log.as_bytes());
    assert_eq!(node.stop(), 0);
}
