//! Partitions come and go: what the group's answers mean, up to the moment a partition is gone.

use std::sync::Arc;
use std::time::Instant;

use super::Worker;
use super::commits::CommitNumber;
use super::io::{Begin, CommitOutcome, Effect};
use super::partition::{Hold, Partition, Phase, TimeLimits};
use crate::core::kafka::{Epoch, Offset, TopicPartition};
use crate::core::mutant::{self, Mutant};
use crate::core::settled::Policy;

impl Worker {
    pub(super) fn assigned(&mut self, names: &[TopicPartition], now: Instant) {
        self.effects.push(Effect::Accept);
        if self.draining {
            // Nothing more is begun; what was given goes back when the client is closed.
            return;
        }
        let mut wanted = Vec::new();
        for name in names {
            // The group gives nothing twice without taking it back. If it did, what is in flight
            // would have to go.
            self.drop_partition(name);
            let epoch = self.new_epoch();
            self.budget.assign(name);
            let partition = Partition::starting(epoch, self.budget.clone(), name.clone(), now);
            self.topics.entry(Arc::clone(&name.topic)).or_default().insert(name.partition, partition);
            wanted.push((name.clone(), epoch));
        }
        if !wanted.is_empty() {
            self.effects.push(Effect::FindStart(wanted));
        }
    }

    pub(super) fn begin(&mut self, name: &TopicPartition, epoch: Epoch, at: Begin, now: Instant) {
        let recheck_at = now + self.settings.recheck;
        let Some(partition) = self.present(name, epoch) else { return };
        let was_held = match &partition.phase {
            Phase::Starting { .. } => false,
            // Out of range, only an offset that somebody sets helps; a start is what a group gets that has
            // none, and with a topic that is made anew its offsets go.
            Phase::Held { hold, .. } if !matches!(hold, Hold::OutOfRange { .. }) => true,
            Phase::Held { .. }
            | Phase::Reading
            | Phase::Leaping(_)
            | Phase::Stopping(_)
            | Phase::HandingOver(_) => return,
        };
        match at {
            // If it was held, it was repaired: an operator set its offset.
            Begin::At(offset) => self.restart(name, offset, Some(offset)),
            // The place itself is committed before long.
            Begin::Unset(offset) => self.restart(name, offset, None),
            Begin::Jump { to, lost } => {
                self.effects.push(Effect::OutOfRange(name.clone()));
                self.effects.push(Effect::Skipped(name.clone(), Policy::OutOfRange, lost));
                self.restart(name, to, None);
            }
            Begin::Hold(hold) => {
                partition.phase = Phase::Held { hold: hold.clone(), recheck_at };
                if matches!(hold, Hold::OutOfRange { .. }) {
                    self.effects.push(Effect::OutOfRange(name.clone()));
                }
                self.effects.push(Effect::Held(name.clone(), hold));
                return;
            }
        }
        if was_held {
            self.effects.push(Effect::Released(name.clone()));
        }
    }

    /// Somebody has set the offset of a partition that is held because it had one that does not exist.
    pub(super) fn offset_set(&mut self, name: &TopicPartition, epoch: Epoch, at: Begin, now: Instant) {
        let recheck_at = now + self.settings.recheck;
        let Some(partition) = self.present(name, epoch) else { return };
        let Phase::Held { hold: Hold::OutOfRange { offset: missing, .. }, .. } = &partition.phase else {
            return;
        };
        match at {
            Begin::At(offset) if offset != *missing => {
                self.restart(name, offset, Some(offset));
                self.effects.push(Effect::Released(name.clone()));
            }
            // It does not exist either.
            Begin::Hold(hold) => {
                partition.hold(hold.clone(), recheck_at);
                self.effects.push(Effect::Held(name.clone(), hold));
            }
            Begin::At(_) | Begin::Unset(_) | Begin::Jump { .. } => {}
        }
    }

