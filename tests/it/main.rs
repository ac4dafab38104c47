//! Whole-system tests: one binary, real nodes, real servers.

mod kit;
mod live;
mod rest;
mod rest_limits;
mod rest_wire;
mod services;
mod tidy;
mod tls;
