//! When to ask Kafka to keep offsets: one commit at a time, not more often than the interval, at
//! once when a partition waits for nothing else.

use std::collections::BTreeMap;
use std::time::Instant;

use super::settings::Settings;
use crate::core::kafka::{Epoch, TopicPartition};

/// The worker's commits.
#[derive(Debug, Default)]
pub(super) struct Commits {
    outstanding: Option<Outstanding>,
    last_asked: Option<Instant>,
}

#[derive(Debug)]
struct Outstanding {
    epochs: BTreeMap<TopicPartition, Epoch>,
    since: Instant,
}

impl Commits {
    /// Whether no commit is outstanding. One that Kafka never answers is given up after the commit
    /// timeout; if its answer comes all the same, it is for epochs that are asked about again.
    pub(super) fn may_ask(&self, now: Instant, settings: &Settings) -> bool {
        self.outstanding.as_ref().is_none_or(|outstanding| now >= outstanding.since + settings.commit_timeout)
    }

    pub(super) fn is_due(&self, now: Instant, settings: &Settings) -> bool {
        self.last_asked.is_none_or(|last| now >= last + settings.commit_interval)
    }

    pub(super) fn asked(&mut self, epochs: BTreeMap<TopicPartition, Epoch>, now: Instant) {
        self.outstanding = Some(Outstanding { epochs, since: now });
        self.last_asked = Some(now);
    }

    /// Kafka has answered. Gives the epochs in which the commit was asked for.
    pub(super) fn answered(&mut self) -> BTreeMap<TopicPartition, Epoch> {
        self.outstanding.take().map(|outstanding| outstanding.epochs).unwrap_or_default()
    }

    /// When the next commit may be asked for.
    pub(super) fn wake_at(&self, settings: &Settings) -> Option<Instant> {
        match &self.outstanding {
            Some(outstanding) => Some(outstanding.since + settings.commit_timeout),
            None => self.last_asked.map(|last| last + settings.commit_interval),
        }
    }
}
