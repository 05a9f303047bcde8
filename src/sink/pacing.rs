//! When a request may go out: in its turn, at the pace of its partition key range, within the limit on
//! request units.
//!
//! Whoever waits for the same thing waits in a line, and only the first looks at the clock: were all to wake
//! at once, all would go at once.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::core::key::PartitionKey;
use crate::core::write::estimate::Estimate;
use crate::core::write::governor::Governor;
use crate::core::write::lane::Answer;
use crate::core::write::pace::{self, Pace};
use crate::store::KeyRange;

/// When a throttled answer does not say when to come back.
pub(super) const THROTTLED: Duration = Duration::from_millis(100);

/// The paces of the process.
#[derive(Debug)]
pub(super) struct Pacing {
    ranges: Mutex<HashMap<KeyRange, Arc<OfRange>>>,
    governor: Mutex<Governor>,
    governor_line: tokio::sync::Mutex<()>,
    estimate: Mutex<Estimate>,
}

#[derive(Debug, Default)]
struct OfRange {
    pace: Mutex<Pace>,
    line: tokio::sync::Mutex<()>,
}

/// A request that may go out. Dropped without an answer, it gives back what it was to cost.
#[derive(Debug)]
pub(super) struct Start<'a> {
    pacing: &'a Pacing,
    range: Arc<OfRange>,
    started: pace::Started,
    bytes: usize,
    expected: f64,
    governed: bool,
    ended: bool,
}

impl Pacing {
    pub(super) fn new() -> Self {
        Self {
            ranges: Mutex::default(),
            governor: Mutex::new(Governor::new(now())),
            governor_line: tokio::sync::Mutex::new(()),
            estimate: Mutex::default(),
        }
    }

    pub(super) fn set_limit(&self, limit: Option<f64>) {
        lock(&self.governor).set_limit(limit, now());
    }

    /// Waits until the range takes a request for a partition key, given by its hash, with a body of so many
    /// bytes.
    pub(super) async fn of_range(&self, range: KeyRange, key: u64, bytes: usize) -> Start<'_> {
        let range = Arc::clone(lock(&self.ranges).entry(range).or_default());
        let expected = lock(&self.estimate).of(bytes);
        let turn = range.line.lock().await;
        while let Some(wait) = { lock(&range.pace).wait(now()) } {
            tokio::time::sleep(wait).await;
        }
        let started = lock(&range.pace).start(key, expected, now());
        drop(turn);
        Start { pacing: self, range, started, bytes, expected, governed: false, ended: false }
    }
}

impl Start<'_> {
    /// Waits until the limit on request units lets it through.
    pub(super) async fn within_limit(&mut self) {
        let _turn = self.pacing.governor_line.lock().await;
        while let Some(wait) = { lock(&self.pacing.governor).wait(now()) } {
            tokio::time::sleep(wait).await;
        }
        lock(&self.pacing.governor).charge(self.expected, now());
        self.governed = true;
    }

    /// Whether the range was slowed down since, so that it has to wait anew.
    pub(super) fn is_outdated(&self) -> bool {
        lock(&self.range.pace).is_outdated(self.started)
    }

    /// It was answered. Gives whether it has to wait by itself before it is sent again: it was throttled, and
    /// the range does not make all of its requests wait for that.
    pub(super) fn answered(mut self, answer: &Answer) -> bool {
        let request_units = answer.request_units.max(0.0);
        if !answer.is_throttled() {
            lock(&self.pacing.estimate).learn(self.bytes, request_units);
            self.end(request_units, |pace, started| pace.served(started, request_units, now()));
            return false;
        }
        let retry_after = answer.retry_after.unwrap_or(THROTTLED);
        let mut is_of_range = false;
        self.end(request_units, |pace, started| is_of_range = pace.throttled(started, retry_after, now()));
        !is_of_range
    }

    fn end(&mut self, request_units: f64, tell: impl FnOnce(&mut Pace, pace::Started)) {
        if !std::mem::replace(&mut self.ended, true) {
            tell(&mut lock(&self.range.pace), self.started);
            if self.governed {
                lock(&self.pacing.governor).charge(request_units - self.expected, now());
            }
        }
    }
}

impl Drop for Start<'_> {
    fn drop(&mut self) {
        self.end(0.0, |pace, started| pace.served(started, 0.0, now()));
    }
}

/// What stands for a partition key in a range's memory.
pub(super) fn hash(key: &PartitionKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
