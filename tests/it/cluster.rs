//! A cluster of real nodes around a real Redis: every change reaches all of them, whatever fails meanwhile.

mod everywhere;
mod history;
mod moving;
mod outages;
mod secrets;
mod strangers;
mod verbs;
