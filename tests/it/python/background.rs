//! Calls that nobody waits for: put off, several at once, made again; and the services that hear of what came of them.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::{SOON, deploy, eventually, json};
use crate::kit::program::Program;

const WORK: &str = r#"
import time
from zeugma import NotFound, Service, UpstreamError

def note(service, key):
    service.cache.set(key, {'payload': service.request.payload, 'reply': service.in_reply_to, 'cid': service.cid,
                            'channel': service.channel.type, 'environ': service.environ})

class Add(Service):
    name = 'add'
    def handle(self):
        self.response.payload = {'n': self.request.payload['n'] + 1}

class Fails(Service):
    name = 'fails'
    def handle(self):
        raise UpstreamError(self.cid, 'too bad')

class Told(Service):
    name = 'told'
    def handle(self):
        note(self, 'told')

class Second(Service):
    name = 'second'
    def handle(self):
        note(self, 'second')

class Begin(Service):
    name = 'json-begin'
    def handle(self):
        self.response.payload = [self.invoke_async('add', {'n': 1}, callback='told'),
                                 self.invoke_async('add', {'n': 2}, callback=['told-too', Second])]

class ToldToo(Service):
    name = 'told-too'
    def handle(self):
        note(self, 'told-too')

class Own(Service):
    name = 'json-own'
    def handle(self):
        if self.channel.type == 'invoke-async-callback':
            note(self, 'own')
        else:
            self.response.payload = self.invoke_async('add', {'n': 3}, callback=self)

class Usual(Service):
    name = 'json-usual'
    def handle(self):
        self.response.payload = [self.invoke_async('add', {'n': 4}), self.invoke_async('fails', {'n': 5})]

class UsualCallback(Service):
    name = 'json-usual-async-callback'
    def handle(self):
        before = self.cache.get('usual') or []
        self.cache.set('usual', before + [self.request.payload])

class Forms(Service):
    name = 'json-forms'
    def handle(self):
        for n, payload in enumerate(['123', b'\xff\x00', [1], {'a': 1}, None]):
            self.invoke_async('form', payload, environ={'n': n})

class Form(Service):
    name = 'form'
    def handle(self):
        self.cache['forms'].set(str(self.environ.get('n')), {'is': repr(self.request.payload)})

class Unknown(Service):
    name = 'json-unknown'
    def handle(self):
        found = []
        for arguments in [{'service': 'nobody'}, {'service': 'add', 'callback': 'nobody'}]:
            try:
                self.invoke_async(**arguments)
            except NotFound as error:
                found.append(error.message)
        self.response.payload = found

class Later(Service):
    name = 'json-later'
    def handle(self):
        cid = 'ab' * 12
        self.cache.set('asked', time.time())
        self.response.payload = self.invoke_async('late', '', delay=float(self.request.http.GET.s), cid=cid)

class Late(Service):
    name = 'late'
    def handle(self):
        self.cache.set('late', {'waited': time.time() - self.cache.get('asked'), 'cid': self.cid, 'version': 1})

class FanOut(Service):
    name = 'json-fanout'
    def handle(self):
        targets = {'add': {'n': 10}, 'fails': 'text', 'form': ''}
        self.response.payload = self.patterns.fanout.invoke(targets, on_final=['told'], on_target='each')

class Parallel(Service):
    name = 'json-parallel'
    def handle(self):
        self.response.payload = self.patterns.parallel.invoke({'add': {'n': 20}}, on_target=['each'])

class Each(Service):
    name = 'each'
    def handle(self):
        self.cache['each'].set(self.request.payload['target'], self.request.payload)

class Flaky(Service):
    name = 'flaky'
    def handle(self):
        tries = (self.cache.get('tries') or 0) + 1
        self.cache.set('tries', tries)
        if tries < 4:
            raise UpstreamError(self.cid, 'not yet')
        self.response.payload = {'tries': tries, 'sent': self.request.payload}

class Retry(Service):
    name = 'json-retry'
    def handle(self):
        again = self.patterns.invoke_retry.invoke
        try:
            again('flaky', {'a': 1}, async_fallback=True, callback='nobody', repeats=5, seconds=0.05)
        except ValueError as error:
            wrong = str(error)
        self.response.payload = [wrong, again('flaky', {'a': 1}, async_fallback=True, callback='told', repeats=5, seconds=0.05,
                                              context={'mine': True})]

class Recall(Service):
    name = 'recall'
    def handle(self):
        cache, _, key = self.request.raw_request.decode().partition('/')
        self.response.payload = self.cache[cache].get(key)
"#;

/// What a service has put into a cache.
async fn recalled(node: &Program, key: &str) -> Value {
    let mut found = Value::Null;
    eventually(SOON, &format!("{key} is there"), async || {
        let said = node.good(&["invoke", "recall", "--payload", key]);
        found = serde_json::from_str(&said).unwrap_or_default();
        !found.is_null()
    })
    .await;
    found
}

