//! The `streamproc` binary: hands the command line to [`streamproc::cli`].

fn main() -> std::process::ExitCode {
    streamproc::cli::main()
}
