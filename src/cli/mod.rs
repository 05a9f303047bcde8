//! The command line: one module a command.
//!
//! Exit status, the same for every command: 0 done; 1 it ran and the answer is no, or it failed;
//! 2 wrong arguments or configuration.

mod completions;
mod config;
mod connect;
#[cfg(feature = "sandbox")]
mod demo;
mod effective;
mod logging;
mod offsets;
mod query;
mod run;
#[cfg(feature = "sandbox")]
mod sandbox;
mod signals;
mod simulate;
mod store_error;
mod verify;

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Parser, Subcommand};
use comfy_table::{Table, presets};

use crate::config::{Broken, Config, Loaded, check, environment, load_and_check};
use crate::core::shown;
use crate::core::transform::Rules;

/// It ran, and the answer is no, or it failed.
pub const FAILED: u8 = 1;
/// Wrong arguments or configuration.
pub const USAGE: u8 = 2;

/// Reads JSON events from Kafka and upserts each one into Azure Cosmos DB: nothing lost, nothing doubled.
#[derive(Parser)]
#[command(name = "streamproc", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    /// The configuration file, TOML; `demo`, `sandbox` and `completions` need none.
    // An empty variable is no configuration, and no reason to refuse a command that needs none.
    #[arg(long, short, global = true, value_name = "FILE", env = "STREAMPROC_CONFIG",
          value_parser = OsStringValueParser::new().map(PathBuf::from))]
    config: Option<PathBuf>,
    /// What to do; without it, `run`.
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  streamproc demo                              see it work, with nothing installed
  streamproc sandbox                           a Kafka and a Cosmos DB to try things on, and then, beside it:
  streamproc --config config/local.toml          the service
  streamproc simulate -c config/local.toml       the sample's events
  streamproc verify -c config/local.toml         whether all of them are stored, once
  streamproc config -c prod.toml               what a configuration comes to";

const RUN_EXAMPLES: &str = "\
It runs until SIGTERM or Ctrl-C, then lets writes in flight end within shutdown.timeout, commits, leaves the \
group, and ends with status 0; asked twice, it ends at once. What keeps it from flowing stands on /readyz of \
admin.listen and in the log on stderr, of which RUST_LOG tells more (RUST_LOG=streamproc=debug).

Examples:
  streamproc run --config prod.toml
  STREAMPROC__KAFKA__WORKERS=4 streamproc --config prod.toml";

#[derive(Subcommand)]
enum Command {
    /// Run the service (the same as no command).
    #[command(after_help = RUN_EXAMPLES)]
    Run,
    /// See it work: an embedded Kafka and Cosmos DB, the simulator, the service, the verification.
    #[cfg(feature = "sandbox")]
    Demo(demo::Args),
    /// Run an embedded Kafka and Cosmos DB on this machine, to try a configuration or a producer.
    #[cfg(feature = "sandbox")]
    Sandbox(Box<sandbox::SandboxArgs>),
    /// Send the sample's events to Kafka.
    Simulate(simulate::Args),
    /// Judge the stored documents: nothing lost, nothing doubled, in order, in time.
    Verify(verify::Args),
    /// Ask the container by SQL.
    Query(query::Args),
    /// Show and set the group's offsets in Kafka, or take them over from Spark or another group.
    Offsets(offsets::Args),
    /// Show the effective configuration, secrets hidden, or its JSON schema.
    Config(config::Args),
    /// Print the completions of this command line for a shell.
    Completions(completions::Args),
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let mut cli = Cli::parse();
    #[cfg(feature = "mutants")]
    if let Err(unknown) = choose_mutant() {
        remark(&format!("error: STREAMPROC_MUTANT: there is no mutant {unknown}"));
        return ExitCode::from(USAGE);
    }
    cli.config = cli.config.filter(|file| !file.as_os_str().is_empty());
    match cli.command.take().unwrap_or(Command::Run) {
        Command::Run => run::run(&cli),
        #[cfg(feature = "sandbox")]
        Command::Demo(args) => block_on(demo::run(args)),
        #[cfg(feature = "sandbox")]
        Command::Sandbox(args) => sandbox::run(*args),
        Command::Simulate(args) => with_config(&cli, |loaded| block_on(simulate::run(args, &loaded.config))),
        Command::Verify(args) => with_config(&cli, |loaded| block_on(verify::run(args, &loaded.config))),
        Command::Query(args) => with_config(&cli, |loaded| block_on(query::run(args, &loaded.config))),
        Command::Offsets(args) => with_config(&cli, |loaded| block_on(offsets::run(args, loaded.config))),
        Command::Config(args) => config::run(&cli, &args),
        Command::Completions(args) => completions::run(&args),
    }
}

