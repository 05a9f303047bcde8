//! The command line: one module a command.
//!
//! Exit status, the same for every command: 0 done; 1 it ran and the answer is no, or it failed;
//! 2 wrong arguments or configuration.

mod connect;
mod interrupt;
mod query;
mod simulate;
mod store_error;
mod verify;

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// It ran, and the answer is no, or it failed.
pub const FAILED: u8 = 1;
/// Wrong arguments or configuration.
pub const USAGE: u8 = 2;

/// Reads JSON events from Kafka and upserts each one into Azure Cosmos DB: nothing lost, nothing doubled.
#[derive(Parser)]
#[command(name = "streamproc", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    /// The configuration file, TOML.
    #[arg(long, short, global = true, value_name = "FILE", env = "STREAMPROC_CONFIG")]
    config: Option<PathBuf>,
    /// What to do; without it, `run`.
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  streamproc demo                              see it work, with nothing installed
  streamproc --config prod.toml                run the service
  streamproc config --config prod.toml         show the effective configuration";

#[derive(Subcommand)]
enum Command {
    /// Run the service (the same as no command).
    Run,
    /// Send the sample's events to Kafka.
    Simulate(simulate::Args),
    /// Judge the stored documents: nothing lost, nothing doubled, in order, in time.
    Verify(verify::Args),
    /// Ask the container by SQL.
    Query(query::Args),
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.unwrap_or(Command::Run) {
        Command::Run => {
            let _ = (cli.config, Cli::command());
            ExitCode::from(FAILED)
        }
        Command::Simulate(args) => block_on(simulate::run(args, cli.config.as_deref())),
        Command::Verify(args) => block_on(verify::run(args, cli.config.as_deref())),
        Command::Query(args) => block_on(query::run(args, cli.config.as_deref())),
    }
}

/// Runs a command that waits for others.
fn block_on(command: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => fail(FAILED, &anyhow::Error::new(error).context("cannot start")),
    }
}

/// Says on one line what went wrong.
fn fail(status: u8, error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::from(status)
}
