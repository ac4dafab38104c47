//! Routes that are changed again and again are those that are built at once, and they find what one router of all paths
//! would find.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use actors::routes::Found;
use actors::{Live, Snapshot};
use config::{Change, Clock, Definition, Family, Revision};
use http::{HeaderMap, Method};
use sdk::task::Tasks;
use serde_json::json;

use crate::kit::engine::Engine;

/// How often the channels are changed.
const CHANGES: usize = 60;
/// How many paths are asked for after each change.
const PROBES: usize = 400;

/// What is asked: its answer is the channel, what it is bound to and the path parameters, or how it was refused.
fn found(snapshot: &Snapshot, method: &Method, path: &str) -> String {
    match snapshot.routes.find(method, &path.parse().expect("a path"), &HeaderMap::new()) {
        Ok(Found::Route(matched)) => {
            let route = matched.route;
            let service = route.service.as_ref().map(|bound| Arc::as_ptr(&bound.running));
            let security = route.security.as_ref().map(|found| found.as_ref().map(Arc::as_ptr));
            format!("{} {:?} {service:?} {security:?}", route.running.id(), matched.params)
        }
        Ok(Found::Options { allow }) => format!("options {allow}"),
        Err(error) => error.to_string(),
    }
}

/// The same parts in a snapshot that was never another.
fn built_at_once(snapshot: &Snapshot) -> Snapshot {
    let nothing = Live::new(Tasks::default(), Clock::System).now();
    nothing.next(snapshot.revision, snapshot.parts.clone(), BTreeMap::new())
}

fn any_path(random: &mut fastrand::Rng, segments: &[&str], last: &[&str]) -> String {
    let mut path = String::new();
    let depth = random.usize(0..5);
    for at in 0..=depth {
        path.push('/');
        let among = if at == depth { last } else { segments };
        path.push_str(among[random.usize(0..among.len())]);
    }
    path
}

/// A pattern, with its parameters numbered.
fn any_pattern(random: &mut fastrand::Rng, within: &str) -> String {
    let path =
        any_path(random, &["a", "b", "ab", within, "{p}"], &["", "a", "b", "ab", "{p}", "{*p}", within]);
    let mut pieces = path.split("p}");
    let mut pattern = pieces.next().unwrap_or_default().to_owned();
    for (number, piece) in pieces.enumerate() {
        pattern.push_str(&format!("p{number}}}{piece}"));
    }
    pattern
}

#[tokio::test]
async fn routes_that_have_changed_are_those_of_a_router_of_all_paths() {
    change_again_and_again("{p}", true).await;
}

/// A router of all of them would refuse some that do not stand in each other's way, such as `/b/{p0}/b/a` beside
/// `/b/a/{p0}/a{p1}`.
#[tokio::test]
async fn routes_that_have_changed_are_those_that_are_built_at_once_also_with_parameters_inside_of_segments() {
    change_again_and_again("a{p}", false).await;
}

