//! Writing one micro-batch.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use super::Sink;
use super::decoded::DecodedBatch;
use super::limits::BatchLimit;
use super::stop::Stop;
use super::trouble::Troubles;
use crate::core::mutant::{self, Mutant};
use crate::core::reason::Reason;
use crate::core::settled::{Policy, Settled, Settlement};
use crate::core::worker::Batch;
use crate::core::write::refusals::Refusals;
use crate::core::write::verdict::Status;
use crate::dead_letter::{DeadLetters, Letter};
use crate::observe::metrics::Metrics;
use crate::observe::progress::BatchReport;
use crate::store::Store;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};

/// How many dead letters of one micro-batch may wait for their acknowledgement at once.
const LETTERS_AT_ONCE: usize = 64;

/// How long a dead letter on its way is waited for while the batch winds down: the usual
/// acknowledgement takes milliseconds, and a letter left here is sent once more by the next owner.
const LETTER_GRACE: Duration = Duration::from_secs(2);

/// What the state of a lane may take while it waits, in bytes: there are as many as partition keys in the
/// micro-batch, which can be one for each of its events.
const LANE_BYTES: usize = 1_700;

/// A micro-batch that is being written.
pub(super) struct Work<'a> {
    pub(super) batch: &'a Batch,
    pub(super) decoded: DecodedBatch,
    pub(super) limit: BatchLimit,
    pub(super) troubles: Troubles<'a>,
    pub(super) tally: Tally,
    pub(super) stop: &'a Stop,
    metrics: &'a Metrics,
    /// What has ended and is not reported yet.
    ended: Mutex<Vec<Settlement>>,
    report: &'a (dyn Fn(Vec<Settlement>) + Sync),
}

/// What the micro-batch has done so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    stored: AtomicUsize,
    superseded: AtomicUsize,
    dead_lettered: AtomicUsize,
    skipped: AtomicUsize,
    requests: AtomicUsize,
    request_units: Mutex<f64>,
}

/// A micro-batch's events count as being written until it has ended or is abandoned.
struct Writing<'a> {
    refusals: &'a Mutex<Refusals>,
    events: usize,
}

impl<'a> Writing<'a> {
    fn begin(refusals: &'a Mutex<Refusals>, events: usize) -> Self {
        refusals.lock().unwrap_or_else(PoisonError::into_inner).begin(events);
        Self { refusals, events }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).end(self.events);
    }
}

impl<S: Store, D: DeadLetters> Sink<S, D> {
    /// Writes a micro-batch. `report` is told of each record's end as soon as it is known. There is
    /// no report of a batch that was stopped before all of its records had ended.
    pub async fn write(
        &self,
        batch: Batch,
        report: &(dyn Fn(Vec<Settlement>) + Sync),
        stop: &Stop,
    ) -> Option<BatchReport> {
        tokio::select! {
            biased;
            () = stop.abandoned() => None,
            done = self.write_all(&batch, report, stop) => done,
        }
    }

    async fn write_all(
        &self,
        batch: &Batch,
        report: &(dyn Fn(Vec<Settlement>) + Sync),
        stop: &Stop,
    ) -> Option<BatchReport> {
        let _entered = self.gate.enter();
        let begun = Instant::now();
        let waited = begun.saturating_duration_since(batch.opened_at);
        let decoded = DecodedBatch::of(&batch.records, &self.settings.rules, batch.charge.beside()).await;
        let lanes = decoded.lanes();
        let _writing = Writing::begin(&self.refusals, batch.records.len());
        let decoding = begun.elapsed();
        let topic = batch.partition.topic.as_ref();
        if decoded.system_fields_removed > 0 {
            let removed = self.metrics.system_fields_removed.with_label_values(&[topic]);
            removed.inc_by(decoded.system_fields_removed);
        }
        let work = Work {
            batch,
            limit: self.limits.of_batch(),
            troubles: Troubles::new(&self.health, batch.partition.to_string()),
            tally: Tally::default(),
            metrics: &self.metrics,
            ended: Mutex::default(),
            report,
            stop,
            decoded,
        };
        work.settle(work.decoded.skipped.iter().map(|record| Settlement {
            offset: batch.records.offset(*record),
            outcome: Settled::Skipped(Policy::Tombstone),
        }));
        let mut running: FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send + '_>>> =
            FuturesUnordered::new();
        if !work.decoded.bad.is_empty() {
            running.push(Box::pin(self.dead_letter_bad_events(&work)));
        }
        for lane in lanes {
            let driving = self.drive(&work, lane);
            debug_assert!(size_of_val(&driving) <= LANE_BYTES, "{} bytes a lane", size_of_val(&driving));
            running.push(Box::pin(driving));
        }
        // Reported once a turn of this task: each report wakes the worker, and many requests are answered in a turn.
        poll_fn(|context| {
            let mut polled = running.poll_next_unpin(context);
            while let Poll::Ready(Some(())) = polled {
                polled = running.poll_next_unpin(context);
            }
            work.report();
            polled.map(|_| ())
        })
        .await;
        drop(running);
        let writing = begun.elapsed().saturating_sub(decoding);
        (work.tally.ended() == batch.records.len()).then(|| self.observe(&work, waited, decoding, writing))
    }

