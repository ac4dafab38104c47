//! The metrics of a node, in the text format that Prometheus reads.

mod jobs;

use actors::Meters;
use config::store::State;
use prometheus::{Encoder as _, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::app::App;
use crate::http::zato::Counts;

/// Why requests to channels are refused.
const REASONS: [&str; 4] = ["unauthenticated", "forbidden", "too-many", "locked-out"];

/// Everything that a node counts.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// What each part counts.
    pub meters: Meters,
    /// What is called at paths that no channel has.
    pub zato: Counts,
    /// Those of jobs.
    pub jobs: jobs::Jobs,
    /// Requests on the data listener that no channel saw, by status.
    pub unrouted: IntCounterVec,
    /// Open connections, by listener.
    pub connections: IntGaugeVec,
    /// Connections that were refused or dropped, by listener and reason.
    pub dropped: IntCounterVec,
    refused: IntCounterVec,
    revision: IntGauge,
    faults: IntGauge,
    actors: IntGaugeVec,
    in_flight: IntGaugeVec,
    up: IntGaugeVec,
    alarms: IntGaugeVec,
    uptime: IntGauge,
    store_up: IntGauge,
    store_alarms: IntGauge,
    store_resyncs: IntGauge,
    nodes: IntGauge,
    resyncs: IntGauge,
}

impl Metrics {
    /// Makes them, all at zero.
    ///
    /// # Errors
    /// If two have the same name, which the first start of any node shows.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauges.clone()))?;
            Ok::<_, prometheus::Error>(gauges)
        };
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let refused = counters(
            "zeugma_refused_total",
            "Requests to channels that were refused because of who called or how often, by reason.",
            &["reason"],
        )?;
        for reason in REASONS {
            refused.with_label_values(&[reason]).reset(); // there from the start, at zero
        }
        let meters = Meters::new(&registry)?;
        Ok(Self {
            zato: Counts::new(&meters)?,
            meters,
            jobs: jobs::Jobs::new(&registry)?,
            unrouted: counters(
                "zeugma_unrouted_total",
                "Requests that no channel saw, by status.",
                &["status"],
            )?,
            connections: gauges("zeugma_http_connections", "Open connections, by listener.", &["listener"])?,
            dropped: counters(
                "zeugma_http_connections_dropped_total",
                "Connections refused or dropped, by listener and reason.",
                &["listener", "reason"],
            )?,
            refused,
            revision: gauge("zeugma_revision", "The revision that requests see.")?,
            faults: gauge("zeugma_faults", "Definitions that do not run as wanted.")?,
            actors: gauges("zeugma_actors", "Actors, by family and state.", &["family", "state"])?,
            in_flight: gauges("zeugma_in_flight", "Calls inside a part right now.", &["family", "name"])?,
            up: gauges("zeugma_connection_up", "Whether the other side of a connection answers.", &["name"])?,
            alarms: gauges(
                "zeugma_alarms",
                "Connections that work now and will not for long unless somebody acts, such as one whose token ends.",
                &["name"],
            )?,
            uptime: gauge("zeugma_uptime_seconds", "How long the node has been running.")?,
            store_up: gauge("zeugma_store_up", "Whether the store answers.")?,
            store_alarms: gauge(
                "zeugma_store_alarms",
                "How often something was found in the store that should never happen.",
            )?,
            store_resyncs: gauge(
                "zeugma_store_resyncs",
                "How often everything was fetched from the store because single changes could not be followed.",
            )?,
            nodes: gauge("zeugma_nodes", "Nodes that are there, as far as this one knows.")?,
            resyncs: gauge(
                "zeugma_node_resyncs",
                "How often this node had fallen behind and looked at everything anew.",
            )?,
            registry,
        })
    }

    /// One more request to a channel that was refused because of who called or how often.
    pub fn refused(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// The text, with the gauges brought up to date.
    pub fn render(&self, app: &App) -> Vec<u8> {
        let snapshot = app.live.now();
        self.revision.set(i64::try_from(snapshot.revision.0).unwrap_or(i64::MAX));
        self.faults.set(i64::try_from(snapshot.faults.len()).unwrap_or(i64::MAX));
        self.uptime.set(i64::try_from(app.started.elapsed().as_secs()).unwrap_or(i64::MAX));
        let store = app.definitions.store.health();
        self.store_up.set(i64::from(store.state == State::Connected));
        self.store_alarms.set(i64::try_from(store.alarms).unwrap_or(i64::MAX));
        self.store_resyncs.set(i64::try_from(store.resyncs).unwrap_or(i64::MAX));
        self.nodes.set(i64::try_from(app.definitions.board.watch().borrow().len()).unwrap_or(i64::MAX));
        let resyncs = app.cluster.as_ref().map_or(0, |cluster| cluster.beat.borrow().resyncs);
        self.resyncs.set(i64::try_from(resyncs).unwrap_or(i64::MAX));
        for gauges in [&self.actors, &self.in_flight, &self.up, &self.alarms] {
            gauges.reset();
        }
        for actor in app.supervisor.list() {
            let (family, name) = (actor.id.family.singular(), actor.id.name.as_str());
            let state = serde_json::to_value(actor.state).ok();
            let state = state.as_ref().and_then(|s| s.as_str()).unwrap_or_default();
            self.actors.with_label_values(&[family, state]).inc();
            // Of very many jobs nearly all are idle.
            if actor.id.family != config::Family::Job || actor.in_flight > 0 {
                self.in_flight
                    .with_label_values(&[family, name])
                    .set(i64::try_from(actor.in_flight).unwrap_or(i64::MAX));
            }
            if actor.id.family == config::Family::Connection {
                self.alarms.with_label_values(&[name]).set(i64::from(actor.alarm.is_some()));
                self.up.with_label_values(&[name]).set(i64::from(actor.down_since.is_none()));
            }
        }
        self.jobs.tell(app);
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "the metrics cannot be written");
        }
        jobs::write(app, &mut text);
        text
    }
}
