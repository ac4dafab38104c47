//! Budgets in Redis: a hash for each, with what was left at which time, that is gone once it would be full again.

use std::sync::LazyLock;

use async_trait::async_trait;
use redis::Script;
use redis::aio::MultiplexedConnection as Connection;

use super::Redis;
use super::link::{COMMAND, bounded};
use crate::budgets::{Budgets, Left, Spend};
use crate::store::StoreError;

/// Fills each bucket up to now, spends, and answers in thousandths: a script cannot answer fractions.
static SPEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local answers = {}
for i, key in ipairs(KEYS) do
  local at = 4 * (i - 1)
  local tokens, rate, burst = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local was = redis.call('HMGET', key, 'left', 'at')
  local left = burst
  if was[1] then left = math.min(burst, was[1] + math.max(0, now - was[2]) * rate) end
  local taken = 1
  if ARGV[at + 4] == '1' and left < tokens then taken = 0 else left = math.max(-burst, left - tokens) end
  redis.call('HSET', key, 'left', string.format('%.6f', left), 'at', string.format('%.6f', now))
  redis.call('PEXPIRE', key, math.ceil((burst - left) / rate * 1000) + 1000)
  answers[2 * i - 1], answers[2 * i] = math.floor(left * 1000), taken
end
return answers",
    )
});

#[async_trait]
impl Budgets for Redis {
    async fn spend(&self, spends: &[Spend]) -> Result<Vec<Left>, StoreError> {
        if spends.is_empty() {
            return Ok(Vec::new());
        }
        let keys = &self.inner.keys;
        let call = |mut connection: Connection| async move {
            let mut call = SPEND.prepare_invoke();
            for spend in spends {
                call.key(keys.budget(&spend.key)).arg(spend.tokens).arg(spend.per_second).arg(spend.burst);
                call.arg(u8::from(spend.ask));
            }
            bounded(COMMAND, call.invoke_async::<Vec<i64>>(&mut connection)).await
        };
        let answers = self.inner.ask(call).await?;
        #[allow(clippy::cast_precision_loss)] // a budget is far from 2^52 thousandths
        let left = |pair: &[i64]| Left { tokens: pair[0] as f64 / 1000.0, taken: pair[1] == 1 };
        Ok(answers.chunks_exact(2).map(left).collect())
    }
}
