//! What time has made due: micro-batches, commits, second looks, the end of a hand-over.

use std::collections::BTreeMap;
use std::time::Instant;

use super::io::{Effect, Stretch};
use super::partition::{Hold, Leap, Partition, Phase};
use super::{Worker, each};
use crate::core::settled::Policy;

impl Worker {
    /// A start that cannot be found for long holds its partition, for everybody to see.
    pub(super) fn mention_slow_starts(&mut self, now: Instant) {
        let settings = &self.settings;
        for partition in each(&mut self.topics) {
            let Phase::Starting { since } = partition.phase else { continue };
            if now >= since + settings.start_timeout {
                let recheck_at = now + settings.recheck_unknown_start;
                partition.phase = Phase::Held { hold: Hold::UnknownStart, recheck_at };
                self.effects.push(Effect::Held(partition.name.clone(), Hold::UnknownStart));
            }
        }
    }

    /// Gives partitions to the client whose start has become known.
    pub(super) fn assign_found(&mut self) {
        let mut found = Vec::new();
        for partition in each(&mut self.topics) {
            if !partition.told && matches!(partition.phase, Phase::Reading) {
                partition.told = true;
                found.push((partition.name.clone(), partition.ledger.position()));
            }
        }
        if !found.is_empty() {
            self.effects.push(Effect::Assign(found));
        }
    }

    pub(super) fn cut_batches(&mut self, now: Instant) {
        for partition in each(&mut self.topics) {
            if let Some(batch) = partition.cut(now, &self.settings) {
                self.effects.push(Effect::Write(Box::new(batch)));
            }
        }
    }

    /// Holds partitions, or lets them read on elsewhere, once nothing of what they read is left to be
    /// written.
    pub(super) fn leap_or_hold(&mut self, now: Instant) {
        let recheck_at = now + self.settings.recheck;
        let ready: Vec<_> = self
            .partitions()
            .filter(|(_, partition)| partition.is_written())
            .filter_map(|(name, partition)| Some((name, partition.leaps_or_stops_at()?)))
            .collect();
        for (name, from) in ready {
            let Some(partition) = self.partition_mut(&name) else { continue };
            let (frontier, committed) = (partition.ledger.frontier(), partition.committed);
            if frontier < from {
                // Whoever wrote it broke down, or it is in doubt whether all of it was read.
                self.restart(&name, frontier, committed);
                continue;
            }
            match &partition.phase {
                Phase::Leaping(Leap { to, policy, lost, .. }) => {
                    let (to, policy, lost) = (*to, *policy, *lost);
                    self.effects.extend((lost > 0).then(|| Effect::Skipped(name.clone(), policy, lost)));
                    // The place itself is committed before long. If the topic is another one by now, that
                    // is where it begins; what cannot be read was the old one's.
                    let committed = committed.filter(|_| policy == Policy::Corrupt);
                    self.restart(&name, to, committed);
                }
                Phase::Stopping(hold) if partition.is_at_rest() => {
                    let hold = hold.clone();
                    partition.hold(hold.clone(), recheck_at);
                    self.effects.push(Effect::Held(name, hold));
                }
                _ => {}
            }
        }
    }

    pub(super) fn recheck_held(&mut self, now: Instant) {
        let settings = self.settings.clone();
        let mut starts = Vec::new();
        let mut set = Vec::new();
        let mut probes = Vec::new();
        for partition in each(&mut self.topics) {
            // What is still to be stored and committed comes first: an offset that is read while
            // a commit is on its way may be out of date.
            let at_rest = partition.is_at_rest();
            let Phase::Held { hold, recheck_at } = &mut partition.phase else { continue };
            if now < *recheck_at {
                continue;
            }
            let name = partition.name.clone();
            match hold {
                // A probe can take longer than the time until the next look.
                Hold::Corrupt { .. } if partition.is_probed => {}
                Hold::Corrupt { at } => {
                    partition.is_probed = true;
                    probes.push((name, partition.epoch, Stretch { from: *at, to: *at }));
                }
                Hold::OutOfRange { offset, .. } if at_rest => set.push((name, partition.epoch, *offset)),
                _ if at_rest => starts.push((name, partition.epoch)),
                _ => continue,
            }
            let unknown = matches!(hold, Hold::UnknownStart);
            *recheck_at = now + if unknown { settings.recheck_unknown_start } else { settings.recheck };
        }
        if !starts.is_empty() {
            self.effects.push(Effect::FindStart(starts));
        }
        if !set.is_empty() {
            self.effects.push(Effect::FindOffset(set));
        }
        if !probes.is_empty() {
            self.effects.push(Effect::Probe(probes));
        }
    }

    pub(super) fn probe_doubts(&mut self, now: Instant) {
        let mut wanted = Vec::new();
        for partition in each(&mut self.topics) {
            if matches!(partition.phase, Phase::Reading)
                && let Some(stretch) = partition.probe_now(now)
            {
                wanted.push((partition.name.clone(), partition.epoch, stretch));
            }
        }
        if !wanted.is_empty() {
            self.effects.push(Effect::Probe(wanted));
        }
    }

    /// Abandons what is still in flight when the time of a partition that was asked back is over, and
    /// gives up its commit a little later.
    pub(super) fn end_hand_over_in_time(&mut self, now: Instant) {
        for partition in each(&mut self.topics) {
            let Phase::HandingOver(limits) = partition.phase else { continue };
            if now >= limits.write_until && partition.in_flight.take().is_some() {
                self.effects.push(Effect::Abandon(partition.name.clone(), partition.epoch));
            }
            partition.commit_refused |= now >= limits.commit_until;
        }
    }

    pub(super) fn commit(&mut self, now: Instant) {
        let urgent = self.a_hand_over_waits_for_a_commit();
        if !self.commits.is_due(urgent, now, &self.settings) {
            return;
        }
        let mut offsets = Vec::new();
        let mut epochs = BTreeMap::new();
        let mut known = Vec::new();
        for (name, partition) in self.partitions() {
            if let Some(offset) = partition.to_commit() {
                known.extend(partition.committed.map(|committed| (name.clone(), committed)));
                epochs.insert(name.clone(), partition.epoch);
                offsets.push((name, offset));
            }
        }
        if !offsets.is_empty() {
            let number = self.commits.asked(epochs, now);
            self.effects.push(Effect::Commit(number, offsets, known));
        }
    }

    pub(super) fn a_hand_over_waits_for_a_commit(&self) -> bool {
        self.partitions().any(|(_, partition)| partition.waits_only_for_commit())
    }

    pub(super) fn finish_hand_over(&mut self) {
        let is_ready = |name| self.partition(name).is_none_or(Partition::is_handed_over);
        if self.wanted_back.as_ref().is_some_and(|names| names.iter().all(is_ready)) {
            let names = self.wanted_back.take().unwrap_or_default();
            for name in &names {
                self.remove(name);
            }
            self.effects.push(Effect::Unassign(names));
        }
        // What is left then is given back when the client is closed.
        if self.draining
            && self.partitions().all(|(_, partition)| partition.is_handed_over())
            && !std::mem::replace(&mut self.drained, true)
        {
            self.effects.push(Effect::Drained);
        }
    }
}
