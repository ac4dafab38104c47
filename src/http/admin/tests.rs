//! Tests of the admin API, through its filter.

use bytes::Bytes;
use config::settings::{Environment, Flags, Settings};
use http::{Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use warp::filters::BoxedFilter;
use warp::test::RequestBuilder;

use super::*;
use crate::app::{Extras, Node};
use crate::definitions::tests::{Door, HUSH, Line};

/// A node, and the filter of its admin listener.
struct Admin {
    node: Node,
    filter: BoxedFilter<(warp::reply::Response,)>,
    _folder: TempDir,
}

const TWO: &str = "
connections:
- {name: my/ftp, type: line, host: h, password: hush-hush}
channels:
- {name: front, type: door, path: /a, service: zeugma.ping}
";

impl Admin {
    async fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let flags = Flags {
            listen: Some("127.0.0.1:0".into()),
            admin: Some("127.0.0.1:0".into()),
            data: Some(folder.path().join("data")),
            ..Flags::default()
        };
        let environment = Environment::default();
        let settings = Settings::load(None, &environment, &flags).expect("settings");
        let node = Node::start(settings, &environment, Extras { kinds: &[&Line, &Door], services: &[] });
        let node = node.await.expect("the node starts");
        let filter = filter(&node.app);
        Self { node, filter, _folder: folder }
    }

    fn token(&self) -> String {
        format!("Bearer {}", self.node.app.admin_token.reveal())
    }

    async fn send(&self, request: RequestBuilder) -> Response<Bytes> {
        request.header("authorization", self.token()).reply(&self.filter).await
    }

    async fn get(&self, path: &str) -> Response<Bytes> {
        self.send(warp::test::request().path(path)).await
    }

    async fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Response<Bytes> {
        self.send(warp::test::request().method("POST").path(path).body(body)).await
    }
}

fn read(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap_or_else(|e| panic!("{e}: {:?}", response.body()))
}

