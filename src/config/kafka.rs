//! Where the events come from: `[kafka]`, `[kafka.auth]` and `[kafka.properties]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Span, defaults};

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
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
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
    /// Whether the connection is encrypted. Off, passwords of `plain` and tokens are sent to brokers on
    /// this machine alone.
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

impl Kafka {
    /// Reads these topics from these brokers; everything else by default.
    pub fn new<T: Into<String>>(
        bootstrap_servers: impl Into<String>,
        topics: impl IntoIterator<Item = T>,
    ) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            topics: topics.into_iter().map(Into::into).collect(),
            group_id: defaults::group_id(),
            workers: defaults::workers(),
            start: Start::default(),
            on_out_of_range: OnOutOfRange::default(),
            on_corrupt: OnCorrupt::default(),
            session_timeout: defaults::session_timeout(),
            client_rack: String::new(),
            auth: KafkaAuth::default(),
            properties: BTreeMap::new(),
        }
    }
}

impl Default for KafkaAuth {
    fn default() -> Self {
        Self {
            method: KafkaAuthMethod::default(),
            username: String::new(),
            password_file: None,
            mechanism: ScramMechanism::default(),
            tls: defaults::yes(),
            ca_file: None,
            certificate_file: None,
            key_file: None,
            scope: String::new(),
            client_id: String::new(),
            tenant_id: String::new(),
        }
    }
}
