//! Runs services written in Python: worker processes, forked from a warm one, that services of packages are called in.

mod callees;
mod calls;
mod declared;
mod frame;
mod input;
mod invoke;
mod locks;
mod logs;
mod outbox;
mod pool;
mod process;
mod runtime;
mod schema;
mod service;
mod slot;
mod spawn;
mod unpack;
mod zygote;

pub use self::declared::{Declared, InspectError, LoadFault, PoolLimits, Source, Used};
pub use self::pool::Pool;
pub use self::runtime::{Runtime, RuntimeSettings};
