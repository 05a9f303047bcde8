//! `streamproc verify`: the sample's assertions over the stored documents.

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::ValueEnum;
use comfy_table::{Attribute, Cell, CellAlignment, Color, Table};
use indicatif::{ProgressBar, ProgressStyle};

use super::{FAILED, connect, store_error, table};
use crate::config::Config;
use crate::core::shown;
use crate::verifier::{self, Bound, Expectations, Found, Name, Report, Selection, SequenceRange, Window};

const EXAMPLES: &str = "\
Judged by the minute in which Cosmos DB stored an event (_ts). The first and the last minute are cut off \
and do not count for the rate; when there is no other, the whole time counts as one. The sample asks for \
900 events/s for every 1,000 that are sent, and for 15 s at most from Kafka to stored. It is content when \
its best minute is as good; here every minute has to be. A time of enqueuing that is more than 5 s later \
than the time of storing is not the broker's; it is counted, and left out.

A sequence number is missing when a device has a higher one. The first and the last tenth of what a device \
has stored are left out, because their neighbours may still be on the way; with --expect-count every number \
from 0 counts. Every run of `simulate` counts from 0 again, so judge each run by itself, with --since. Let \
the stream come to rest first.

Examples:
  streamproc verify -c config/local.toml --min-rate 900
  streamproc verify -c config/local.toml --expect-count 10000 --output json
  streamproc verify -c prod.toml --since 2026-11-22T10:00:00Z --max-missing off";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Events a second, at least, in every complete minute; 0 is not asserted.
    #[arg(long, value_name = "N", default_value_t = 0.0, value_parser = rate)]
    min_rate: f64,
    /// From enqueued to stored, at most, averaged over each minute; or off.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = latency)]
    max_latency: Limit<Duration>,
    /// Documents, at most, with the event id of another; or off.
    #[arg(long, value_name = "N", default_value = "0")]
    max_duplicates: Limit<u64>,
    /// Sequence numbers, at most, that are not there; or off.
    #[arg(long, value_name = "N", default_value = "0")]
    max_missing: Limit<u64>,
    /// The fraction of events, at most, stored in a later second than a later event of their device; or off.
    #[arg(long, value_name = "FRACTION", default_value = "0", value_parser = fraction)]
    max_out_of_sequence: Limit<f64>,
    /// Different events, exactly.
    #[arg(long, value_name = "N")]
    expect_count: Option<u64>,
    /// Only what was stored at or after this time.
    #[arg(long, value_name = "RFC3339")]
    since: Option<DateTime<Utc>>,
    /// The form of the report.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// One JSON object.
    Json,
}

/// A bound, or `off`.
#[derive(Clone, Copy)]
struct Limit<T>(Option<T>);

impl<T: FromStr> FromStr for Limit<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text == "off" { Ok(Self(None)) } else { text.parse().map(|bound| Self(Some(bound))) }
    }
}

fn latency(text: &str) -> Result<Limit<Duration>, humantime::DurationError> {
    if text == "off" {
        Ok(Limit(None))
    } else {
        humantime::parse_duration(text).map(|time| Limit(Some(time)))
    }
}

fn rate(text: &str) -> Result<f64, &'static str> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= 0.0);
    rate.ok_or("expected a number of events a second, 0 or more")
}

fn fraction(text: &str) -> Result<Limit<f64>, &'static str> {
    let limit: Option<Limit<f64>> = text.parse().ok();
    let limit = limit.filter(|limit| limit.0.is_none_or(|fraction| (0.0..=1.0).contains(&fraction)));
    limit.ok_or("expected a fraction from 0 to 1, or off")
}

