//! The page about services in Python: each of its examples is deployed as it is written, and does what it is said to do.

use std::path::Path;

use serde_json::json;

use super::{SOON, deploy, eventually};
use crate::kit::ftp::{Brand, FtpServer, Tls};
use crate::kit::program::Program;
use crate::kit::recorder::Recorder;
use crate::kit::vault::Bao;

/// What the examples call, and what calls them.
const OTHERS: &str = r#"
from zeugma import Service

class Crm(Service):
    name = 'json-crm'
    def handle(self):
        self.response.payload = {'name': 'Ada %s' % self.request.http.GET.id, 'active': True}

class First(Service):
    name = 'first'
    def handle(self):
        self.response.payload = 1

class Second(Service):
    name = 'second'
    def handle(self):
        self.response.payload = [2]

class OfferA(Service):
    name = 'offer-a'
    def handle(self):
        self.response.payload = {'price': 10 + self.request.payload['sku']}

class OfferB(Service):
    name = 'offer-b'
    def handle(self):
        self.response.payload = {'price': 5 + self.request.payload['sku']}

class Best(Service):
    name = 'best'
    def handle(self):
        self.response.payload = self.cache.get('best') or 'none yet'
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_of_the_page_does_what_it_is_said_to_do() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/python-services.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let ftp = FtpServer::start(Brand::Pyftpdlib, Tls::No).await;
    ftp.put("bills/1.xml", b"<bill/>");
    ftp.put("bills/note.txt", b"not a bill");
    ftp.put("reminders/.keep", b"");
    let (erp, bao) = (Recorder::start().await, Bao::start().await);
    bao.put("erp", json!({"key": "one"})).await;

    let node = Program::start(&["--log", "info"]);
    deploy(&node, OTHERS, &["--workers", "1"]);
    let of_kind = |name: &str, kind: &str| {
        let mut connection = if kind == "ftp" { ftp.params() } else { json!({}) };
        connection["name"] = name.into();
        connection["type"] = kind.into();
        connection
    };
    node.apply(&json!({"connections": [
        of_kind("Billings", "ftp"), of_kind("Archive", "ftp"),
        {"name": "CRM", "type": "http", "url": format!("{}/json-crm", node.data)},
        {"name": "ERP", "type": "http", "url": format!("{}/erp", erp.url)},
        {"name": "my.vault", "type": "vault", "url": bao.url(), "token": "root"},
    ]}));
    std::fs::create_dir(node.folder.path().join("examples")).expect("a folder");
    let examples =
        page.split("\n```python\n").skip(1).map(|rest| rest.split("\n```\n").next().expect("an end"));
    let mut count = 0;
    for example in examples {
        node.write(&format!("examples/example_{count}.py"), example);
        count += 1;
    }
    assert!(count >= 9, "{count}");
    node.good(&["deploy", "examples"]);

    let invoke = |service: &str, payload: &str| node.good(&["invoke", service, "--payload", payload]);
    assert_eq!(
        invoke("get-customer", r#"{"cust_id": 7}"#),
        r#"{"name":"Ada 7","is_active":true,"last_seen":""}"#
    );
    let order = r#"{"cust_id": 1, "due": "2026-02-21T10:00:00", "amount": "1.5", "address": {"street": "s", "number": 1}}"#;
    assert_eq!(invoke("create-order", order), r#"{"order_id":2026,"warnings":[]}"#);
    let saved = invoke("save-customer", r#"{"name": "Ada", "phones": [{"number": "1"}]}"#);
    assert!(
        saved.contains(r#""phones":[{"number":"1","kind":"mobile"},{"number":"555","kind":"mobile"}]"#),
        "{saved}"
    );
    assert_eq!(invoke("both", ""), r#"{"first":1,"second":[2]}"#);

    invoke("move-bill", "");
    assert!(!ftp.file("bills/1.xml").exists() && ftp.file("bills/note.txt").exists());
    let received = erp.received();
    assert_eq!((received.len(), received[0].body.as_slice()), (1, &b"<bill/>"[..]));
    assert_eq!(received[0].head["headers"]["content-type"], "application/xml");

    assert_eq!(invoke("rotate", "two"), r#"{"same":true}"#);
    let kept = bao.root(reqwest::Method::GET, "secret/data/erp", json!({})).await;
    assert_eq!(kept["data"]["data"], json!({"key": "two", "before": "one"}));

    let cid = invoke("start-import", "");
    eventually(SOON, "the import has ended", async || node.log().contains(&format!("10 rows by {cid}")))
        .await;
    invoke("compare", "");
    eventually(SOON, "one is chosen", async || invoke("best", "") == "offer-b").await;
    assert!(invoke("bill", "").starts_with(r#"{"fence":"#));

    let path = invoke("remind", r#"{"cust_id": "7"}"#);
    let path: serde_json::Value = serde_json::from_str(&path).expect("JSON");
    let written = std::fs::read(ftp.file(path["path"].as_str().expect("a path").trim_start_matches('/')));
    assert_eq!(written.expect("a file"), b"Ada 7");
}
