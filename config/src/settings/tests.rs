//! Tests of the settings: the order of the layers, and every fault at once.

use super::*;

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn load(toml: &str, variables: &[(&str, &str)], flags: &Flags) -> Result<Settings, Faults> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("node.toml");
    std::fs::write(&file, toml).expect("written");
    Settings::load(Some(&file), &environment(variables), flags).map_err(|faults| {
        let head = format!("{}/", folder.path().display());
        Faults(faults.0.into_iter().map(|f| Fault { at: f.at.replace(&head, ""), ..f }).collect())
    })
}

fn faults(toml: &str, variables: &[(&str, &str)], flags: &Flags) -> Vec<String> {
    let faults = load(toml, variables, flags).expect_err("faults");
    faults.0.iter().map(ToString::to_string).collect()
}

#[test]
fn a_node_that_is_told_nothing_has_defaults_that_are_safe() {
    let settings = Settings::load(None, &Environment::default(), &Flags::default()).expect("no faults");
    assert_eq!(settings.listen.to_string(), "127.0.0.1:11223");
    assert_eq!(settings.admin.to_string(), "127.0.0.1:8183");
    assert_eq!(settings.data, Path::new("zeugma-data"));
    assert_eq!(settings.store.to_string(), "embedded");
    assert_eq!(settings.cluster.as_str(), "zeugma");
    assert!(!settings.node.as_str().is_empty());
    assert_eq!((settings.tls, settings.insecure, settings.cluster_listen), (None, false, None));
    assert_eq!((settings.log.as_str(), settings.log_format), ("info", LogFormat::Text));
    assert_eq!(settings.max_connections.get(), 10_000);
    assert_eq!((settings.header_timeout, settings.drain_timeout), (Span::secs(10), Span::secs(30)));
    assert_eq!(settings.write_timeout, Span::secs(30));
}

#[test]
fn later_layers_win_and_each_may_set_anything() {
    let toml = "\
listen = '127.0.0.1:1'
admin = '127.0.0.1:2'
cluster = 'file'
apply = ['a.yaml', 'b']
max_connections = 7
drain_timeout = 60
header_timeout = '250ms'
write_timeout = '5s'
log_format = 'json'
";
    let variables = [
        ("ZEUGMA_ADMIN", "127.0.0.1:3"),
        ("ZEUGMA_CLUSTER", "42"),
        ("ZEUGMA_NODE", "true"),
        ("ZEUGMA_APPLY", "c.yaml, d"),
        ("ZEUGMA_MAX_CONNECTIONS", "8"),
        ("ZEUGMA_INSECURE", "true"),
        ("ZEUGMA_LISTEN", ""),
        // Not settings: set by an orchestrator, or for the command line.
        ("ZEUGMA_PORT", "tcp://10.0.0.1:80"),
        ("ZEUGMA_ADMIN_TOKEN", "hush"),
    ];
    let flags = Flags {
        cluster: Some("flag".into()),
        store: Some(Secret::new("redis://:hush@localhost:6379")),
        listen: Some("0.0.0.0:4".into()),
        ..Flags::default()
    };
    let settings = load(toml, &variables, &flags).expect("no faults");
    assert_eq!((settings.listen.port(), settings.admin.port()), (4, 3));
    assert_eq!((settings.cluster.as_str(), settings.node.as_str()), ("flag", "true"));
    assert_eq!(settings.apply, [Path::new("c.yaml"), Path::new("d")]);
    assert_eq!(settings.max_connections.get(), 8);
    assert_eq!((settings.header_timeout, settings.drain_timeout), (Span::millis(250), Span::secs(60)));
    assert_eq!(settings.write_timeout, Span::secs(5));
    assert_eq!(settings.log_format, LogFormat::Json);
    assert!(
        matches!(&settings.store, StoreUrl::Redis(url) if url.reveal() == "redis://:hush@localhost:6379")
    );
    for shown in [format!("{settings:?}"), format!("{flags:?}"), format!("{:?}", environment(&variables))] {
        assert!(!shown.contains("hush"), "{shown}");
    }
}

