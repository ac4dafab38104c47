//! Services as they were written for the older system, unchanged, on three nodes that have much to do meanwhile.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::{Load, door, hello};
use crate::kit::cluster::{Cluster, SOON};
use crate::kit::ftp::{Brand, FtpServer, Tls};
use crate::kit::process::eventually;
use crate::kit::recorder::Recorder;

const NODES: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_services_are_deployed_unchanged_under_load_and_work_on_every_node() {
    let ftp = FtpServer::start(Brand::Pyftpdlib, Tls::No).await;
    ftp.put("home/api/.keep", b"");
    ftp.put("bills/.keep", b"");
    let server = Recorder::start().await;
    let cluster = Cluster::of(NODES).await;
    let node = cluster.node(1);
    node.write("hello.py", &hello("one"));
    node.good(&["deploy", "hello.py"]);
    node.apply(&door());
    let loads: Vec<_> = (1..=NODES).map(|n| Load::on(cluster.node(n))).collect();

    let mut connections = vec![json!({"name": "ERP", "type": "http", "url": format!("{}/erp", server.url)})];
    for name in ["my.ftp", "Billings"] {
        let mut connection = ftp.params();
        connection["name"] = name.into();
        connection["type"] = "ftp".into();
        connections.push(connection);
    }
    node.apply(&json!({ "connections": connections }));
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/tests/fixtures/old");
    let said = node.good(&["deploy", old.to_str().expect("text")]);
    assert!(said.contains("on 3/3 nodes"), "{said}");
    let raw = |name: &str| json!({"name": name, "type": "rest", "path": format!("/{name}"), "service": name});
    let json = |name: &str, service: &str| json!({"name": name, "type": "rest", "path": format!("/{name}"), "service": service, "data_format": "json"});
    node.apply(&json!({"channels": [
        raw("ftp-handler"), raw("billing-handler"), json("job-manager", "job-manager"),
        json("update-customer", "update-customer"), json("cases", "my-api.customer-cases.get-customer-cases"),
    ]}));
    for load in &loads {
        load.goes_on(10).await;
    }

    for n in 1..=NODES {
        let node = cluster.node(n);
        // What comes in is stored, byte for byte.
        let bytes: Vec<u8> = (0..=255).chain([n as u8]).collect();
        let body = node.folder.path().join("body");
        std::fs::write(&body, &bytes).expect("written");
        node.curl("/ftp-handler").file(&body).send().ok();
        let stored = || std::fs::read_dir(ftp.file("home/api")).expect("a folder").flatten();
        eventually(SOON, "it is stored", async || {
            stored().any(|file| std::fs::read(file.path()).is_ok_and(|found| found == bytes))
        })
        .await;
        // What is there is moved.
        let bill = format!("<bill by='{n}'/>");
        ftp.put("bills/2026.xml", bill.as_bytes());
        node.curl("/billing-handler").send().ok();
        assert!(!ftp.file("bills/2026.xml").exists());
        let received = server.received();
        let last = received.last().expect("a request");
        assert_eq!((&last.head["method"], &last.body), (&json!("POST"), &bill.into_bytes()));
        assert_eq!(received.len(), n);

        let cases = node.curl("/cases").with(&["--json", r#"{"cust_id": 1}"#]).send().ok().json();
        assert_eq!(cases[1]["is_open"], false, "{cases}");
        let wrong = node.curl("/update-customer").with(&["--json", r#"{"cust_id": "x"}"#]).send();
        assert_eq!(wrong.status, 400);
        node.curl("/update-customer").with(&["--json", r#"{"cust_id": "1", "age": "7"}"#]).send().ok();
    }

    // The job that a service makes fires another one.
    let job = hello("x")
        .replace("'hello'", "'my.service'")
        .replace("self.response.payload = 'x'", "self.cache.set('fired', True)")
        + "\n\nclass Fired(Service):\n    name = 'fired'\n\n    def handle(self):\n        self.response.payload = str(self.cache.get('fired'))\n";
    node.write("job.py", &job);
    node.good(&["deploy", "job.py"]);
    let made = cluster.node(2).curl("/job-manager").send().ok().json();
    assert_eq!(made["name"], "My Sample", "{made}");
    eventually(Duration::from_secs(20), "the job has fired", async || {
        cluster.node(3).good(&["invoke", "fired"]) == "True"
    })
    .await;

    for load in loads {
        load.goes_on(10).await;
        load.end().await;
    }
}
