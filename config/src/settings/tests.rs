//! Tests of the settings: the order of the layers, and every fault at once.
