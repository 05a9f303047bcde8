//! The process itself: `[trigger]`, `[dead_letter]`, `[shutdown]`, `[admin]` and `[log]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ByteSize, Span, defaults};

/// `[trigger]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// The most events in one micro-batch of one Kafka partition. A partition holds at most two
    /// micro-batches: one being written, one filling.
    #[serde(default = "defaults::max_events_per_trigger")]
    pub max_events_per_trigger: usize,
    /// How long a micro-batch waits to fill.
    #[serde(default = "defaults::interval")]
    pub interval: Span,
    /// Everything buffered in the process: the Kafka clients' queues, records, outgoing bodies.
    #[serde(default = "defaults::max_bytes")]
    pub max_bytes: ByteSize,
}

/// `[dead_letter]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadLetter {
    /// The topic for events that cannot be stored.
    pub topic: String,
    /// What to do with a dead letter that is too large for the topic.
    #[serde(default)]
    pub oversize: Oversize,
    /// Above this fraction of store refusals, over 1,000 events, the stream pauses instead.
    #[serde(default = "defaults::max_fraction")]
    pub max_fraction: f64,
}

/// `dead_letter.oversize`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Oversize {
    /// Send it without the value, with the value's size and SHA-256 in headers.
    #[default]
    Reference,
    /// Hold the partition and raise an alarm.
    Pause,
}

/// `[shutdown]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    /// How long a partition may take to end its writes and to commit, once the process is asked to
    /// stop or the group asks the partition back. Keep it below the pod's grace period.
    #[serde(default = "defaults::shutdown_timeout")]
    pub timeout: Span,
}

/// `[admin]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// The address for `/metrics`, `/livez`, `/readyz` and `/progress`.
    #[serde(default = "defaults::admin_listen")]
    pub listen: String,
}

/// `[log]`
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The form of a line.
    #[serde(default)]
    pub format: LogFormat,
}

/// `log.format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Text,
}

impl Default for Trigger {
    fn default() -> Self {
        Self {
            max_events_per_trigger: defaults::max_events_per_trigger(),
            interval: defaults::interval(),
            max_bytes: defaults::max_bytes(),
        }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { timeout: defaults::shutdown_timeout() }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: defaults::admin_listen() }
    }
}

impl DeadLetter {
    /// Sends dead letters to this topic; everything else by default.
    pub fn new(topic: impl Into<String>) -> Self {
        Self { topic: topic.into(), oversize: Oversize::default(), max_fraction: defaults::max_fraction() }
    }
}
