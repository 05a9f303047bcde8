//! Records that cannot be read and offsets that do not exist. The Kafka client reports both without
//! saying where, so the place has to be found before anything may be committed past it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::Worker;
use super::io::{Begin, Effect, Finding, Probed, Range};
use super::partition::{Doubt, Hold, Phase};
use super::settings::OutOfRangePolicy;
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
        let skip = self.settings.skip_corrupt;
        let name = &probed.partition;
        let Some(partition) = self.present(name, probed.epoch) else { return };
        match (&partition.phase, probed.finding) {
            // The place may have been deleted meanwhile.
            (Phase::Reading | Phase::Held { hold: Hold::Corrupt { .. }, .. }, Finding::Unknown) => {
                let position = partition.ledger.position();
                self.effects.push(Effect::ReadRange(vec![(name.clone(), probed.epoch, position)]));
            }
            (Phase::Reading | Phase::HandingOver(_), finding) => {
                if let Some(doubt) = partition.doubt_at(probed.place).filter(|doubt| !doubt.renewed) {
                    self.doubt_probed(name, doubt, finding, now);
                }
            }
            // It can be read after all (a replica was repaired), or the end of what cannot be read,
            // which was not known before, now is: then it is met again, and left out there.
            (Phase::Held { hold: Hold::Corrupt { .. }, .. }, finding) if goes_on(finding, skip) => {
                let (to, committed) = (partition.ledger.frontier(), partition.committed);
                self.effects.push(Effect::Released(name.clone()));
                self.restart(name, to, committed);
            }
            _ => {}
        }
    }

    /// It is known what can be read at a place in doubt. That is not yet what was read: the client
    /// has passed over records that can be read if only their way here was disturbed, or if they were
    /// repaired since.
    fn doubt_probed(&mut self, name: &TopicPartition, doubt: Doubt, finding: Finding, now: Instant) {
        let recheck = now + self.settings.recheck;
        let skip = self.settings.skip_corrupt;
        let Some(partition) = self.partition_mut(name) else { return };
        let hands_over = matches!(partition.phase, Phase::HandingOver(_));
        let first = match finding {
            Finding::Readable { first } => first,
            Finding::Unreadable { resumes_at } if skip && resumes_at.is_some() => resumes_at,
            Finding::Unreadable { .. } if !hands_over => {
                let hold = Hold::Corrupt { at: doubt.place };
                partition.hold(hold.clone(), recheck);
                self.effects.push(Effect::Pause(name.clone()));
                self.effects.push(Effect::Held(name.clone(), hold));
                return;
            }
            Finding::Unreadable { .. } | Finding::Unknown => return,
        };
        let missed = match (first, doubt.next) {
            (None, _) => false,
            (Some(first), Some(next)) => next > first,
            (Some(_), None) => true,
        };
        match (missed, doubt.next) {
            // The next owner reads it again, from that place on.
            (true, _) if hands_over => return,
            (true, Some(_)) => {
                let (to, committed) = (partition.ledger.frontier(), partition.committed);
                self.restart(name, to, committed);
                return;
            }
            // Nothing has come since: the client may stand before or behind that record.
            (true, None) => {
                let to = first.unwrap_or(doubt.place);
                partition.trust(doubt.place);
                partition.jump(to);
                self.effects.push(Effect::SeekAndResume(name.clone(), to));
            }
            (false, _) => partition.trust(doubt.place),
        }
        if let Finding::Unreadable { resumes_at: Some(resumes_at) } = finding {
            let count = u64::try_from(resumes_at.0 - doubt.place.0).unwrap_or(0);
            self.effects.push(Effect::Skipped(name.clone(), Policy::Corrupt, count));
        }
    }

    /// The client has stopped fetching a partition, and does not say which.
    pub(super) fn offset_gone(&mut self) {
        let mut wanted = Vec::new();
        for (topic, partitions) in &mut self.topics {
            for (number, partition) in partitions {
                if matches!(partition.phase, Phase::Reading) {
                    partition.may_be_stopped = true;
                    let name = TopicPartition { topic: Arc::clone(topic), partition: *number };
                    wanted.push((name, partition.epoch, partition.ledger.position()));
                }
            }
        }
        self.effects.push(Effect::ReadRange(wanted));
    }

    pub(super) fn ranges(&mut self, ranges: &[Range], now: Instant) {
        let mut found = false;
        for range in ranges {
            let Some(partition) = self.present(&range.partition, range.epoch) else { continue };
            // The end may have been read before the latest records were.
            let gone = partition.ledger.position() < range.low || range.position > range.high;
            match &partition.phase {
                Phase::Reading if gone => {
                    found = true;
                    self.out_of_range(range, now);
                }
                Phase::Reading => self.doubts_deleted(range, now),
                Phase::Held { hold: Hold::Corrupt { at }, .. } if *at < range.low => {
                    self.out_of_range(range, now);
                }
                Phase::Held { .. } | Phase::Starting { .. } | Phase::HandingOver(_) => {}
            }
        }
        if found {
            return;
        }
        // By now all are within their limits again. Reading on at their places makes the client
        // fetch again the one that it has stopped.
        for range in ranges {
            let Some(partition) = self.present(&range.partition, range.epoch) else { continue };
            if matches!(partition.phase, Phase::Reading) && std::mem::take(&mut partition.may_be_stopped) {
                let position = partition.ledger.position();
                self.effects.push(Effect::SeekAndResume(range.partition.clone(), position));
            }
        }
    }

    /// What was in doubt and could not be probed is deleted: nobody will ever know whether records
    /// were passed over there. What is not deleted is still in doubt.
    fn doubts_deleted(&mut self, range: &Range, now: Instant) {
        let policy = self.settings.on_out_of_range;
        let Some(partition) = self.partition_mut(&range.partition) else { return };
        let Some(place) = partition.oldest_doubt().filter(|place| *place < range.low) else { return };
        if policy == OutOfRangePolicy::Hold {
            return self.out_of_range(range, now);
        }
        partition.doubt_from(range.low);
        partition.reprobe_at = Some(now);
        let lost = u64::try_from(range.low.0 - place.0).unwrap_or(0);
        self.effects.push(Effect::OutOfRange(range.partition.clone()));
        self.effects.push(Effect::Skipped(range.partition.clone(), Policy::OutOfRange, lost));
    }

    fn out_of_range(&mut self, range: &Range, now: Instant) {
        let policy = self.settings.on_out_of_range;
        let recheck = now + self.settings.recheck;
        let name = &range.partition;
        self.effects.push(Effect::OutOfRange(name.clone()));
        let Some(partition) = self.partition_mut(name) else { return };
        let was_held = matches!(partition.phase, Phase::Held { .. });
        let position = partition.ledger.position();
        let offset = partition.oldest_doubt().filter(|doubt| *doubt < range.low).unwrap_or(position);
        match policy.apply(offset, range.low, range.high) {
            Begin::Hold(hold) => {
                partition.hold(hold.clone(), recheck);
                self.effects.push(Effect::Pause(name.clone()));
                self.effects.push(Effect::Held(name.clone(), hold));
            }
            Begin::Jump { to, lost } => {
                if was_held {
                    self.effects.push(Effect::Released(name.clone()));
                }
                self.effects.push(Effect::Skipped(name.clone(), Policy::OutOfRange, lost));
                self.jump(name, to);
            }
            Begin::At(_) => {}
        }
    }

    /// Leaves out what lies between. What was read before is written all the same: it is nowhere
    /// else any more.
    fn jump(&mut self, name: &TopicPartition, to: Offset) {
        let Some(partition) = self.partition_mut(name) else { return };
        if partition.jump(to) {
            partition.trust_all();
            self.effects.push(Effect::SeekAndResume(name.clone(), to));
        } else {
            self.restart(name, to, None);
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

/// Whether a partition that is held at a place that cannot be read goes on.
fn goes_on(finding: Finding, skip: bool) -> bool {
    match finding {
        Finding::Readable { .. } => true,
        Finding::Unreadable { resumes_at } => skip && resumes_at.is_some(),
        Finding::Unknown => false,
    }
}
