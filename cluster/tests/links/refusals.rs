//! Who is not let in, and what is not taken: secrets, names, certificates, versions, sizes and numbers.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use zeugma_cluster::envelope::Versions;

use crate::kit::{Node, SECRET, introduce, linked, name, start};
use crate::node::{Order, Start};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(vec![]).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

/// A node that trusts `trusted` and has a certificate of `issuer`, for the DNS name.
fn tls(node: &str, trusted: &Authority, issuer: &Authority, dns: &str) -> Start {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![dns.into()]).expect("parameters");
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    let (trusted, name) = (trusted.pem(), Some("blue.cluster".into()));
    Start { tls: Some([trusted, certificate.pem(), key.serialize_pem()]), tls_name: name, ..start(node) }
}

#[tokio::test]
async fn another_secret_cluster_or_version_is_refused_and_the_secret_is_in_no_log() {
    let b = Node::start(start("b")).await;
    let newer = Versions { oldest: 2, newest: 3 };
    for (stranger, reason) in [
        (Start { secret: "some other secret of a node".into(), ..start("a") }, "the secret"),
        (Start { cluster: name("green"), ..start("a") }, "another name"),
        (Start { versions: Some(newer), ..start("a") }, "no envelope version"),
    ] {
        let secret = stranger.secret.clone();
        let a = Node::start(stranger).await;
        introduce(&[&a, &b]).await;
        a.until_trouble("b", reason).await;
        assert_eq!(a.call("b", "who").await["kind"], "unreachable");
        assert_ne!(b.peer("a").await["up"], true);
        b.until_logged(reason).await;
        for log in [a.log(), b.log()] {
            assert!(!log.contains(SECRET) && !log.contains(&secret), "{log}");
        }
    }
    let a = Node::start(start("a")).await;
    introduce(&[&a, &b]).await;
    a.until_up("b").await;
}

#[tokio::test]
async fn certificates_of_the_cluster_are_linked_and_others_refused() {
    let (ours, other) = (authority(), authority());
    let [a, b] =
        linked([tls("a", &ours, &ours, "blue.cluster"), tls("b", &ours, &ours, "blue.cluster")]).await;
    assert_eq!(a.call("b", "who").await["ok"], "a 1");
    println!("over TLS a call takes {} us", a.tell(Order::Measure(name("b"), 200)).await);
    for (stranger, reason) in [
        (tls("a0", &ours, &other, "blue.cluster"), "refuses the certificate of this node"),
        (tls("a1", &ours, &ours, "green.cluster"), "the certificate bears another name"),
        (tls("a2", &other, &ours, "blue.cluster"), "invalid peer certificate"),
        (start("a3"), "perhaps only one side uses TLS"),
    ] {
        let node = stranger.node.clone();
        let stranger = Node::start(stranger).await;
        introduce(&[&stranger, &b]).await;
        stranger.until_trouble("b", reason).await;
        assert_eq!(stranger.call("b", "who").await["kind"], "unreachable");
        assert_ne!(b.peer(node.as_str()).await["up"], true);
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_without_dropping_the_link() {
    // b takes 16 MB; c would send more.
    let [b, c] = linked([start("b"), Start { message: Some(32 << 20), ..start("c") }]).await;
    let before = (b.peer("c").await["since"].clone(), c.peer("b").await["since"].clone());
    let (large, limit) = (20_000_000, (16u64 << 20).to_string());
    for node in [&b, &c] {
        let to = if node.start.node.as_str() == "b" { "c" } else { "b" };
        let refused = node.tell(Order::Call(name(to), "sum ".into(), large, 9_000)).await;
        assert_eq!(refused["kind"], "too_large", "{refused}");
        let said = refused["error"].as_str().expect("a text");
        assert!(said.contains("20000004") && said.contains(&limit), "{said}");
    }
    // Nor is an answer that is too large given.
    assert_eq!(c.call("b", "give 20000000").await["kind"], "too_large");
    assert_eq!(c.call("b", "who").await["ok"], "c 1");
    assert_eq!((b.peer("c").await["since"].clone(), c.peer("b").await["since"].clone()), before);
}

#[tokio::test]
async fn a_call_over_the_limit_of_calls_is_refused_and_others_go_on() {
    let [a, b] = linked([Start { calls: Some(3), ..start("a") }, start("b")]).await;
    let hold = || a.tell(Order::Call(name("b"), "hold".into(), 0, 1_500));
    let (one, two, three, fourth) = tokio::join!(hold(), hold(), hold(), async {
        let busy = loop {
            let answer = a.call("b", "who").await;
            if answer["kind"] == "busy" {
                break answer;
            }
        };
        // The limit is that of a: b still calls.
        assert_eq!(b.call("a", "who").await["ok"], "b 1");
        busy
    });
    assert!(fourth["error"].as_str().is_some_and(|said| said.contains("too many")), "{fourth}");
    for held in [one, two, three] {
        assert_eq!(held["kind"], "timeout", "{held}");
    }
    assert_eq!(a.call("b", "who").await["ok"], "a 1");
}
