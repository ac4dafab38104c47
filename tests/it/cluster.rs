//! A cluster of real nodes around a real Redis: every change reaches all of them, whatever fails meanwhile.

mod absences;
mod everywhere;
mod history;
mod moving;
mod outages;
mod partitions;
mod secrets;
mod strangers;
mod verbs;