async fn change_again_and_again(within: &str, as_one_router: bool) {
    let engine = Engine::start().await;
    let mut random = fastrand::Rng::with_seed(20);
    let (mut refused_once, mut shared_once) = (false, false);
    for change in 0..CHANGES {
        let (mut put, mut delete) = (BTreeMap::new(), BTreeSet::new());
        for _ in 0..random.usize(1..12) {
            let id = format!("channel/c{}", random.usize(0..60));
            let mut params = json!({"path": any_pattern(&mut random, within), "service": "zeugma.ping"});
            if random.u8(0..3) == 0 {
                params["security"] = json!(format!("s{}", random.usize(0..3)));
            }
            match random.usize(0..4) {
                0 => params["method"] = json!("GET"),
                1 => params["host"] = json!("example.com"),
                _ => {}
            }
            put.insert(id.clone(), engine.definition(&id, "channel.rest", params));
        }
        // What they are bound to comes, changes, is switched off and goes.
        let ping = engine.definition("service/zeugma.ping", "service.native", json!({}));
        put.insert("service".into(), Definition { enabled: random.u8(0..4) > 0, ..ping });
        let security = format!("security/s{}", random.usize(0..3));
        let params = json!({"username": "clerk", "password": format!("p{change}")});
        let basic = engine.definition(&security, "security.basic", params);
        match random.u8(0..3) {
            0 => drop(delete.insert(basic.id)),
            on => drop(put.insert(security, Definition { enabled: on == 1, ..basic })),
        }
        let live = engine.live();
        let there: Vec<_> = live.parts.keys().filter(|id| id.family == Family::Channel).collect();
        for _ in 0..random.usize(0..6).min(there.len()) {
            let id = there[random.usize(0..there.len())].clone();
            if !put.contains_key(&id.to_string()) {
                delete.insert(id);
            }
        }
        let change_of = Change { put: put.into_values().collect(), delete: delete.into_iter().collect() };
        engine.commit(change_of).await;

        let live = engine.live();
        let anew = built_at_once(&live);
        assert_eq!(live.routes.len(), anew.routes.len(), "after change {change}");
        let refused = |snapshot: &Snapshot| -> BTreeSet<String> {
            snapshot.routes.refused().map(|(name, reason)| format!("{name}: {reason}")).collect()
        };
        assert_eq!(refused(&live), refused(&anew), "after change {change}");
        refused_once |= !refused(&live).is_empty();

        // One router of all the paths of any host that are not refused.
        let out: BTreeSet<_> = live.routes.refused().map(|(name, _)| name.clone()).collect();
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (id, running) in live.parts.iter().filter(|(id, _)| id.family == Family::Channel) {
            let params = serde_json::to_value(&running.definition.params).expect("parameters");
            if params.get("host").is_none() && !out.contains(&id.name) {
                let path = params["path"].as_str().expect("a path").to_owned();
                all.entry(path).or_default().insert(id.to_string());
            }
        }
        shared_once |= all.values().any(|channels| channels.len() > 1);
        let mut router = matchit::Router::new();
        for (pattern, channels) in &all {
            let entered = router.insert(pattern.clone(), channels);
            assert!(entered.is_ok() || !as_one_router, "{pattern}: {entered:?}; after change {change}");
        }
        for _ in 0..PROBES {
            let path = any_path(&mut random, &["a", "b", "ab", "x", "ax", ""], &["", "a", "b", "ab", "x"]);
            for method in [Method::GET, Method::POST, Method::OPTIONS] {
                assert_eq!(found(&live, &method, &path), found(&anew, &method, &path), "{method} {path}");
            }
            if !as_one_router {
                continue;
            }
            let here = found(&live, &Method::GET, &path);
            match router.at(&path) {
                Ok(matched) => {
                    let channel = here.split(' ').next().unwrap_or_default();
                    assert!(matched.value.contains(channel), "{path}: {here}, not {:?}", matched.value);
                }
                Err(_) => assert!(here.contains("no channel is mounted"), "{path}: {here}"),
            }
        }
    }
    assert!(refused_once && shared_once, "the changes were too tame");
}

/// Many slashes are not many lookups: a path is looked up at most where a channel is.
#[tokio::test]
async fn a_path_of_many_segments_is_found_by_whoever_takes_the_rest() {
    let engine = Engine::start().await;
    for (id, path) in [("channel/rest", "/files/{*rest}"), ("channel/deep", "/files/a/b/{c}")] {
        let params = json!({"path": path, "service": "zeugma.ping"});
        assert_eq!(engine.apply(id, "channel.rest", params).await, []);
    }
    let live: Arc<Snapshot> = engine.live();
    assert_eq!(live.revision, Revision(2));
    let long = format!("/files/a/b{}", "/c".repeat(2_000));
    assert!(found(&live, &Method::GET, &long).starts_with("channel/rest "));
    assert!(found(&live, &Method::GET, "/files/a/b/c").starts_with("channel/deep "));
    assert!(found(&live, &Method::GET, &format!("/{}", "x/".repeat(4_000))).contains("no channel"));
}
