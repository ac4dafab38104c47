//! What services ask of the engine: each other, in chains and in circles, files, requests to others, caches.

use super::{deploy, json, restarts};
use crate::kit::ftp::{Brand, FtpServer, Tls};
use crate::kit::http_servers::PythonHttp;
use crate::kit::program::Program;

/// Services that call each other, and one that calls twelve others in a chain.
fn circles() -> String {
    let mut text = String::from(
        "
from zeugma import Service

class Itself(Service):
    name = 'itself'
    def handle(self):
        self.response.payload = self.invoke('itself')

class Left(Service):
    name = 'left'
    def handle(self):
        self.response.payload = self.invoke('right')

class Right(Service):
    name = 'right'
    def handle(self):
        self.response.payload = self.invoke('left')

class Caught(Service):
    name = 'caught'
    def handle(self):
        try:
            self.invoke('there-is-no-such-service')
        except Exception as error:
            self.response.payload = type(error).__name__

class Chain0(Service):
    name = 'chain0'
    def handle(self):
        self.response.payload = 'the end'
",
    );
    for n in 1..=20 {
        text += &format!(
            "\nclass Chain{n}(Service):\n    name = 'chain{n}'\n    def handle(self):\n        \
             self.response.payload = self.invoke('chain{}')\n",
            n - 1
        );
    }
    text
}

#[tokio::test]
async fn services_call_each_other_deep_but_not_in_circles_even_where_there_is_room_for_one() {
    let node = Program::start(&[]);
    deploy(&node, &circles(), &["--workers", "1", "--threads", "1"]);
    assert_eq!(node.curl("/chain12").send().ok().text(), "the end");
    for path in ["/itself", "/left", "/chain20"] {
        let answer = node.curl(path).send();
        assert_eq!(
            (answer.status, answer.json()["error"]["kind"].as_str()),
            (500, Some("internal")),
            "{path}"
        );
        assert!(answer.seconds < 2.5, "{path}: it was found out, not waited for");
    }
    let log = node.log();
    assert!(log.contains("would invoke itself") && log.contains("nested deeper than 16"), "{log}");
    assert_eq!(node.curl("/caught").send().ok().text(), "NotFound");

    // Many at once, each with a chain of its own.
    let many: Vec<_> = (0..8).map(|_| node.curl("/chain12").begin()).collect();
    for answer in many {
        assert_eq!(answer.end().ok().text(), "the end");
    }
    assert_eq!(restarts(&node), 0);
}

const OUTSIDE: &str = r#"
from zeugma import Service

class Files(Service):
    name = 'json-files'
    def handle(self):
        ftp = self.outgoing.ftp['my.ftp']
        ftp.setcontents('/one.bin', self.request.raw_request)
        back = ftp.getcontents('/one.bin')
        self.response.payload = {
            'same': bytes(back) == self.request.raw_request, 'there': ftp.exists('/one.bin'),
            'missing': ftp.exists('/two.bin'), 'names': ftp.listdir('/'),
        }

class Http(Service):
    name = 'json-http'
    def handle(self):
        crm = self.outgoing.plain_http['CRM']
        found = crm.conn.post(self.cid, {'a': 1}, params={'q': 'x y', 'id': 7}, headers={'X-Own': 'mine'})
        self.response.payload = {'status': found.status_code, 'said': found.data, 'cid': self.cid}

class Late(Service):
    name = 'json-late'
    def handle(self):
        self.outgoing.plain_http['SLOW'].conn.get(self.cid)

class Broken(Service):
    name = 'json-broken'
    def handle(self):
        self.outgoing.plain_http['there.is.none'].conn.get(self.cid)

class Remember(Service):
    name = 'json-remember'
    def handle(self):
        cache = self.cache.default
        cache.set('n', (cache.get('n') or 0) + 1)
        self.response.payload = {'n': cache.get('n')}

class Head(Service):
    name = 'json-head'
    def handle(self):
        http = self.request.http
        self.response.payload = {
            'method': http.method, 'path': http.path, 'own': http.headers['X-Own'], 'get': dict(http.GET),
            'channel': self.channel.name, 'format': self.channel.data_format, 'payload': self.request.payload,
        }
        self.response.status_code = 201
        self.response.headers['X-Said'] = 'yes'

class Async(Service):
    name = 'json-async'
    async def handle(self):
        self.response.payload = await self.invoke('json-remember', {})
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_use_connections_caches_and_the_request_as_it_came() {
    let ftp = FtpServer::start(Brand::Pyftpdlib, Tls::No).await;
    let server = PythonHttp::start().await;
    let node = Program::start(&[]);
    let mut connection = ftp.params();
    connection["name"] = "my.ftp".into();
    connection["type"] = "ftp".into();
    node.apply(&json!({"connections": [
        connection,
        {"name": "CRM", "type": "http", "url": server.url("/crm/{id}")},
        {"name": "SLOW", "type": "http", "url": server.url("/slow?s=30")},
    ]}));
    deploy(&node, OUTSIDE, &["--workers", "2"]);

    let body = node.write("body.json", "{\"any\": [1, 2, \"\u{e9}\"]}");
    let files =
        node.curl("/json-files").file(&body).with(&["-H", "Content-Type: application/json"]).send().ok();
    let files = files.json();
    assert_eq!(
        (&files["same"], &files["there"], &files["missing"]),
        (&json!(true), &json!(true), &json!(false))
    );
    assert_eq!(files["names"], json!(["one.bin"]));

    let http = node.curl("/json-http").send().ok().json();
    let said = &http["said"];
    assert_eq!(http["status"], 200);
    for part in ["/crm/7?q=x", "\"mine\"", http["cid"].as_str().expect("a cid")] {
        assert!(said.to_string().replace('\\', "").contains(part), "{part} is not in {said}");
    }

    let late = node.curl("/json-late").send();
    assert_eq!((late.status, late.json()["error"]["kind"].as_str()), (504, Some("timeout")));
    assert_eq!(node.curl("/json-broken").send().status, 503);

    for n in 1..=3 {
        assert_eq!(node.curl("/json-remember").send().ok().json(), json!({ "n": n }), "one for all workers");
    }
    assert_eq!(node.curl("/json-async").send().ok().json(), json!({"n": 4}));

    let head = node.curl("/json-head?a=1&a=2&b=x").with(&["-H", "X-Own: mine", "--json", "[1]"]).send();
    assert_eq!((head.status, head.header("x-said")), (201, Some("yes")));
    let expected = json!({"method": "POST", "path": "/json-head", "own": "mine", "get": {"a": ["1", "2"], "b": "x"},
        "channel": "json-head", "format": "json", "payload": [1]});
    assert_eq!(head.json(), expected);
    assert_eq!(restarts(&node), 0);
}
