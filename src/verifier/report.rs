//! What was expected, what was found, and whether it holds.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::tally::Tally;
use super::window::{Rate, Window};

/// How many examples of a finding are kept.
pub(super) const EXAMPLES: usize = 20;

/// What to assert. `None` is not asserted.
#[derive(Clone, Debug)]
pub struct Expectations {
    /// Events a second, at least, in every complete minute of stored time. The sample asks for 900
    /// for every 1,000 that are sent, and is content when its best minute reaches that.
    pub min_rate: Option<f64>,
    /// Stored minus enqueued, averaged over each minute of stored time, at most. Of this too the
    /// sample takes its best minute; here every minute has to hold.
    pub max_latency: Option<Duration>,
    /// Documents, at most, whose event id another document has.
    pub max_duplicates: Option<u64>,
    /// Sequence numbers, at most, that are not there. With `count`, every number from 0 to a
    /// device's highest has to be there; without, the first and the last tenth of what a device has
    /// stored are left out, as in the sample.
    pub max_missing: Option<u64>,
    /// The fraction of the events, at most, that were stored in a later second than an event of the
    /// same device with a higher sequence number.
    pub max_out_of_sequence: Option<f64>,
    /// The number of different events, exactly.
    pub count: Option<u64>,
}

impl Default for Expectations {
    /// The sample's bounds; no rate, because that depends on what was sent.
    fn default() -> Self {
        Self {
            min_rate: None,
            max_latency: Some(Duration::from_secs(15)),
            max_duplicates: Some(0),
            max_missing: Some(0),
            max_out_of_sequence: Some(0.0),
            count: None,
        }
    }
}

/// What the container holds, and what that means.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether every assertion holds.
    pub holds: bool,
    /// Each assertion.
    pub assertions: Vec<Assertion>,
    /// Documents read.
    pub documents: u64,
    /// Different event ids among them.
    pub events: u64,
    /// Different devices with numbered events.
    pub devices: u64,
    /// When the first document was stored, as Cosmos DB has it, in whole seconds.
    pub first_stored: Option<DateTime<Utc>>,
    /// When the last one was.
    pub last_stored: Option<DateTime<Utc>>,
    /// How fast they were stored.
    pub rate: Option<Rate>,
    /// Every minute.
    pub windows: Vec<Window>,
    /// Event ids that more than one document has: how many documents too many, and the first ids.
    pub duplicates: Found<String>,
    /// Sequence numbers that are not there: how many, and the first gaps.
    pub missing: Found<SequenceRange>,
    /// Events stored after a later one of their device: how many, and the first.
    pub out_of_sequence: Found<SequenceRange>,
    /// Documents without an event id.
    pub without_event_id: u64,
    /// Documents without a device or a sequence number.
    pub without_sequence: u64,
    /// Documents without a time of enqueuing.
    pub without_enqueued_at: u64,
    /// Documents that were enqueued more than 5 s after they were stored: their time is not the
    /// broker's, and does not count for the latency.
    pub enqueued_after_stored: u64,
    /// What reading cost.
    pub request_units: f64,
    /// How long reading took.
    pub seconds: f64,
}

/// How many of something, and the first of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found<T> {
    /// All of them.
    pub total: u64,
    /// The first 20.
    pub examples: Vec<T>,
}

impl<T> Default for Found<T> {
    fn default() -> Self {
        Self { total: 0, examples: Vec::new() }
    }
}

/// Consecutive sequence numbers of one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SequenceRange {
    /// The device.
    pub device: String,
    /// The first number.
    pub first: u64,
    /// The last number.
    pub last: u64,
}

/// One thing asserted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Assertion {
    /// What is asserted.
    pub name: Name,
    /// What it should be.
    pub asserted: Bound,
    /// What it is; none when nothing in the container tells.
    pub found: Option<f64>,
    /// Whether it holds. What cannot be told does not hold.
    pub holds: bool,
    /// How it was judged, where that needs saying.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What can be asserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Name {
    /// Different events.
    Events,
    /// Events stored a second.
    Rate,
    /// Seconds from enqueued to stored.
    Latency,
    /// Documents too many.
    Duplicates,
    /// Sequence numbers.
    Missing,
    /// A fraction of the events.
    OutOfSequence,
}

