//! A history under faults: what was confirmed is seen by every node, in order and once, and requests never fail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::kit::cluster::{Cluster, SOON};
use crate::kit::process::eventually;
use crate::kit::program::Program;

const NODES: usize = 3;
/// How long a writer waits for an answer before it asks another node.
const IMPATIENT: Duration = Duration::from_millis(1500);
/// How long a reader waits: longer than any fault lasts.
const PATIENT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_all_faults_confirmed_changes_are_seen_in_order_and_no_request_fails() {
    let mut cluster = Cluster::of(NODES).await;
    let history = Arc::new(History::default());
    (1..=NODES).for_each(|n| history.is_up(n, cluster.node(n)));
    let mut tasks = vec![tokio::spawn(write(history.clone()))];
    history.confirmed(1).await;
    for n in 1..=NODES {
        tasks.push(tokio::spawn(read(history.clone(), n)));
        tasks.push(tokio::spawn(knock(history.clone(), n)));
    }
    history.has_reached_all(&cluster).await;

    history.is_down(3);
    cluster.kill(3);
    history.goes_on().await;
    cluster.add(3, &[], &[]);
    history.is_up(3, cluster.node(3));
    history.has_reached_all(&cluster).await;

    cluster.node(2).signal("STOP");
    sleep(Duration::from_secs(7)).await;
    cluster.node(2).signal("CONT");
    history.goes_on().await;
    history.has_reached_all(&cluster).await;

    cluster.redis.kill();
    sleep(Duration::from_millis(300)).await;
    cluster.redis.restart().await;
    history.goes_on().await;
    history.has_reached_all(&cluster).await;

    cluster.redis.ask(&["CLIENT", "PAUSE", "3000", "ALL"]);
    sleep(Duration::from_secs(3)).await;
    history.goes_on().await;
    history.has_reached_all(&cluster).await;

    history.done.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.expect("it ends by itself");
    }
    history.has_reached_all(&cluster).await;
    history.is_sound(&recorded(&cluster).await);
}

/// A node as clients see it.
#[derive(Clone)]
struct Place {
    data: String,
    admin: String,
    token: String,
    /// Which start of the process.
    start: u64,
    up: bool,
}

/// What clients have done and seen.
#[derive(Default)]
struct History {
    places: Mutex<BTreeMap<usize, Place>>,
    /// The revision that each confirmed change has made.
    confirmed: Mutex<BTreeMap<u64, u64>>,
    wrong: Mutex<Vec<String>>,
    requests: AtomicU64,
    /// How often changes were answered with which status; 0: not in time.
    answered: Mutex<BTreeMap<u16, u64>>,
    done: AtomicBool,
}

impl History {
    fn is_up(&self, n: usize, node: &Program) {
        let mut places = self.places.lock().expect("not poisoned");
        let start = places.get(&n).map_or(0, |place| place.start + 1);
        let (data, admin, token) = (node.data.clone(), node.admin.clone(), node.token());
        places.insert(n, Place { data, admin, token, start, up: true });
    }

    fn is_down(&self, n: usize) {
        self.places.lock().expect("not poisoned").get_mut(&n).expect("it was up").up = false;
    }

    /// The node, if it is up.
    fn place(&self, n: usize) -> Option<Place> {
        self.places.lock().expect("not poisoned").get(&n).filter(|place| place.up).cloned()
    }

    fn is_done(&self) -> bool {
        self.done.load(Ordering::SeqCst)
    }

    fn confirm(&self, change: u64, revision: u64) {
        self.confirmed.lock().expect("not poisoned").insert(change, revision);
    }

    fn newest(&self) -> u64 {
        self.confirmed.lock().expect("not poisoned").keys().next_back().copied().unwrap_or_default()
    }

    async fn confirmed(&self, change: u64) {
        let what = format!("change {change} is confirmed");
        eventually(SOON, &what, async || self.newest() >= change).await;
    }

    /// Waits until many more changes are confirmed.
    async fn goes_on(&self) {
        self.confirmed(self.newest() + 25).await;
    }

    /// Waits until what is confirmed by now is seen on every node.
    async fn has_reached_all(&self, cluster: &Cluster) {
        let newest = self.newest();
        for node in cluster.running() {
            eventually(SOON, &format!("change {newest} is seen\n{}", node.log()), async || {
                let answer = client(PATIENT).get(format!("{}/c", node.data)).send().await.expect("an answer");
                change_of(&answer).is_some_and(|change| change >= newest)
            })
            .await;
        }
    }

    /// A failure counts unless the node was down meanwhile.
    fn fails(&self, n: usize, place: &Place, what: &str) {
        if self.place(n).is_some_and(|now| now.start == place.start) {
            self.wrong.lock().expect("not poisoned").push(format!("n{n}: {what}"));
        }
    }

    /// `recorded`: the changes that the store's history holds, oldest first, and their revisions.
    fn is_sound(&self, recorded: &[(u64, u64)]) {
        let wrong = self.wrong.lock().expect("not poisoned");
        assert!(
            wrong.is_empty(),
            "{} failures: {:#?}",
            wrong.len(),
            wrong.iter().take(10).collect::<Vec<_>>()
        );
        for pair in recorded.windows(2) {
            let ((before, earlier), (after, later)) = (pair[0], pair[1]);
            assert!(before < after && earlier < later, "out of order, or twice: {pair:?}");
        }
        let recorded: BTreeMap<u64, u64> = recorded.iter().copied().collect();
        let confirmed = self.confirmed.lock().expect("not poisoned");
        for (change, revision) in &*confirmed {
            assert_eq!(recorded.get(change), Some(revision), "change {change} was confirmed");
        }
        let requests = self.requests.load(Ordering::SeqCst);
        let answered = self.answered.lock().expect("not poisoned");
        assert!(confirmed.len() >= 90 && requests >= 500, "{answered:?}, {requests} requests");
    }
}

