//! The worker against small, readable situations, and against a random world with an oracle.

mod assignment;
mod batches;
mod commits;
mod drain;
mod passed_over;
mod trouble;
mod world;

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
    /// The commit that was asked for last.
    commit: Option<CommitNumber>,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        Self { worker: Worker::new(settings, Budget::new(1 << 20)), now: Instant::now(), commit: None }
    }

    /// Owns partition 0, reading from offset 10.
    fn reading(settings: Settings) -> Self {
        let mut bench = Self::new(settings);
        bench.assign(&[(0, 10)]);
        bench
    }

    /// The same; offset 10 is stored, and the commit of 11 on its way.
    fn committing() -> Self {
        let mut bench = Self::reading(settings());
        bench.take(0, [10]);
        let batch = bench.batch(100);
        bench.settle(&batch, [10]);
        bench.end(&batch);
        assert_eq!(commits(&bench.after(0)), [(0, 11)]);
        bench
    }

    fn assign(&mut self, starts: &[(i32, i64)]) {
        let numbers: Vec<_> = starts.iter().map(|(number, _)| *number).collect();
        for ((partition, epoch), (_, offset)) in self.give(&numbers).into_iter().zip(starts) {
            self.begin(partition.partition, epoch, Begin::At(Offset(*offset)));
        }
        let effects = self.after(0);
        assert!(matches!(effects.as_slice(), [Effect::Assign(_)]), "{effects:?}");
    }

    /// The group gives partitions; returns the question where they begin.
    fn give(&mut self, numbers: &[i32]) -> Vec<(TopicPartition, Epoch)> {
        self.worker.apply(Input::Assigned(numbers.iter().copied().map(tp).collect()), self.now);
        let mut effects = self.after(0);
        match (effects.remove(0), effects.pop(), effects.pop()) {
            (Effect::Accept, Some(Effect::FindStart(wanted)), None) => wanted,
            other => panic!("{other:?}"),
        }
    }

    fn begin(&mut self, number: i32, epoch: Epoch, at: Begin) {
        self.worker.apply(Input::Begin { partition: tp(number), epoch, at }, self.now);
    }

    fn take(&mut self, number: i32, offsets: impl IntoIterator<Item = i64>) {
        for offset in offsets {
            self.worker.take("t", number, &record(offset, b"{}"), self.now);
        }
    }

    fn after(&mut self, millis: u64) -> Vec<Effect> {
        self.now += Duration::from_millis(millis);
        let effects = self.worker.effects(self.now);
        let commit = effects.iter().find_map(|effect| match effect {
            Effect::Commit(number, ..) => Some(*number),
            _ => None,
        });
        self.commit = commit.or(self.commit);
        effects
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
        let number_of_commit = self.commit.expect("a commit was asked for");
        let answers = vec![(tp(number), Offset(offset), outcome)];
        self.worker.apply(Input::Committed { number: number_of_commit, answers }, self.now);
    }

    fn revoke(&mut self, number: i32, lost: bool) {
        self.worker.apply(Input::Revoked { partitions: vec![tp(number)], lost }, self.now);
    }
}

fn commits(effects: &[Effect]) -> Vec<(i32, i64)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Commit(_, offsets, _) => Some(offsets),
            _ => None,
        })
        .flatten()
        .map(|(name, offset)| (name.partition, offset.0))
        .collect()
}

fn unassigned(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Unassign(_)))
}
