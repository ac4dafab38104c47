//! Budgets that the nodes of a cluster share: how much of each rate limit is left, by the reckoning of the store.

use async_trait::async_trait;

use crate::store::StoreError;

/// What a node has used, or wants to use, of one budget. The budget is a token bucket: it fills up by `per_second` until
/// `burst` is in it.
#[derive(Clone, PartialEq, Debug)]
pub struct Spend {
    /// Which budget.
    pub key: String,
    /// How many tokens.
    pub tokens: f64,
    /// How fast it fills up.
    pub per_second: f64,
    /// How many tokens it holds at most.
    pub burst: f64,
    /// Take the tokens only if all of them are there. Otherwise they have been used already, and the budget may fall below
    /// zero, though not by more than `burst`.
    pub ask: bool,
}

/// What is left of a budget.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Left {
    /// How many tokens, by now.
    pub tokens: f64,
    /// Whether the tokens were taken.
    pub taken: bool,
}

/// Where budgets are kept. Time is that of the place where they are kept.
#[async_trait]
pub trait Budgets: Send + Sync + 'static {
    /// Spends, all in one round trip; answers what is left of each budget.
    async fn spend(&self, spends: &[Spend]) -> Result<Vec<Left>, StoreError>;
}

#[cfg(test)]
pub(crate) mod contract {
    //! The contract that all budgets keep, as a test.

    use super::*;

    pub(crate) async fn keeps(budgets: &dyn Budgets) {
        let spend =
            |key: &str, tokens, ask| Spend { key: key.into(), tokens, per_second: 0.001, burst: 10.0, ask };
        let one = async |spend: Spend| budgets.spend(&[spend]).await.expect("answers")[0];
        let near = |left: Left, tokens: f64| (left.tokens - tokens).abs() < 0.5;
        let first = one(spend("a", 4.0, true)).await;
        assert!(near(first, 6.0) && first.taken, "{first:?}");
        let too_much = one(spend("a", 7.0, true)).await;
        assert!(near(too_much, 6.0) && !too_much.taken, "{too_much:?}");
        let used = one(spend("a", 9.0, false)).await;
        assert!(near(used, -3.0) && used.taken, "{used:?}");
        let floor = one(spend("a", 100.0, false)).await;
        assert!(near(floor, -10.0), "{floor:?}");
        let both = budgets.spend(&[spend("a", 1.0, true), spend("b", 1.0, true)]).await.expect("answers");
        assert_eq!((both[0].taken, both[1].taken), (false, true));
        assert_eq!(budgets.spend(&[]).await.expect("answers"), []);
        // It fills up: at this rate at once, and not above the brim.
        let fast = Spend { per_second: 1e9, ..spend("a", 1.0, true) };
        assert!(near(one(fast).await, 9.0));
    }
}
