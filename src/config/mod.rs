//! The configuration: what each key means, its default and its limits.
//!
//! The key names are promises to users; they change only with a deprecation release.

mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use values::{ByteSize, Span};

/// The whole configuration file.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of this pipeline, in `/progress` and in the log.
    #[serde(default = "defaults::name")]
    pub name: String,
    /// The version of this file's form. There is only version 1.
    #[serde(default = "defaults::config_version")]
    pub config_version: u32,
    /// Where the events come from.
    pub kafka: Kafka,
    /// When a micro-batch is cut, and how much may be held in memory.
    #[serde(default)]
    pub trigger: Trigger,
    /// What an event looks like and what becomes of it.
    #[serde(default)]
    pub event: Event,
    /// Where the documents go.
    pub cosmos: Cosmos,
    /// Where events go that cannot be stored.
    pub dead_letter: DeadLetter,
    /// How the process ends.
    #[serde(default)]
    pub shutdown: Shutdown,
    /// The HTTP port for probes, metrics and progress.
    #[serde(default)]
    pub admin: Admin,
    /// The log.
    #[serde(default)]
    pub log: Log,
}

/// `[kafka]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    /// `host:port` of one or more brokers, separated by commas.
    pub bootstrap_servers: String,
    /// The topics to read.
    pub topics: Vec<String>,
    /// The consumer group. Its committed offsets are all the state there is.
    #[serde(default = "defaults::group_id")]
    pub group_id: String,
    /// Members of the group in this process, each a Kafka client of its own.
    #[serde(default = "defaults::workers")]
    pub workers: usize,
    /// Where to begin when the group has no offset for any partition of a topic.
    #[serde(default)]
    pub start: Start,
    /// What to do when a committed offset no longer exists in the topic.
    #[serde(default)]
    pub on_out_of_range: OnOutOfRange,
    /// What to do with a batch of records that Kafka's client cannot read.
    #[serde(default)]
    pub on_corrupt: OnCorrupt,
    /// After how long without a heartbeat the group gives a member's partitions to others.
    #[serde(default = "defaults::session_timeout")]
    pub session_timeout: Span,
    /// This process's rack (availability zone), to fetch from the nearest replica. Empty: not set.
    #[serde(default)]
    pub client_rack: String,
    /// How to sign in to Kafka.
    #[serde(default)]
    pub auth: KafkaAuth,
    /// Further librdkafka properties. One that would break a promise is refused by name.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
}

/// `kafka.start`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// From the oldest record there is.
    #[default]
    Earliest,
    /// From the records written after now.
    Latest,
    /// Read nothing and say so: an operator has to set offsets first.
    Fail,
}

/// `kafka.on_out_of_range`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnOutOfRange {
    /// Hold the partition and raise an alarm.
    #[default]
    Pause,
    /// Go on at the oldest record there is, and count what was lost.
    Earliest,
    /// Go on at the end, and count what was lost.
    Latest,
}

/// `kafka.on_corrupt`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnCorrupt {
    /// Hold the partition before the unreadable batch and raise an alarm.
    #[default]
    Pause,
    /// Leave the batch out and count it.
    Skip,
}

/// `[kafka.auth]`
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaAuth {
    /// How to sign in.
    #[serde(default)]
    pub method: KafkaAuthMethod,
    /// `scram`, `plain`: the user name.
    #[serde(default)]
    pub username: String,
    /// `scram`, `plain`: a file that holds the password. Read again when it changes.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// `scram`: the hash, `SCRAM-SHA-512` or `SCRAM-SHA-256`.
    #[serde(default)]
    pub mechanism: ScramMechanism,
    /// Whether the connection is encrypted. Off only for tests on one machine.
    #[serde(default = "defaults::yes")]
    pub tls: bool,
    /// The certificates to trust, PEM. Without it, the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// `mtls`: our certificate, PEM.
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,
    /// `mtls`: our private key, PEM.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// `workload_identity`: the scope of the token, `https://NAMESPACE.servicebus.windows.net/.default` for Event Hubs.
    #[serde(default)]
    pub scope: String,
    /// `workload_identity`: the client id of the identity. Without it, `AZURE_CLIENT_ID`.
    #[serde(default)]
    pub client_id: String,
    /// `workload_identity`: the tenant. Without it, `AZURE_TENANT_ID`.
    #[serde(default)]
    pub tenant_id: String,
}

