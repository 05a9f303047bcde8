//! The worker against small, readable situations, and against a random world with an oracle.

mod assignment;
mod batches;
mod commits;
mod trouble;
mod world;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::*;
use crate::core::kafka::Offset;
use crate::core::settled::{Policy, Settled, Settlement};

fn tp(number: i32) -> TopicPartition {
    TopicPartition::new("t", number)
}

fn record(offset: i64, value: &[u8]) -> RawRecord<'_> {
    RawRecord {
        offset: Offset(offset),
        timestamp_millis: Some(offset),
        key: None,
        value: Some(value),
        headers: &[],
    }
}

fn settings() -> Settings {
    Settings { max_events: 4, interval: Duration::from_millis(100), ..Settings::default() }
}

/// A worker, a clock, and what the worker asked for.
struct Bench {
    worker: Worker,
    now: Instant,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        Self { worker: Worker::new(settings, Budget::new(1 << 20)), now: Instant::now() }
    }

    /// Owns partition 0, reading from offset 10.
    fn reading(settings: Settings) -> Self {
        let mut bench = Self::new(settings);
        bench.assign(&[(0, 10)]);
        bench
    }

    fn assign(&mut self, starts: &[(i32, i64)]) {
        self.worker.apply(Input::Assigned(starts.iter().map(|(number, _)| tp(*number)).collect()), self.now);
        let effects = self.worker.effects(self.now);
        let [Effect::FindStart(wanted)] = effects.as_slice() else { panic!("{effects:?}") };
        for ((partition, epoch), (_, offset)) in wanted.iter().zip(starts) {
            let at = Begin::At(Offset(*offset));
            self.worker.apply(Input::Begin { partition: partition.clone(), epoch: *epoch, at }, self.now);
        }
        let effects = self.worker.effects(self.now);
        assert!(matches!(effects.as_slice(), [Effect::Assign(_)]), "{effects:?}");
    }

    fn take(&mut self, number: i32, offsets: impl IntoIterator<Item = i64>) {
        for offset in offsets {
            self.worker.take("t", number, &record(offset, b"{}"), self.now);
        }
    }

    fn after(&mut self, millis: u64) -> Vec<Effect> {
        self.now += Duration::from_millis(millis);
        self.worker.effects(self.now)
    }

    fn batch(&mut self, millis: u64) -> Batch {
        match self.after(millis).pop() {
            Some(Effect::Write(batch)) => *batch,
            other => panic!("a micro-batch was expected, not {other:?}"),
        }
    }

    fn settle(&mut self, batch: &Batch, offsets: impl IntoIterator<Item = i64>) {
        let settlements = offsets
            .into_iter()
            .map(|offset| Settlement { offset: Offset(offset), outcome: Settled::Stored })
            .collect();
        let (partition, epoch) = (batch.partition.clone(), batch.epoch);
        self.worker.apply(Input::Settled { partition, epoch, settlements }, self.now);
    }

    fn end(&mut self, batch: &Batch) {
        let (partition, epoch) = (batch.partition.clone(), batch.epoch);
        self.worker.apply(Input::Ended { partition, epoch }, self.now);
    }

    fn answer(&mut self, number: i32, offset: i64, outcome: CommitOutcome) {
        self.worker.apply(Input::Committed(vec![(tp(number), Offset(offset), outcome)]), self.now);
    }

    fn revoke(&mut self, number: i32, lost: bool) {
        self.worker.apply(Input::Revoked { partitions: vec![tp(number)], lost }, self.now);
    }
}

fn commits(effects: &[Effect]) -> Vec<(i32, i64)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Commit(offsets) => Some(offsets),
            _ => None,
        })
        .flatten()
        .map(|(name, offset)| (name.partition, offset.0))
        .collect()
}

fn unassigned(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Unassign(_)))
}