pub(super) async fn run(args: Args, config: &Config) -> ExitCode {
    let container = match connect::container(&config.cosmos).await {
        Ok(container) => container,
        Err(error) => return connect::fail(&error),
    };
    let mut selection = Selection { since: args.since, ..Selection::default() };
    selection.fields.event_id.clone_from(&config.event.id);
    selection.fields.enqueued_at.clone_from(&config.event.enqueued_at);
    selection.fields.processed_at.clone_from(&config.event.processed_at);
    let mut expected = args.expectations();
    if config.event.enqueued_at.is_empty() && expected.max_latency.take().is_some() {
        super::remark("note: the latency is not asserted, because event.enqueued_at is empty");
    }

    let read = AtomicU64::new(0);
    let report = tokio::select! {
        report = verifier::verify(&container, &selection, &expected, &read) => report,
        never = show(&read) => match never {},
    };
    match report {
        Ok(report) => {
            let said = super::say(&match args.output {
                Output::Table => text(&report),
                Output::Json => format!("{}\n", shown::json(&serde_json::json!(report).to_string())),
            });
            match said {
                Err(error) => super::fail(FAILED, &error),
                Ok(()) if report.holds => ExitCode::SUCCESS,
                Ok(()) => ExitCode::from(FAILED),
            }
        }
        Err(error) => super::fail(FAILED, &anyhow::anyhow!(store_error::explain(&error))),
    }
}

impl Args {
    fn expectations(&self) -> Expectations {
        Expectations {
            min_rate: Some(self.min_rate).filter(|rate| *rate > 0.0),
            max_latency: self.max_latency.0,
            max_duplicates: self.max_duplicates.0,
            max_missing: self.max_missing.0,
            max_out_of_sequence: self.max_out_of_sequence.0,
            count: self.expect_count,
        }
    }
}

/// Shows on a terminal how far reading has come.
async fn show(read: &AtomicU64) -> std::convert::Infallible {
    let bar = if stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} documents read") {
        bar.set_style(style);
    }
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        bar.set_position(read.load(Ordering::Relaxed));
    }
}

/// A report for people: the minutes, the findings, the assertions.
pub(super) fn text(report: &Report) -> String {
    let mut lines = vec![windows(&report.windows).to_string()];
    lines.extend(findings("missing", &report.missing));
    lines.extend(findings("out of sequence", &report.out_of_sequence));
    if report.duplicates.total > 0 {
        let ids: Vec<_> = report.duplicates.examples.iter().map(|id| shown::text(id)).collect();
        lines.push(format!("{} duplicates, the first: {}", report.duplicates.total, ids.join(", ")));
    }
    lines.push(assertions(report).to_string());
    lines.push(format!(
        "{} documents, {} events of {} devices; read in {:.1} s for {:.0} RU\n",
        report.documents, report.events, report.devices, report.seconds, report.request_units
    ));
    lines.join("\n")
}

/// More minutes than these are not for reading; --output json has them all.
const MOST_WINDOWS: usize = 30;

