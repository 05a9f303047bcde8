//! Records that cannot be read and offsets that do not exist. The Kafka client reports both without
//! saying where, so the place has to be found before anything may be committed past it.

use std::collections::BTreeMap;
use std::time::Instant;

use super::Worker;
use super::io::{Begin, Effect, Finding, Probed, Range};
use super::partition::{Hold, Leap, Phase};
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

    /// The client has met something unreadable in one of the partitions, and may go on anywhere. Until
    /// it is known in which, no commit may pass the place where each of them stands.
    pub(super) fn unreadable(&mut self, now: Instant) {
        for partition in self.topics.values_mut().flat_map(BTreeMap::values_mut) {
            if matches!(partition.phase, Phase::Reading) {
                partition.doubts();
                partition.reprobe_at = Some(now);
            }
        }
    }

    pub(super) fn probed(&mut self, findings: &[Probed], now: Instant) {
        self.probing = false;
        for probed in findings {
            self.probed_stretch(probed, now);
        }
    }

    fn probed_stretch(&mut self, probed: &Probed, now: Instant) {
        let recheck = now + self.settings.recheck;
        let skip = self.settings.skip_corrupt;
        let name = &probed.partition;
        let Some(partition) = self.present(name, probed.epoch) else { return };
        match (&partition.phase, probed.finding) {
            (Phase::Reading | Phase::HandingOver { .. }, Finding::Readable) => {
                partition.trusts(probed.stretch);
            }
            (Phase::Reading, Finding::Gone) => {
                partition.trusts(probed.stretch);
                let wanted = vec![(name.clone(), probed.epoch)];
                self.effects.push(Effect::ReadRange(wanted));
            }
            (Phase::Reading, Finding::Unreadable { at, resumes_at }) => {
                partition.breaks_off(at);
                let hold = Hold::Corrupt { at };
                let leap = resumes_at.filter(|_| skip).map(|to| over_corrupt(at, to));
                match leap {
                    Some(leap) => partition.phase = Phase::Leaping(leap),
                    None => partition.hold(hold.clone(), recheck),
                }
                self.effects.push(Effect::Pause(name.clone()));
                self.effects.extend(leap.is_none().then(|| Effect::Held(name.clone(), hold)));
            }
            // The end of what cannot be read was not known before; now it is.
            (
                Phase::Held { hold: Hold::Corrupt { .. }, .. },
                Finding::Unreadable { at, resumes_at: Some(to) },
            ) if skip => {
                partition.phase = Phase::Leaping(over_corrupt(at, to));
                self.effects.push(Effect::Released(name.clone()));
            }
            // It can be read after all (a replica was repaired).
            (Phase::Held { hold: Hold::Corrupt { at }, .. }, Finding::Readable) => {
                partition.phase = Phase::Leaping(over_corrupt(*at, *at));
                self.effects.push(Effect::Released(name.clone()));
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
        self.effects.push(Effect::Pause(name.clone()));
        let Some(partition) = self.partition_mut(name) else { return };
        let position = partition.ledger.position();
        match policy.apply(position, range.low, range.high) {
            Begin::Hold(hold) => {
                partition.hold(hold.clone(), recheck);
                self.effects.push(Effect::Held(name.clone(), hold));
            }
            Begin::Jump { to, .. } => {
                let over = Some((position, Policy::OutOfRange));
                partition.phase = Phase::Leaping(Leap { to, over });
            }
            Begin::At(_) => {}
        }
    }

    /// Reads a partition anew from a place, in an epoch of its own: what is still in flight of the
    /// one before may settle nothing any more.
    pub(super) fn restart(&mut self, name: &TopicPartition, to: Offset, committed: Option<Offset>) {
        self.next_epoch += 1;
        let epoch = Epoch(self.next_epoch);
        let Some(partition) = self.partition_mut(name) else { return };
        let before = std::mem::replace(&mut partition.epoch, epoch);
        let in_flight = partition.in_flight.is_some();
        partition.read_from(to, committed);
        if in_flight {
            self.effects.push(Effect::Abandon(name.clone(), before));
        }
        self.effects.push(Effect::SeekAndResume(name.clone(), to));
    }
}

fn over_corrupt(from: Offset, to: Offset) -> Leap {
    Leap { to, over: Some((from, Policy::Corrupt)) }
}
