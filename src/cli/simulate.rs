//! `streamproc simulate`: sends the sample's events.

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use super::{FAILED, USAGE, signals};
use crate::azure;
use crate::config::Config;
use crate::kafka;
use crate::simulator::{self, Counts, Options, Progress, Until};

const EXAMPLES: &str = "\
Events are those of the sample: about 920 bytes, keyed by device id. Each device, contoso-device-id-0 and \
on, counts its deviceSequenceNumber up from 0. A duplicate is the same bytes sent again directly after the \
first. The same seed gives the same events, byte for byte, except createdAt, which is the wall clock unless \
--created-at-start is given. The sandbox's Kafka forgets what is too much for it: there, sending waits until \
the group of the configuration has read.

Examples:
  streamproc simulate -c config/local.toml                    1,000 events/s until Ctrl-C
  streamproc simulate -c config/local.toml --rate 0 --count 1000000
                                                              a million events, as fast as it goes
  streamproc simulate -c config/local.toml --duration 30s --seed 7 --output json";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Events a second, duplicates not counted; 0 is as fast as it goes.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    rate: u64,
    /// Stop after so many events, duplicates not counted.
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    count: Option<u64>,
    /// Stop after so long, such as 30s or 5m.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// How many devices take turns.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    devices: u64,
    /// One event in so many is sent twice; 0 is none.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    duplicate_every: u64,
    /// Fields in complexData.
    #[arg(long, value_name = "N", default_value_t = 23, value_parser = clap::value_parser!(u32).range(..=MOST_FIELDS))]
    complex_data_count: u32,
    /// Repeats the events of an earlier run. Without it, a new one, shown at the end.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// createdAt of the first event; the others follow at the asked rate.
    #[arg(long, value_name = "RFC3339")]
    created_at_start: Option<DateTime<Utc>>,
    /// The topic to send to. Without it, the first of kafka.topics.
    #[arg(long, value_name = "TOPIC", value_parser = super::topic)]
    topic: Option<String>,
    /// How long a batch waits to fill.
    #[arg(long, value_name = "TIME", default_value = "5ms", value_parser = linger)]
    linger: Duration,
    /// The largest batch.
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = batch)]
    batch: bytesize::ByteSize,
    /// The form of the summary.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// So many fields make events of some 300 KB; Kafka takes 1 MB by default.
const MOST_FIELDS: i64 = 10_000;

/// A record that waits longer has no time to be acknowledged in.
const LONGEST_LINGER: Duration = Duration::from_secs(15);

/// What Kafka's client takes as `batch.size`.
const LARGEST_BATCH: u64 = i32::MAX as u64;

fn linger(text: &str) -> Result<Duration, String> {
    let linger = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if linger <= LONGEST_LINGER { Ok(linger) } else { Err("expected 15s at most".into()) }
}

fn batch(text: &str) -> Result<bytesize::ByteSize, String> {
    let batch: bytesize::ByteSize = text.parse()?;
    let fits = (1..=LARGEST_BATCH).contains(&batch.as_u64());
    if fits { Ok(batch) } else { Err("expected 1 byte to 2 GiB less a byte".into()) }
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    /// One line.
    Text,
    /// One JSON object.
    Json,
}

