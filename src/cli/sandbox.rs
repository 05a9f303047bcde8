//! `streamproc sandbox`: the embedded Kafka and Cosmos DB alone, until Ctrl-C.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::check;
use crate::sandbox::{
    ContainerOptions, CosmosOptions, KafkaOptions, PHYSICAL_PARTITIONS, PortTaken, Sandbox, SandboxOptions,
    Topic,
};

/// The arguments of `streamproc sandbox`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct SandboxArgs {
    /// Run only this part, and a real one of the other.
    #[arg(long, value_name = "PART")]
    only: Option<Part>,
    /// The port on 127.0.0.1 for Kafka clients to start from; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 9092)]
    kafka_port: u16,
    /// The port on 127.0.0.1 for Cosmos DB; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 8081)]
    cosmos_port: u16,
    /// The topic of the events.
    #[arg(long, value_name = "NAME", default_value = "streaming", value_parser = super::topic)]
    topic: String,
    /// How many partitions the topic of the events has.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// The topic of the dead letters.
    #[arg(long, value_name = "NAME", default_value = "streaming-dead-letter", value_parser = super::topic)]
    dead_letter_topic: String,
    /// The consumer group whose unread records are watched over.
    #[arg(long, value_name = "NAME", default_value = "streamproc")]
    group: String,
    /// The database.
    #[arg(long, value_name = "NAME", default_value = "streaming", value_parser = resource)]
    database: String,
    /// The container of the documents.
    #[arg(long, value_name = "NAME", default_value = "rawdata", value_parser = resource)]
    container: String,
    /// The container's partition key: one to three paths, separated by commas.
    #[arg(long, value_name = "PATHS", default_value = "/deviceId", value_parser = paths)]
    partition_key: Paths,
    /// A path that is unique within a partition key; empty for none.
    #[arg(long, value_name = "PATH", default_value = "/eventId")]
    unique_key: String,
    /// A further container, such as `alerts=/deviceId`. May be repeated.
    #[arg(long = "extra-container", value_name = "NAME=PATHS", value_parser = container)]
    extra_containers: Vec<ContainerOptions>,
    /// Throttle each container at so many request units a second, at least 400.
    #[arg(long, value_name = "RU", value_parser = clap::value_parser!(u64).range(400..))]
    throughput: Option<u64>,
    /// Physical partitions of each container. More make batches faster; above 50, the change feed is gone.
    #[arg(long, value_name = "N", default_value_t = PHYSICAL_PARTITIONS, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    physical_partitions: u32,
    /// Write the account key to this file, for programs other than streamproc.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Serve fault injection under `/_sandbox/`.
    #[arg(long, hide = true)]
    control: bool,
}

/// One to three paths of a partition key.
#[derive(Clone, Debug)]
struct Paths(Vec<String>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Kafka,
    Cosmos,
}

const EXAMPLES: &str = "\
Examples:
  streamproc sandbox                                 Kafka on port 9092, Cosmos DB on port 8081
  streamproc sandbox --throughput 4000               a Cosmos DB that throttles at 4,000 RU/s
  streamproc sandbox --only cosmos                   beside a Kafka of your own
  streamproc sandbox --kafka-port 0 --cosmos-port 0  on free ports, which it prints";

/// Runs the sandbox until it is interrupted.
pub(super) fn run(args: SandboxArgs) -> ExitCode {
    if args.topic == args.dead_letter_topic {
        let error =
            anyhow::anyhow!("--topic and --dead-letter-topic are the same, which the service refuses");
        return super::fail(super::USAGE, &error);
    }
    let outcome =
        tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| runtime.block_on(serve(args)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            super::remark(&format!("error: {}", explain(&error)));
            ExitCode::from(super::FAILED)
        }
    }
}

async fn serve(args: SandboxArgs) -> anyhow::Result<()> {
    // Taken before anything is printed: whoever reads the addresses may end us at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let key_file = args.key_file.clone();
    let sandbox = Sandbox::start(options(args)).await?;
    if let (Some(path), Some(key)) = (&key_file, sandbox.cosmos_key()) {
        write_key(path, key)?;
    }
    super::say(&welcome(&sandbox, key_file.as_deref())?)?;
    let status = status_line();
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = tick.tick() => status.set_message(progress(&sandbox)),
        }
    }
    status.finish_and_clear();
    sandbox.stop().await;
    Ok(())
}

fn options(args: SandboxArgs) -> SandboxOptions {
    let container = ContainerOptions {
        name: args.container,
        partition_key: args.partition_key.0,
        unique_keys: Some(args.unique_key).filter(|path| !path.is_empty()).into_iter().collect(),
    };
    let kafka = KafkaOptions {
        port: args.kafka_port,
        topics: vec![Topic::new(args.topic, args.partitions), Topic::new(args.dead_letter_topic, 1)],
        group: args.group,
        ..KafkaOptions::default()
    };
    let cosmos = CosmosOptions {
        port: args.cosmos_port,
        database: args.database,
        containers: std::iter::once(container).chain(args.extra_containers).collect(),
        throughput: args.throughput,
        physical_partitions: args.physical_partitions,
        control: args.control,
        ..CosmosOptions::default()
    };
    SandboxOptions {
        kafka: Some(kafka).filter(|_| args.only != Some(Part::Cosmos)),
        cosmos: Some(cosmos).filter(|_| args.only != Some(Part::Kafka)),
    }
}