/// `kafka.auth.method`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KafkaAuthMethod {
    /// No sign-in. The connection is not encrypted.
    #[default]
    None,
    /// User and password by SASL/SCRAM.
    Scram,
    /// User and password by SASL/PLAIN.
    Plain,
    /// A client certificate.
    Mtls,
    /// A token of Microsoft Entra ID by SASL/OAUTHBEARER, as Event Hubs takes it.
    WorkloadIdentity,
}

/// `kafka.auth.mechanism`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ScramMechanism {
    /// SCRAM-SHA-512.
    #[default]
    #[serde(rename = "SCRAM-SHA-512")]
    Sha512,
    /// SCRAM-SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    Sha256,
}

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

/// `[cosmos]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cosmos {
    /// The account, `https://ACCOUNT.documents.azure.com:443/`.
    pub endpoint: String,
    /// The account's regions, nearest first.
    pub regions: Vec<String>,
    /// The database.
    pub database: String,
    /// The container.
    pub container: String,
    /// The most one request may take, retries of the SDK included.
    #[serde(default = "defaults::request_timeout")]
    pub request_timeout: Span,
    /// A limit for the whole consumer group; a process takes its share by the partitions it owns. 0: none.
    #[serde(default)]
    pub max_request_units_per_second: u64,
    /// Whether an account with several write regions is taken. There the last writer wins, whatever the order in Kafka.
    #[serde(default)]
    pub allow_multiple_write_regions: bool,
    /// The account's Azure resource id; lets `check` read the throughput.
    #[serde(default)]
    pub resource_id: String,
    /// How to sign in to Cosmos DB.
    #[serde(default)]
    pub auth: CosmosAuth,
}

/// `[cosmos.auth]`
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CosmosAuth {
    /// How to sign in.
    #[serde(default)]
    pub method: CosmosAuthMethod,
    /// The client id of the identity. Without it, `AZURE_CLIENT_ID` or the machine's own identity.
    #[serde(default)]
    pub client_id: String,
    /// `workload_identity`: the tenant. Without it, `AZURE_TENANT_ID`.
    #[serde(default)]
    pub tenant_id: String,
    /// `key`: a file that holds the account key. Without it, `STREAMPROC_COSMOS_KEY`.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
}

/// `cosmos.auth.method`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CosmosAuthMethod {
    /// A federated token of the pod's service account.
    #[default]
    WorkloadIdentity,
    /// The managed identity of the machine.
    ManagedIdentity,
    /// Whoever is signed in with the Azure CLI or the Azure Developer CLI.
    Developer,
    /// The account key.
    Key,
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
    /// How long writes in flight may take once the process is asked to stop or a partition is
    /// given away. Keep it below the pod's grace period.
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

mod defaults {
    use super::{ByteSize, Span};

    pub(super) fn name() -> String {
        "streamproc".into()
    }
    pub(super) fn config_version() -> u32 {
        1
    }
    pub(super) fn group_id() -> String {
        "streamproc".into()
    }
    pub(super) fn workers() -> usize {
        2
    }
    pub(super) fn session_timeout() -> Span {
        Span::from_millis(12_000)
    }
    pub(super) fn max_events_per_trigger() -> usize {
        10_000
    }
    pub(super) fn interval() -> Span {
        Span::from_millis(500)
    }
    pub(super) fn max_bytes() -> ByteSize {
        ByteSize(64 << 20)
    }
    pub(super) fn event_id() -> String {
        "eventId".into()
    }
    pub(super) fn partition_key() -> Vec<String> {
        vec!["deviceId".into()]
    }
    pub(super) fn timestamps() -> Vec<String> {
        vec!["createdAt".into()]
    }
    pub(super) fn enqueued_at() -> String {
        "enqueuedAt".into()
    }
    pub(super) fn processed_at() -> String {
        "processedAt".into()
    }
    pub(super) fn request_timeout() -> Span {
        Span::from_millis(25_000)
    }
    pub(super) fn max_fraction() -> f64 {
        0.1
    }
    pub(super) fn shutdown_timeout() -> Span {
        Span::from_millis(25_000)
    }
    pub(super) fn admin_listen() -> String {
        "0.0.0.0:9090".into()
    }
    pub(super) fn yes() -> bool {
        true
    }
}
