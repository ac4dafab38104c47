//! The Redis store against real servers: the contract, then everything that may go wrong.

mod kit;
mod outages;
mod proxy;

use self::kit::Alone;

crate::store::contract::contract!(Alone::new);
