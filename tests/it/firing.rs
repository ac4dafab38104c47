//! Jobs fire: on one node, by every rule that a job can have; and on several, whatever happens to them.

mod clock;
mod cluster;
mod faults;
mod rules;
