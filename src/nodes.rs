//! What is known of each node: by itself, by the others, and by the links between them.

use cluster::PeerState;
use config::members::Member;
use config::store::{Health, State};
use config::{DefId, Family, Fault};

use crate::app::App;
use crate::http::admin::shapes::{NodeInfo, OwnInfo};

/// The nodes by name; without a cluster, or while it cannot be asked, this one alone.
pub async fn list(app: &App) -> Vec<NodeInfo> {
    let mut nodes = vec![own(app)];
    if let Some(cluster) = &app.cluster {
        let peers = cluster.peers();
        match cluster.membership.members().await {
            Ok(members) => {
                let others = members.iter().filter(|member| member.record.node != app.settings.node);
                nodes.extend(others.map(|member| other(app, member, &peers)));
                if let Some(member) = members.iter().find(|member| member.record.node == app.settings.node) {
                    nodes[0].address.clone_from(&member.record.address);
                    nodes[0].seen_ms = u64::try_from(member.age.as_millis()).ok();
                }
            }
            // What the node knows of the others is old, so nothing is said of them.
            Err(error) => nodes[0].trouble = Some(format!("the other nodes are not known now: {error}")),
        }
    }
    nodes.sort_by(|a, b| a.node.cmp(&b.node));
    nodes
}

fn own(app: &App) -> NodeInfo {
    let (snapshot, store) = (app.live.now(), &app.definitions.store);
    let health = store.health();
    let cluster = app.cluster.as_ref();
    NodeInfo {
        node: app.settings.node.clone(),
        cluster: app.settings.cluster.clone(),
        asked: true,
        alive: true,
        version: env!("CARGO_PKG_VERSION").into(),
        revision: snapshot.revision,
        faults: app
            .definitions
            .board
            .served(&app.settings.node)
            .map(|served| served.faults)
            .unwrap_or_default()
            .into_iter()
            .chain(silent(app))
            .collect(),
        incarnation: cluster.and_then(|cluster| cluster.incarnation()),
        address: None,
        seen_ms: None,
        link_ms: None,
        trouble: cluster.and_then(|cluster| cluster.beat.borrow().trouble.clone()),
        own: Some(OwnInfo {
            uptime: app.started.elapsed().as_secs(),
            store: store.describe(),
            store_trouble: store_trouble(&health),
            newest: health.revision,
            alarms: health.alarms,
            last_alarm: health.last_alarm,
            store_risk: health.risk,
            unreadable: health.unreadable,
            stopping: *app.stopping.borrow(),
        }),
    }
}

/// The jobs that are active, this node's to fire, and silent all the same.
fn silent(app: &App) -> impl Iterator<Item = Fault> {
    let health = app.scheduler.as_ref().map(|scheduler| scheduler.health()).unwrap_or_default();
    health.silent.into_iter().map(|(name, why)| {
        let fault =
            Fault::new(DefId::new(Family::Job, name).to_string(), format!("active, but silent: {why}"));
        fault.hint("see whether the store answers, and what the log says")
    })
}

fn other(app: &App, member: &Member, peers: &[PeerState]) -> NodeInfo {
    let record = &member.record;
    let served = app.definitions.board.served(&record.node);
    let peer = peers.iter().find(|peer| peer.node == record.node);
    let silent = (!member.alive).then(|| format!("it has said nothing for {} s", member.age.as_secs()));
    NodeInfo {
        node: record.node.clone(),
        cluster: app.settings.cluster.clone(),
        asked: false,
        alive: member.alive,
        version: record.version.clone(),
        revision: served.as_ref().map_or(record.revision, |served| served.revision),
        faults: served.map(|served| served.faults).unwrap_or_default(),
        incarnation: Some(record.incarnation),
        address: record.address.clone(),
        seen_ms: u64::try_from(member.age.as_millis()).ok(),
        link_ms: peer.filter(|peer| peer.up).and_then(|peer| peer.latency_ms),
        trouble: silent.or_else(|| peer.filter(|peer| !peer.up)?.trouble.clone()),
        own: None,
    }
}

/// Why the store does not answer, if it does not.
pub fn store_trouble(health: &Health) -> Option<String> {
    match &health.state {
        State::Connected => None,
        State::Away { since, error } => Some(format!("away since {}: {error}", since.format("%F %T UTC"))),
        State::Refused { since, error } => {
            Some(format!("not followed since {}: {error}", since.format("%F %T UTC")))
        }
    }
}
