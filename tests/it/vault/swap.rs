//! Three channels with three kinds of security are swapped to Vault under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{PASSWORD, TOKEN, USERNAME};
use crate::kit::node::TestNode;
use crate::kit::vault::Bao;

fn bundle(url: &str, security: [&str; 3]) -> String {
    let [a, b, c] = security;
    format!(
        "connections: [{{name: v, type: vault, url: '{url}', token: root}}]
security:
- {{name: clerk, type: basic, username: clerk, password: old}}
- {{name: partner, type: api-key, key: old}}
- {{name: other, type: api-key, header: X-Other, key: old}}
- {{name: people, type: vault, connection: v}}
channels:
- {{name: a, type: rest, path: /a, service: who, security: {a}}}
- {{name: b, type: rest, path: /b, service: who, security: {b}}}
- {{name: c, type: rest, path: /c, service: who, security: {c}}}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_channels_are_swapped_to_vault_and_back_with_nobody_wronged() {
    let bao = Bao::start().await;
    bao.user("anna", "pw", "clerks", "1h").await;
    let token = bao.token(serde_json::json!({"policies": ["clerks"]})).await;
    let node = Arc::new(TestNode::start().await);
    let (before, after) = (["clerk", "partner", "other"], ["people"; 3]);
    node.apply(&bundle(&bao.url(), before)).await;
    let done = Arc::new(AtomicBool::new(false));
    let (good, bad) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut load = Vec::new();
    for path in ["/a", "/b", "/c"] {
        for stranger in [false, true] {
            let (node, done, good, bad, token) =
                (node.clone(), done.clone(), good.clone(), bad.clone(), token.clone());
            load.push(tokio::spawn(async move {
                // Strangers come from elsewhere, or lock-out would meet all who come from here.
                let address: std::net::IpAddr =
                    if stranger { [127, 0, 0, 2].into() } else { [127, 0, 0, 1].into() };
                let client = reqwest::Client::builder().no_proxy().local_address(address);
                let client = client.build().expect("a client");
                let url = format!("http://{}{path}", node.data());
                while !done.load(Ordering::SeqCst) {
                    // Those who are authorised by both the old and the new definition, and by neither.
                    let (old, password, token) =
                        if stranger { ("new", "wrong", "nobody") } else { ("old", "pw", &*token) };
                    let request = client.get(&url).basic_auth("clerk", Some(old));
                    let request = request.header("X-API-Key", old).header("X-Other", old);
                    let request = match path {
                        "/a" => request.header(TOKEN, token),
                        _ => request.header(USERNAME, "anna").header(PASSWORD, password),
                    };
                    let status = request.send().await.expect("an answer").status();
                    if stranger {
                        assert_eq!(status, 401, "{path}: a stranger");
                        bad.fetch_add(1, Ordering::SeqCst);
                    } else {
                        assert_eq!(status, 200, "{path}: one who is authorised");
                        good.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }));
        }
    }
    for turn in 0..10 {
        let (good_before, bad_before) = (good.load(Ordering::SeqCst), bad.load(Ordering::SeqCst));
        node.apply(&bundle(&bao.url(), if turn % 2 == 0 { after } else { before })).await;
        crate::kit::node::until("both kinds have asked since", async || {
            good.load(Ordering::SeqCst) > good_before + 6 && bad.load(Ordering::SeqCst) > bad_before + 6
        })
        .await;
    }
    node.apply(&bundle(&bao.url(), after)).await;
    done.store(true, Ordering::SeqCst);
    for task in load {
        task.await.expect("nobody was wronged");
    }
    // What was right before is of no use any more.
    for path in ["/a", "/b", "/c"] {
        let request = node
            .get(path)
            .basic_auth("clerk", Some("old"))
            .header("X-API-Key", "old")
            .header("X-Other", "old");
        assert_eq!(request.send().await.expect("an answer").status(), 401, "{path}");
    }
}
