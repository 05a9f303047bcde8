//! `streamproc` itself, as the process that users run.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::http::{self, Response};
use super::process::Process;
use super::{guard, port};

/// A service that is about to start: its configuration, its files, its environment.
pub struct Setup {
    dir: TempDir,
    admin: SocketAddr,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// The service, running. What can be asked of a process ([`Process`]) can be asked of it.
pub struct Service {
    process: Process,
    setup: Setup,
}

/// A configuration of these lines, each with the section that it belongs to. A later line replaces an
/// earlier one of the same key.
pub fn toml<'a>(lines: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let key = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    let mut sections: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (section, line) in lines {
        let present = sections.entry(section).or_default();
        present.retain(|other| key(other) != key(&line));
        present.push(line);
    }
    let text = |(section, lines): (&str, Vec<String>)| format!("[{section}]\n{}\n", lines.join("\n"));
    sections.into_iter().map(text).collect::<Vec<_>>().join("\n")
}

impl Setup {
    /// A service with this TOML as its configuration. Its admin port is set from outside.
    pub fn new(config: &str) -> Self {
        let setup = Self {
            dir: guard::temp_dir("service"),
            admin: SocketAddr::from(([127, 0, 0, 1], port::free())),
            arguments: Vec::new(),
            environment: Vec::new(),
        };
        let path = setup.file("streamproc.toml", config);
        setup.argument("--config").argument(&path.display().to_string())
    }

    /// Adds an argument, after `--config FILE`.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes a file beside the configuration, such as a password, and returns its path.
    pub fn file(&self, name: &str, contents: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, contents).expect("write to a temporary directory");
        path
    }

    /// Starts it.
    pub fn start(self) -> Service {
        let process = Process::start("streamproc", &mut self.command());
        Service { process, setup: self }
    }

    fn command(&self) -> Command {
        let mut command = streamproc();
        command
            .args(&self.arguments)
            .env("STREAMPROC__ADMIN__LISTEN", self.admin.to_string())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.dir.path());
        command
    }
}

impl Service {
    /// Starts the service with this TOML as its configuration.
    pub fn start(config: &str) -> Self {
        Setup::new(config).start()
    }

    /// The address of its probes and metrics.
    pub fn admin(&self) -> SocketAddr {
        self.setup.admin
    }

    /// The directory that holds its configuration.
    pub fn dir(&self) -> &Path {
        self.setup.dir.path()
    }

    /// `GET path` of its admin port.
    pub fn get(&self, path: &str) -> io::Result<Response> {
        http::get(self.setup.admin, path)
    }

    /// The sum of a metric's samples whose labels contain all of `labels`, such as
    /// `[r#"topic="events""#]`; none when it has no such sample or cannot be asked.
    pub fn metric(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let page = self.get("/metrics").ok().filter(|answer| answer.status == 200)?.body;
        sum_of(&page, name, labels)
    }

    /// Starts it once more, after its end or a kill: the same configuration, files and admin port.
    pub fn start_again(self) -> Self {
        drop(self.process);
        self.setup.start()
    }
}

impl Deref for Service {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

/// The binary under test, for commands that come to an end by themselves. It sees nothing of the
/// developer's own configuration.
pub fn streamproc() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamproc"));
    for (name, _) in std::env::vars() {
        if ["STREAMPROC", "AZURE_", "RUST_LOG"].iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
}

/// Sums samples of a page in Prometheus's text format.
pub fn sum_of(page: &str, name: &str, labels: &[&str]) -> Option<f64> {
    page.lines()
        .filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (of, value) = rest.rsplit_once(' ')?;
            let ours = of.is_empty() || of.starts_with('{');
            (ours && labels.iter().all(|label| of.contains(label))).then(|| value.parse::<f64>().ok())?
        })
        .reduce(|sum, value| sum + value)
}
