//! Jobs, seen from outside: what is wrong with them, what programs and operators do to them, what becomes of them.

mod clients;
mod managed;
mod mistakes;
mod programs;
mod python;