/// A bound of an assertion.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// That much or more.
    AtLeast(f64),
    /// That much or less.
    AtMost(f64),
    /// That much.
    Exactly(f64),
}

impl Bound {
    fn holds(self, found: f64) -> bool {
        match self {
            Self::AtLeast(bound) => found >= bound,
            Self::AtMost(bound) => found <= bound,
            Self::Exactly(bound) => found.to_bits() == bound.to_bits(),
        }
    }
}

/// Judges what was taken in. `read` is what reading cost, in request units, and how long it took.
pub(super) fn judge(tally: &Tally, expected: &Expectations, read: (f64, Duration)) -> Report {
    let windows = tally.windows.list();
    let rate = tally.windows.rate();
    let missing = tally.missing(expected.count.is_some());
    let out_of_sequence = tally.out_of_sequence();
    let in_sequences = tally.in_sequences();
    let slowest = windows.iter().filter_map(|window| window.latency).max_by(f64::total_cmp);
    let when = |there: bool, found: u64| there.then_some(found as f64);
    let left_out = |documents: u64, what: &str| {
        (documents > 0).then(|| format!("{documents} documents without {what} are left out"))
    };

    let events = expected.count.map_or(Bound::AtLeast(1.0), |count| Bound::Exactly(count as f64));
    let mut assertions = vec![Assertion::new(
        Name::Events,
        events,
        Some(tally.events() as f64),
        left_out(tally.without_event_id, "an event id"),
    )];
    let mut assert = |name, bound: Option<Bound>, found, note| {
        assertions.extend(bound.map(|bound| Assertion::new(name, bound, found, note)));
    };
    assert(
        Name::Rate,
        expected.min_rate.map(Bound::AtLeast),
        rate.map(|rate| rate.events_per_second),
        rate.map(|rate| match rate.complete_minutes {
            0 => format!("over all {} s: there is no complete minute", rate.seconds),
            1 => "the one complete minute".to_owned(),
            minutes => format!("the slowest of {minutes} complete minutes"),
        }),
    );
    assert(
        Name::Latency,
        expected.max_latency.map(|latency| Bound::AtMost(latency.as_secs_f64())),
        slowest,
        both(
            left_out(tally.without_enqueued_at, "a time of enqueuing"),
            (tally.enqueued_later > 0).then(|| {
                format!("{} documents enqueued after they were stored are left out", tally.enqueued_later)
            }),
        ),
    );
    assert(
        Name::Duplicates,
        expected.max_duplicates.map(|most| Bound::AtMost(most as f64)),
        when(tally.events() > 0, tally.duplicates.total),
        left_out(tally.without_event_id, "an event id"),
    );
    assert(
        Name::Missing,
        expected.max_missing.map(|most| Bound::AtMost(most as f64)),
        when(in_sequences > 0, missing.total),
        left_out(tally.without_sequence, "a device or a sequence number"),
    );
    assert(
        Name::OutOfSequence,
        expected.max_out_of_sequence.map(Bound::AtMost),
        when(in_sequences > 0, out_of_sequence.total).map(|out| out / in_sequences as f64),
        left_out(tally.without_sequence, "a device or a sequence number"),
    );

    let span = tally.windows.span();
    Report {
        holds: assertions.iter().all(|assertion| assertion.holds),
        assertions,
        documents: tally.documents,
        events: tally.events(),
        devices: tally.devices(),
        first_stored: span.map(|span| span.0),
        last_stored: span.map(|span| span.1),
        rate,
        windows,
        duplicates: tally.duplicates.clone(),
        missing,
        out_of_sequence,
        without_event_id: tally.without_event_id,
        without_sequence: tally.without_sequence,
        without_enqueued_at: tally.without_enqueued_at,
        enqueued_after_stored: tally.enqueued_later,
        request_units: read.0,
        seconds: read.1.as_secs_f64(),
    }
}

fn both(one: Option<String>, other: Option<String>) -> Option<String> {
    match (one, other) {
        (Some(one), Some(other)) => Some(format!("{one}; {other}")),
        (one, other) => one.or(other),
    }
}

impl Assertion {
    fn new(name: Name, asserted: Bound, found: Option<f64>, note: Option<String>) -> Self {
        Self { name, asserted, found, holds: found.is_some_and(|found| asserted.holds(found)), note }
    }
}
