//! What librdkafka's statistics tell: where the ends of partitions are, what was fetched, whether a
//! broker answers. They come once a second and cost no request.
//!
//! Field names are librdkafka's (STATISTICS.md of librdkafka 2.12).

use std::collections::HashMap;

use serde::Deserialize;

use crate::core::kafka::{Offset, TopicPartition};

/// How often the client tells, in milliseconds.
pub const INTERVAL_MILLIS: u32 = 1_000;

/// One look at a client.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Whether any broker is connected and signed in to.
    pub connected: bool,
    /// What the client waits for before it is a member of the group; nothing when it is one.
    pub joining: Option<String>,
    /// Each partition that the client knows.
    pub partitions: HashMap<TopicPartition, PartitionStatistics>,
}

/// One look at a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionStatistics {
    /// The next offset to be fetched, behind what is prefetched and behind records of transactions
    /// that nobody is given.
    pub next: Option<Offset>,
    /// The end of what can be read: the last stable offset.
    pub end: Option<Offset>,
    /// How many records that were fetched are still waiting in the client (of any partition: they
    /// share a queue).
    pub queued: u64,
    /// The bytes of their values. librdkafka leaves out their keys (`rd_kafka_op_new_fetch_msg`).
    pub queued_bytes: u64,
    /// Bytes of keys and values fetched so far, thrown away ones included.
    pub fetched_bytes: u64,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    brokers: HashMap<String, RawBroker>,
    #[serde(default)]
    topics: HashMap<String, RawTopic>,
    cgrp: Option<RawGroup>,
}

#[derive(Deserialize)]
struct RawGroup {
    state: String,
    join_state: String,
}

#[derive(Deserialize)]
struct RawBroker {
    state: String,
}

#[derive(Deserialize)]
struct RawTopic {
    #[serde(default)]
    partitions: HashMap<String, RawPartition>,
}

#[derive(Deserialize)]
struct RawPartition {
    partition: i32,
    next_offset: i64,
    ls_offset: i64,
    fetchq_cnt: u64,
    #[serde(default)]
    fetchq_size: u64,
    rxbytes: u64,
}

impl Statistics {
    /// Reads the client's JSON.
    pub fn parse(json: &[u8]) -> serde_json::Result<Self> {
        let raw: Raw = serde_json::from_slice(json)?;
        let connected = raw.brokers.values().any(|broker| broker.state == "UP");
        let offset = |offset: i64| (offset >= 0).then_some(Offset(offset));
        let mut partitions = HashMap::new();
        for (topic, raw) in raw.topics {
            let topic: std::sync::Arc<str> = topic.into();
            // Partition -1 is librdkafka's own place for records without one.
            for raw in raw.partitions.into_values().filter(|raw| raw.partition >= 0) {
                let statistics = PartitionStatistics {
                    next: offset(raw.next_offset),
                    end: offset(raw.ls_offset),
                    queued: raw.fetchq_cnt,
                    queued_bytes: raw.fetchq_size,
                    fetched_bytes: raw.rxbytes,
                };
                let name = TopicPartition { topic: std::sync::Arc::clone(&topic), partition: raw.partition };
                partitions.insert(name, statistics);
            }
        }
        let joining = raw.cgrp.and_then(|group| match (group.state.as_str(), group.join_state.as_str()) {
            ("up", "steady") => None,
            // The coordinator comes first; only then the join state means something.
            ("up", joining) => Some(joining.to_owned()),
            (searching, _) => Some(searching.to_owned()),
        });
        Ok(Self { connected, joining, partitions })
    }
}

impl PartitionStatistics {
    /// How many records are not settled, given the settled frontier. When everything that was
    /// fetched is settled, what lies between the frontier and the place of the next fetch are
    /// control records and aborted ones, and no lag.
    pub fn lag(&self, frontier: Offset, unsettled: usize) -> Option<i64> {
        let end = self.end?;
        let settled = match self.next {
            Some(next) if unsettled == 0 && self.queued == 0 => frontier.max(next),
            _ => frontier,
        };
        Some((end.0 - settled.0).max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"{
        "name": "rdkafka#consumer-1", "brokers": {
            "a:9092/1": {"name": "a", "state": "DOWN", "toppars": {}},
            "b:9092/2": {"name": "b", "state": "UP", "toppars": {}}},
        "topics": {"t": {"topic": "t", "age": 1, "partitions": {
            "3": {"partition": 3, "next_offset": 120, "app_offset": 118, "ls_offset": 121, "hi_offset": 125,
                  "lo_offset": 0, "fetchq_cnt": 0, "fetchq_size": 0, "rxbytes": 5000},
            "-1": {"partition": -1, "next_offset": 0, "ls_offset": -1001, "fetchq_cnt": 0, "rxbytes": 0}}}},
        "cgrp": {"state": "up", "stateage": 7, "join_state": "wait-join"}}"#;

    #[test]
    fn what_matters_is_read() {
        let statistics = Statistics::parse(EXAMPLE.as_bytes()).unwrap();
        assert!(statistics.connected);
        assert_eq!(statistics.joining.as_deref(), Some("wait-join"));
        assert_eq!(statistics.partitions.len(), 1);
        let expected = PartitionStatistics {
            next: Some(Offset(120)),
            end: Some(Offset(121)),
            queued: 0,
            queued_bytes: 0,
            fetched_bytes: 5_000,
        };
        assert_eq!(statistics.partitions[&TopicPartition::new("t", 3)], expected);
    }

    #[test]
    fn control_records_at_the_end_are_no_lag() {
        let at = |next, end, queued| PartitionStatistics {
            next: Some(Offset(next)),
            end: Some(Offset(end)),
            queued,
            queued_bytes: 0,
            fetched_bytes: 0,
        };
        assert_eq!(at(121, 121, 0).lag(Offset(119), 0), Some(0));
        assert_eq!(at(121, 121, 0).lag(Offset(115), 4), Some(6));
        assert_eq!(at(121, 121, 1).lag(Offset(119), 0), Some(2));
        assert_eq!(at(100, 121, 0).lag(Offset(100), 0), Some(21));
        assert_eq!(PartitionStatistics::default().lag(Offset(0), 0), None);
    }
}
