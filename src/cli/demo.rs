//! `streamproc demo`: the main job in one process, with nothing installed.

use std::io::{IsTerminal, stderr, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::{FAILED, connect, logging, say, signals, store_error, verify};
use crate::config::{self, Config, CosmosAuthMethod, LogFormat, Span};
use crate::core::shown;
use crate::kafka;
use crate::observe::health::Condition;
use crate::observe::metrics::Totals;
use crate::query::{self, Request};
use crate::sandbox::{CosmosOptions, KafkaOptions, Sandbox, SandboxOptions};
use crate::service::Service;
use crate::simulator::{self, Options, Progress, Summary, Until};
use crate::verifier::{self, Expectations, Selection};

const EXAMPLES: &str = "\
Nothing is installed, nothing is kept: the Kafka and the Cosmos DB are embedded in this process (`streamproc \
sandbox` runs them alone). It takes some seconds more than --duration. Exit status 0 only if every assertion \
holds, that of the rate too: nine tenths of --rate, which this machine has to generate, keep in memory and store all \
at once.

Examples:
  streamproc demo
  streamproc demo --rate 500 --duration 1m --devices 100";

/// The sample's question.
const QUESTION: &str = "SELECT * FROM c WHERE c.type = 'CO2'";

/// How long the parts may take to get ready, and the service to store the last events.
const PATIENCE: Duration = Duration::from_mins(1);

/// The part of the asked rate that the sample wants to see stored.
const RATE_ASSERTED: f64 = 0.9;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Events a second.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=20_000))]
    rate: u64,
    /// How long events are sent.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// How many devices take turns.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    devices: u64,
    /// One event in so many is sent twice; 0 is none.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    duplicate_every: u64,
    /// Repeats the events of an earlier run.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// Somebody pressed Ctrl-C.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; nothing was verified")]
struct Interrupted;

pub(super) async fn run(args: Args) -> ExitCode {
    if std::env::var_os("RUST_LOG").is_some() {
        logging::start(LogFormat::Text);
    }
    match show(&args).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error) => super::fail(FAILED, &error),
    }
}

/// Shows it all; gives whether every assertion holds.
async fn show(args: &Args) -> Result<bool> {
    let stop = signals::stop_token()?;
    let options =
        SandboxOptions { kafka: Some(KafkaOptions::default()), cosmos: Some(CosmosOptions::default()) };
    let sandbox = Sandbox::start(options).await?;
    let outcome = with_sandbox(args, &sandbox, &stop).await;
    sandbox.stop().await;
    outcome
}

async fn with_sandbox(args: &Args, sandbox: &Sandbox, stop: &CancellationToken) -> Result<bool> {
    let config = configuration(sandbox)?;
    say(&format!("embedded Kafka      {}\n", config.kafka.bootstrap_servers))?;
    say(&format!("embedded Cosmos DB  {}\n", config.cosmos.endpoint))?;
    let service = Service::start(config.clone()).await?;
    let address = service.admin.address;
    say(&format!("the service         http://{address}/ tells /readyz, /metrics, /progress\n"))?;
    let outcome = with_service(args, sandbox, &config, &service, stop).await;
    let stopped = service.stop().await;
    let holds = outcome?;
    stopped?;
    Ok(holds)
}

async fn with_service(
    args: &Args,
    sandbox: &Sandbox,
    config: &Config,
    service: &Service,
    stop: &CancellationToken,
) -> Result<bool> {
    let screen = Screen::new();
    wait(service, stop, "the service to get its partitions", || {
        screen.say("waiting for the service to join its group");
        service.health.conditions().is_empty() && service.metrics.assigned_partitions.get() > 0
    })
    .await?;
    let sent = simulate(args, config, service, &screen, stop).await?;
    let expected = sent.events + sent.duplicates;
    wait(service, stop, "the last events to be stored", || {
        let totals = service.metrics.totals();
        screen.totals(&totals, "storing the last events");
        totals.stored + totals.superseded + totals.dead_lettered >= expected
    })
    .await?;
    let totals = service.metrics.totals();
    screen.clear();
    say(&format!("sent                {sent}\n"))?;
    say(&format!(
        "stored              {} records read: {} written, {} superseded in their micro-batch, {} dead letters; {:.0} RU\n\n",
        totals.consumed, totals.stored, totals.superseded, totals.dead_lettered, totals.request_units
    ))?;
    let holds = verify_stored(args, config, &sent).await?;
    let dropped = sandbox.dropped_unread();
    if !dropped.is_empty() {
        say(&format!("The embedded Kafka has dropped records that were not read yet: {dropped:?}\n"))?;
    }
    sample_query(config).await?;
    Ok(holds && dropped.is_empty() && totals.dead_lettered == 0)
}

