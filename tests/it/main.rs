//! Tests of the whole system against real servers and clients, in one binary.

#![allow(unreachable_pub)] // a test binary has no outside
#![allow(clippy::disallowed_methods)] // a test may spawn, and look at the clock

mod bad_input;
mod cli;
mod cluster;
mod deploy;
mod docs;
mod firing;
mod ftp;
mod full_disk;
mod http_connection;
mod jobs;
mod kinds;
mod kit;
mod live;
mod main_job;
mod management;
mod metrics;
mod openapi;
mod packages;
mod python;
mod rest;
mod rest_limits;
mod rest_wire;
mod rights;
mod routes;
mod security;
mod services;
mod simulation;
mod tidy;
mod tls;
mod vault;
