//! Definitions are changed by services that are called like any other.

use serde_json::{Value, json};

use crate::kit::node::TestNode;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_create_edit_show_and_delete_definitions() {
    let node = TestNode::start().await;
    let verbs = ["get-list", "get", "create", "edit", "delete"];
    let mount = |family: &str, verb: &str| {
        format!(
            "- {{name: {family}-{verb}, type: rest, path: /{family}/{verb}, data_format: json, service: zeugma.{family}.{verb}}}"
        )
    };
    let mounted: Vec<String> = ["security", "channel", "connection"]
        .into_iter()
        .flat_map(|family| verbs.map(|verb| mount(family, verb)))
        .collect();
    node.apply(&format!("channels:\n{}", mounted.join("\n"))).await;
    let call = async |path: &str, input: Value| {
        let answer = node.post(path).json(&input).send().await.expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("text");
        assert!(!text.contains("hush"), "{text}");
        (status, serde_json::from_str::<Value>(&text).unwrap_or_else(|e| panic!("{e}: {text}")))
    };

    let clerk = json!({"name": "clerk", "type": "basic", "username": "clerk", "password": "hush-hush"});
    let (status, created) = call("/security/create", clerk.clone()).await;
    assert_eq!((status, &created["receipt"]["settled"]), (200, &json!(true)), "{created}");
    assert_eq!(call("/security/create", clerk).await.0, 409, "it is there already");
    let (_, listed) = call("/security/get-list", json!({"type": "basic"})).await;
    assert_eq!(listed["definitions"][0]["definition"]["password"], "(sealed)");
    assert_eq!(call("/security/get-list", json!({"type": "other"})).await.1["definitions"], json!([]));

    let channel = json!({"name": "ping", "type": "rest", "path": "/ping", "service": "zeugma.ping", "security": "clerk"});
    assert_eq!(call("/channel/create", channel).await.0, 200);
    assert_eq!(
        node.get("/ping").basic_auth("clerk", Some("hush-hush")).send().await.expect("one").status(),
        200
    );
    let (status, edited) =
        call("/security/edit", json!({"name": "clerk", "username": "other", "realm": "there"})).await;
    assert_eq!((status, edited["changes"][0]["fields"].as_array().map(Vec::len)), (200, Some(2)), "{edited}");
    assert_eq!(
        node.get("/ping").basic_auth("clerk", Some("hush-hush")).send().await.expect("one").status(),
        401
    );
    // The password was kept, though nobody gave it again.
    assert_eq!(
        node.get("/ping").basic_auth("other", Some("hush-hush")).send().await.expect("one").status(),
        200
    );
    assert_eq!(call("/security/edit", json!({"name": "clerk", "realm": null})).await.0, 200);
    let (_, shown) = call("/security/get", json!({"name": "clerk"})).await;
    assert_eq!(
        shown["definition"],
        json!({"name": "clerk", "type": "basic", "password": "(sealed)", "username": "other"})
    );

    let (status, needed) = call("/security/delete", json!({"name": "clerk"})).await;
    assert!(status == 400 && needed.to_string().contains("channel/ping"), "{needed}");
    assert_eq!(call("/channel/delete", json!({"name": "ping"})).await.0, 200);
    assert_eq!(call("/security/delete", json!({"name": "clerk"})).await.0, 200);
    assert_eq!(call("/security/delete", json!({"name": "clerk"})).await.0, 404);
    let wrong = json!({"name": "c", "type": "ftp", "hots": "h"});
    let (status, faults) = call("/connection/create", wrong).await;
    assert!(status == 400 && faults.to_string().contains("connection/c.hots"), "{faults}");

    let history = node.app().definitions.history(None, 1).await.expect("the history");
    assert_eq!(history[0].author, "somebody, through channel security-delete");
    node.stop().await;
}