/// The status and the word for the error.
fn refused(response: &Response<Bytes>) -> (u16, String) {
    let body = read(response);
    assert_eq!(body["error"]["cid"], response.headers()[CID_HEADER].to_str().expect("text"));
    (response.status().as_u16(), body["error"]["kind"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn without_the_token_there_is_nothing_but_health() {
    let admin = Admin::start().await;
    for endpoint in table::endpoints() {
        let path = endpoint.path.replace(['{', '}'], "");
        for wrong in [None, Some("Bearer "), Some("Bearer wrong"), Some("Basic xyz"), Some("hush")] {
            let mut request = warp::test::request().method(endpoint.method.as_str()).path(&path);
            if let Some(value) = wrong {
                request = request.header("authorization", value);
            }
            let answer = request.reply(&admin.filter).await;
            let open = ["/", "/healthz", "/readyz"].contains(&path.as_str());
            assert_eq!(answer.status() == StatusCode::UNAUTHORIZED, !open, "{path}");
            if !open {
                assert_eq!(answer.headers()["www-authenticate"], "Bearer realm=\"zeugma\"");
                assert_eq!(refused(&answer), (401, "unauthenticated".into()));
            }
            assert!(answer.headers().contains_key(CID_HEADER), "{path}");
        }
    }
    // A path that is not there is not told apart from one that is.
    let nowhere = warp::test::request().path("/api/v1/nowhere").reply(&admin.filter).await;
    assert_eq!(nowhere.status(), StatusCode::UNAUTHORIZED);
    let token = admin.token().replace("Bearer", "bearer");
    let any_case = warp::test::request().path("/metrics").header("authorization", token);
    assert_eq!(any_case.reply(&admin.filter).await.status(), StatusCode::OK);
}

/// A token of this role, by the name `name`, whose hash the node keeps.
async fn token(admin: &Admin, name: &str, role: &str, expires: &str) -> String {
    let token = format!("{name}-{role}");
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let definition = json!({"type": "admin-token", "role": role, "token_hash": hash, "expires": expires});
    let path = format!("/api/v1/definitions/security/{name}");
    let put = admin.send(warp::test::request().method("PUT").path(&path).json(&definition)).await;
    assert_eq!(put.status(), StatusCode::OK, "{:?}", put.body());
    format!("Bearer {token}")
}

const LATER: &str = "2099-01-01T00:00:00Z";

#[tokio::test]
async fn a_viewer_can_change_nothing_and_a_deployer_gives_no_rights() {
    let admin = Admin::start().await;
    let viewer = token(&admin, "eyes", "viewer", LATER).await;
    let deployer = token(&admin, "robot", "deployer", LATER).await;
    let description = read(&admin.get("/api/v1/openapi.json").await);
    let mut writes = 0;
    for (path, operations) in description["paths"].as_object().expect("paths") {
        let path = path.replace("{family}", "channel").replace("{verb}", "ping").replace(['{', '}'], "");
        for verb in operations.as_object().expect("operations").keys() {
            let verb = verb.to_uppercase();
            // The stream of events has no end.
            if path.ends_with("/events") {
                continue;
            }
            let request = warp::test::request().method(&verb).path(&path).header("authorization", &viewer);
            let answer = request.reply(&admin.filter).await;
            if verb == "GET" {
                assert!(![401, 403].contains(&answer.status().as_u16()), "{verb} {path}");
            } else {
                writes += 1;
                assert_eq!(refused(&answer), (403, "forbidden".into()), "{verb} {path}");
            }
        }
    }
    assert!(writes > 5, "{writes}");
    let by = async |token: &str, verb: &str, path: &str, body: &str| {
        let request = warp::test::request().method(verb).path(path).header("authorization", token).body(body);
        request.reply(&admin.filter).await
    };
    assert_eq!(refused(&by(&viewer, "GET", "/api/v1/export?reveal", "").await).0, 403);
    assert_eq!(refused(&by(&deployer, "GET", "/api/v1/export?reveal", "").await).0, 403);
    assert_eq!(refused(&by(&deployer, "POST", "/api/v1/store/accept", "").await).0, 403);
    let own = "/api/v1/definitions/security/robot";
    let more = json!({"type": "admin-token", "role": "admin", "token_hash": "0".repeat(64)}).to_string();
    assert_eq!(refused(&by(&deployer, "PUT", own, &more).await).0, 403);
    assert_eq!(refused(&by(&deployer, "DELETE", own, "").await).0, 403);
    assert_eq!(
        refused(&by(&deployer, "POST", "/api/v1/apply?prune", TWO).await).0,
        403,
        "it would delete tokens"
    );
    // Back to where there was nothing: tokens stay.
    let back = read(&by(&deployer, "POST", "/api/v1/rollback", "{\"revision\": 0}").await);
    assert_eq!(back["left"], json!(["security/eyes", "security/robot"]), "{back}");
    assert_eq!(by(&deployer, "POST", "/api/v1/apply", TWO).await.status(), StatusCode::OK);
    let newest = &read(&admin.get("/api/v1/history").await)[0];
    assert_eq!(newest["by"], json!({"token": "robot", "role": "deployer"}));
}

#[tokio::test]
async fn a_token_ends_when_it_is_deleted_or_its_time_is_over() {
    let admin = Admin::start().await;
    let seen = async |token: &str| {
        let request = warp::test::request().path("/api/v1/nodes").header("authorization", token);
        request.reply(&admin.filter).await.status().as_u16()
    };
    let token_a = token(&admin, "a", "viewer", LATER).await;
    assert_eq!(seen(&token_a).await, 200);
    let over = token(&admin, "b", "viewer", "2020-01-01T00:00:00Z").await;
    assert_eq!(seen(&over).await, 401);
    let delete = warp::test::request().method("DELETE").path("/api/v1/definitions/security/a");
    assert_eq!(admin.send(delete).await.status(), StatusCode::OK);
    assert_eq!(seen(&token_a).await, 401);
}

#[tokio::test]
async fn what_is_not_there_is_answered_in_one_form() {
    let admin = Admin::start().await;
    assert_eq!(refused(&admin.get("/api/v1/nowhere").await), (404, "not-found".into()));
    assert_eq!(refused(&admin.get("/api/v1/definitions/channel/none").await), (404, "not-found".into()));
    assert_eq!(refused(&admin.get("/api/v1/definitions/chanel/x").await), (404, "not-found".into()));
    assert_eq!(refused(&admin.get("/api/v1/services/none").await), (404, "not-found".into()));
    assert_eq!(refused(&admin.post("/api/v1/actors/channel/none/ping", "").await), (404, "not-found".into()));
    assert_eq!(
        refused(&admin.post("/api/v1/actors/channel/none/dance", "").await),
        (404, "not-found".into())
    );
    let verb = admin.post("/api/v1/definitions", "").await;
    assert_eq!(refused(&verb), (405, "method-not-allowed".into()));
    assert_eq!(verb.headers()["allow"], "GET, HEAD, OPTIONS");
    let options = warp::test::request().method("OPTIONS").path("/api/v1/definitions/channel/x");
    let options = admin.send(options).await;
    assert_eq!(options.status(), StatusCode::NO_CONTENT);
    assert_eq!(options.headers()["allow"], "GET, HEAD, PUT, DELETE, OPTIONS");
    let query = admin.get("/api/v1/history?limt=3").await;
    assert_eq!(refused(&query), (400, "invalid".into()));
    assert!(read(&query)["error"]["message"].as_str().is_some_and(|m| m.contains("did you mean \"limit\"?")));
    for wrong in ["expect=x", "wait=soon", "dry_run=maybe"] {
        let answer = admin.post(&format!("/api/v1/apply?{wrong}"), "").await;
        assert_eq!(refused(&answer), (400, "invalid".into()), "{wrong}");
    }
    assert_eq!(refused(&admin.post("/api/v1/rollback", "{\"revision\": ").await), (400, "invalid".into()));
    assert_eq!(
        refused(&admin.post("/api/v1/rollback", "{\"revision\": 9}").await),
        (404, "not-found".into())
    );
    assert_eq!(refused(&admin.post("/api/v1/apply", [0xff, 0xfe]).await), (400, "invalid".into()));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let admin = Admin::start().await;
    let announced =
        warp::test::request().method("POST").path("/api/v1/apply").header("content-length", "99999999");
    assert_eq!(refused(&admin.send(announced).await), (413, "too-large".into()));
    let long = vec![b' '; body::LIMIT + 1];
    let request = warp::test::request().method("POST").path("/api/v1/apply").body(long);
    assert_eq!(refused(&admin.send(request).await), (413, "too-large".into()));
}

#[tokio::test]
async fn a_bundle_goes_in_and_comes_out_the_same() {
    let admin = Admin::start().await;
    let request = warp::test::request().method("POST").path("/api/v1/apply?reason=why%20not").body(TWO);
    let outcome = admin.send(request.header("x-zeugma-author", "me@here")).await;
    assert_eq!(outcome.status(), StatusCode::OK, "{:?}", outcome.body());
    let outcome = read(&outcome);
    assert_eq!((&outcome["revision"], &outcome["receipt"]["settled"]), (&json!(1), &json!(true)));
    assert_eq!(outcome["changes"].as_array().map(Vec::len), Some(2));

    let masked = admin.get("/api/v1/export").await;
    assert_eq!(masked.headers()["content-type"], "application/yaml");
    let masked = String::from_utf8(masked.body().to_vec()).expect("text");
    assert!(masked.contains("(sealed)") && !masked.contains(HUSH), "{masked}");
    assert_eq!(read(&admin.post("/api/v1/apply", &masked).await)["unchanged"], 2);

    let revealed = warp::test::request()
        .path("/api/v1/export?reveal&family=connections")
        .header("accept", "application/json");
    let revealed = admin.send(revealed).await;
    assert_eq!(read(&revealed)["connections"][0]["password"], HUSH);
    assert_eq!(read(&admin.post("/api/v1/apply", revealed.body()).await)["unchanged"], 1);

    let history = admin.get("/api/v1/history").await;
    let first = &read(&history)[0];
    assert_eq!((&first["author"], &first["reason"]), (&json!("me@here"), &json!("why not")));
    assert!(!String::from_utf8_lossy(history.body()).contains(HUSH));
}

#[tokio::test]
async fn one_definition_is_put_shown_and_deleted() {
    let admin = Admin::start().await;
    admin.post("/api/v1/apply", TWO).await;
    // A name may hold a slash and a space.
    let path = "/api/v1/definitions/connection/my%2Fftp";
    let shown = read(&admin.get(path).await);
    assert_eq!(
        shown["definition"],
        json!({"name": "my/ftp", "type": "line", "host": "h", "password": "(sealed)"})
    );
    let put = |body: Value, query: &str| {
        let request = warp::test::request().method("PUT").path(&format!("{path}{query}")).json(&body);
        admin.send(request)
    };
    let same = put(shown["definition"].clone(), "").await;
    assert_eq!((&read(&same)["revision"], &read(&same)["unchanged"]), (&json!(1), &json!(1)));
    let conflict = put(json!({"type": "line", "host": "${X}"}), "?expect=0").await;
    assert_eq!(refused(&conflict), (409, "conflict".into()));
    let dry = put(json!({"type": "line", "host": "${X}"}), "?expect=1&dry_run").await;
    assert_eq!((&read(&dry)["revision"], &read(&dry)["dry_run"]), (&json!(1), &json!(true)));
    put(json!({"type": "line", "host": "${X}"}), "?expect=1&wait=0").await;
    assert_eq!(read(&admin.get(path).await)["definition"]["host"], "${X}", "there is no bundle around it");

    let faults = put(json!({"type": "line", "hots": 1, "name": "other"}), "").await;
    assert_eq!(refused(&faults), (422, "faults".into()));
    assert_eq!(read(&faults)["error"]["faults"][0]["at"], "1:1 connection/my/ftp");

    let delete = |path: &str| admin.send(warp::test::request().method("DELETE").path(path));
    assert_eq!(read(&delete(path).await)["changes"][0]["change"], "deleted");
    assert_eq!(refused(&delete(path).await), (404, "not-found".into()));
    let restored = read(&admin.post("/api/v1/rollback", r#"{"revision": 1}"#).await);
    assert_eq!((&restored["revision"], &restored["changes"][0]["change"]), (&json!(4), &json!("created")));
}

#[tokio::test]
async fn faults_come_all_at_once_with_their_places() {
    let admin = Admin::start().await;
    let bundle = "channels:\n- {name: a, type: door, path: /a, service: none}\nconnections:\n- {name: c, type: line}\n\
                  - {name: d, type: line, host: '${HOST}'}\n";
    // A text that cannot be read is told before what it says is checked.
    let unread = admin.post("/api/v1/apply", bundle).await;
    assert_eq!(refused(&unread), (422, "faults".into()));
    assert_eq!(read(&unread)["error"]["faults"][0]["at"], "5:3 connection/d.host");
    let hint = read(&unread)["error"]["faults"][0]["hint"].clone();
    assert!(hint.as_str().is_some_and(|hint| hint.contains("before sending")), "{hint}");
    let faults = read(&admin.post("/api/v1/apply", bundle.replace("${HOST}", "h")).await);
    let at: Vec<_> = faults["error"]["faults"].as_array().expect("faults").iter().map(|f| &f["at"]).collect();
    assert_eq!(at, ["4:3 connection/c.host", "2:3 channel/a.service"]);
}

#[tokio::test]
async fn what_runs_is_shown_and_told() {
    let admin = Admin::start().await;
    let nodes = read(&admin.get("/api/v1/nodes").await);
    assert_eq!((&nodes[0]["revision"], &nodes[0]["own"]["stopping"]), (&json!(0), &json!(false)));
    let actors = read(&admin.get("/api/v1/actors").await);
    let named = |id: &str| actors.as_array().expect("a list").iter().any(|a| a["id"] == id);
    assert!(named("service/zeugma.ping"), "{actors}");
    let tree = read(&admin.get("/api/v1/actors?tree").await);
    let keeper = &tree["children"][0]["children"][0];
    assert_eq!(
        (&keeper["name"], keeper["children"].as_array().map(Vec::len)),
        (&json!("keeper"), Some(actors.as_array().expect("a list").len()))
    );
    let ping = "/api/v1/actors/service/zeugma.ping";
    assert_eq!(read(&admin.post(&format!("{ping}/pause?timeout=1s"), "").await)["phase"], "paused");
    assert_eq!(
        refused(&admin.post("/api/v1/services/zeugma.ping/invoke", "").await),
        (503, "unavailable".into())
    );
    assert_eq!(read(&admin.post(&format!("{ping}/resume"), "").await)["phase"], "running");
    let pong = admin.post("/api/v1/services/zeugma.ping/invoke", "").await;
    assert_eq!(read(&pong)["pong"], "zeugma");
    let started = admin.post("/api/v1/services/zeugma.ping/invoke?async", "").await;
    assert_eq!(started.status(), StatusCode::ACCEPTED);
    assert_eq!(read(&started)["cid"], started.headers()[CID_HEADER].to_str().expect("text"));
    let service = read(&admin.get("/api/v1/services/zeugma.ping").await);
    assert!(service["output"]["properties"]["pong"].is_object(), "{service}");
    let settled = read(&admin.get("/api/v1/revision?settled=1&timeout=10ms").await);
    assert_eq!((&settled["revision"], &settled["settled"]), (&json!(1), &json!(false)));
    let metrics = admin.get("/metrics").await;
    assert!(String::from_utf8_lossy(metrics.body()).contains("zeugma_revision 0"));
    let head = admin.send(warp::test::request().method("HEAD").path("/api/v1/nodes")).await;
    assert!(head.status().is_success() && head.body().is_empty());
    assert!(head.headers()["content-length"].to_str().is_ok_and(|length| length != "0"));
}

#[tokio::test]
async fn the_description_holds_every_endpoint_and_every_kind_is_listed() {
    let admin = Admin::start().await;
    let description = read(&admin.get("/api/v1/openapi.json").await);
    assert_eq!(description["openapi"], "3.1.0");
    let mut operations = std::collections::BTreeSet::new();
    for endpoint in table::endpoints() {
        let operation = &description["paths"][endpoint.path][endpoint.method.as_str().to_lowercase()];
        assert!(operation["summary"].is_string(), "{}", endpoint.path);
        assert!(operations.insert(operation["operationId"].to_string()), "{}", endpoint.path);
    }
    let text = description.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(description.pointer(reference).is_some(), "{reference} leads nowhere");
    }
    let kinds = read(&admin.get("/api/v1/kinds").await);
    let line =
        kinds.as_array().expect("a list").iter().find(|k| k["kind"] == "connection.line").expect("there");
    assert_eq!(line["schema"]["properties"]["host"]["description"], "Where.");
    assert_eq!(line["example"]["type"], "line");
}

#[tokio::test]
async fn events_tell_each_revision_and_end_when_the_node_stops() {
    let admin = Admin::start().await;
    let (filter, token) = (admin.filter.clone(), admin.token());
    // Seen up to nothing: what was there before comes first.
    let request = warp::test::request().path("/api/v1/events").header("last-event-id", "0");
    let following = request.header("authorization", token).reply(&filter);
    let changing = async {
        admin.post("/api/v1/apply", TWO).await;
        admin.post("/api/v1/apply", TWO.replace("/a", "/b")).await;
        let filter = admin.filter.clone();
        admin.node.stop().await;
        let ready = warp::test::request().path("/readyz").reply(&filter).await;
        assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    };
    let (told, ()) = tokio::join!(following, changing);
    assert_eq!(told.headers()["content-type"], "text/event-stream");
    let text = String::from_utf8(told.body().to_vec()).expect("text");
    for part in
        ["event:revision\ndata:{\"revision\":1,", "\"revision\":2,", "event:node\n", "event:stopping\n"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains(HUSH), "{text}");
}
