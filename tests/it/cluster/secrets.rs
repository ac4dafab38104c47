//! Nothing secret is in Redis in clear, nor in what nodes keep or log.

use serde_json::json;

use crate::kit::cluster::Cluster;

const PASSWORD: &str = "a-password-that-is-nowhere-1f3c";
const KEY: &str = "a-key-that-is-nowhere-7b2a";
const TOKEN: &str = "a-token-that-is-nowhere-9d4e";
const OUTGOING: &str = "an-ftp-password-that-is-nowhere-5c6d";
const CHANGED: &str = "a-changed-key-that-is-nowhere-2e8f";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_of_a_definition_is_in_redis_or_on_a_disk_in_clear() {
    let cluster = Cluster::of(2).await;
    let bundle = |key: &str| {
        json!({
            "security": [
                {"name": "basic", "type": "basic", "username": "clerk", "password": PASSWORD},
                {"name": "key", "type": "api-key", "key": key},
                {"name": "bearer", "type": "bearer", "token": TOKEN},
            ],
            "connections": [
                {"name": "ftp", "type": "ftp", "host": "127.0.0.1", "port": 9, "username": "clerk", "password": OUTGOING},
            ],
            "channels": [
                {"name": "known", "type": "rest", "path": "/known", "service": "zeugma.ping", "security": "key"},
            ],
        })
    };
    cluster.node(1).apply(&bundle(KEY));
    cluster.node(2).apply(&bundle(CHANGED));
    cluster.node(2).good(&["rollback", "1"]);
    let (wrong, why) = cluster
        .change(cluster.node(1), "apply", &json!({"security": [{"name": "broken", "key": KEY}]}))
        .await;
    assert_eq!(wrong, 422, "{why}");
    for n in 1..=2 {
        cluster.disk_has(n, 3).await;
    }

    let mut places = vec![("Redis".to_owned(), cluster.redis.everything())];
    for node in cluster.running() {
        let data = node.folder.path().join("zeugma-data");
        let kept = std::fs::read(data.join("last-good.json")).expect("it keeps the catalog");
        places.push((format!("{} on disk", node.data), kept));
        places.push((format!("the log of {}", node.data), node.log().into_bytes()));
    }
    let holds = |place: &[u8], text: &[u8]| place.windows(text.len()).any(|window| window == text);
    assert!(holds(&places[0].1, b"channel/known"), "the copy is not of what Redis holds");
    for secret in [PASSWORD, KEY, TOKEN, OUTGOING, CHANGED, &node_token(&cluster)] {
        for (name, content) in &places {
            assert!(!holds(content, secret.as_bytes()), "{secret} is in clear in {name}");
            let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
            assert!(!holds(content, hex.as_bytes()), "{secret} is in {name}, in hexadecimal");
        }
    }
}

fn node_token(cluster: &Cluster) -> String {
    cluster.node(1).token()
}