/// What a service answers at once: a cid, or more than one thing.
fn begin(node: &Program, path: &str) -> Value {
    let text = node.curl(path).send().ok().text();
    if text.len() == 24 { text.into() } else { serde_json::from_str(&text).unwrap_or_default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_hear_of_the_answer_of_what_was_called_in_the_background() {
    let node = Program::start(&[]);
    deploy(&node, WORK, &["--workers", "1"]);
    let cids = begin(&node, "/json-begin");
    for (key, cid, n) in [("told", &cids[0], 2), ("told-too", &cids[1], 3), ("second", &cids[1], 3)] {
        let told = recalled(&node, &format!("default/{key}")).await;
        assert_eq!((&told["payload"], &told["reply"], &told["cid"]), (&json!({ "n": n }), cid, cid));
        assert_eq!(told["channel"], "invoke-async-callback");
    }
    let cid = begin(&node, "/json-own");
    let own = recalled(&node, "default/own").await;
    assert_eq!((&own["payload"], &own["reply"]), (&json!({"n": 4}), &cid));

    // One that is called as is usual hears of it unasked; of what failed, nobody does.
    begin(&node, "/json-usual");
    assert_eq!(recalled(&node, "default/usual").await, json!([{"n": 5}]));
    eventually(SOON, "the failure is in the log", async || node.log().contains("too bad")).await;
    assert_eq!(recalled(&node, "default/usual").await, json!([{"n": 5}]));

    // What is passed arrives as it was.
    begin(&node, "/json-forms");
    for (n, form) in ["'123'", "b'\\xff\\x00'", "[1]", "{'a': 1}", "''"].iter().enumerate() {
        assert_eq!(recalled(&node, &format!("forms/{n}")).await["is"], **form);
    }
    let unknown = json!(["there is no service \"nobody\"", "there is no service \"nobody\""]);
    assert_eq!(begin(&node, "/json-unknown"), unknown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_can_be_put_off_and_is_then_made_of_the_version_of_then() {
    let mut node = Program::start(&[]);
    deploy(&node, WORK, &["--workers", "1"]);
    assert_eq!(begin(&node, "/json-later?s=0.4"), "ab".repeat(12).as_str());
    let late = recalled(&node, "default/late").await;
    assert!(late["waited"].as_f64() >= Some(0.4), "{late}");
    assert_eq!((&late["cid"], &late["version"]), (&json!("ab".repeat(12)), &json!(1)));

    begin(&node, "/json-later?s=8");
    node.write("work.py", &WORK.replace("'version': 1", "'version': 2"));
    node.good(&["deploy", "work.py"]);
    eventually(SOON, "the new version was called", async || {
        recalled(&node, "default/late").await["version"] == 2
    })
    .await;

    let long = node.curl("/json-later?s=3601").send();
    assert_eq!(long.status, 400, "{}", long.text());
    assert!(long.text().contains("a job of the scheduler"), "{}", long.text());

    // A node that stops does not wait for it.
    begin(&node, "/json-later?s=600");
    node.signal("TERM");
    let begun = Instant::now();
    assert_eq!(node.ended(Duration::from_secs(20)).code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert!(node.log().contains("is let go, since the node stops"), "{}", node.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_are_called_at_once_and_each_outcome_is_told_and_all_of_them_in_the_end() {
    let node = Program::start(&[]);
    deploy(&node, WORK, &["--workers", "1"]);
    let cid = begin(&node, "/json-fanout");
    let told = recalled(&node, "default/told").await;
    let all = &told["payload"];
    assert_eq!(
        (&all["cid"], &all["source"], &all["on_final"]),
        (&cid, &json!("json-fanout"), &json!(["told"]))
    );
    let names: Vec<_> = all["data"].as_object().expect("a map").keys().collect();
    assert_eq!(names, ["add", "fails", "form"]);
    let add = recalled(&node, "each/add").await;
    assert_eq!(add, all["data"]["add"]);
    assert_eq!(
        (&add["ok"], &add["response"], &add["exception"]),
        (&json!(true), &json!({"n": 11}), &Value::Null)
    );
    assert_eq!((&add["cid"], &add["source"]), (&cid, &json!("json-fanout")));
    assert!(add["req_ts_utc"].as_str() <= add["resp_ts_utc"].as_str(), "{add}");
    let fails = recalled(&node, "each/fails").await;
    assert_eq!(
        (&fails["ok"], &fails["response"], &fails["exception"]),
        (&json!(false), &Value::Null, &json!("too bad"))
    );

    let cid = begin(&node, "/json-parallel");
    eventually(SOON, "its outcome is told", async || recalled(&node, "each/add").await["cid"] == cid).await;
    assert_eq!(recalled(&node, "each/add").await["response"], json!({"n": 21}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_is_called_again_in_the_background() {
    let node = Program::start(&[]);
    deploy(&node, WORK, &["--workers", "1"]);
    let said = begin(&node, "/json-retry");
    assert_eq!(said[0], "the callback 'nobody' is no service");
    let told = recalled(&node, "default/told").await;
    let outcome = &told["payload"];
    assert_eq!((&told["reply"], &outcome["cid"], &outcome["ok"]), (&said[1], &said[1], &json!(true)));
    assert_eq!(outcome["response"], json!({"tries": 4, "sent": {"a": 1}}));
    assert_eq!(outcome["context"], json!({"mine": true}));
}
