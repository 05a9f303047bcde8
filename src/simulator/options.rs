//! What a run of the simulator is asked to do, and what came of it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::azure::TokenCache;

/// What to send, how fast and how long.
#[derive(Clone)]
pub struct Options {
    /// The topic to send to. It has to exist.
    pub topic: String,
    /// The consumer group that reads the topic: on an embedded Kafka the simulator waits for it.
    pub group_id: String,
    /// Events a second, copies not counted; 0 is as fast as it goes.
    pub rate: u64,
    /// When to stop.
    pub until: Until,
    /// How many devices take turns; at least one.
    pub devices: u64,
    /// One event in so many is sent twice; 0 is none.
    pub duplicate_every: u64,
    /// Fields in `complexData`.
    pub complex_data_count: usize,
    /// The same seed gives the same events, byte for byte, `createdAt` apart.
    pub seed: u64,
    /// `createdAt` of the first event; the others follow at the asked rate (at rate 0, a microsecond
    /// apart), so that the events of a seed are the same in every byte. None: the wall clock.
    pub created_at_start: Option<DateTime<Utc>>,
    /// How long the producer waits for a batch to fill (`linger.ms`).
    pub linger: Duration,
    /// The largest batch, in bytes (`batch.size`).
    pub batch_bytes: u64,
    /// Tokens to sign in to Kafka with, if it wants them.
    pub tokens: Option<TokenCache>,
}

/// When a run ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// It does not.
    Cancelled,
    /// After so many events, copies not counted.
    Count(u64),
    /// After so long.
    Elapsed(Duration),
}

impl Options {
    /// The sample's fleet: 1,000 devices, 23 fields, one event in 1,000 sent twice, 1,000 events a
    /// second, a random seed, until cancelled.
    pub fn new(topic: impl Into<String>, group_id: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            group_id: group_id.into(),
            rate: 1000,
            until: Until::Cancelled,
            devices: 1000,
            duplicate_every: 1000,
            complex_data_count: 23,
            seed: random_seed(),
            created_at_start: None,
            linger: Duration::from_millis(5),
            batch_bytes: 1 << 20,
            tokens: None,
        }
    }
}

/// Short enough to be typed again.
fn random_seed() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0 >> 32
}

/// What a run has done so far. Share it and read it from anywhere.
#[derive(Debug, Default)]
pub struct Progress {
    pub(super) events: AtomicU64,
    pub(super) duplicates: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) acknowledged: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) behind_millis: AtomicU64,
    pub(super) waiting_millis: AtomicU64,
}

/// [`Progress`] at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Events sent, copies not counted.
    pub events: u64,
    /// Second copies sent.
    pub duplicates: u64,
    /// Bytes of the values sent, copies included.
    pub bytes: u64,
    /// Records that Kafka has acknowledged, copies included.
    pub acknowledged: u64,
    /// Records that Kafka has refused or never acknowledged.
    pub failed: u64,
    /// How late the next event is.
    pub behind: Duration,
    /// How long we have been waiting for the reader of an embedded Kafka; zero when we are not.
    pub waiting_for_reader: Duration,
}

impl Progress {
    /// What has been done by now.
    pub fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            events: read(&self.events),
            duplicates: read(&self.duplicates),
            bytes: read(&self.bytes),
            acknowledged: read(&self.acknowledged),
            failed: read(&self.failed),
            behind: Duration::from_millis(read(&self.behind_millis)),
            waiting_for_reader: Duration::from_millis(read(&self.waiting_millis)),
        }
    }
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The topic sent to.
    pub topic: String,
    /// The seed, to send the same events again.
    pub seed: u64,
    /// Events sent, copies not counted.
    pub events: u64,
    /// Second copies sent.
    pub duplicates: u64,
    /// Records that Kafka has acknowledged, copies included.
    pub acknowledged: u64,
    /// Bytes of the values sent, copies included.
    pub bytes: u64,
    /// From the first event to the last acknowledgement.
    pub seconds: f64,
    /// `events` in `seconds`.
    pub rate: f64,
    /// The rate asked for; 0 was none.
    pub asked_rate: u64,
    /// Whether the asked rate was held within 1%. Time spent waiting for a reader is not counted.
    pub rate_held: bool,
    /// How long the run waited for the reader of an embedded Kafka.
    pub waited_for_reader_seconds: f64,
    /// Whether it was cancelled before its end.
    pub cancelled: bool,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, duplicates, seconds, rate, topic, seed, .. } = self;
        let size = bytesize::ByteSize(self.bytes).display().si();
        write!(
            f,
            "{events} events and {duplicates} duplicates in {seconds:.1} s: {rate:.0} events/s, {size}"
        )?;
        write!(f, " to {topic} (seed {seed})")?;
        if !self.rate_held {
            write!(f, "; the asked {} events/s could not be held", self.asked_rate)?;
        }
        if self.waited_for_reader_seconds >= 0.1 {
            write!(f, "; waited {:.1} s for the reader", self.waited_for_reader_seconds)?;
        }
        Ok(())
    }
}