/// Puts the defect in the program that `STREAMPROC_MUTANT` names, if it names one.
///
/// # Errors
///
/// The name, if there is no such defect.
#[cfg(feature = "mutants")]
fn choose_mutant() -> Result<(), String> {
    use crate::core::mutant::{Mutant, choose};
    let Ok(name) = std::env::var("STREAMPROC_MUTANT") else { return Ok(()) };
    let mutant = Mutant::ALL.into_iter().find(|mutant| format!("{mutant:?}") == name);
    choose(mutant.ok_or_else(|| name.clone())?);
    remark(&format!("this program has a defect on purpose: {name}"));
    Ok(())
}

const NO_CONFIGURATION: &str = "\
no configuration was named
  do        name a file, as in: streamproc --config config/prod.toml
            (config/local.toml fits `streamproc sandbox`), or name it in STREAMPROC_CONFIG";

/// The configuration of `--config` and the environment; prints what is wrong with it to stderr.
///
/// # Errors
///
/// The exit status of a wrong configuration.
fn load_config(cli: &Cli) -> Result<Loaded, ExitCode> {
    let variables = || {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        std::env::vars_os().map(move |(name, value)| (text(name), text(value)))
    };
    if cli.config.is_none() && !variables().any(|(name, _)| name.starts_with(environment::PREFIX)) {
        remark(&format!("error: {NO_CONFIGURATION}"));
        return Err(ExitCode::from(USAGE));
    }
    let rules_of_events = |config: &Config| {
        let broken = Rules::compile(&config.event).err();
        broken.map(|error| Broken { key: error.key, reason: error.reason }).into_iter().collect()
    };
    load_and_check(cli.config.as_deref(), variables(), rules_of_events).map_err(|errors| {
        // A key may be named after anything, and is named in the error.
        let told = errors.to_string();
        let lines: Vec<_> = told.trim_end().lines().map(shown::text).collect();
        remark(&format!("error: {}", lines.join("\n")));
        ExitCode::from(USAGE)
    })
}

/// Writes to stdout. A reader that has gone away, as `head` does, is no failure: whoever reads has
/// read enough.
fn say(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("writing the output"))
        }
        _ => Ok(()),
    }
}

/// Writes a line to stderr, for people; if nobody reads that any more, to nobody.
fn remark(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Says it and ends.
fn print(text: &str) -> ExitCode {
    say(text).map_or_else(|error| fail(FAILED, &error), |()| ExitCode::SUCCESS)
}

/// A table without rows.
fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_header(header);
    table
}

/// The name of a topic, as an argument.
fn topic(name: &str) -> Result<String, String> {
    let is_name = check::is_topic_name(name);
    is_name.then(|| name.to_owned()).ok_or_else(|| format!("expected {}", check::TOPIC_NAME))
}

/// Runs a command that needs a configuration.
fn with_config(cli: &Cli, command: impl FnOnce(Loaded) -> ExitCode) -> ExitCode {
    load_config(cli).map_or_else(|code| code, command)
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
    // Kafka's client breaks its lines.
    let lines = format!("{error:#}");
    let line = lines.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    remark(&format!("error: {}", shown::text(&line)));
    ExitCode::from(status)
}
