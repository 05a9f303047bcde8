//! The Prometheus metrics, all prefixed `streamproc_`. Their names are promises.
//!
//! Label values are topics, partitions, and words from this program: no label grows with the data.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::core::Collector;
use prometheus::proto::MetricType;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::core::kafka::TopicPartition;
use crate::core::settled::Settled;

/// Every metric of the process.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each field's help text, which is shown to users, stands where it is made")]
pub struct Metrics {
    registry: Registry,
    described: Arc<[Described]>,
    pub events_consumed: IntCounterVec,
    pub events_stored: IntCounterVec,
    pub events_superseded: IntCounterVec,
    pub events_dead_lettered: IntCounterVec,
    pub events_skipped: IntCounterVec,
    pub system_fields_removed: IntCounterVec,
    pub consumer_lag: IntGaugeVec,
    pub group_lag: IntGaugeVec,
    pub committed_offset: IntGaugeVec,
    pub last_commit_timestamp: GaugeVec,
    pub oldest_unstored_timestamp: GaugeVec,
    pub out_of_range: IntCounterVec,
    pub assigned_partitions: IntGauge,
    pub buffered_bytes: IntGauge,
    pub refetched_bytes: IntCounter,
    pub batch_events: Histogram,
    pub batch_duration: HistogramVec,
    pub end_to_end_latency: Histogram,
    pub store_requests: IntCounterVec,
    pub store_inflight_requests: IntGauge,
    pub store_throttled: IntCounter,
    pub request_units: prometheus::Counter,
    pub store_retries: IntCounterVec,
    pub dead_letter_failures: IntCounter,
    pub commit_failures: IntCounter,
    pub auth_failures: IntCounterVec,
    pub rebalances: IntCounter,
    pub paused: IntGaugeVec,
    build_info: IntGaugeVec,
}

const BY_PARTITION: &[&str] = &["topic", "partition"];
const BY_TOPIC: &[&str] = &["topic"];
const BY_REASON: &[&str] = &["topic", "reason"];

/// The process as a whole, for whoever watches it on a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Records read.
    pub consumed: u64,
    /// Events that Cosmos DB holds.
    pub stored: u64,
    /// Events of which a newer version was stored.
    pub superseded: u64,
    /// Events in the dead-letter topic.
    pub dead_lettered: u64,
    /// Records left out by policy.
    pub skipped: u64,
    /// Records of our partitions that are not settled.
    pub lag: i64,
    /// Request units charged.
    pub request_units: f64,
    /// The sum of all times from a record's timestamp to its event being stored, in seconds.
    pub latency_seconds: f64,
}

/// A metric as it is registered: what docs/metrics.md must say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The name, with the prefix.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The names of its labels.
    pub labels: Vec<String>,
    /// The line of help that comes with it.
    pub help: String,
}

/// Registers metrics under the prefix.
struct Maker {
    registry: Registry,
    described: RefCell<Vec<Described>>,
}

impl Maker {
    fn opts(name: &str, help: &str) -> Opts {
        Opts::new(name, help).namespace("streamproc")
    }

