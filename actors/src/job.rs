//! Jobs: services that are called at set times. A kind makes a plan of a definition; the scheduler carries it out.

pub mod cron;
pub mod interval;
pub mod moment;
pub mod one_time;
pub mod schedule;
mod terms;

use config::{Fault, Faults};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use self::schedule::Schedule;

/// When a job of this type with these parameters is due.
///
/// # Errors
/// All that is wrong with them.
pub fn schedule_of(r#type: &str, params: Map<String, Value>) -> Result<Schedule, Faults> {
    match r#type {
        "one-time" => Ok(read::<one_time::Params>(params)?.schedule()),
        "interval" => Ok(read::<interval::Params>(params)?.schedule()?),
        "cron" => read::<cron::Params>(params)?.schedule().map_err(Faults),
        _ => Err(Fault::new("type", format!("there is no job of type {type:?}")).into()),
    }
}

fn read<T: DeserializeOwned>(params: Map<String, Value>) -> Result<T, Fault> {
    serde_json::from_value(Value::Object(params)).map_err(|error| Fault::new("", error.to_string()))
}
