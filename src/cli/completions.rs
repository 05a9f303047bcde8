//! `streamproc completions SHELL`

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

/// The arguments.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The shell.
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  streamproc completions bash > /etc/bash_completion.d/streamproc
  source <(streamproc completions zsh)";

/// Prints the script.
pub(super) fn run(args: &Args) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "streamproc", &mut script);
    super::print(&String::from_utf8_lossy(&script))
}
