//! The Redis store against real servers: the contract, then everything that may go wrong.

mod kit;

use self::kit::Alone;

crate::store::contract::contract!(Alone::new);