pub(super) async fn run(args: Args, config: &Config) -> ExitCode {
    let Some(topic) = args.topic.clone().or_else(|| config.kafka.topics.first().cloned()) else {
        return super::fail(
            USAGE,
            &anyhow::anyhow!("kafka.topics is empty: name a topic there or with --topic"),
        );
    };
    let mut options = args.options(topic, config.kafka.group_id.clone());
    let client = match kafka::base(&config.kafka, "simulator") {
        Ok(client) => client,
        Err(error) => return super::fail(USAGE, &error.into()),
    };
    match kafka::tokens(&config.kafka.auth, &azure::process_environment) {
        Ok(tokens) => options.tokens = tokens,
        Err(error) => return super::fail(USAGE, &error.into()),
    }
    if let Some(tokens) = &options.tokens {
        tokens.ready().await;
    }

    let progress = Arc::new(Progress::default());
    let cancel = match signals::stop_token() {
        Ok(cancel) => cancel,
        Err(error) => return super::fail(FAILED, &error.into()),
    };
    let run = simulator::run(options, client, Arc::clone(&progress), cancel);
    let outcome = tokio::select! {
        outcome = run => outcome,
        never = show(&progress, args.total(), config.kafka.group_id.clone()) => match never {},
    };
    match outcome {
        Ok(summary) => super::print(&match args.output {
            Output::Text => format!("{summary}\n"),
            Output::Json => format!("{}\n", serde_json::json!(summary)),
        }),
        Err(error) => super::fail(FAILED, &error.into()),
    }
}

impl Args {
    fn options(&self, topic: String, group_id: String) -> Options {
        let defaults = Options::new(topic, group_id);
        Options {
            rate: self.rate,
            until: match (self.count, self.duration) {
                (Some(count), _) => Until::Count(count),
                (None, Some(duration)) => Until::Elapsed(duration),
                (None, None) => Until::Cancelled,
            },
            devices: self.devices,
            duplicate_every: self.duplicate_every,
            complex_data_count: self.complex_data_count as usize,
            seed: self.seed.unwrap_or(defaults.seed),
            created_at_start: self.created_at_start,
            linger: self.linger,
            batch_bytes: self.batch.as_u64(),
            ..defaults
        }
    }

    /// How many events the run will send, when that is known.
    fn total(&self) -> Option<u64> {
        let by_time =
            self.duration.filter(|_| self.rate > 0).map(|d| (d.as_secs_f64() * self.rate as f64) as u64);
        self.count.or(by_time)
    }
}

/// How often the line on the terminal is written anew.
const REDRAW: Duration = Duration::from_millis(200);

/// Shows progress on a terminal. Anywhere else, says only when the run has been waiting for a while.
async fn show(progress: &Progress, total: Option<u64>, group_id: String) -> std::convert::Infallible {
    let bar = if stderr().is_terminal() {
        total.map_or_else(ProgressBar::new_spinner, ProgressBar::new)
    } else {
        ProgressBar::hidden()
    };
    let template = if total.is_some() { "{bar:20} {msg}" } else { "{spinner} {msg}" };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    let mut last = (Instant::now(), 0);
    let mut next_notice = Duration::from_secs(5);
    loop {
        tokio::time::sleep(REDRAW).await;
        let counts = progress.read();
        let rate = (counts.events - last.1) as f64 / last.0.elapsed().as_secs_f64();
        last = (Instant::now(), counts.events);
        bar.set_position(counts.events);
        bar.set_message(line(&counts, rate, &group_id));
        if counts.waiting_for_reader.is_zero() {
            next_notice = Duration::from_secs(5);
        } else if bar.is_hidden() && counts.waiting_for_reader >= next_notice {
            super::remark(&waiting(&counts, &group_id));
            next_notice = counts.waiting_for_reader + Duration::from_mins(1);
        }
    }
}

fn line(counts: &Counts, rate: f64, group_id: &str) -> String {
    let Counts { events, duplicates, acknowledged, .. } = counts;
    let mut line =
        format!("{events} sent, {duplicates} twice, {acknowledged} acknowledged, {rate:.0} events/s");
    if !counts.waiting_for_reader.is_zero() {
        line = format!("{line}; {}", waiting(counts, group_id));
    } else if counts.behind >= Duration::from_secs(1) {
        line = format!("{line}; {:.1} s behind the asked rate", counts.behind.as_secs_f64());
    }
    line
}

fn waiting(counts: &Counts, group_id: &str) -> String {
    format!(
        "waiting for group {group_id} to read, {} s: this embedded Kafka would forget what is sent now",
        counts.waiting_for_reader.as_secs()
    )
}
