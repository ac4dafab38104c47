//! Locks: what only one service of the cluster does at a time, and what becomes of a lock whose holder is no more.

use serde_json::json;

use super::deploy;
use crate::kit::cluster::Cluster;
use crate::kit::program::Program;

const WORK: &str = r#"
import os
import time
from zeugma import LockTimeout, Service

class Count(Service):
    name = 'count'
    def handle(self):
        with self.lock('counting', ttl=60, block=30):
            n = self.cache.get('n') or 0
            time.sleep(0.005)
            self.cache.set('n', n + 1)
        self.response.payload = 'counted'

class Counted(Service):
    name = 'json-counted'
    def handle(self):
        self.response.payload = self.cache.get('n')

class Fences(Service):
    name = 'json-fences'
    def handle(self):
        found = []
        for _ in range(3):
            with self.lock() as lock:
                assert lock.name == self.name and lock.acquired
                found.append(lock.fence)
            assert not lock.acquired
        self.response.payload = found

class Crash(Service):
    name = 'crash'
    def handle(self):
        with self.lock('held', ttl=3600):
            os._exit(1)

class Spin(Service):
    name = 'spin'
    def handle(self):
        with self.lock('held', ttl=3600):
            while True:
                pass

class Forget(Service):
    name = 'forget'
    def handle(self):
        assert self.lock('held', ttl=3600).acquire()
        self.response.payload = 'forgotten'

class Hold(Service):
    name = 'hold'
    def handle(self):
        with self.lock('held', ttl=3600):
            self.cache.set('holds', True)
            while not self.cache.get('enough'):
                time.sleep(0.01)
        self.response.payload = 'held'

class Holds(Service):
    name = 'json-holds'
    def handle(self):
        self.response.payload = bool(self.cache.get('holds'))

class Enough(Service):
    name = 'enough'
    def handle(self):
        self.cache.set('enough', True)

class Try(Service):
    name = 'try'
    def handle(self):
        try:
            with self.lock('held', block=False):
                self.response.payload = 'mine'
        except LockTimeout:
            self.response.payload = 'taken'

class Wait(Service):
    name = 'wait'
    def handle(self):
        with self.lock('held', block=1):
            self.response.payload = 'mine'

class Short(Service):
    name = 'short'
    def handle(self):
        with self.lock('brief', ttl=0.1):
            with self.lock('brief', block=2):
                self.response.payload = 'it had ended'

class Wrong(Service):
    name = 'json-wrong'
    def handle(self):
        found = []
        for arguments in [{'ttl': 0}, {'ttl': -1}, {'ttl': 1e9}, {'name': 'x' * 2000}, {'ttl': 'long'}]:
            try:
                self.lock(**arguments).acquire()
            except Exception as error:
                found.append(type(error).__name__)
        self.response.payload = found
"#;

const COROUTINE: &str = r#"
from zeugma import LockTimeout, Service

class Own(Service):
    name = 'json-coroutine'
    async def handle(self):
        async with self.lock('own') as lock:
            try:
                async with self.lock('own', block=0):
                    pass
            except LockTimeout as error:
                self.response.payload = [lock.fence > 0, str(error)]
        try:
            with self.lock('own'):
                pass
        except TypeError as error:
            self.response.payload.append(str(error))
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_at_a_time_holds_a_lock_on_all_nodes() {
    let cluster = Cluster::of(2).await;
    deploy(cluster.node(1), WORK, &["--workers", "1"]);
    // Their own deadlines are long: those that wait are not first come, first served.
    let count = |n: usize| {
        let path = "/api/v1/services/count/invoke?timeout=60s";
        cluster.node(1 + n % 2).admin(path).with(&["-X", "POST"]).begin()
    };
    let counting: Vec<_> = (0..30).map(count).collect();
    for one in counting {
        assert_eq!(one.end().ok().text(), "counted");
    }
    // Without a lock, one would have overwritten what another has counted.
    assert_eq!(cluster.node(2).curl("/json-counted").send().ok().json(), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_ends_with_the_invocation_that_holds_it_however_that_ends() {
    let node = Program::start(&[]);
    deploy(&node, WORK, &["--workers", "2"]);
    assert_eq!(node.curl("/crash").send().status, 500);
    assert_eq!(node.curl("/wait").send().ok().text(), "mine", "after a crash");
    assert_eq!(node.curl("/spin").send().status, 504);
    assert_eq!(node.curl("/wait").send().ok().text(), "mine", "after an endless loop");
    assert_eq!(node.curl("/forget").send().ok().text(), "forgotten");
    assert_eq!(node.curl("/wait").send().ok().text(), "mine", "after it was forgotten");

    let holding = node.curl("/hold").begin();
    crate::kit::process::eventually(super::SOON, "it is held", async || {
        node.curl("/json-holds").send().ok().json() == true
    })
    .await;
    assert_eq!(node.curl("/try").send().ok().text(), "taken");
    let busy = node.curl("/wait").send();
    assert_eq!((busy.status, busy.json()["error"]["kind"].as_str()), (503, Some("unavailable")));
    node.curl("/enough").send().ok();
    assert_eq!(holding.end().ok().text(), "held");
    assert_eq!(node.curl("/try").send().ok().text(), "mine");
}

#[tokio::test]
async fn a_lock_ends_by_itself_and_each_holding_of_it_has_a_higher_number() {
    let node = Program::start(&[]);
    deploy(&node, WORK, &["--workers", "1"]);
    assert_eq!(node.curl("/short").send().ok().text(), "it had ended");
    assert!(node.log().contains("had ended before it was given back"), "{}", node.log());
    let fences = node.curl("/json-fences").send().ok().json();
    assert!(fences[0].as_u64() < fences[1].as_u64() && fences[1].as_u64() < fences[2].as_u64(), "{fences}");
    let wrong = node.curl("/json-wrong").send().ok().json();
    assert_eq!(wrong, json!(["BadRequest", "BadRequest", "BadRequest", "BadRequest", "BadRequest"]));
    node.write("own.py", COROUTINE);
    node.good(&["deploy", "own.py"]);
    let own = node.good(&["invoke", "json-coroutine"]);
    assert_eq!(
        own,
        r#"[true,"somebody else has the lock own","a coroutine takes a lock with `async with`"]"#
    );
}
