//! Records that cannot be read and offsets that do not exist. The Kafka client reports both without
//! saying where, so the place has to be found before anything may be committed past it.

use std::time::Instant;

use super::io::{Begin, Effect, Finding, Probed, Range};
use super::partition::{Hold, Leap, Phase};
use super::settings::Settings;
use super::{Worker, each};
use crate::core::kafka::{Epoch, Offset, TopicPartition};
use crate::core::mutant::{self, Mutant};
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
        for partition in each(&mut self.topics) {
            if matches!(partition.phase, Phase::Reading) && !mutant::is(Mutant::IgnoresDoubts) {
                partition.doubts(now);
            }
        }
    }

    pub(super) fn probed(&mut self, probed: &Probed, now: Instant) {
        let Settings { recheck, reprobe, skip_corrupt, .. } = self.settings;
        let name = &probed.partition;
        let Some(partition) = self.present(name, probed.epoch) else { return };
        partition.is_probed = false;
        match (&partition.phase, probed.finding) {
            (Phase::Reading, Finding::Unknown) => partition.probes_again(now + reprobe),
            // The place where the stretch begins can be read, or is gone. It was another partition, most
            // likely. But if it was this one, and somebody has repaired it meanwhile or Kafka has deleted
            // it, the client may have gone on anywhere: it is read from there again, and what is met then
            // is met.
            (Phase::Reading, finding) if !finding.is_unreadable_at(probed.stretch.from) => {
                partition.phase = over_corrupt(probed.stretch.from, probed.stretch.from);
                self.effects.push(Effect::Stop(name.clone()));
            }
            (Phase::Reading, Finding::Unreadable { at, resumes_at: Some(to) }) if skip_corrupt => {
                partition.breaks_off(at);
                partition.phase = over_corrupt(at, to);
                self.effects.push(Effect::Stop(name.clone()));
            }
            (Phase::Reading, Finding::Unreadable { at, .. }) => {
                partition.breaks_off(at);
                let hold = Hold::Corrupt { at };
                partition.hold(hold.clone(), now + recheck);
                self.effects.push(Effect::Stop(name.clone()));
                self.effects.push(Effect::Held(name.clone(), hold));
            }
            // The end of what cannot be read was not known before; now it is.
            (
                Phase::Held { hold: Hold::Corrupt { .. }, .. },
                Finding::Unreadable { at, resumes_at: Some(to) },
            ) if skip_corrupt => {
                partition.phase = over_corrupt(at, to);
                self.effects.push(Effect::Released(name.clone()));
            }
            // It can be read after all (a replica was repaired), or is deleted by now.
            (Phase::Held { hold: Hold::Corrupt { at }, .. }, Finding::Readable | Finding::Gone) => {
                partition.phase = over_corrupt(*at, *at);
                self.effects.push(Effect::Released(name.clone()));
            }
            // Whoever speaks of the same place may have called it over.
            (Phase::Held { hold: hold @ Hold::Corrupt { .. }, .. }, Finding::Unreadable { .. }) => {
                let hold = hold.clone();
                self.effects.push(Effect::Held(name.clone(), hold));
            }
            _ => {}
        }
    }

    /// A topic is missing, perhaps one of ours. Kafka deletes a group's offsets with the topic, so it is
    /// asked for them: by committing them once more.
    pub(super) fn topic_missing(&mut self) {
        for partition in each(&mut self.topics) {
            if matches!(partition.phase, Phase::Reading) && partition.committed.is_some() {
                partition.is_to_be_confirmed = true;
            }
        }
    }

    pub(super) fn ranges(&mut self, ranges: &[Range]) {
        for Range { partition: name, epoch, position: asked_at, low, high } in ranges {
            let policy = self.settings.on_out_of_range;
            let Some(partition) = self.present(name, *epoch) else { continue };
            if !matches!(partition.phase, Phase::Reading) {
                continue;
            }
            let position = partition.ledger.position();
            let is_made_anew = partition.is_made_anew;
            // The end may have been read before the latest records were.
            if position >= *low && asked_at <= high && !is_made_anew {
                // The client has stopped fetching one of them, and does not say which. If it was this
                // one, it is within its limits again. Reading on at its place makes it fetch again.
                partition.is_fetched_again();
                self.effects.push(Effect::SeekAndResume(name.clone(), position));
                continue;
            }
            let begin = if is_made_anew {
                policy.apply_anew(partition.committed.unwrap_or(position), *low, *high)
            } else {
                policy.apply(position, *low, *high)
            };
            partition.phase = match begin {
                Begin::Hold(hold) => Phase::Stopping(hold),
                Begin::Jump { to, lost } => {
                    Phase::Leaping(Leap { from: position, to, policy: Policy::OutOfRange, lost })
                }
                Begin::At(_) | Begin::Unset(_) => continue,
            };
            self.effects.push(Effect::OutOfRange(name.clone()));
            self.effects.push(Effect::Stop(name.clone()));
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

fn over_corrupt(from: Offset, to: Offset) -> Phase {
    let lost = u64::try_from(to.0 - from.0).unwrap_or(0);
    Phase::Leaping(Leap { from, to, policy: Policy::Corrupt, lost })
}
