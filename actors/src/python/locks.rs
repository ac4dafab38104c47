//! Locks that services take. They are given back with the invocation that took them, however that ends.

use std::time::Duration;

use bytes::Bytes;
use sdk::{Context, Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::calls::{Answer, Call};
use super::process::Process;

/// What is said of a lock: how long it may be held and waited for, in seconds; or which holding of it is over.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    ttl: f64,
    #[serde(default)]
    block: f64,
    #[serde(default)]
    fence: u64,
}

/// Takes a lock, which is answered with its fence, or null if it is not to be had; or gives one back.
///
/// # Errors
/// If it is not understood, or the store is away.
pub(super) async fn ask(process: &Process, ctx: &Context, name: &str, call: &Call) -> Result<Answer> {
    let wrong =
        |error: serde_json::Error| Error::invalid(format!("lock {name:?} is not understood: {error}"));
    let said: Said = serde_json::from_value(Value::Object(call.kw.clone())).map_err(wrong)?;
    let seconds = |what: &str, seconds: f64| {
        let wrong = |_| Error::invalid(format!("lock {name:?}: {what} is to be a number of seconds"));
        Duration::try_from_secs_f64(seconds).map_err(wrong)
    };
    let result = match call.op.as_str() {
        "take" => match ctx.lock(name, seconds("ttl", said.ttl)?, seconds("block", said.block)?).await? {
            None => Value::Null,
            Some(lock) => {
                let fence = lock.fence();
                if !process.keep(call.parent, lock) {
                    return Err(Error::unavailable("the invocation that wanted the lock is over"));
                }
                fence.into()
            }
        },
        "give" => match process.give_back(call.parent, said.fence) {
            Some(lock) => lock.release().await?.into(),
            None => false.into(),
        },
        _ => return Err(call.unknown()),
    };
    Ok((json!({ "result": result }), Bytes::new()))
}
