//! REST channels as clients see them: routes, formats, errors, compression, cross-origin requests.

use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HOST, ORIGIN, RETRY_AFTER,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::kit::node::TestNode;
use crate::kit::services::Customer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_typed_service_gets_path_query_and_body_as_one_input() {
    let node = TestNode::start().await;
    node.apply(
        "channels:
        - {name: read, type: rest, path: '/customer/{cust_id}', method: GET, service: get-customer, data_format: json}
        - {name: write, type: rest, path: /customer, method: POST, service: get-customer, data_format: json}",
    )
    .await;
    let answer = node.get("/customer/17?verbose=true").send().await.expect("an answer");
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
    assert_eq!(answer.headers()["x-zeugma-cid"].len(), 24);
    let customer: Customer = answer.json().await.expect("JSON");
    assert_eq!(customer, Customer { id: 17, name: "Customer 17".into(), verbose: true });
    let answer = node.post("/customer").json(&json!({"cust_id": 3})).send().await.expect("an answer");
    assert_eq!(answer.json::<Customer>().await.expect("JSON").id, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_callers_mistakes_are_said_with_their_place() {
    let node = TestNode::start().await;
    node.apply(
        "channels:
        - {name: c, type: rest, path: /c, method: POST, service: get-customer, data_format: json}
        - {name: z, type: rest, path: /z, method: POST, service: get-customer, data_format: json, errors: zato_env}
        - {name: p, type: rest, path: /p, method: POST, service: get-customer, data_format: json, errors: problem}",
    )
    .await;
    let send = async |path: &str, body: &str| {
        let request = node.post(path).header(CONTENT_TYPE, "application/json").body(body.to_owned());
        let answer = request.send().await.expect("an answer");
        let cid = answer.headers()["x-zeugma-cid"].to_str().expect("text").to_owned();
        (answer.status(), answer.json::<Value>().await.expect("JSON"), cid)
    };
    let (status, body, cid) = send("/c", "{\n  \"cust_id\": }").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(body["error"]["kind"], "invalid");
    assert_eq!(body["error"]["cid"], cid);
    assert!(
        body["error"]["details"][0]["message"].as_str().is_some_and(|m| m.contains("line 2 column 14")),
        "{body}"
    );

    let (status, body, _) = send("/c", r#"{"cust_id": "seventeen"}"#).await;
    assert_eq!((status, &body["error"]["details"][0]["at"]), (StatusCode::BAD_REQUEST, &json!("/cust_id")));
    let (status, body, _) = send("/c", "{}").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body.to_string().contains("cust_id"), "{body}");

    let (status, body, cid) = send("/z", r#"{"cust_id": 404}"#).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(
        body,
        json!({"zato_env": {"result": "ZATO_ERROR", "cid": cid, "details": "there is no such customer"}})
    );
    let (_, body, _) = send("/p", r#"{"cust_id": 404}"#).await;
    assert_eq!((&body["status"], &body["type"]), (&json!(404), &json!("urn:zeugma:error:not-found")));

    let form = node.post("/c").form(&[("cust_id", "1")]).send().await.expect("an answer");
    assert_eq!(form.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let nowhere = node.get("/nowhere").send().await.expect("an answer");
    assert_eq!(nowhere.status(), StatusCode::NOT_FOUND);
    assert_eq!(nowhere.json::<Value>().await.expect("JSON")["error"]["kind"], "not-found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_match_is_well_defined() {
    let node = TestNode::start().await;
    let channel = |name: &str, rest: &str| {
        format!(
            "- {{name: {name}, type: rest, service: zeugma.ping, response_headers: {{x-channel: {name}}}, {rest}}}\n"
        )
    };
    let bundle = [
        channel("param", "path: '/a/{x}', method: GET"),
        channel("literal", "path: /a/b, method: GET"),
        channel("rest", "path: '/files/{*more}', method: GET"),
        channel("any-verb", "path: /v"),
        channel("put", "path: /v, method: PUT"),
        channel("csv", "path: /m, method: GET, accept: text/csv"),
        channel("json", "path: /m, method: GET, accept: application/json"),
        channel("host", "path: /a/b, method: GET, host: api.example.com"),
        channel("other-name", "path: '/a/{y}', method: POST"),
        channel("get-v", "path: /v, method: GET"),
        channel("letters", "path: '/k\u{e4}se/{x}', method: GET"),
    ];
    node.apply(&format!("channels:\n{}", bundle.concat())).await;
    let matched = async |method: Method, path: &str, header: Option<(reqwest::header::HeaderName, &str)>| {
        let mut request = node.request(method, path);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let answer = request.send().await.expect("an answer");
        answer.headers().get("x-channel").map_or(answer.status().to_string(), |v| format!("{v:?}"))
    };
    for (method, path, header, expected) in [
        (Method::GET, "/a/b", None, "\"literal\""),
        (Method::GET, "/a/c", None, "\"param\""),
        (Method::HEAD, "/a/c", None, "\"param\""),
        (Method::POST, "/a/c", None, "\"other-name\""),
        (Method::GET, "/files/c/d", None, "\"rest\""),
        (Method::PUT, "/v", None, "\"put\""),
        (Method::PATCH, "/v", None, "\"any-verb\""),
        (Method::HEAD, "/v", None, "\"get-v\""),
        (Method::GET, "/k\u{e4}se/1", None, "\"letters\""),
        (Method::GET, "/k%c3%a4se/1", None, "\"letters\""),
        (Method::GET, "/%61/b", None, "\"literal\""),
        (Method::GET, "/a%2Fb", None, "404 Not Found"),
        (Method::GET, "/m", Some((ACCEPT, "text/*;q=0.5")), "\"csv\""),
        (Method::GET, "/m", Some((ACCEPT, "application/json")), "\"json\""),
        (Method::GET, "/m", Some((ACCEPT, "image/png")), "406 Not Acceptable"),
        (Method::GET, "/a/b", Some((HOST, "API.example.com:8080")), "\"host\""),
        (Method::GET, "/a/c", Some((HOST, "api.example.com")), "\"param\""),
    ] {
        assert_eq!(
            matched(method.clone(), path, header.clone()).await,
            expected,
            "{method} {path} {header:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_of_routes_is_a_fault_and_changes_nothing() {
    let node = TestNode::start().await;
    node.apply("channels: [{name: one, type: rest, path: '/a/{x}', method: GET, service: zeugma.ping}]")
        .await;
    let refused = node
        .try_apply("channels: [{name: two, type: rest, path: '/a/{y}', method: GET, service: zeugma.ping}]")
        .await
        .expect_err("the same route");
    let text = refused.to_string();
    assert!(text.contains("channel/one") && text.contains("channel/two"), "{text}");
    assert_eq!(node.get("/a/b").send().await.expect("an answer").status(), StatusCode::OK);
}

/// Whatever else a change holds, the same two paths conflict or do not: these do not, since one begins with a literal segment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_that_do_not_conflict_one_after_the_other_do_not_conflict_together() {
    let node = TestNode::start().await;
    let one = |name: &str, path: &str| {
        format!("- {{name: {name}, type: rest, path: '{path}', service: zeugma.ping}}\n")
    };
    let (x, y) = (one("x", "/a/x{id}"), one("y", "/{name}.json"));
    node.apply(&format!("channels:\n{x}")).await;
    node.apply(&format!("channels:\n{y}")).await;
    assert_eq!(node.apply(&format!("channels:\n{x}{y}")).await.unchanged, 2);
    for path in ["/a/x1", "/b.json"] {
        assert_eq!(node.get(path).send().await.expect("an answer").status(), StatusCode::OK, "{path}");
    }
    // These fit the same requests; which of them is entered first must not matter.
    for verbs in [["GET", "POST"], ["POST", "GET"]] {
        let one = |name: &str, path: &str, verb: &str| {
            format!("- {{name: {name}, type: rest, method: {verb}, path: '{path}', service: zeugma.ping}}\n")
        };
        let (a, b) = (one("a", "/{p}/b/x{q}", verbs[0]), one("b", "/{p}/{q}.json", verbs[1]));
        match node.try_apply(&format!("channels:\n{a}{b}")).await {
            Ok(outcome) => assert_eq!(outcome.receipt.nodes[0].faults, [], "{verbs:?}"),
            Err(refused) => assert!(refused.to_string().contains("would fit both"), "{refused}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verbs_that_are_not_there_are_answered_with_those_that_are() {
    let node = TestNode::start().await;
    node.apply(
        "channels:
        - {name: get, type: rest, path: /x, method: GET, service: zeugma.ping, data_format: json}
        - {name: put, type: rest, path: /x, method: PUT, service: zeugma.ping, data_format: json}",
    )
    .await;
    let wrong = node.post("/x").send().await.expect("an answer");
    assert_eq!(wrong.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(wrong.headers()[ALLOW], "GET, HEAD, PUT, OPTIONS");
    let options = node.request(Method::OPTIONS, "/x").send().await.expect("an answer");
    assert_eq!(
        (options.status(), &options.headers()[ALLOW]),
        (StatusCode::NO_CONTENT, &wrong.headers()[ALLOW])
    );
    let head = node.request(Method::HEAD, "/x").send().await.expect("an answer");
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()["content-length"], "17", "as GET would say");
    assert_eq!(head.bytes().await.expect("a body").len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_compressed_for_those_who_accept_it() {
    let node = TestNode::start().await;
    node.apply(
        "channels:
        - {name: l, type: rest, path: /l, service: large}
        - {name: off, type: rest, path: /off, service: large, compression: false}
        - {name: h, type: rest, path: /h, service: header-names, data_format: json}
        - {name: e, type: rest, path: /e, service: zeugma.helpers.echo, data_format: json, body_limit: 100kB}",
    )
    .await;
    let plain = node.get("/l").send().await.expect("an answer").bytes().await.expect("a body");
    let encoded = async |path: &str, accept: &str| {
        let answer = node.get(path).header(ACCEPT_ENCODING, accept).send().await.expect("an answer");
        let encoding = answer.headers().get(CONTENT_ENCODING).map(|v| v.to_str().expect("text").to_owned());
        (encoding, answer.bytes().await.expect("a body"))
    };
    let (encoding, body) = encoded("/l", "gzip").await;
    assert_eq!(encoding.as_deref(), Some("gzip"));
    assert!(body.len() < plain.len() / 10);
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&body[..]), &mut out).expect("gzip");
    assert_eq!(out, plain);
    let (encoding, body) = encoded("/l", "gzip;q=0.5, br").await;
    assert_eq!(encoding.as_deref(), Some("br"));
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut brotli::Decompressor::new(&body[..], 4096), &mut out).expect("br");
    assert_eq!(out, plain);
    assert_eq!(encoded("/l", "br;q=0, identity").await, (None, plain.clone()));
    assert_eq!(encoded("/off", "br").await, (None, plain));

    let gzipped = |text: &str| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut gzip, text.as_bytes()).expect("written");
        gzip.finish().expect("gzip")
    };
    let to = async |path: &str, body: Vec<u8>, encoding: &str| {
        let request =
            node.post(path).header(CONTENT_TYPE, "application/json").header(CONTENT_ENCODING, encoding);
        request.body(body).send().await.expect("an answer")
    };
    let send = async |body, encoding: &str| to("/e", body, encoding).await;
    let answer = send(gzipped(r#"{"a": 1}"#), "gzip").await;
    assert_eq!(answer.text().await.expect("text"), r#"{"a": 1}"#);
    // What the headers say is true of what the service gets.
    let answer = to("/h", gzipped("{}"), "gzip").await.text().await.expect("text");
    assert!(answer.contains("content-type") && !answer.contains("content-encoding"), "{answer}");
    assert!(!answer.contains("content-length"), "{answer}");
    let bomb = format!("[{}1]", "1,".repeat(1_000_000));
    assert_eq!(send(gzipped(&bomb), "gzip").await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(send(b"nonsense".to_vec(), "gzip").await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(send(b"{}".to_vec(), "zstd").await.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_allowed_origins_may_call_and_others_may_not() {
    let node = TestNode::start().await;
    node.apply(
        "channels: [{name: c, type: rest, path: /c, method: POST, service: zeugma.ping, cors: {origins: ['https://shop.example.com'],
          credentials: true, expose: [x-total]}}]",
    )
    .await;
    let preflight = async |origin: &str| {
        let request = node.request(Method::OPTIONS, "/c").header(ORIGIN, origin);
        let request = request.header("access-control-request-method", "POST");
        request.header("access-control-request-headers", "x-mine").send().await.expect("an answer")
    };
    let allowed = preflight("https://shop.example.com").await;
    assert_eq!(allowed.status(), StatusCode::NO_CONTENT);
    for (name, value) in [
        ("access-control-allow-origin", "https://shop.example.com"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-headers", "x-mine"),
        ("access-control-max-age", "600"),
    ] {
        assert_eq!(allowed.headers()[name], value);
    }
    assert!(allowed.headers().contains_key("x-zeugma-cid"), "as every answer");
    assert!(allowed.headers()["access-control-allow-methods"].to_str().expect("text").contains("POST"));
    assert!(
        !preflight("https://evil.example.com").await.headers().contains_key("access-control-allow-origin")
    );

    let real = node.post("/c").header(ORIGIN, "https://shop.example.com").send().await.expect("an answer");
    assert_eq!(real.headers()["access-control-allow-origin"], "https://shop.example.com");
    assert_eq!(real.headers()["access-control-expose-headers"], "x-total, x-zeugma-cid");
    assert_eq!(real.headers()["vary"], "origin");
    let open = node.try_apply(
        "channels: [{name: o, type: rest, path: /o, service: zeugma.ping, cors: {origins: ['*'], credentials: true}}]",
    );
    assert!(open.await.expect_err("credentials for anyone").to_string().contains("list the origins"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overload_is_refused_and_a_late_answer_is_a_timeout() {
    let node = TestNode::start().await;
    node.apply(
        "channels:
        - {name: one, type: rest, path: /one, service: sleepy, concurrency: 1}
        - {name: hasty, type: rest, path: /hasty, service: sleepy, deadline: 50ms}
        - {name: p, type: rest, path: /p, service: panics}",
    )
    .await;
    let first = node.post("/one").body("30000").send();
    let first = tokio::spawn(first);
    crate::kit::node::until("one request is inside", async || {
        node.metrics().contains("zeugma_in_flight{family=\"channel\",name=\"one\"} 1")
    })
    .await;
    let second = node.post("/one").body("1").send().await.expect("an answer");
    assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(second.headers()[RETRY_AFTER], "1");
    first.abort(); // the caller lets go: the service ends and its place is free
    crate::kit::node::until("the place is free again", async || {
        node.post("/one").body("1").send().await.expect("an answer").status() == StatusCode::OK
    })
    .await;

    let late = node.post("/hasty").body("30000").send().await.expect("an answer");
    assert_eq!(late.status(), StatusCode::GATEWAY_TIMEOUT);

    let panicked = node.get("/p").send().await.expect("an answer");
    assert_eq!(panicked.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body = panicked.text().await.expect("text");
    assert!(!body.contains("hush"), "{body}");
    assert!(node.metrics().contains("zeugma_panics_total{family=\"service\",name=\"panics\"} 1"));
}
