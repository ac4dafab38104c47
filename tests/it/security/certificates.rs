//! Client certificates on our own listener, from one moment to the next.

use std::path::Path;
use std::time::Duration;

use config::settings::TlsFiles;
use tempfile::TempDir;

use crate::kit::certs::{Ca, Certificate};
use crate::kit::node::TestNode;

fn client(server: &Ca, folder: &Path, own: Option<&Certificate>) -> reqwest::Client {
    let trusted = std::fs::read(server.write(folder)).expect("the CA");
    let trusted = reqwest::Certificate::from_pem(&trusted).expect("a certificate");
    let mut builder =
        reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).tls_certs_only([trusted]);
    if let Some(Certificate { certificate, key }) = own {
        let pem = [std::fs::read(key).expect("the key"), std::fs::read(certificate).expect("it")].concat();
        builder = builder.identity(reqwest::Identity::from_pem(&pem).expect("an identity"));
    }
    builder.build().expect("a client")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_asked_for_a_certificate_as_soon_as_a_definition_wants_one() {
    let folder = || TempDir::new().expect("a folder");
    let (server, partners, strangers) = (Ca::new("server"), Ca::new("partners"), Ca::new("strangers"));
    let [own, theirs, foreign, unknown, over] = [folder(), folder(), folder(), folder(), folder()];
    let ours = server.issue(&["localhost"], own.path());
    let partner = partners.issue(&["partner.example.com"], theirs.path());
    let other = partners.issue(&["other.example.com"], foreign.path());
    let stranger = strangers.issue(&["partner.example.com"], unknown.path());
    let expired = partners.issue_expired(&["partner.example.com"], over.path());
    let ca = partners.write(theirs.path());
    let files = TlsFiles { cert: ours.certificate.clone(), key: ours.key.clone() };
    let node = TestNode::start_with(|settings| settings.tls = Some(files)).await;
    let url = |path: &str| format!("https://localhost:{}{path}", node.data().port());
    let get = async |client: &reqwest::Client, path: &str| {
        let answer = client.get(url(path)).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    node.apply("channels: [{name: open, type: rest, path: /open, service: who}]").await;
    // A client that was here before anybody asked, and keeps its session.
    let early = client(&server, own.path(), Some(&partner));
    assert_eq!(get(&early, "/open").await, (200, "nobody".into()));

    let bundle = |names: &str| {
        format!(
            "
            security:
            - {{name: m, type: mtls, ca: '{}', dns_names: [{names}], roles: [partner]}}
            - {{name: k, type: api-key, key: hush}}
            - {{name: any, type: any-of, members: [k, m]}}
            channels:
            - {{name: closed, type: rest, path: /closed, service: who, security: m}}
            - {{name: any, type: rest, path: /any, service: who, security: any}}",
            ca.display()
        )
    };
    node.apply(&bundle("partner.example.com")).await;
    let certified = |certificate| client(&server, own.path(), Some(certificate));
    let (right, wrong, foreign) = (certified(&partner), certified(&other), certified(&stranger));
    let expired = certified(&expired);
    let bare = client(&server, own.path(), None);
    let known = |name: &str| (200, name.to_owned());
    for path in ["/closed", "/any"] {
        let (status, name) = get(&right, path).await;
        assert_eq!((status, name.is_empty()), (200, false), "{name}");
        for refused in [&wrong, &foreign, &expired, &bare] {
            assert_eq!(get(refused, path).await.0, 401, "{path}");
        }
    }
    // Everything else works with any certificate, or none.
    for client in [&right, &wrong, &foreign, &expired, &bare, &early] {
        assert_eq!(get(client, "/open").await, known("nobody"));
    }
    let by_key = bare.get(url("/any")).header("x-api-key", "hush").send().await.expect("an answer");
    assert_eq!(by_key.status(), 200);
    // The old client has to make a new connection, and need do no more than that.
    let again = client(&server, own.path(), Some(&partner));
    assert_eq!(get(&again, "/closed").await.0, 200);

    // Another name from one request to the next, over the connections that are there.
    node.apply(&bundle("other.example.com")).await;
    assert_eq!((get(&right, "/closed").await.0, get(&wrong, "/closed").await.0), (401, 200));
}