    async fn dead_letter_bad_events(&self, work: &Work<'_>) {
        futures::stream::iter(&work.decoded.bad)
            .for_each_concurrent(LETTERS_AT_ONCE, |(record, bad)| async {
                self.dead_letter(work, *record, bad.reason, &bad.detail, None).await;
            })
            .await;
    }

    /// Sends a record to the dead letters and settles it once they have it. Gives whether they have
    /// it: while the batch winds down, they may not take it in time.
    pub(super) async fn dead_letter(
        &self,
        work: &Work<'_>,
        record: usize,
        reason: Reason,
        error: &str,
        status: Option<Status>,
    ) -> bool {
        let letter = Letter {
            partition: &work.batch.partition,
            record: work.batch.records.get(record),
            reason,
            error,
            status,
            group: &self.settings.group,
        };
        if mutant::is(Mutant::TrustsLettersUnacknowledged) {
            let _ = self.dead_letters.send(&letter).now_or_never();
        } else if work
            .stop
            .wait_with_grace(LETTER_GRACE, pin!(self.dead_letters.send(&letter)))
            .await
            .is_none()
        {
            return false;
        }
        let outcome = Settled::DeadLettered(reason);
        work.settle([Settlement { offset: letter.record.offset, outcome }]);
        true
    }

    fn observe(
        &self,
        work: &Work<'_>,
        waited: Duration,
        decoding: Duration,
        writing: Duration,
    ) -> BatchReport {
        let total = waited + decoding + writing;
        for (stage, took) in [("wait", waited), ("decode", decoding), ("write", writing), ("total", total)] {
            self.metrics.batch_duration.with_label_values(&[stage]).observe(took.as_secs_f64());
        }
        let records = &work.batch.records;
        self.metrics.batch_events.observe(records.len() as f64);
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        let tally = &work.tally;
        BatchReport {
            partition: work.batch.partition.clone(),
            offsets: records.range().unwrap_or_else(|| (records.offset(0), records.offset(0))),
            started: SystemTime::now() - total,
            rows: records.len(),
            stored: count(&tally.stored),
            superseded: count(&tally.superseded),
            dead_lettered: count(&tally.dead_lettered),
            skipped: count(&tally.skipped),
            requests: count(&tally.requests),
            request_units: *tally.request_units.lock().unwrap_or_else(PoisonError::into_inner),
            waited,
            decoding,
            writing,
            latest: None,
        }
    }
}

impl Work<'_> {
    /// Waits for a while; gives whether to go on after it.
    pub(super) async fn pause(&self, length: Duration) -> bool {
        self.stop.wait_for(pin!(tokio::time::sleep(length))).await.is_some()
    }

    /// Takes in how records ended; that is reported at the end of the task's turn.
    pub(super) fn settle(&self, settlements: impl IntoIterator<Item = Settlement>) {
        let settlements: Vec<_> = settlements.into_iter().collect();
        if settlements.is_empty() {
            return;
        }
        self.metrics
            .settled(&self.batch.partition.topic, settlements.iter().map(|settlement| settlement.outcome));
        for settlement in &settlements {
            let counter = match settlement.outcome {
                Settled::Stored => &self.tally.stored,
                Settled::Superseded { .. } => &self.tally.superseded,
                Settled::DeadLettered(_) => &self.tally.dead_lettered,
                Settled::Skipped(_) => &self.tally.skipped,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).extend(settlements);
    }

    fn report(&self) {
        let ended = std::mem::take(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner));
        if !ended.is_empty() {
            (self.report)(ended);
        }
    }
}

impl Tally {
    /// How many records have ended.
    fn ended(&self) -> usize {
        [&self.stored, &self.superseded, &self.dead_lettered, &self.skipped]
            .map(|counter| counter.load(Ordering::Relaxed))
            .iter()
            .sum()
    }

    /// One request was answered.
    pub(super) fn asked(&self, request_units: f64) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        *self.request_units.lock().unwrap_or_else(PoisonError::into_inner) += request_units;
    }
}
