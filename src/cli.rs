//! The command line: what can be said, and which file does it.

mod actors;
mod admin;
mod admin_token;
mod apply;
mod audit;
mod bundle;
mod change;
mod check;
mod completions;
mod definitions;
mod deploy;
mod dev_cluster;
mod exit;
mod export;
mod history;
mod invoke;
mod job;
mod key;
mod kinds;
mod migrate;
mod nodes;
mod output;
mod package;
mod password;
mod service;
mod start;
mod store;
mod token;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use sdk::Service;

use self::exit::{Exit, Stop};

/// An integration engine: one service, many channels, everything changed while it runs.
///
/// `zeugma start` runs a node. All other commands speak to the admin listener of one, or need none.
#[derive(Debug, Parser)]
#[command(name = "zeugma", version, disable_help_subcommand = true, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not settled everywhere in time, 4 conflict, \
                        5 cannot reach a node"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a node
    Start(Box<start::Start>),
    /// Runs Redis and several nodes on this machine, for trying a cluster out
    DevCluster(dev_cluster::DevCluster),
    /// Makes definitions what is wanted, on every node
    Apply(apply::Apply),
    /// Shows what an apply would change
    Diff(apply::Diff),
    /// Writes definitions as a bundle
    Export(export::Export),
    /// Shows definitions
    Get(definitions::Get),
    /// Deletes a definition
    Delete(definitions::Delete),
    /// Shows who changed what, and when
    History(history::History),
    /// Shows who did what, and who was refused
    Audit(audit::Audit),
    /// Makes everything as it was at an earlier revision
    Rollback(history::Rollback),
    /// Deploys files with services in them, on every node
    Deploy(deploy::Deploy),
    /// Takes a package and its services away
    Undeploy(deploy::Undeploy),
    /// Shows what is deployed, and goes back to what was
    #[command(subcommand)]
    Package(package::Packages),
    /// Calls a service
    Invoke(invoke::Invoke),
    /// Shows services
    #[command(subcommand)]
    Service(service::Services),
    /// Shows jobs, fires them, and switches them on and off
    #[command(subcommand)]
    Job(job::Jobs),
    /// Shows nodes, the revision of each, and what is wrong
    Status(nodes::Status),
    /// Shows the nodes
    Nodes(nodes::Nodes),
    /// Decides about a Redis that lost its data
    #[command(subcommand)]
    Store(store::Store),
    /// Shows the actors: what runs, and how
    Actors(actors::Actors),
    /// Tells an actor to ping, pause, resume, drain, restart or to say its stats
    Actor(actors::Actor),
    /// Makes, shows and revokes tokens for the admin listener
    #[command(subcommand)]
    AdminToken(admin_token::AdminTokens),
    /// Changes passwords, keys and tokens
    #[command(subcommand)]
    Password(password::Password),
    /// Makes tokens for callers
    #[command(subcommand)]
    Token(token::Token),
    /// Makes sealing keys, and seals everything anew
    #[command(subcommand)]
    Key(key::Key),
    /// Moves the definitions and the history of a single node into a cluster
    Migrate(migrate::Migrate),
    /// Checks a bundle without a node
    Check(check::Check),
    /// Shows what kinds of definitions there are, and their parameters
    Kinds(kinds::Kinds),
    /// Writes a script that completes these commands in a shell
    Completions(completions::Completions),
}

/// The command line as it is parsed, for those who check texts about it.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the program with these services compiled in beside the engine's own.
pub fn main(services: &'static [&'static dyn Service]) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => {
            // Help and version are no errors. If not even this can be written, nobody is there to read it.
            drop(told.print());
            return if told.use_stderr() { Exit::Usage } else { Exit::Done }.into();
        }
    };
    run(cli.command, services).unwrap_or_else(|stop| stop.tell()).into()
}

fn run(command: Command, services: &'static [&'static dyn Service]) -> Result<Exit, Stop> {
    match command {
        Command::Start(start) => start.run(services),
        Command::DevCluster(cluster) => cluster.run(),
        Command::Check(check) => once(check.run(services)),
        Command::Migrate(migrate) => once(migrate.run()),
        Command::Kinds(kinds) => kinds.run(services),
        Command::Completions(completions) => completions.run(&mut Cli::command()),
        Command::Apply(apply) => once(apply.run()),
        Command::Diff(diff) => once(diff.run()),
        Command::Export(export) => once(export.run()),
        Command::Get(get) => once(get.run()),
        Command::Delete(delete) => once(delete.run()),
        Command::History(history) => once(history.run()),
        Command::Audit(audit) => once(audit.run()),
        Command::Rollback(rollback) => once(rollback.run()),
        Command::Deploy(deploy) => once(deploy.run()),
        Command::Undeploy(undeploy) => once(undeploy.run()),
        Command::Package(packages) => once(packages.run()),
        Command::Invoke(invoke) => once(invoke.run()),
        Command::Service(services) => once(services.run()),
        Command::Job(jobs) => once(jobs.run()),
        Command::Status(status) => once(status.run()),
        Command::Nodes(nodes) => once(nodes.run()),
        Command::Store(store) => once(store.run()),
        Command::Actors(actors) => once(actors.run()),
        Command::Actor(actor) => once(actor.run()),
        Command::AdminToken(tokens) => once(tokens.run()),
        Command::Password(password) => once(password.run()),
        Command::Token(token) => once(token.run()),
        Command::Key(key) => once(key.run()),
    }
}

/// Runs a command that ends. One thread is enough for a few requests, and quicker to start than several.
fn once(command: impl Future<Output = Result<Exit, Stop>>) -> Result<Exit, Stop> {
    // Before any TLS: see app.rs.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
