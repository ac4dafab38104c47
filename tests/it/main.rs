//! Whole-system tests: one binary, real nodes, real servers.

#![allow(unreachable_pub)] // a test binary has no outside

mod kit;
mod live;
mod rest;
mod rest_limits;
mod rest_wire;
mod services;
mod tidy;
mod tls;
