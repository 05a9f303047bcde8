//! The `streamproc` binary: hands the command line to [`streamproc::cli`].

/// By measurement (docs/adr/0024).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    streamproc::cli::main()
}
