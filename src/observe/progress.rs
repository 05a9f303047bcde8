//! The last micro-batches, in the shape that users of Spark's Structured Streaming know
//! (`StreamingQueryProgress`), so that what reads the one can read the other.
//!
//! A micro-batch here belongs to one Kafka partition, so each entry names one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::{Value, json};

use crate::core::kafka::{Offset, TopicPartition};

/// How many micro-batches are kept.
pub const KEPT: usize = 100;

/// What one micro-batch did.
#[derive(Clone, Debug)]
pub struct BatchReport {
    /// Whose records.
    pub partition: TopicPartition,
    /// The first and the last offset.
    pub offsets: (Offset, Offset),
    /// When the first record came.
    pub started: SystemTime,
    /// Records in it.
    pub rows: usize,
    /// Documents that Cosmos DB holds because of it.
    pub stored: usize,
    /// Records that a newer version of the same batch took the place of.
    pub superseded: usize,
    /// Records in the dead-letter topic.
    pub dead_lettered: usize,
    /// Records left out by policy.
    pub skipped: usize,
    /// Requests to Cosmos DB.
    pub requests: usize,
    /// Request units charged.
    pub request_units: f64,
    /// From the first record to the start of the work.
    pub waited: Duration,
    /// Decoding and planning.
    pub decoding: Duration,
    /// Requests and dead letters.
    pub writing: Duration,
    /// The offset of the next record to be written to the partition, as far as known.
    pub latest: Option<Offset>,
}

/// The last micro-batches of the process.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: String,
    run_id: String,
    name: String,
    sink: String,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    batches: VecDeque<Value>,
    next_id: u64,
    last_start: HashMap<TopicPartition, SystemTime>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DurationMs {
    /// Waiting to fill.
    get_batch: u64,
    /// Decoding and planning.
    query_planning: u64,
    /// Writing.
    add_batch: u64,
    /// Everything, from the first record on.
    trigger_execution: u64,
}

impl Progress {
    /// `name` names the pipeline, `id` it and its group for all time, `sink` where documents go.
    pub fn new(name: &str, id: &str, sink: &str) -> Self {
        let run_id = uuid::Uuid::new_v4().to_string();
        let (id, name, sink) = (id.to_owned(), name.to_owned(), sink.to_owned());
        Self(Arc::new(Inner { id, run_id, name, sink, kept: Mutex::default() }))
    }

    /// Keeps a micro-batch's report.
    pub fn record(&self, report: &BatchReport) {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let batch_id = kept.next_id;
        kept.next_id += 1;
        let before = kept.last_start.insert(report.partition.clone(), report.started);
        let since = before.and_then(|before| report.started.duration_since(before).ok());
        let entry = self.entry(batch_id, report, since);
        if kept.batches.len() == KEPT {
            kept.batches.pop_front();
        }
        kept.batches.push_back(entry);
    }

    /// The last micro-batches, oldest first.
    pub fn batches(&self) -> Vec<Value> {
        let kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.batches.iter().cloned().collect()
    }