    fn keep<C: prometheus::core::Collector + Clone + 'static>(&self, metric: C) -> prometheus::Result<C> {
        self.registry.register(Box::new(metric.clone()))?;
        let described = metric.desc().into_iter().zip(metric.collect()).map(|(desc, family)| Described {
            name: desc.fq_name.clone(),
            kind: match family.get_field_type() {
                MetricType::COUNTER => "counter",
                MetricType::GAUGE => "gauge",
                MetricType::HISTOGRAM => "histogram",
                MetricType::SUMMARY | MetricType::UNTYPED => "other",
            },
            labels: desc.variable_labels.clone(),
            help: desc.help.clone(),
        });
        self.described.borrow_mut().extend(described);
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.keep(IntCounter::with_opts(Self::opts(name, help))?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.keep(IntCounterVec::new(Self::opts(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.keep(IntGauge::with_opts(Self::opts(name, help))?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.keep(IntGaugeVec::new(Self::opts(name, help), labels)?)
    }

    fn times(&self, name: &str, help: &str) -> prometheus::Result<GaugeVec> {
        self.keep(GaugeVec::new(Self::opts(name, help), BY_PARTITION)?)
    }

    fn histogram(name: &str, help: &str, buckets: &[f64]) -> HistogramOpts {
        HistogramOpts { common_opts: Self::opts(name, help), buckets: buckets.to_vec() }
    }
}

impl Metrics {
    /// Makes and registers every metric. An error would be two metrics of one name.
    pub fn new() -> prometheus::Result<Self> {
        let new = Maker { registry: Registry::new(), described: RefCell::default() };
        #[cfg(target_os = "linux")]
        new.registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let batch_events = [1., 3., 10., 30., 100., 300., 1e3, 3e3, 1e4, 3e4, 1e5, 1e6];
        let batch_seconds = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1., 3., 10., 30., 100., 300.];
        let latency = [
            0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1., 1.5, 2.5, 5., 10., 15., 30., 60., 300., 900.,
            3600.,
        ];
        let metrics = Self {
            events_consumed: new.counters(
                "events_consumed_total",
                "Records read from Kafka",
                BY_PARTITION,
            )?,
            events_stored: new.counters("events_stored_total", "Events that Cosmos DB holds", BY_TOPIC)?,
            events_superseded: new.counters(
                "events_superseded_total",
                "Events of which a newer version in the same micro-batch was stored",
                BY_TOPIC,
            )?,
            events_dead_lettered: new.counters(
                "events_dead_lettered_total",
                "Events that the dead-letter topic has acknowledged",
                BY_REASON,
            )?,
            events_skipped: new.counters(
                "events_skipped_total",
                "Records left out by a policy of the configuration",
                BY_REASON,
            )?,
            system_fields_removed: new.counters(
                "system_fields_removed_total",
                "Fields of Cosmos DB's own (_rid, _etag, ...) taken out of events",
                BY_TOPIC,
            )?,
            consumer_lag: new.gauges(
                "consumer_lag",
                "Records of this process's partitions that are not settled, read or not",
                BY_PARTITION,
            )?,
            group_lag: new.gauges(
                "group_lag",
                "Records of all partitions behind the group's commits, from whoever owns partition 0",
                BY_PARTITION,
            )?,
            committed_offset: new.gauges("committed_offset", "The last committed offset", BY_PARTITION)?,
            last_commit_timestamp: new
                .times("last_commit_timestamp_seconds", "When an offset was last committed, since 1970")?,
            oldest_unstored_timestamp: new.times(
                "oldest_unstored_timestamp_seconds",
                "The timestamp of the oldest record that was read and is not settled, since 1970",
            )?,
            out_of_range: new.counters(
                "out_of_range_total",
                "Times an offset to read did not exist in the topic any more",
                BY_TOPIC,
            )?,
            assigned_partitions: new.gauge("assigned_partitions", "Partitions this process owns")?,
            buffered_bytes: new.gauge("buffered_bytes", "Bytes of records held in memory")?,
            refetched_bytes: new.counter(
                "refetched_bytes_total",
                "Bytes fetched from Kafka and thrown away because a partition was paused",
            )?,
            batch_events: new.keep(Histogram::with_opts(Maker::histogram(
                "batch_events",
                "Records in a micro-batch",
                &batch_events,
            ))?)?,
            batch_duration: new.keep(HistogramVec::new(
                Maker::histogram(
                    "batch_duration_seconds",
                    "Time a micro-batch takes, by stage",
                    &batch_seconds,
                ),
                &["stage"],
            )?)?,
            end_to_end_latency: new.keep(Histogram::with_opts(Maker::histogram(
                "end_to_end_latency_seconds",
                "From the record's timestamp to the event being stored",
                &latency,
            ))?)?,
            store_requests: new.counters(
                "store_requests_total",
                "Requests to Cosmos DB, by kind and status",
                &["kind", "status"],
            )?,
            store_inflight_requests: new
                .gauge("store_inflight_requests", "Requests to Cosmos DB in flight")?,
            store_throttled: new.counter("store_throttled_total", "Answers that said to slow down (429)")?,
            request_units: new.keep(prometheus::Counter::with_opts(Maker::opts(
                "request_units_total",
                "Request units charged by Cosmos DB",
            ))?)?,
            store_retries: new.counters(
                "store_retries_total",
                "Requests asked again, by reason",
                &["reason"],
            )?,
            dead_letter_failures: new
                .counter("dead_letter_failures_total", "Times the dead-letter topic did not take a record")?,
            commit_failures: new.counter("commit_failures_total", "Commits that Kafka did not keep")?,
            auth_failures: new.counters("auth_failures_total", "Failed sign-ins", &["target"])?,
            rebalances: new.counter("rebalances_total", "Times the group gave or took partitions")?,
            paused: new.gauges(
                "paused",
                "What holds the stream or a part of it: how many places for that reason",
                &["reason"],
            )?,
            build_info: new.gauges("build_info", "The version of this program", &["version"])?,
            registry: new.registry,
            described: new.described.into_inner().into(),
        };
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        for stage in ["wait", "decode", "write", "total"] {
            metrics.batch_duration.with_label_values(&[stage]);
        }
        for target in ["kafka", "cosmos"] {
            metrics.auth_failures.with_label_values(&[target]);
        }
        Ok(metrics)
    }

    /// Every metric of ours, whether it has a value yet or not, in the order of registration.
    pub fn described(&self) -> &[Described] {
        &self.described
    }

    /// Everything in Prometheus's text form.
    pub fn render(&self) -> prometheus::Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }

    /// The process as a whole.
    pub fn totals(&self) -> Totals {
        Totals {
            consumed: sum(&self.events_consumed),
            stored: sum(&self.events_stored),
            superseded: sum(&self.events_superseded),
            dead_lettered: sum(&self.events_dead_lettered),
            skipped: sum(&self.events_skipped),
            lag: self
                .consumer_lag
                .collect()
                .iter()
                .flat_map(prometheus::proto::MetricFamily::get_metric)
                .map(|metric| metric.get_gauge().get_value() as i64)
                .sum(),
            request_units: self.request_units.get(),
            latency_seconds: self.end_to_end_latency.get_sample_sum(),
        }
    }

    /// Counts the ends of records of a topic.
    pub fn settled(&self, topic: &str, outcomes: impl IntoIterator<Item = Settled>) {
        let (mut stored, mut superseded) = (0, 0);
        for outcome in outcomes {
            match outcome {
                Settled::Stored => stored += 1,
                Settled::Superseded { .. } => superseded += 1,
                Settled::DeadLettered(reason) => {
                    self.events_dead_lettered.with_label_values(&[topic, reason.as_str()]).inc();
                }
                Settled::Skipped(policy) => {
                    self.events_skipped.with_label_values(&[topic, policy.as_str()]).inc();
                }
            }
        }
        if stored > 0 {
            self.events_stored.with_label_values(&[topic]).inc_by(stored);
        }
        if superseded > 0 {
            self.events_superseded.with_label_values(&[topic]).inc_by(superseded);
        }
    }

    /// The partition is not ours any more: whoever owns it now reports it.
    pub fn forget(&self, partition: &TopicPartition) {
        let number = partition.partition.to_string();
        let labels = [partition.topic.as_ref(), number.as_str()];
        // A series that was never set cannot be removed, which is no error here.
        let _ = self.consumer_lag.remove_label_values(&labels);
        let _ = self.committed_offset.remove_label_values(&labels);
        let _ = self.last_commit_timestamp.remove_label_values(&labels);
        let _ = self.oldest_unstored_timestamp.remove_label_values(&labels);
    }

    /// Kafka has kept a commit of this partition just now.
    pub fn committed_now(&self, partition: &TopicPartition) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Self::time_of_partition(&self.last_commit_timestamp, partition).set(now);
    }

    /// A gauge of one partition.
    pub fn of_partition(gauges: &IntGaugeVec, partition: &TopicPartition) -> IntGauge {
        gauges.with_label_values(&[partition.topic.as_ref(), &partition.partition.to_string()])
    }

    /// A time of one partition.
    pub fn time_of_partition(times: &GaugeVec, partition: &TopicPartition) -> Gauge {
        times.with_label_values(&[partition.topic.as_ref(), &partition.partition.to_string()])
    }
}

fn sum(counters: &IntCounterVec) -> u64 {
    let families = counters.collect();
    families
        .iter()
        .flat_map(prometheus::proto::MetricFamily::get_metric)
        .map(|metric| metric.get_counter().get_value() as u64)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::kafka::Offset;
    use crate::core::reason::Reason;

    #[test]
    fn every_end_of_a_record_is_counted_under_its_own_name() {
        let metrics = Metrics::new().unwrap();
        metrics.settled(
            "t",
            [
                Settled::Stored,
                Settled::Stored,
                Settled::Superseded { by: Offset(1) },
                Settled::DeadLettered(Reason::TooDeep),
            ],
        );
        let text = metrics.render().unwrap();
        for line in [
            "streamproc_events_stored_total{topic=\"t\"} 2",
            "streamproc_events_superseded_total{topic=\"t\"} 1",
            "streamproc_events_dead_lettered_total{reason=\"too_deep\",topic=\"t\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_partition_that_left_is_not_reported_any_more() {
        let metrics = Metrics::new().unwrap();
        let partition = TopicPartition::new("t", 3);
        Metrics::of_partition(&metrics.consumer_lag, &partition).set(7);
        assert!(metrics.render().unwrap().contains("streamproc_consumer_lag{partition=\"3\",topic=\"t\"} 7"));
        metrics.forget(&partition);
        assert!(!metrics.render().unwrap().contains("consumer_lag{partition"));
    }
}