    /// The group wants partitions back, and waits.
    pub(super) fn revoked(&mut self, names: Vec<TopicPartition>, now: Instant) {
        self.hand_over(&names, now);
        self.wanted_back.get_or_insert_default().extend(names);
    }

    fn hand_over(&mut self, names: &[TopicPartition], now: Instant) {
        let limits = TimeLimits::from(now, &self.settings);
        for name in names {
            let Some(partition) = self.partition_mut(name) else { continue };
            if matches!(partition.phase, Phase::HandingOver(_)) {
                continue;
            }
            let told = partition.told;
            let was_held = matches!(partition.phase, Phase::Held { .. });
            let in_flight = partition.in_flight.map(|_| partition.epoch);
            partition.stop_reading(limits);
            if let Some(epoch) = in_flight {
                self.effects.push(Effect::WindDown(name.clone(), epoch));
            }
            if was_held {
                self.effects.push(Effect::Released(name.clone()));
            }
            if told {
                self.effects.push(Effect::Stop(name.clone()));
            }
        }
    }

    /// Others may have these already.
    pub(super) fn lose(&mut self, names: &[TopicPartition]) {
        for name in names.iter().filter(|_| !mutant::is(Mutant::IgnoresEpochs)) {
            self.drop_partition(name);
        }
        if let Some(wanted) = &mut self.wanted_back {
            wanted.retain(|name| !names.contains(name));
        }
        self.effects.push(Effect::Unassign(names.to_vec()));
    }

    /// Everything the client owned is lost with it, and so is whatever it was to be told.
    pub(super) fn client_lost(&mut self) {
        let names: Vec<_> = self.partitions().map(|(name, _)| name).collect();
        for name in &names {
            self.drop_partition(name);
        }
        self.effects.retain(|effect| !effect.is_for_client());
        self.wanted_back = None;
        self.commits.forget();
    }

    fn drop_partition(&mut self, name: &TopicPartition) {
        let Some(partition) = self.remove(name) else { return };
        if partition.in_flight.is_some() {
            self.effects.push(Effect::Abandon(name.clone(), partition.epoch));
        }
        if matches!(partition.phase, Phase::Held { .. }) {
            self.effects.push(Effect::Released(name.clone()));
        }
    }

    pub(super) fn committed(
        &mut self,
        number: CommitNumber,
        answers: &[(TopicPartition, Offset, CommitOutcome)],
        now: Instant,
    ) {
        let Some(epochs) = self.commits.answered(number) else { return };
        if answers.iter().any(|(.., outcome)| *outcome != CommitOutcome::Kept) {
            self.commits.failed(now, &self.settings);
        }
        let mut gone = Vec::new();
        for (name, offset, outcome) in answers {
            let Some(epoch) = epochs.get(name) else { continue };
            let is_wanted_back = self.wanted_back.as_ref().is_some_and(|wanted| wanted.contains(name));
            let Some(partition) = self.present(name, *epoch) else { continue };
            match outcome {
                CommitOutcome::Kept => {
                    partition.committed =
                        Some(partition.committed.map_or(*offset, |before| before.max(*offset)));
                    partition.is_to_be_confirmed = false;
                }
                CommitOutcome::Gone => {
                    partition.is_made_anew = true;
                    if matches!(partition.phase, Phase::Reading) {
                        gone.push((name.clone(), *epoch, partition.ledger.position()));
                    }
                }
                CommitOutcome::TryAgain => {}
                // While it is ours, it may be asked for again: the group may only have moved on to its
                // next generation. Once it is wanted back, there is no next time: the group waits for
                // our answer before it moves on, unless it has given up waiting.
                CommitOutcome::Refused => partition.commit_refused = is_wanted_back,
            }
        }
        if !gone.is_empty() {
            self.effects.push(Effect::ReadRange(gone));
        }
    }

    pub(super) fn drain(&mut self, now: Instant) {
        self.draining = true;
        let names: Vec<_> = self.partitions().map(|(name, _)| name).collect();
        self.hand_over(&names, now);
    }
}
