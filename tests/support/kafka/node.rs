//! One node: its ports, its properties, its Java process.

use std::fmt::Write;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::guard::{Guarded, Signal};
use crate::support::port;

use super::archive;
use super::{Listener, Options, Security};

/// For starting a node in good order to stop; a broker hands its partitions over first.
const STOP: Duration = Duration::from_mins(1);

/// The fixed id of every cluster: 16 bytes in URL-safe base64, as the format tool wants it.
const CLUSTER_ID: &str = "c3RyZWFtcHJvYy10ZXN0cw";

#[derive(Clone, Copy)]
struct Ports {
    plain: u16,
    controller: u16,
    sasl: u16,
    sasl_tls: u16,
    expired: u16,
    mtls: u16,
    behind_proxy: u16,
}

/// The plan of a cluster: every node's ports, and what they have in common.
pub(super) struct Layout<'a> {
    dir: &'a Path,
    options: &'a Options,
    security: Option<&'a Security>,
    ports: Vec<Ports>,
}

/// A node that has been formatted.
pub(super) struct Node {
    dir: PathBuf,
    ports: Ports,
    jvm_flags: Vec<String>,
    has_sign_in: bool,
    pub(super) largest_file: Option<u64>,
    process: Option<Guarded>,
    is_frozen: bool,
}

impl<'a> Layout<'a> {
    pub(super) fn new(dir: &'a Path, options: &'a Options, security: Option<&'a Security>) -> Self {
        let ports = (0..options.brokers)
            .map(|_| Ports {
                plain: port::free(),
                controller: port::free(),
                sasl: port::free(),
                sasl_tls: port::free(),
                expired: port::free(),
                mtls: port::free(),
                behind_proxy: port::free(),
            })
            .collect();
        Self { dir, options, security, ports }
    }

