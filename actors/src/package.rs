//! Packages: files that services are in. They are deployed while the node runs, and bring their services along.

pub mod python;