/// `alerts=/deviceId,/type`
fn container(text: &str) -> Result<ContainerOptions, String> {
    let (name, list) = text.split_once('=').ok_or("expected NAME=PATHS, such as alerts=/deviceId")?;
    let Paths(partition_key) = paths(list)?;
    Ok(ContainerOptions { name: resource(name)?, partition_key, unique_keys: Vec::new() })
}

/// `/deviceId,/type`
fn paths(text: &str) -> Result<Paths, String> {
    let paths: Vec<String> = text.split(',').map(str::to_owned).collect();
    if paths.len() > 3 || paths.iter().any(|path| path.trim_matches('/').is_empty()) {
        return Err("expected one to three paths, such as /deviceId,/type".into());
    }
    Ok(Paths(paths))
}

fn resource(name: &str) -> Result<String, String> {
    let is_name = check::is_resource_name(name);
    is_name.then(|| name.to_owned()).ok_or_else(|| format!("expected {}", check::RESOURCE_NAME))
}

fn write_key(path: &Path, key: &str) -> anyhow::Result<()> {
    std::fs::write(path, key).with_context(|| format!("cannot write the key to {}", path.display()))
}

/// What runs where, and what to type next.
fn welcome(sandbox: &Sandbox, key_file: Option<&Path>) -> anyhow::Result<String> {
    let mut text = String::new();
    if let Some(kafka) = sandbox.kafka() {
        writeln!(text, "Kafka       {}", kafka.bootstrap())?;
        for Topic { name, partitions } in kafka.topics() {
            writeln!(text, "  topic     {name}, partitions: {partitions}")?;
        }
    }
    if let Some(cosmos) = sandbox.cosmos() {
        writeln!(text, "Cosmos DB   {}", cosmos.endpoint())?;
        writeln!(text, "  database  {}", cosmos.database())?;
        for ContainerOptions { name, partition_key, .. } in cosmos.containers() {
            writeln!(text, "  container {name}, partition key: {}", partition_key.join(", "))?;
        }
        match key_file {
            Some(path) => writeln!(text, "  key       in {}", path.display())?,
            None => writeln!(
                text,
                "  key       the sandbox's public one, which streamproc knows (--key-file writes it)"
            )?,
        }
    }
    text.push_str("\nIn another terminal:\n");
    // The local configuration names the default ports.
    if let Some(kafka) = sandbox.kafka_bootstrap().filter(|address| !address.ends_with(":9092")) {
        writeln!(text, "  export STREAMPROC__KAFKA__BOOTSTRAP_SERVERS={kafka}")?;
    }
    if let Some(cosmos) = sandbox.cosmos_endpoint().filter(|endpoint| endpoint.port() != Some(8081)) {
        writeln!(text, "  export STREAMPROC__COSMOS__ENDPOINT={cosmos}")?;
    }
    text.push_str(
        "  streamproc run --config config/local.toml\n  \
         streamproc simulate --config config/local.toml --count 10000\n  \
         streamproc verify --config config/local.toml\n\
         \nNothing is kept. Ctrl-C ends it.\n",
    );
    Ok(text)
}

/// One line on a terminal, nothing in a pipe.
fn status_line() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    bar
}

fn progress(sandbox: &Sandbox) -> String {
    let mut parts = Vec::new();
    if let Some(kafka) = sandbox.kafka() {
        let status = kafka.status();
        let produced: i64 = status.iter().map(|partition| partition.high).sum();
        let committed: i64 = status.iter().filter_map(|partition| partition.committed).sum();
        parts.push(format!("{} records", HumanCount(produced.max(0) as u64)));
        parts.push(format!("{} committed", HumanCount(committed.max(0) as u64)));
        let dropped: u64 = kafka.dropped_unread().iter().map(|partition| partition.records).sum();
        if dropped > 0 {
            parts.push(format!("{} DROPPED UNREAD", HumanCount(dropped)));
        }
    }
    if let Some(cosmos) = sandbox.cosmos() {
        let stats = cosmos.stats();
        parts.push(format!("{} documents", HumanCount(stats.documents())));
        parts.push(format!("{} RU", HumanCount(stats.request_units as u64)));
        let throttled: u64 = stats
            .requests
            .iter()
            .filter(|answered| answered.status == 429)
            .map(|answered| answered.count)
            .sum();
        if throttled > 0 {
            parts.push(format!("{} throttled", HumanCount(throttled)));
        }
    }
    parts.join(" · ")
}

/// The error in one line, with the flag that helps.
fn explain(error: &anyhow::Error) -> String {
    match error.downcast_ref::<PortTaken>() {
        Some(taken) => {
            let flag = if taken.service == "Kafka" { "--kafka-port" } else { "--cosmos-port" };
            format!("{taken}; end that one, or give {flag} PORT (0 takes a free one)")
        }
        None => format!("{error:#}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_further_container_is_a_name_and_its_paths() {
        let alerts = container("alerts=/deviceId,/type").unwrap();
        assert_eq!(alerts.name, "alerts");
        assert_eq!(alerts.partition_key, ["/deviceId", "/type"]);
        for wrong in ["alerts", "=/deviceId", "alerts=", "alerts=/", "alerts=/a,/b,/c,/d", "a/b=/c"] {
            assert!(container(wrong).is_err(), "{wrong}");
        }
    }
}
