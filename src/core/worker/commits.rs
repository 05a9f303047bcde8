//! When to ask Kafka to keep offsets: one commit at a time, not more often than the interval, at
//! once when a partition waits for nothing else.
//!
//! One at a time, because the Kafka client sends a commit in the name of whatever generation the
//! member is in by then: one that waited behind another could be sent after the partition was lost,
//! taken up by somebody else, and moved on. The client answers every commit; while it has not, it
//! does not join the group again either.

use std::collections::BTreeMap;
use std::time::Instant;

use super::settings::Settings;
use crate::core::kafka::{Epoch, TopicPartition};

/// Tells commits apart: the answer to one that was asked of an earlier client is for nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommitNumber(u64);

/// The worker's commits.
#[derive(Debug, Default)]
pub(super) struct Commits {
    asked: u64,
    outstanding: Option<BTreeMap<TopicPartition, Epoch>>,
    last_asked: Option<Instant>,
    not_before: Option<Instant>,
}

impl Commits {
    /// Whether a commit may be asked for. One that is urgent does not wait for the interval.
    pub(super) fn is_due(&self, urgent: bool, now: Instant, settings: &Settings) -> bool {
        self.outstanding.is_none() && self.wake_at(urgent, settings).is_none_or(|at| now >= at)
    }

    /// A commit is asked for, in these epochs.
    pub(super) fn asked(&mut self, epochs: BTreeMap<TopicPartition, Epoch>, now: Instant) -> CommitNumber {
        self.asked += 1;
        self.outstanding = Some(epochs);
        self.last_asked = Some(now);
        CommitNumber(self.asked)
    }

    /// Kafka has answered. Gives the epochs in which the commit was asked for.
    pub(super) fn answered(&mut self, number: CommitNumber) -> Option<BTreeMap<TopicPartition, Epoch>> {
        if number.0 == self.asked { self.outstanding.take() } else { None }
    }

    /// Kafka kept some of it not: it is not asked again at once.
    pub(super) fn failed(&mut self, now: Instant, settings: &Settings) {
        self.not_before = Some(now + settings.commit_retry);
    }

    /// Whoever was asked is gone.
    pub(super) fn forget(&mut self) {
        self.outstanding = None;
    }

    /// When the next commit may be asked for, if none is outstanding.
    pub(super) fn wake_at(&self, urgent: bool, settings: &Settings) -> Option<Instant> {
        if self.outstanding.is_some() {
            return None;
        }
        let regular = self.last_asked.map(|last| last + settings.commit_interval);
        self.not_before.max(regular.filter(|_| !urgent))
    }
}
