//! Records that cannot be read and offsets that do not exist. The Kafka client reports both without
//! saying where, so the place has to be found before anything may be committed past it.

use std::collections::BTreeMap;
use std::time::Instant;

use super::Worker;
use super::io::{Begin, Effect, Finding, Probed, Range};
use super::partition::{Hold, Phase};
use crate::core::kafka::{Epoch, Offset, TopicPartition};
use crate::core::settled::Policy;

impl Worker {
    /// A micro-batch is over. If some of its records have not ended, whoever wrote it broke down:
    /// they are read again, from behind what is settled.
    pub(super) fn ended(&mut self, name: &TopicPartition, epoch: Epoch, now: Instant) {
        let settings = self.settings.clone();
        let Some(partition) = self.present(name, epoch) else { return };
        let complete = partition.ended(now, &settings);
        if !complete && matches!(partition.phase, Phase::Reading) {
            let (to, committed) = (partition.ledger.frontier(), partition.committed);
            self.restart(name, to, committed);
        }
    }

    /// The client has passed over something in one of the partitions. Until it is known in which,
    /// no commit may pass the place where each of them stands.
    pub(super) fn unreadable(&mut self, now: Instant) {
        for partition in self.topics.values_mut().flat_map(BTreeMap::values_mut) {
            if matches!(partition.phase, Phase::Reading) {
                partition.doubt();
                partition.reprobe_at = Some(now);
            }
        }
    }

    pub(super) fn probed(&mut self, findings: &[Probed], now: Instant) {
        self.probing = false;
        for probed in findings {
            self.probed_place(probed, now);
        }
    }

    fn probed_place(&mut self, probed: &Probed, now: Instant) {
        let recheck = now + self.settings.recheck;
        let skip = self.settings.skip_corrupt;
        let name = &probed.partition;
        let Some(partition) = self.present(name, probed.epoch) else { return };
        match (&partition.phase, probed.finding) {
            (Phase::Reading | Phase::HandingOver(_), Finding::Readable) => {
                partition.trust(probed.place);
            }
            (Phase::Reading, Finding::Unreadable { resumes_at: Some(resumes_at) }) if skip => {
                let doubted = partition.trust(probed.place);
                let count = u64::try_from(resumes_at.0 - probed.place.0).unwrap_or(0);
                let skipped = Effect::Skipped(name.clone(), Policy::Corrupt, count);
                self.effects.extend(doubted.then_some(skipped));
            }
            (Phase::Reading, Finding::Unreadable { .. }) => {
                let hold = Hold::Corrupt { at: probed.place };
                partition.hold(hold.clone(), recheck);
                self.effects.push(Effect::Pause(name.clone()));
                self.effects.push(Effect::Held(name.clone(), hold));
            }
            // The end of what cannot be read was not known before; now it is.
            (
                Phase::Held { hold: Hold::Corrupt { .. }, .. },
                Finding::Unreadable { resumes_at: Some(to) },
            ) if skip => {
                let count = u64::try_from(to.0 - probed.place.0).unwrap_or(0);
                self.effects.push(Effect::Released(name.clone()));
                self.effects.push(Effect::Skipped(name.clone(), Policy::Corrupt, count));
                self.restart(name, to, None);
            }
            // It can be read after all (a replica was repaired): go on behind what is settled.
            (Phase::Held { hold: Hold::Corrupt { .. }, .. }, Finding::Readable) => {
                let (to, committed) = (partition.ledger.frontier(), partition.committed);
                self.effects.push(Effect::Released(name.clone()));
                self.restart(name, to, committed);
            }
            _ => {}
        }
    }

    pub(super) fn ranges(&mut self, ranges: &[Range], now: Instant) {
        let outside = |worker: &Self, range: &Range| {
            worker.partition(&range.partition).is_some_and(|partition| {
                let position = partition.ledger.position();
                partition.epoch == range.epoch
                    && matches!(partition.phase, Phase::Reading)
                    && !(range.low..=range.high).contains(&position)
            })
        };
        let mut found = false;
        for range in ranges {
            if outside(self, range) {
                found = true;
                self.out_of_range(range, now);
            }
        }
        if found {
            return;
        }
        // The client has stopped fetching one of them, and does not say which; by now all are
        // within their limits again. Reading on at their places makes it fetch again.
        for range in ranges {
            let Some(partition) = self.present(&range.partition, range.epoch) else { continue };
            if matches!(partition.phase, Phase::Reading) {
                let position = partition.ledger.position();
                self.effects.push(Effect::SeekAndResume(range.partition.clone(), position));
            }
        }
    }

    fn out_of_range(&mut self, range: &Range, now: Instant) {
        let policy = self.settings.on_out_of_range;
        let recheck = now + self.settings.recheck;
        let name = &range.partition;
        self.effects.push(Effect::OutOfRange(name.clone()));
        let Some(partition) = self.partition_mut(name) else { return };
        match policy.apply(partition.ledger.position(), range.low, range.high) {
            Begin::Hold(hold) => {
                partition.hold(hold.clone(), recheck);
                self.effects.push(Effect::Pause(name.clone()));
                self.effects.push(Effect::Held(name.clone(), hold));
            }
            Begin::Jump { to, lost } => {
                self.effects.push(Effect::Skipped(name.clone(), Policy::OutOfRange, lost));
                self.restart(name, to, None);
            }
            Begin::At(_) => {}
        }
    }

    /// Reads a partition anew from a place, in an epoch of its own: what is still in flight of the
    /// one before may settle nothing any more.
    pub(super) fn restart(&mut self, name: &TopicPartition, to: Offset, committed: Option<Offset>) {
        let epoch = self.new_epoch();
        let Some(partition) = self.partition_mut(name) else { return };
        let before = std::mem::replace(&mut partition.epoch, epoch);
        let (in_flight, told) = (partition.in_flight.is_some(), partition.told);
        partition.read_from(to, committed);
        if in_flight {
            self.effects.push(Effect::Abandon(name.clone(), before));
        }
        if told {
            self.effects.push(Effect::SeekAndResume(name.clone(), to));
        }
    }

    pub(super) fn new_epoch(&mut self) -> Epoch {
        self.next_epoch += 1;
        Epoch(self.next_epoch)
    }
}