/// Sends events while the service stores them, and shows both.
async fn simulate(
    args: &Args,
    config: &Config,
    service: &Service,
    screen: &Screen,
    stop: &CancellationToken,
) -> Result<Summary> {
    let topic = config.kafka.topics.first().context("the demo has a topic")?;
    let defaults = Options::new(topic, &config.kafka.group_id);
    let options = Options {
        rate: args.rate,
        until: Until::Elapsed(args.duration),
        devices: args.devices,
        duplicate_every: args.duplicate_every,
        seed: args.seed.unwrap_or(defaults.seed),
        ..defaults
    };
    let client = kafka::base(&config.kafka, "simulator")?;
    let running = simulator::run(options, client, Arc::new(Progress::default()), stop.child_token());
    let watching = async {
        loop {
            tokio::time::sleep(Duration::from_millis(250)).await;
            screen.totals(&service.metrics.totals(), "");
        }
    };
    let summary = tokio::select! {
        summary = running => summary?,
        () = watching => bail!("the demo stopped watching"),
    };
    if summary.cancelled { Err(Interrupted.into()) } else { Ok(summary) }
}

async fn verify_stored(args: &Args, config: &Config, sent: &Summary) -> Result<bool> {
    let container = connect::container(&config.cosmos).await?;
    let expectations = Expectations {
        min_rate: Some(args.rate as f64 * RATE_ASSERTED),
        max_latency: Some(Duration::from_secs(15)),
        max_duplicates: Some(0),
        max_missing: Some(0),
        max_out_of_sequence: Some(0.0),
        count: Some(sent.events),
    };
    let report = verifier::verify(&container, &Selection::default(), &expectations, &AtomicU64::new(0))
        .await
        .map_err(|error| anyhow!(store_error::explain(&error)))?;
    let twice = sent.duplicates;
    let once = report.documents == sent.events;
    say(&format!(
        "{}{twice} events were sent twice: Kafka got {} records, Cosmos DB holds {} documents{}\n",
        verify::text(&report),
        sent.events + twice,
        report.documents,
        if once { ", each event once" } else { ", which is WRONG" }
    ))?;
    Ok(report.holds && once)
}

async fn sample_query(config: &Config) -> Result<()> {
    let container = connect::container(&config.cosmos).await?;
    let request = Request { sql: QUESTION.to_owned(), partition_key: Vec::new(), limit: Some(3) };
    say(&format!("\n{QUESTION}\n"))?;
    let show = |document: &str| say(&format!("{}\n", shortened(document))).map_err(std::io::Error::other);
    query::run(&container, &request, show).await.map_err(|error| anyhow!("the sample query: {error}"))?;
    let count =
        Request { sql: QUESTION.replace('*', "VALUE COUNT(1)"), partition_key: Vec::new(), limit: None };
    let mut counted = String::new();
    query::run(&container, &count, |document| {
        document.clone_into(&mut counted);
        Ok(())
    })
    .await
    .map_err(|error| anyhow!("the sample query: {error}"))?;
    say(&format!("… {counted} documents\n"))
}

/// A document that fits a screen, and what is of interest in it; somebody who pipes it wants all of it.
fn shortened(document: &str) -> String {
    const WIDEST: usize = 240;
    if !stdout().is_terminal() {
        return document.to_owned();
    }
    let shown = super::query::at_a_glance(document).unwrap_or_else(|_| document.to_owned());
    let shown = shown::json(&shown);
    match shown.char_indices().nth(WIDEST) {
        Some((end, _)) => format!("{}…", &shown[..end]),
        None => shown.into_owned(),
    }
}

