//! Partitions come and go: what the group's answers mean, up to the moment a partition is gone.

use std::sync::Arc;
use std::time::Instant;

use super::commits::Commits;
use super::io::{Begin, CommitOutcome, Effect};
use super::partition::{Hold, Partition, Phase};
use super::{PendingAssignment, Worker};
use crate::core::kafka::{Epoch, Offset, TopicPartition};
use crate::core::settled::Policy;

impl Worker {
    pub(super) fn assigned(&mut self, partitions: Vec<TopicPartition>, now: Instant) {
        let mut wanted = Vec::new();
        for name in &partitions {
            self.next_epoch += 1;
            let epoch = Epoch(self.next_epoch);
            self.budget.assign(name);
            let partition = Partition::starting(epoch, self.budget.clone(), name.clone());
            self.topics.entry(Arc::clone(&name.topic)).or_default().insert(name.partition, partition);
            wanted.push((name.clone(), epoch));
        }
        match &mut self.pending_assignment {
            Some(pending) => pending.partitions.extend(partitions),
            None => self.pending_assignment = Some(PendingAssignment { since: now, partitions }),
        }
        if self.draining {
            let names: Vec<_> = wanted.iter().map(|(name, _)| name.clone()).collect();
            self.hand_over(&names, now);
        } else if !wanted.is_empty() {
            self.effects.push(Effect::FindStart(wanted));
        }
    }

    pub(super) fn begin(&mut self, name: &TopicPartition, epoch: Epoch, at: Begin, now: Instant) {
        let recheck = now + self.settings.recheck;
        let Some(partition) = self.present(name, epoch) else { return };
        let told = partition.told;
        let mut effects = Vec::new();
        match (&partition.phase, at) {
            (Phase::Starting, Begin::At(offset)) => partition.read_from(offset, Some(offset)),
            (Phase::Starting, Begin::Jump { to, lost }) => {
                partition.read_from(to, None);
                effects.push(Effect::OutOfRange(name.clone()));
                effects.push(Effect::Skipped(name.clone(), Policy::OutOfRange, lost));
            }
            (Phase::Starting, Begin::Hold(hold)) => {
                if matches!(hold, Hold::OutOfRange { .. }) {
                    effects.push(Effect::OutOfRange(name.clone()));
                }
                effects.push(Effect::Held(name.clone(), hold.clone()));
                partition.phase = Phase::Held { hold, recheck_at: recheck };
            }
            // A held partition was repaired (an operator set its offset, a replica healed), or policy
            // lets it go on.
            (Phase::Held { .. }, Begin::At(to) | Begin::Jump { to, .. }) if told => {
                self.restart(name, to, Some(to));
                effects.push(Effect::Released(name.clone()));
            }
            (Phase::Held { .. }, Begin::Hold(hold)) => {
                effects.push(Effect::Held(name.clone(), hold.clone()));
                partition.phase = Phase::Held { hold, recheck_at: recheck };
            }
            (Phase::Held { .. } | Phase::Reading | Phase::HandingOver { .. }, _) => {}
        }
        self.effects.extend(effects);
    }

    pub(super) fn hand_over(&mut self, names: &[TopicPartition], now: Instant) {
        let deadline = now + self.settings.shutdown_timeout;
        for name in names {
            let Some(partition) = self.partition_mut(name) else { continue };
            if matches!(partition.phase, Phase::HandingOver { .. }) {
                continue;
            }
            let told = partition.told;
            let was_held = matches!(partition.phase, Phase::Held { .. });
            let in_flight = partition.in_flight.map(|_| partition.epoch);
            partition.stop_reading(deadline);
            if let Some(epoch) = in_flight {
                self.effects.push(Effect::WindDown(name.clone(), epoch));
            }
            if was_held {
                self.effects.push(Effect::Released(name.clone()));
            }
            if told {
                self.effects.push(Effect::Pause(name.clone()));
            }
        }
        // What the client was never told of, it need not be told to give up; but the group's
        // assignment has to be answered all the same, which happens with the pending assignment.
        for name in names {
            if !self.handing_over.contains(name) {
                self.handing_over.push(name.clone());
            }
        }
    }

    pub(super) fn lose(&mut self, names: &[TopicPartition]) {
        for name in names {
            let Some(partition) = self.remove(name) else { continue };
            if partition.in_flight.is_some() {
                self.effects.push(Effect::Abandon(name.clone(), partition.epoch));
            }
            if matches!(partition.phase, Phase::Held { .. }) {
                self.effects.push(Effect::Released(name.clone()));
            }
        }
        self.handing_over.retain(|name| !names.contains(name));
        if let Some(pending) = &mut self.pending_assignment {
            pending.partitions.retain(|name| !names.contains(name));
        }
        self.effects.push(Effect::Unassign(names.to_vec()));
    }

    pub(super) fn client_lost(&mut self) {
        let names: Vec<_> = self.partitions().map(|(name, _)| name).collect();
        self.lose(&names);
        // The client that would be told is gone.
        self.effects.retain(|effect| !matches!(effect, Effect::Unassign(_) | Effect::Pause(_)));
        self.pending_assignment = None;
        self.handing_over.clear();
        self.commits = Commits::default();
        self.probing = false;
    }

    pub(super) fn committed(&mut self, answers: &[(TopicPartition, Offset, CommitOutcome)]) {
        let outstanding = self.commits.answered();
        for (name, offset, outcome) in answers {
            let Some(epoch) = outstanding.get(name) else { continue };
            let Some(partition) = self.present(name, *epoch) else { continue };
            match outcome {
                CommitOutcome::Kept => {
                    partition.committed =
                        Some(partition.committed.map_or(*offset, |before| before.max(*offset)));
                }
                CommitOutcome::TryAgain => {}
                // While it is ours, it may be asked for again: the group may only have moved on to its
                // next generation. Once it is asked back, there is no next time.
                CommitOutcome::Refused => {
                    partition.commit_refused = matches!(partition.phase, Phase::HandingOver { .. });
                }
            }
        }
    }

    pub(super) fn drain(&mut self, now: Instant) {
        self.draining = true;
        let names: Vec<_> = self.partitions().map(|(name, _)| name).collect();
        self.hand_over(&names, now);
    }
}
