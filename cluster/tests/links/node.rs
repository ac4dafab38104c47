//! A node in a process of its own: this test binary, run again with a test that is ignored otherwise. It is told what
//! to do by lines of JSON on its standard input and answers on its standard output.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use config::{Name, Secret};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::Instant;
use zeugma_cluster::envelope::Versions;
use zeugma_cluster::{
    Failure, Handler, Identity, Incarnation, Incoming, LinkSettings, Links, Member, RactorLinks, Request,
    Transport,
};

/// What stands before each answer, since the test harness writes to standard output as well.
pub(crate) const MARK: &str = "@node ";

/// How a node is started.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) cluster: Name,
    pub(crate) node: Name,
    pub(crate) incarnation: u64,
    pub(crate) secret: String,
    pub(crate) port: u16,
    /// Authority, certificate, key.
    pub(crate) tls: Option<[String; 3]>,
    pub(crate) tls_name: Option<String>,
    pub(crate) versions: Option<Versions>,
    pub(crate) message: Option<usize>,
    pub(crate) calls: Option<usize>,
}

/// What a node is told.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    Members(Vec<(Name, u64, String)>),
    Peers,
    /// To whom, the text, followed by so many bytes, within so many milliseconds.
    Call(Name, String, usize, u64),
    /// So many calls, one after the other; the answer is how many microseconds the middle one took.
    Measure(Name, usize),
    Cast(String),
    /// How many hints came so far.
    Hints,
}

#[derive(Default)]
struct Answers(AtomicU64);

#[async_trait]
impl Handler for Answers {
    /// The first word says what to do with the rest.
    async fn handle(&self, incoming: Incoming) -> Result<Bytes, Failure> {
        let payload = incoming.payload;
        let text = String::from_utf8_lossy(&payload[..payload.len().min(40)]).into_owned();
        let (word, rest) = text.split_once(' ').unwrap_or((&text, ""));
        Ok(match word {
            "who" => format!("{} {}", incoming.from, incoming.incarnation).into(),
            "sum" => format!("{} {}", payload.len(), sum(&payload)).into(),
            "give" => {
                rest.trim_end_matches('\0').parse().map(|size| vec![7u8; size]).unwrap_or_default().into()
            }
            "hold" => std::future::pending().await,
            "hint" => {
                self.0.fetch_add(1, Ordering::Relaxed);
                Bytes::new()
            }
            "panic" => panic!("asked to"),
            _ => return Err(Failure::new("not_found", format!("there is no {word}"))),
        })
    }
}

/// A sum that notices a part in the wrong place.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(7, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}

/// The payload that an order stands for.
pub(crate) fn payload(text: &str, size: usize) -> Bytes {
    let mut bytes = text.as_bytes().to_vec();
    bytes.extend((0..size).map(|at| (at / 251) as u8));
    bytes.into()
}

fn say(value: &Value) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{MARK}{value}").expect("standard output");
    out.flush().expect("standard output");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the node that the other tests start"]
async fn process() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::INFO).init();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let Some(first) = lines.next_line().await.expect("standard input") else { return };
    let start: Start = serde_json::from_str(&first).expect("how to start");
    let listen = SocketAddr::from(([127, 0, 0, 1], start.port));
    let secret = Secret::new(start.secret);
    let mut settings =
        LinkSettings::new(start.cluster, start.node, Incarnation(start.incarnation), secret, listen);
    if let Some([authority, certificate, key]) = start.tls {
        let (key, name) = (Secret::new(key), start.tls_name);
        settings.transport = Transport::Tls(Identity { authority, certificate, key, name });
    }
    settings.versions = start.versions.unwrap_or(settings.versions);
    settings.limits.message = start.message.unwrap_or(settings.limits.message);
    settings.limits.bytes = settings.limits.bytes.max(2 * settings.limits.message);
    settings.limits.calls = start.calls.unwrap_or(settings.limits.calls);
    settings.limits.wait = Duration::from_millis(200);
    let links = Arc::new(RactorLinks::start(settings).await.expect("starts"));
    let answers = Arc::new(Answers::default());
    links.serve(Arc::clone(&answers) as Arc<dyn Handler>);
    say(&json!({"id": 0, "address": links.address().to_string()}));
    let mut under_way = tokio::task::JoinSet::new();
    while let Some(line) = lines.next_line().await.expect("standard input") {
        let (id, order): (u64, Order) = serde_json::from_str(&line).expect("an order");
        let (links, answers) = (Arc::clone(&links), Arc::clone(&answers));
        under_way.spawn(async move {
            let answer = obey(&*links, &answers, order).await;
            say(&json!({"id": id, "answer": answer}));
        });
    }
    links.stop(Duration::from_secs(1)).await;
}

async fn obey(links: &dyn Links, answers: &Answers, order: Order) -> Value {
    match order {
        Order::Members(members) => {
            let member = |(node, incarnation, address)| Member {
                node,
                incarnation: Incarnation(incarnation),
                address,
            };
            links.set_members(members.into_iter().map(member).collect());
            Value::Null
        }
        Order::Peers => serde_json::to_value(links.peers()).expect("JSON"),
        Order::Call(to, text, size, limit_ms) => {
            let request = Request { payload: payload(&text, size), key: None };
            let begun = Instant::now();
            let answer = links.call(&to, request, begun + Duration::from_millis(limit_ms)).await;
            let ms = u64::try_from(begun.elapsed().as_millis()).expect("not that long");
            match answer {
                Ok(bytes) if bytes.len() > 100 => json!({"ms": ms, "len": bytes.len(), "sum": sum(&bytes)}),
                Ok(bytes) => json!({"ms": ms, "ok": String::from_utf8_lossy(&bytes)}),
                Err(error) => json!({"ms": ms, "kind": error.kind(), "error": error.to_string()}),
            }
        }
        Order::Measure(to, times) => {
            let mut took = Vec::new();
            for _ in 0..times {
                let request = Request { payload: payload("sum ", 200), key: None };
                let begun = Instant::now();
                links.call(&to, request, begun + Duration::from_secs(5)).await.expect("an answer");
                took.push(begun.elapsed().as_micros());
            }
            took.sort_unstable();
            json!(u64::try_from(took[times / 2]).expect("not that long"))
        }
        Order::Cast(text) => json!(links.cast(payload(&text, 0)).is_ok()),
        Order::Hints => json!(answers.0.load(Ordering::Relaxed)),
    }
}
