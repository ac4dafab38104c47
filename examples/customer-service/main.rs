//! A node with services of its own compiled in. The bundle beside this file mounts them:
//!
//! `CLERK_PASSWORD=demo CRM_URL=http://127.0.0.1:11223/crm cargo run --example customer -- start --apply examples/customer-service`

mod services;

use std::process::ExitCode;

use services::{audit, crm_stand_in, get_customer, import_customers};

/// All of `zeugma`, every command of it, with these services beside the engine's own.
fn main() -> ExitCode {
    zeugma::cli::main(&[&get_customer, &import_customers, &audit, &crm_stand_in])
}
