//! The Redis store against real servers: the contract, then everything that may go wrong.

mod follow;
mod kit;
mod outages;
mod proxy;
mod servers;

use self::kit::Alone;

crate::store::contract::contract!(Alone::new);
