//! Tests of reading bundles: every fault is found, each with its place.
