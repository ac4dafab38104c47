//! Jobs: services that are called at set times. A kind makes a plan of a definition; the scheduler carries it out.

pub mod cron;
pub mod interval;
pub mod moment;
pub mod one_time;
pub mod schedule;
mod terms;
