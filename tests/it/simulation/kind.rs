//! The one kind of definition in simulations: a connection that starts, hangs and fails as the dice say.

use std::sync::Arc;
use std::time::Duration;

use actors::part::Connection;
use actors::{AnyKind, Kind, Part, Start};
use async_trait::async_trait;
use config::{Clear, DefId, Definition, Revision};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;
use zeugma::{Error, Result};

use super::node::KEYRING;
use super::world::World;

pub static ALL: &[&dyn AnyKind] = &[&Simulated];
pub const TAG: &str = "connection.simulated";

/// What a definition says.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Which write it is from.
    pub value: u64,
    /// The connections it works with.
    pub needs: Vec<String>,
    /// Whether it probes, and so may panic.
    pub probes: bool,
}

/// A panic of which nothing is printed: there are thousands.
fn panic_quietly() {
    std::panic::resume_unwind(Box::new("it panics"));
}

/// See the module.
struct Simulated;

#[async_trait]
impl Kind for Simulated {
    const TAG: &'static str = TAG;
    type Params = Params;

    fn example() -> Params {
        Params { value: 1, needs: vec![], probes: false }
    }

    async fn start(params: Params, start: Start) -> Result<Part> {
        let world = World::here();
        let weather = world.weather();
        if world.chance(0.3) {
            tokio::time::sleep(world.span(150)).await;
        }
        if world.chance(weather.hangs) {
            world.facts().sums.hung += 1;
            std::future::pending::<()>().await;
        }
        for need in &params.needs {
            let id: DefId = need.parse().map_err(|_| Error::internal("no id"))?;
            start.part(&id)?;
        }
        if world.chance(weather.no_start) {
            world.facts().sums.not_started += 1;
            if world.chance(0.25) {
                panic_quietly();
            }
            return Err(Error::internal("it does not want to"));
        }
        Ok(Part::Connection(Arc::new(params)))
    }
}

#[async_trait]
impl Connection for Params {
    fn client(&self) -> Arc<dyn std::any::Any + Send + Sync> {
        Arc::new(self.value)
    }

    async fn ping(&self, _: Instant) -> Result<()> {
        let world = World::here();
        if world.chance(world.weather().panics) {
            world.facts().sums.workers_lost += 1;
            panic_quietly();
        }
        Ok(())
    }

    fn probe_every(&self) -> Option<Duration> {
        self.probes.then_some(Duration::from_millis(1_700))
    }
}

/// A definition of this kind.
pub fn definition(id: DefId, value: u64, need: Option<&DefId>, enabled: bool) -> Definition {
    let needs: Vec<String> = need.iter().map(ToString::to_string).collect();
    let Ok(Value::Object(params)) =
        serde_json::to_value(Params { value, needs, probes: value.is_multiple_of(3) })
    else {
        panic!("parameters are an object")
    };
    Definition {
        id,
        kind: TAG.parse().expect("a tag"),
        enabled,
        params: KEYRING.seal(&Clear(params), &[], None).expect("there is nothing to seal"),
        needs: need.into_iter().cloned().collect(),
        claims: config::SmallSet::default(),
        changed_at: Revision::ZERO,
    }
}

/// Which write a definition is from.
pub fn value(definition: &Arc<Definition>) -> u64 {
    definition.params.masked().get("value").and_then(Value::as_u64).expect("a value")
}
