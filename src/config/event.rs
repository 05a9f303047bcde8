//! What an event looks like and what becomes of it: `[event]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;

/// `[event]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// The form of the events.
    #[serde(default)]
    pub format: Format,
    /// The field whose value becomes the document's id.
    #[serde(default = "defaults::event_id")]
    pub id: String,
    /// The container's partition key: one to three paths, in the container's order. `deviceId` and
    /// `/deviceId` mean the same; `/device/id` is a field of a field.
    #[serde(default = "defaults::partition_key")]
    pub partition_key: Vec<String>,
    /// Fields to turn into timestamp strings in UTC.
    #[serde(default = "defaults::timestamps")]
    pub timestamps: Vec<String>,
    /// Digits after the second. What is finer is cut off, not rounded.
    #[serde(default)]
    pub timestamp_precision: Precision,
    /// What a number in a timestamp field counts.
    #[serde(default)]
    pub epoch_unit: EpochUnit,
    /// The field that receives the Kafka record's timestamp. Empty: left out.
    #[serde(default = "defaults::enqueued_at")]
    pub enqueued_at: String,
    /// The field that receives the time of processing. Empty: left out.
    #[serde(default = "defaults::processed_at")]
    pub processed_at: String,
    /// What to do with an event's own `ttl` field, which Cosmos DB obeys.
    #[serde(default)]
    pub ttl: Ttl,
    /// What to do with a record without a value.
    #[serde(default)]
    pub tombstone: Tombstone,
}

/// `event.format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object a record.
    #[default]
    Json,
}

/// `event.timestamp_precision`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Three digits, as the sample wrote them.
    #[default]
    Millis,
    /// Six digits.
    Micros,
    /// Nine digits.
    Nanos,
}

/// `event.epoch_unit`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EpochUnit {
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    #[default]
    Millis,
    /// Microseconds since 1970.
    Micros,
    /// Nanoseconds since 1970.
    Nanos,
}

/// `event.ttl`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ttl {
    /// Passes through; Cosmos DB deletes the document after that many seconds.
    #[default]
    Keep,
    /// The event is a dead letter.
    Refuse,
}

/// `event.tombstone`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tombstone {
    /// To the dead letters.
    #[default]
    DeadLetter,
    /// Left out and counted.
    Skip,
}

impl Default for Event {
    fn default() -> Self {
        Self {
            format: Format::default(),
            id: defaults::event_id(),
            partition_key: defaults::partition_key(),
            timestamps: defaults::timestamps(),
            timestamp_precision: Precision::default(),
            epoch_unit: EpochUnit::default(),
            enqueued_at: defaults::enqueued_at(),
            processed_at: defaults::processed_at(),
            ttl: Ttl::default(),
            tombstone: Tombstone::default(),
        }
    }
}
