//! Tests of the whole system against real servers and clients, in one binary.

mod ftp;
mod kit;
