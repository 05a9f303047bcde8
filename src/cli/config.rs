//! `streamproc config`: what is in effect, and where it comes from.

use std::process::ExitCode;

use super::{Cli, FAILED, effective, load_config, print};
use crate::config::reference;

/// The arguments.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Print the JSON schema of the configuration; needs no configuration.
    #[arg(long, conflicts_with = "output")]
    schema: bool,
    /// The form of the output.
    #[arg(long, value_enum, default_value_t = Output::Toml)]
    output: Output,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Output {
    /// A configuration file with comments.
    Toml,
    /// One JSON object.
    Json,
}

const EXAMPLES: &str = "\
Examples:
  streamproc config --config prod.toml                  what is in effect, as a file
  streamproc config --config prod.toml --output json    the same for a program
  streamproc config --schema > streamproc.schema.json   for an editor to check and complete with";

/// Prints the configuration.
pub(super) fn run(cli: &Cli, args: &Args) -> ExitCode {
    if args.schema {
        return print(&format!("{:#}\n", reference::schema()));
    }
    let loaded = match load_config(cli) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let text = match args.output {
        Output::Toml => effective::toml(&loaded),
        Output::Json => effective::json(&loaded).map(|json| format!("{json:#}\n")),
    };
    match text {
        Ok(text) => print(&text),
        Err(error) => {
            super::remark(&format!("error: {error:#}"));
            ExitCode::from(FAILED)
        }
    }
}