    fn entry(&self, batch_id: u64, report: &BatchReport, since: Option<Duration>) -> Value {
        let took = report.waited + report.decoding + report.writing;
        let input_rate = since.map(|since| rate(report.rows, since));
        let processed_rate = rate(report.rows, report.decoding + report.writing);
        let partition = &report.partition;
        let at = |offset: Offset| {
            let mut offsets = serde_json::Map::new();
            offsets.insert(partition.topic.to_string(), json!({ partition.partition.to_string(): offset.0 }));
            Value::Object(offsets)
        };
        let end = report.offsets.1.next();
        // What is known of the partition may be older than what was read from it.
        let latest = report.latest.map(|latest| latest.max(end));
        let behind = latest.map(|latest| (latest.0 - end.0).to_string());
        json!({
            "id": self.0.id,
            "runId": self.0.run_id,
            "name": self.0.name,
            "timestamp": humantime::format_rfc3339_millis(report.started).to_string(),
            "batchId": batch_id,
            "batchDuration": millis(took),
            "numInputRows": report.rows,
            "inputRowsPerSecond": input_rate,
            "processedRowsPerSecond": processed_rate,
            "durationMs": DurationMs {
                get_batch: millis(report.waited),
                query_planning: millis(report.decoding),
                add_batch: millis(report.writing),
                trigger_execution: millis(took),
            },
            "stateOperators": [],
            "sources": [{
                "description": format!("KafkaV2[Subscribe[{}]]", partition.topic),
                "startOffset": at(report.offsets.0),
                "endOffset": at(end),
                "latestOffset": latest.map(at),
                "numInputRows": report.rows,
                "inputRowsPerSecond": input_rate,
                "processedRowsPerSecond": processed_rate,
                "metrics": {
                    "avgOffsetsBehindLatest": behind,
                    "maxOffsetsBehindLatest": behind,
                    "minOffsetsBehindLatest": behind,
                },
            }],
            "sink": {
                "description": self.0.sink,
                "numOutputRows": report.stored,
                "metrics": {
                    "superseded": report.superseded,
                    "deadLettered": report.dead_lettered,
                    "skipped": report.skipped,
                    "requests": report.requests,
                    "requestUnits": report.request_units,
                },
            },
        })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn rate(rows: usize, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { rows as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(first: i64, rows: usize) -> BatchReport {
        BatchReport {
            partition: TopicPartition::new("streaming", 3),
            offsets: (Offset(first), Offset(first + rows as i64 - 1)),
            started: SystemTime::UNIX_EPOCH + Duration::from_millis(first as u64),
            rows,
            stored: rows,
            superseded: 0,
            dead_lettered: 0,
            skipped: 0,
            requests: 1,
            request_units: 7.5,
            waited: Duration::from_millis(500),
            decoding: Duration::from_millis(10),
            writing: Duration::from_millis(90),
            latest: Some(Offset(first + rows as i64 + 5)),
        }
    }

    #[test]
    fn a_batch_has_the_shape_that_spark_gives_it() {
        let progress = Progress::new("pipeline", "an-id", "cosmos streaming/rawdata");
        progress.record(&report(0, 100));
        progress.record(&report(1_000, 50));
        let batches = progress.batches();
        let second = &batches[1];
        assert_eq!(second["batchId"], 1);
        assert_eq!(second["numInputRows"], 50);
        assert_eq!(second["inputRowsPerSecond"], 50.0);
        assert_eq!(second["processedRowsPerSecond"], 500.0);
        assert_eq!(second["durationMs"]["triggerExecution"], 600);
        assert_eq!(second["sources"][0]["startOffset"]["streaming"]["3"], 1_000);
        assert_eq!(second["sources"][0]["endOffset"]["streaming"]["3"], 1_050);
        assert_eq!(second["sources"][0]["metrics"]["maxOffsetsBehindLatest"], "5");
        assert_eq!(second["sink"]["numOutputRows"], 50);
        assert_eq!(batches[0]["inputRowsPerSecond"], Value::Null);
    }

    #[test]
    fn the_latest_offset_is_never_before_the_end_of_what_was_read() {
        let progress = Progress::new("pipeline", "an-id", "sink");
        progress.record(&BatchReport { latest: Some(Offset(0)), ..report(0, 11) });
        let source = &progress.batches()[0]["sources"][0];
        assert_eq!(
            (&source["endOffset"], &source["latestOffset"]["streaming"]["3"]),
            (&source["latestOffset"], &json!(11))
        );
        assert_eq!(source["metrics"]["maxOffsetsBehindLatest"], "0");
    }

    #[test]
    fn only_the_last_hundred_are_kept() {
        let progress = Progress::new("pipeline", "an-id", "sink");
        (0..250).for_each(|first| progress.record(&report(first, 1)));
        let batches = progress.batches();
        assert_eq!((batches.len(), &batches[0]["batchId"]), (100, &json!(150)));
    }
}
