//! What time has made due: micro-batches, commits, second looks, the end of a hand-over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::Worker;
use super::io::{Effect, Stretch};
use super::partition::{Hold, Partition, Phase};
use crate::core::kafka::TopicPartition;

impl Worker {
    /// The client is told of a whole assignment at once, because the group waits for that answer;
    /// a start that cannot be found within the time makes its partition wait paused instead.
    pub(super) fn tell_client_of_assignment(&mut self, now: Instant) {
        let Some(pending) = &self.pending_assignment else { return };
        let late = now >= pending.since + self.settings.start_timeout;
        let starting = |name: &TopicPartition| {
            self.partition(name).is_some_and(|partition| matches!(partition.phase, Phase::Starting))
        };
        if !late && pending.partitions.iter().any(starting) {
            return;
        }
        let names =
            std::mem::take(&mut self.pending_assignment).map_or_else(Vec::new, |pending| pending.partitions);
        let recheck = now + self.settings.recheck_unknown_start;
        let mut assignment = Vec::new();
        for name in names {
            let Some(partition) = self.partition_mut(&name) else { continue };
            partition.told = true;
            if matches!(partition.phase, Phase::Starting) {
                partition.phase = Phase::Held { hold: Hold::UnknownStart, recheck_at: recheck };
                self.effects.push(Effect::Held(name.clone(), Hold::UnknownStart));
            }
            let Some(partition) = self.partition(&name) else { continue };
            let reads = matches!(partition.phase, Phase::Reading);
            assignment.push((name, reads.then(|| partition.ledger.position())));
        }
        self.effects.push(Effect::Assign(assignment));
    }

    pub(super) fn cut_batches(&mut self, now: Instant) {
        let mut batches = Vec::new();
        for (topic, partitions) in &mut self.topics {
            for (number, partition) in partitions {
                let name = || TopicPartition { topic: Arc::clone(topic), partition: *number };
                if let Some(batch) = partition.cut(now, &self.settings, name) {
                    batches.push(Effect::Write(Box::new(batch)));
                }
            }
        }
        self.effects.extend(batches);
    }

    /// Lets partitions read on elsewhere that have nothing left to write of what they read before.
    pub(super) fn leap(&mut self) {
        let mut ready = Vec::new();
        for (name, partition) in self.partitions() {
            if let Phase::Leaping(leap) = partition.phase
                && partition.is_written()
            {
                ready.push((name, leap, partition.ledger.frontier(), partition.committed));
            }
        }
        for (name, leap, frontier, committed) in ready {
            match leap.over {
                // Whoever wrote it broke down: it is read again, and what is left out is met again.
                Some((from, _)) if frontier < from => self.restart(&name, frontier, committed),
                over => {
                    if let Some((from, policy)) = over {
                        let count = u64::try_from(leap.to.0 - from.0).unwrap_or(0);
                        self.effects
                            .extend((count > 0).then(|| Effect::Skipped(name.clone(), policy, count)));
                    }
                    // The place itself is committed before long.
                    self.restart(&name, leap.to, None);
                }
            }
        }
    }

    pub(super) fn recheck_held(&mut self, now: Instant) {
        let settings = self.settings.clone();
        let mut starts = Vec::new();
        let mut probes = Vec::new();
        for (topic, partitions) in &mut self.topics {
            for (number, partition) in partitions {
                let Phase::Held { hold, recheck_at } = &mut partition.phase else { continue };
                if now < *recheck_at || !partition.told {
                    continue;
                }
                let name = TopicPartition { topic: Arc::clone(topic), partition: *number };
                match hold {
                    Hold::Corrupt { at } => {
                        probes.push((name, partition.epoch, Stretch { from: *at, to: *at }));
                    }
                    _ => starts.push((name, partition.epoch)),
                }
                *recheck_at = now + settings.recheck;
            }
        }
        if !starts.is_empty() {
            self.effects.push(Effect::FindStart(starts));
        }
        if !probes.is_empty() {
            self.effects.push(Effect::Probe(probes));
        }
    }

    pub(super) fn probe_doubts(&mut self, now: Instant) {
        if self.probing {
            return;
        }
        let reprobe = now + self.settings.reprobe;
        let mut wanted = Vec::new();
        for (topic, partitions) in &mut self.topics {
            for (number, partition) in partitions {
                let due = partition.reprobe_at.is_some_and(|at| now >= at);
                if !due || !matches!(partition.phase, Phase::Reading) {
                    continue;
                }
                partition.reprobe_at = partition.doubt.map(|_| reprobe);
                let name = TopicPartition { topic: Arc::clone(topic), partition: *number };
                wanted.extend(partition.doubt.map(|stretch| (name, partition.epoch, stretch)));
            }
        }
        if !wanted.is_empty() {
            self.probing = true;
            self.effects.push(Effect::Probe(wanted));
        }
    }

    /// Abandons what is still in flight when the time of a partition that was asked back is over.
    pub(super) fn hand_over_settled(&mut self, now: Instant) {
        let mut abandoned = Vec::new();
        for (topic, partitions) in &mut self.topics {
            for (number, partition) in partitions {
                let Phase::HandingOver { deadline } = partition.phase else { continue };
                if now >= deadline && partition.in_flight.take().is_some() {
                    let name = TopicPartition { topic: Arc::clone(topic), partition: *number };
                    abandoned.push(Effect::Abandon(name, partition.epoch));
                }
                if now >= deadline + self.settings.commit_timeout {
                    partition.commit_refused = true;
                }
            }
        }
        self.effects.extend(abandoned);
    }

    pub(super) fn commit(&mut self, now: Instant) {
        if !self.commits.may_ask(now, &self.settings) {
            return;
        }
        let urgent = self.partitions().any(|(_, partition)| partition.waits_only_for_commit());
        if !urgent && !self.commits.is_due(now, &self.settings) {
            return;
        }
        let mut offsets = Vec::new();
        let mut epochs = BTreeMap::new();
        for (name, partition) in self.partitions() {
            if let Some(offset) = partition.to_commit() {
                epochs.insert(name.clone(), partition.epoch);
                offsets.push((name, offset));
            }
        }
        if !offsets.is_empty() {
            self.commits.asked(epochs, now);
            self.effects.push(Effect::Commit(offsets));
        }
    }

    pub(super) fn finish_hand_over(&mut self) {
        let ready =
            self.handing_over.iter().all(|name| self.partition(name).is_none_or(Partition::is_handed_over));
        if !ready || self.pending_assignment.is_some() {
            return;
        }
        let names = std::mem::take(&mut self.handing_over);
        if self.draining {
            // The client is closed next, which unassigns everything; until then the partitions stay
            // known, so that a revocation that comes in between finds nothing left to do.
            self.handing_over.clone_from(&names);
            if !std::mem::replace(&mut self.drained, true) {
                self.effects.push(Effect::Drained);
            }
            return;
        }
        for name in &names {
            self.remove(name);
        }
        if !names.is_empty() {
            self.effects.push(Effect::Unassign(names));
        }
    }
}
