//! The limits of a body: exact, and enforced before more is read.

use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;

use crate::kit::node::TestNode;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_bodies_come_through_byte_for_byte_up_to_the_limit() {
    let node = TestNode::start().await;
    node.apply("channels: [{name: e, type: rest, path: /e, method: POST, service: zeugma.helpers.echo, body_limit: 2MB}]")
        .await;
    let all: Vec<u8> = (0..=255).cycle().take(2_000_000).collect();
    for body in [Vec::new(), b"\r\n\0\xff".to_vec(), all.clone()] {
        let request = node.post("/e").header(CONTENT_TYPE, "application/x-mine").body(body.clone());
        let answer = request.send().await.expect("an answer");
        assert_eq!(
            (answer.status(), &answer.headers()[CONTENT_TYPE]),
            (StatusCode::OK, &"application/x-mine".parse().expect("a value"))
        );
        assert!(answer.bytes().await.expect("a body") == body, "{} bytes differ", body.len());
    }
    let one_more = node.post("/e").body([all, vec![0]].concat()).send().await.expect("an answer");
    assert_eq!(one_more.status(), StatusCode::PAYLOAD_TOO_LARGE);
}
