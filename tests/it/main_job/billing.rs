//! Billing: a file from a real FTP server is posted to a real HTTP server, with the cid of the caller.

use serde_json::{Value, json};

use crate::kit::ftp::{Brand, FtpServer, Tls};
use crate::kit::program::Program;
use crate::kit::recorder::Recorder;

use super::{bundle, login, server};

/// The main job's bundle, with what billing needs.
fn with_billing(ftp: &FtpServer, erp: &Recorder) -> Value {
    let mut bundle = bundle(ftp);
    let connections = bundle["connections"].as_array_mut().expect("a list");
    connections.push(json!({"name": "ERP", "type": "http", "url": format!("{}/erp", erp.url)}));
    let channels = bundle["channels"].as_array_mut().expect("a list");
    channels.push(json!({"name": "billing", "type": "rest", "path": "/billing", "method": "POST",
                         "service": "billing", "security": "clerk", "data_format": "json"}));
    bundle
}

#[tokio::test]
async fn a_file_from_ftp_is_posted_to_another_server_with_the_callers_cid() {
    let (ftp, erp) = (server(Brand::Proftpd, Tls::Explicit).await, Recorder::start().await);
    let invoice: Vec<u8> = (0..=255).chain(*b"\r\n1001;25,00\r\n").cycle().take(70_001).collect();
    ftp.put("home/api/billing.csv", &invoice);
    let node = Program::start(&[]);
    node.apply(&with_billing(&ftp, &erp));

    let [flag, user] = login();
    let post = |body: &'static str| node.curl("/billing").with(&[&flag, &user, "--json", body]).send();
    let answer = post("{}").ok();
    let cid = answer.header("X-Zeugma-CID").expect("a cid").to_owned();
    assert_eq!(answer.json(), json!({"path": "/home/api/billing.csv", "size": invoice.len(), "status": 201}));
    let received = erp.received();
    assert_eq!(received.len(), 1, "it is posted once");
    assert_eq!(received[0].head["method"], "POST");
    assert_eq!(received[0].head["path"], "/erp");
    assert_eq!(received[0].head["headers"]["x-zeugma-cid"], cid.as_str());
    assert!(received[0].body == invoice, "the body is not the file");

    // What goes wrong is told, and nothing is posted.
    let missing = post(r#"{"path": "/home/api/none.csv"}"#);
    assert_eq!(missing.status, 404, "{}", missing.text());
    assert_eq!(post("{]").status, 400);
    assert_eq!(erp.received().len(), 1);
}