#[test]
fn all_faults_come_at_once_each_with_its_layer_and_without_values() {
    let toml = "lisen = 1\nadmin = 'hush'\ninsecure = 'hush'\ntls_cert = 'c.pem'\nlog_format = 'hush'\n[http]\nx = 1\n";
    let variables =
        [("ZEUGMA_STORE", "mysql://hush"), ("ZEUGMA_MAX_CONNECTIONS", "0"), ("ZEUGMA_NODE", " hush")];
    let flags = Flags { cluster_listen: Some("hush:1".into()), ..Flags::default() };
    let found = faults(toml, &variables, &flags);
    let expected = [
        "node.toml http: there is no such setting (known: listen, ",
        "node.toml lisen: there is no such setting (did you mean \"listen\"?)",
        "node.toml admin: admin is not an address and a port",
        "ZEUGMA_STORE: store is not a store",
        "ZEUGMA_NODE: node is not a name",
        "--cluster-listen: cluster_listen is not an address",
        "node.toml insecure: insecure is not true or false",
        "node.toml log_format: log_format is not text or json",
        "ZEUGMA_MAX_CONNECTIONS: max_connections is not a number from 1",
        "node.toml tls_cert: tls_cert is given, but tls_key is not",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "\n   found {found}\nexpected {expected}");
        assert!(!found.contains("hush"), "{found}");
    }
    let found = faults("cluster_secret = \"hush\"\nadmin = hush", &[], &Flags::default());
    assert!(
        found[0].starts_with("node.toml: TOML parse error at line 2, column 9") && !found[0].contains("hush"),
        "{found:?}"
    );
    let missing =
        Settings::load(Some(Path::new("/nowhere/node.toml")), &Environment::default(), &Flags::default());
    assert!(missing.expect_err("no file").to_string().contains("/nowhere/node.toml: cannot be read"));
}

#[test]
fn an_open_address_needs_tls_or_the_word_insecure() {
    let told = |text: &str| load(text, &[], &Flags::default());
    let addresses = "listen = '0.0.0.0:1'\nadmin = '[::]:2'\ncluster_listen = '10.1.2.3:3'\n";
    let found = told(addresses).expect_err("open").to_string();
    for part in [
        "node.toml listen: 0.0.0.0:1 is open",
        "node.toml admin: [::]:2 is open",
        "there is no cluster secret",
    ] {
        assert!(found.contains(part), "{part} in {found}");
    }
    assert!(told(&format!("{addresses}insecure = true")).is_ok());
    let safe = format!("{addresses}tls_cert = 'c'\ntls_key = 'k'\ncluster_secret = 'hush'");
    let settings = told(&safe).expect("no faults");
    assert!(settings.tls.is_some() && !format!("{settings:?}").contains("hush"));
    assert!(told("listen = '[::1]:1'\nadmin = '[::ffff:127.0.0.1]:2'").is_ok());
}

#[test]
fn two_listeners_cannot_share_an_address_but_may_both_ask_for_a_free_one() {
    let found = faults("listen = '127.0.0.1:8183'", &[], &Flags::default());
    assert_eq!(
        found[0],
        "admin: admin and listen are the same address, 127.0.0.1:8183 (give each listener a port of its own)"
    );
    assert!(load("listen = '127.0.0.1:0'\nadmin = '127.0.0.1:0'", &[], &Flags::default()).is_ok());
}

#[test]
fn the_keys_come_from_the_environment_or_a_file_that_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let flags = Flags { data: Some(folder.path().join("a/data")), ..Flags::default() };
    let settings = Settings::load(None, &Environment::default(), &flags).expect("no faults");
    let sealed = settings.keyring(&Environment::default()).expect("made").seal_text("x");
    let again = settings.keyring(&Environment::default()).expect("read");
    assert_eq!(again.open_text(&sealed).expect("opens"), "x");

    let key = std::fs::read_to_string(folder.path().join("a/data/secret.key")).expect("is there");
    let other = fernet::Fernet::generate_key();
    let both = environment(&[(KEYS_VARIABLE, &format!("{other}, {key}"))]);
    assert_eq!(settings.keyring(&both).expect("two keys").open_text(&sealed).expect("opens"), "x");
    let one = environment(&[(KEYS_VARIABLE, &other)]);
    assert!(settings.keyring(&one).expect("one key").open_text(&sealed).is_err());
    assert!(
        settings
            .keyring(&environment(&[(KEYS_VARIABLE, "hush")]))
            .is_err_and(|e| !e.to_string().contains("hush"))
    );

    let elsewhere = Flags { key_file: Some(folder.path().join("keys")), ..flags };
    let settings = Settings::load(None, &Environment::default(), &elsewhere).expect("no faults");
    settings.keyring(&Environment::default()).expect("made");
    assert!(folder.path().join("keys").is_file());
}
