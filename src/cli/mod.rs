//! The command line: one module a command.
//!
//! Exit status, the same for every command: 0 done; 1 it ran and the answer is no, or it failed;
//! 2 wrong arguments or configuration.

#[cfg(feature = "sandbox")]
mod sandbox;

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
    /// Run an embedded Kafka and Cosmos DB on this machine, to try a configuration or a producer.
    #[cfg(feature = "sandbox")]
    Sandbox(Box<sandbox::SandboxArgs>),
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.unwrap_or(Command::Run) {
        Command::Run => {
            let _ = (cli.config, Cli::command());
            ExitCode::from(FAILED)
        }
        #[cfg(feature = "sandbox")]
        Command::Sandbox(args) => sandbox::run(*args),
    }
}