fn windows(windows: &[Window]) -> Table {
    let mut table = table(&["stored in", "events", "events/s", "stored after", "processed after"]);
    let half = if windows.len() > MOST_WINDOWS { MOST_WINDOWS / 2 } else { windows.len() };
    let rest = windows.len().saturating_sub(half).max(half);
    windows[..half].iter().for_each(|window| row(&mut table, window));
    if rest > half {
        table.add_row([format!("{} more; see --output json", rest - half)]);
    }
    windows[rest..].iter().for_each(|window| row(&mut table, window));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn row(table: &mut Table, window: &Window) {
    let start = window.start.format("%Y-%m-%d %H:%M");
    let cut_off = if window.judged { "" } else { " (part)" };
    let time = if window.minutes > 1 {
        format!("{start} for {} minutes", window.minutes)
    } else {
        start.to_string()
    };
    let seconds =
        |seconds: Option<f64>| seconds.map_or_else(String::new, |seconds| format!("{seconds:.3} s"));
    table.add_row([
        format!("{time}{cut_off}"),
        window.events.to_string(),
        format!("{:.1}", window.rate),
        seconds(window.latency),
        seconds(window.processing),
    ]);
}

fn findings(what: &str, found: &Found<SequenceRange>) -> Vec<String> {
    if found.total == 0 {
        return Vec::new();
    }
    let mut lines = vec![format!("{} {what}:", found.total)];
    let mut named = 0_u64;
    for SequenceRange { device, first, last } in &found.examples {
        let device = shown::text(device);
        named = named.saturating_add((last - first).saturating_add(1));
        lines.push(if first == last {
            format!("  {device}: {first}")
        } else {
            format!("  {device}: {first} to {last}")
        });
    }
    if found.total > named {
        lines.push(format!("  and {} more", found.total - named));
    }
    lines
}

fn assertions(report: &Report) -> Table {
    let mut table = table(&["", "asserted", "found", "holds", ""]);
    for assertion in &report.assertions {
        let (label, unit) = match assertion.name {
            Name::Events => ("different events", ""),
            Name::Rate => ("stored", " events/s"),
            Name::Latency => ("stored after, averaged by the minute", " s"),
            Name::Duplicates => ("duplicates", ""),
            Name::Missing => ("missing sequence numbers", ""),
            Name::OutOfSequence => ("out of sequence, of all events", ""),
        };
        let asserted = match assertion.asserted {
            Bound::AtLeast(bound) => format!("at least {}{unit}", number(bound)),
            Bound::AtMost(bound) => format!("at most {}{unit}", number(bound)),
            Bound::Exactly(bound) => format!("{}{unit}", number(bound)),
        };
        let found =
            assertion.found.map_or("cannot be told".into(), |found| format!("{}{unit}", number(found)));
        let holds = if assertion.holds {
            Cell::new("yes").fg(Color::Green)
        } else {
            Cell::new("NO").fg(Color::Red).add_attribute(Attribute::Bold)
        };
        let note = assertion.note.clone().unwrap_or_default();
        table.add_row([Cell::new(label), Cell::new(asserted), Cell::new(found), holds, Cell::new(note)]);
    }
    table
}

/// Whole numbers as such, others to a useful precision.
fn number(number: f64) -> String {
    if number.fract() == 0.0 {
        format!("{number:.0}")
    } else if number < 0.01 {
        format!("{number:.6}")
    } else {
        format!("{number:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(minute: i64) -> Window {
        Window {
            start: DateTime::from_timestamp(minute * 60, 0).unwrap_or_default(),
            minutes: 1,
            events: 60,
            seconds: 60,
            rate: 1.0,
            judged: true,
            latency: Some(0.25),
            processing: None,
        }
    }

    #[test]
    fn many_minutes_are_cut_in_the_middle() {
        let all: Vec<_> = (0..100).map(window).collect();
        let text = windows(&all).to_string();
        assert!(text.contains("70 more"), "{text}");
        assert!(text.contains("1970-01-01 00:14") && text.contains("1970-01-01 01:25"), "{text}");
        assert!(!text.contains("1970-01-01 00:15") && !text.contains("1970-01-01 01:24"), "{text}");
        let few = windows(&all[..30]).to_string();
        assert!(!few.contains("more") && few.contains("1970-01-01 00:29"), "{few}");
        assert!(windows(&[]).to_string().contains("events/s"));
    }

    #[test]
    fn findings_are_counted_whatever_their_numbers_and_named_without_what_moves_a_terminal() {
        let range = |device: &str| SequenceRange { device: device.to_owned(), first: 0, last: u64::MAX - 1 };
        let found = Found { total: u64::MAX, examples: vec![range("a"), range("\u{1b}[2J\u{202e}b")] };
        assert_eq!(
            findings("missing", &found),
            [
                "18446744073709551615 missing:",
                "  a: 0 to 18446744073709551614",
                "  \\u{1b}[2J\\u{202e}b: 0 to 18446744073709551614"
            ]
        );
    }

    #[test]
    fn off_is_no_bound() {
        assert!("off".parse::<Limit<u64>>().is_ok_and(|limit| limit.0.is_none()));
        assert!("3".parse::<Limit<u64>>().is_ok_and(|limit| limit.0 == Some(3)));
        assert!("three".parse::<Limit<u64>>().is_err());
        assert!(latency("off").is_ok_and(|limit| limit.0.is_none()));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(["12", "0.000100", "0.500"].map(String::from), [12.0, 0.0001, 0.5].map(number));
    }
}