    /// Writes the node's properties and formats its storage.
    pub(super) fn format(&self, id: usize) -> Result<Node, String> {
        let dir = self.dir.join(format!("node-{id}"));
        fs::create_dir_all(&dir).map_err(|e| e.to_string())?;
        let properties = dir.join("server.properties");
        fs::write(&properties, self.properties(id, &dir)).map_err(|e| e.to_string())?;
        let mut command = archive::java(&dir, &[]);
        command.args(["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "--config"]);
        command.arg(&properties).args(self.security.map(Security::format_arguments).unwrap_or_default());
        let output = command.output().map_err(|e| format!("start java: {e}"))?;
        if !output.status.success() {
            let text = [output.stdout, output.stderr].concat();
            return Err(format!("format the storage of node {id}: {}", String::from_utf8_lossy(&text)));
        }
        Ok(Node {
            dir,
            ports: self.ports[id - 1],
            jvm_flags: self.security.map(Security::jvm_flag).into_iter().collect(),
            has_sign_in: self.security.is_some(),
            largest_file: self.options.largest_file,
            process: None,
            is_frozen: false,
        })
    }

    fn properties(&self, id: usize, dir: &Path) -> String {
        let Ports { plain, controller, sasl, sasl_tls, expired, mtls, behind_proxy } = self.ports[id - 1];
        let brokers = self.options.brokers;
        let in_sync = if brokers > 2 { 2 } else { 1 };
        let voters: Vec<_> = self
            .ports
            .iter()
            .enumerate()
            .map(|(at, p)| format!("{}@127.0.0.1:{}", at + 1, p.controller))
            .collect();
        let mut listeners = format!("PLAINTEXT://127.0.0.1:{plain}");
        if self.security.is_some() {
            // A name and not the address: certificates are checked against names, as in production.
            let _ = write!(
                listeners,
                ",SASL://localhost:{sasl},SASLTLS://localhost:{sasl_tls},EXPIRED://localhost:{expired},\
                 MTLS://localhost:{mtls}"
            );
        }
        let mut advertised = listeners.clone();
        if let Some(proxy_port) = self.options.proxy_port {
            let _ = write!(listeners, ",PROXIED://127.0.0.1:{behind_proxy}");
            let _ = write!(advertised, ",PROXIED://127.0.0.1:{proxy_port}");
        }
        let mut properties = format!(
            "process.roles=broker,controller\n\
             node.id={id}\n\
             controller.quorum.voters={voters}\n\
             listeners={listeners},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners={advertised}\n\
             controller.listener.names=CONTROLLER\n\
             inter.broker.listener.name=PLAINTEXT\n\
             listener.security.protocol.map=\
             PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,SASLTLS:SASL_SSL,\
             EXPIRED:SASL_SSL,MTLS:SSL,PROXIED:PLAINTEXT\n\
             log.dirs={data}\n\
             num.partitions=1\n\
             default.replication.factor={brokers}\n\
             min.insync.replicas={in_sync}\n\
             offsets.topic.replication.factor={brokers}\n\
             offsets.topic.num.partitions=5\n\
             transaction.state.log.replication.factor={brokers}\n\
             transaction.state.log.min.isr={in_sync}\n\
             transaction.state.log.num.partitions=5\n\
             share.coordinator.state.topic.replication.factor={brokers}\n\
             share.coordinator.state.topic.min.isr={in_sync}\n\
             group.initial.rebalance.delay.ms=0\n\
             auto.create.topics.enable=false\n\
             num.network.threads=2\n\
             num.io.threads=4\n\
             log.cleaner.dedupe.buffer.size=16777216\n\
             broker.session.timeout.ms=4000\n\
             broker.heartbeat.interval.ms=500\n\
             log.cleaner.backoff.ms=500\n",
            voters = voters.join(","),
            data = dir.join("data").display(),
        );
        properties += &self.security.map(Security::properties).unwrap_or_default();
        // Last, because the last value of a property is the one that counts.
        for (name, value) in &self.options.properties {
            let _ = writeln!(properties, "{name}={value}");
        }
        properties
    }
}

impl Node {
    pub(super) fn address(&self, listener: Listener) -> String {
        let Ports { plain, sasl, sasl_tls, expired, mtls, .. } = self.ports;
        assert!(listener == Listener::Plain || self.has_sign_in, "the cluster has no {listener:?} listener");
        match listener {
            Listener::Plain => format!("127.0.0.1:{plain}"),
            Listener::Sasl => format!("localhost:{sasl}"),
            Listener::SaslTls => format!("localhost:{sasl_tls}"),
            Listener::Expired => format!("localhost:{expired}"),
            Listener::Mtls => format!("localhost:{mtls}"),
        }
    }

    pub(super) fn port_behind_proxy(&self) -> u16 {
        self.ports.behind_proxy
    }

    pub(super) fn start(&mut self) {
        self.start_with(&[]);
    }

    pub(super) fn start_with(&mut self, flags: &[String]) {
        let log = OpenOptions::new().create(true).append(true).open(self.log()).expect("a log");
        let mut command = archive::java(&self.dir, flags);
        command
            .args(&self.jvm_flags)
            .args(["-Dkafka.log.level=INFO", "kafka.Kafka"])
            .arg(self.dir.join("server.properties"));
        if let Some(bytes) = self.largest_file {
            command = with_files_up_to(bytes, &command);
        }
        let (out, err) = (log.try_clone().expect("a second handle"), log);
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        self.process = Some(Guarded::spawn(&mut command));
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Guarded::pid)
    }

    /// Whether it can answer, as far as that depends on us.
    pub(super) fn is_awake(&self) -> bool {
        self.process.is_some() && !self.is_frozen
    }

    pub(super) fn signal(&mut self, signal: Signal) {
        self.is_frozen = signal == Signal::Stop;
        self.process.as_ref().expect("the node runs").signal(signal);
    }

    /// Sends a signal that ends it, and waits for that.
    pub(super) fn end(&mut self, signal: Signal) {
        self.signal(signal);
        let mut process = self.process.take().expect("the node runs");
        assert!(process.wait(STOP).is_some(), "node did not end by {signal:?}\n{}", self.log_tail());
    }

    /// Whether it ended without being told to.
    pub(super) fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.exited().is_some())
    }

    pub(super) fn log_has(&self, text: &str) -> bool {
        fs::read_to_string(self.log()).is_ok_and(|log| log.contains(text))
    }

    pub(super) fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        format!(
            "--- the end of {}\n{}",
            self.log().display(),
            lines[lines.len().saturating_sub(30)..].join("\n")
        )
    }

    fn log(&self) -> PathBuf {
        self.dir.join("node.log")
    }
}

/// The same command in a shell that limits its files. The shell counts in blocks of 512 bytes.
fn with_files_up_to(bytes: u64, command: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", r#"ulimit -f "$1" && shift && exec "$@""#, "sh", &(bytes / 512).to_string()]);
    limited.arg(command.get_program()).args(command.get_args());
    limited.current_dir(command.get_current_dir().expect("where Kafka is"));
    limited
}

/// The lock of something that only one process should do; the file goes with the process.
pub(super) fn lock(path: &Path) -> Option<File> {
    let file = File::create(path).ok()?;
    file.try_lock().ok()?;
    Some(file)
}