/// Makes change after change, each through the next node, none twice.
async fn write(history: Arc<History>) {
    let client = client(IMPATIENT);
    let (mut change, mut expect) = (0, Some(0));
    while !history.is_done() {
        let n = 1 + usize::try_from(change).expect("small") % NODES;
        change += 1;
        let Some(place) = history.place(n) else { continue };
        // It is checked by revision: a change that is delayed must not undo later ones.
        let Some(seen) = expect else {
            let asked = client.get(format!("{}/api/v1/revision", place.admin));
            expect = ask(asked, &place).await.and_then(|(_, answer)| answer["revision"].as_u64());
            continue;
        };
        let url = format!("{}/api/v1/apply?prune=true&wait=0&expect={seen}&reason={change}", place.admin);
        let apply = client.post(url).header("content-type", "application/json").body(bundle(change));
        let answer = ask(apply, &place).await;
        let status = answer.as_ref().map_or(0, |(status, _)| *status);
        *history.answered.lock().expect("not poisoned").entry(status).or_default() += 1;
        match answer {
            Some((200, outcome)) => {
                expect = outcome["revision"].as_u64();
                history.confirm(change, expect.expect("a revision"));
                continue;
            }
            // Somebody was faster: this writer, by a request whose answer it did not wait for. Or Redis is away.
            Some((409 | 503, _)) | None => expect = None,
            Some((status, answer)) => {
                let what = format!("change {change}: {status} {answer}");
                history.wrong.lock().expect("not poisoned").push(what);
                expect = None;
            }
        }
        sleep(Duration::from_millis(10)).await;
    }
}

async fn ask(request: RequestBuilder, place: &Place) -> Option<(u16, Value)> {
    let answer = request.bearer_auth(&place.token).send().await.ok()?;
    Some((answer.status().as_u16(), answer.json().await.ok()?))
}

/// Each change replaces the channel of the path `/c` by one of another name, and the role of who opens another channel.
fn bundle(change: u64) -> String {
    let headers = json!({"x-change": change.to_string()});
    let parity = change % 2;
    let channel = |name: String, path: &str, security: Value| {
        json!({"name": name, "type": "rest", "path": path, "service": "zeugma.ping", "security": security,
            "response_headers": headers})
    };
    let mut locked = channel("locked".into(), "/locked", json!("key"));
    locked["require"] = json!(["parity-0"]);
    json!({
        "security": [{"name": "key", "type": "api-key", "key": "hush-hush", "roles": [format!("parity-{parity}")]}],
        "channels": [channel(format!("c{parity}"), "/c", Value::Null), locked],
    })
    .to_string()
}

/// Reads the number of the change again and again: it never goes back while the process runs.
async fn read(history: Arc<History>, n: usize) {
    let client = client(PATIENT);
    let mut seen = (0, 0);
    while !history.is_done() {
        sleep(Duration::from_millis(3)).await;
        let Some(place) = history.place(n) else { continue };
        match client.get(format!("{}/c", place.data)).send().await {
            Ok(answer) if answer.status() == 200 => {
                history.requests.fetch_add(1, Ordering::SeqCst);
                let change = change_of(&answer).expect("each has a number");
                if seen.0 == place.start && change < seen.1 {
                    history.fails(n, &place, &format!("change {change} after {}", seen.1));
                }
                seen = (place.start, change);
            }
            Ok(answer) => history.fails(n, &place, &format!("{} after change {}", answer.status(), seen.1)),
            Err(error) => history.fails(n, &place, &format!("{error:?}")),
        }
    }
}

/// Shows the key again and again: its role of odd changes never opens the channel, that of even ones always does.
async fn knock(history: Arc<History>, n: usize) {
    let client = client(PATIENT);
    let (mut opened, mut shut) = (0, 0);
    while !history.is_done() {
        sleep(Duration::from_millis(3)).await;
        let Some(place) = history.place(n) else { continue };
        let knock = client.get(format!("{}/locked", place.data)).header("x-api-key", "hush-hush");
        match knock.send().await {
            Ok(answer) => {
                let (status, change) = (answer.status().as_u16(), change_of(&answer));
                match (status, change.map(|change| change % 2)) {
                    (200, Some(0)) => opened += 1,
                    (403, Some(1) | None) => shut += 1,
                    _ => history.fails(n, &place, &format!("a mix: {status} of change {change:?}")),
                }
            }
            Err(error) => history.fails(n, &place, &format!("{error:?}")),
        }
    }
    assert!(opened > 0 && shut > 0, "n{n} opened {opened} and refused {shut} times");
}

fn change_of(answer: &reqwest::Response) -> Option<u64> {
    answer.headers().get("x-change")?.to_str().ok()?.parse().ok()
}

fn client(patience: Duration) -> Client {
    Client::builder().no_proxy().timeout(patience).build().expect("a client")
}

/// Every change of the history, oldest first, with its revision.
async fn recorded(cluster: &Cluster) -> Vec<(u64, u64)> {
    let (mut changes, mut before) = (Vec::new(), String::new());
    loop {
        let page = cluster.admin(cluster.node(1), &format!("history?limit=500{before}")).await;
        let page = page.as_array().expect("a list");
        for event in page {
            let change = event["reason"].as_str().and_then(|reason| reason.parse().ok());
            changes.push((change.expect("its number"), event["revision"].as_u64().expect("a revision")));
        }
        let Some((_, oldest)) = changes.last().filter(|_| page.len() == 500) else { break };
        before = format!("&before={oldest}");
    }
    changes.reverse();
    changes
}