/// The sandbox's configuration, with an admin port that nobody else has.
fn configuration(sandbox: &Sandbox) -> Result<Config> {
    let bootstrap = sandbox.kafka_bootstrap().context("the sandbox has a Kafka")?;
    let endpoint = sandbox.cosmos_endpoint().context("the sandbox has a Cosmos DB")?;
    let defaults = (KafkaOptions::default(), CosmosOptions::default());
    let topic = |at: usize| {
        defaults.0.topics.get(at).map(|topic| topic.name.clone()).context("the sandbox has topics")
    };
    let container = defaults.1.containers.first().context("the sandbox has a container")?;
    let mut config = Config::new(
        config::Kafka::new(bootstrap, [topic(0)?]),
        config::Cosmos::new(
            endpoint.as_str(),
            [defaults.1.region.clone()],
            &defaults.1.database,
            &container.name,
        ),
        config::DeadLetter::new(topic(1)?),
    );
    "demo".clone_into(&mut config.name);
    config.kafka.group_id.clone_from(&defaults.0.group);
    config.kafka.workers = 1;
    config.kafka.session_timeout = Span::from_millis(6_000);
    config.cosmos.auth.method = CosmosAuthMethod::Key;
    "127.0.0.1:0".clone_into(&mut config.admin.listen);
    Ok(config)
}

/// Waits for a condition, Ctrl-C, or the end of patience.
async fn wait(
    service: &Service,
    stop: &CancellationToken,
    what: &str,
    mut holds: impl FnMut() -> bool,
) -> Result<()> {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > PATIENCE {
            bail!("{}", in_vain(what, &service.health.conditions()));
        }
        tokio::select! {
            () = stop.cancelled() => return Err(Interrupted.into()),
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    }
    Ok(())
}

/// With what the service says on `/readyz`.
fn in_vain(what: &str, conditions: &[Condition]) -> String {
    let held: Vec<String> = conditions
        .iter()
        .map(|Condition { reason, place, detail, .. }| match place.as_str() {
            "" => format!("{reason}: {detail}"),
            place => format!("{reason} at {place}: {detail}"),
        })
        .collect();
    let held = if held.is_empty() { "nothing holds it".to_owned() } else { held.join("; ") };
    format!(
        "waited {PATIENCE:?} for {what} in vain; the service says: {held} (RUST_LOG=info shows what goes on)"
    )
}

/// The live line on a terminal; nothing in a pipe.
struct Screen {
    bar: ProgressBar,
    last: std::sync::Mutex<(Instant, Totals)>,
}

impl Screen {
    fn new() -> Self {
        let bar = if stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Self { bar, last: std::sync::Mutex::new((Instant::now(), Totals::default())) }
    }

    fn say(&self, what: &str) {
        self.bar.set_message(what.to_owned());
        self.bar.tick();
    }

    fn totals(&self, totals: &Totals, what: &str) {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let seconds = last.0.elapsed().as_secs_f64().max(0.001);
        let stored = totals.stored.saturating_sub(last.1.stored);
        let latency = (totals.latency_seconds - last.1.latency_seconds) / stored.max(1) as f64;
        self.say(&format!(
            "{} read, {} stored, lag {}, {:.0} events/s, {:.0} RU/s, stored after {latency:.2} s {what}",
            totals.consumed,
            totals.stored + totals.superseded,
            totals.lag,
            stored as f64 / seconds,
            (totals.request_units - last.1.request_units) / seconds,
        ));
        // A second is long enough for rates that can be read.
        if seconds >= 1.0 {
            *last = (Instant::now(), *totals);
        }
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_in_vain_says_what_the_service_says() {
        let condition = |reason, place: &str, detail: &str| Condition {
            reason,
            place: place.to_owned(),
            detail: detail.to_owned(),
            since: std::time::SystemTime::UNIX_EPOCH,
        };
        let conditions =
            [condition("kafka_client", "worker-0", "no broker"), condition("sign_in", "", "401")];
        let said = in_vain("the partitions", &conditions);
        assert!(said.contains("kafka_client at worker-0: no broker; sign_in: 401"), "{said}");
        assert!(in_vain("the partitions", &[]).contains("nothing holds it"));
    }
}
