//! The configuration: what each key means, its default and its limits.
//!
//! The key names are promises to users; they change only with a deprecation release.

pub mod check;
mod cosmos;
mod defaults;
pub mod environment;
mod error;
mod event;
mod file;
mod kafka;
mod layer;
pub mod librdkafka;
mod load;
mod process;
mod properties;
pub mod reference;
pub mod refused;
pub mod sdk_variables;
pub mod secret;
pub mod sign_in;
mod typed;
mod unknown;
mod values;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cosmos::{Cosmos, CosmosAuth, CosmosAuthMethod};
pub use error::{ConfigError, ConfigErrors, Place, Problem};
pub use event::{EpochUnit, Event, Format, Precision, Tombstone, Ttl};
pub use kafka::{Kafka, KafkaAuth, KafkaAuthMethod, OnCorrupt, OnOutOfRange, ScramMechanism, Start};
pub use load::{Broken, Loaded, load, load_and_check};
pub use process::{Admin, DeadLetter, Log, LogFormat, Oversize, Shutdown, Trigger};
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
    pub config_version: u64,
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

impl Config {
    /// From here, to there, and the rest to the dead letters; everything else by default.
    pub fn new(kafka: Kafka, cosmos: Cosmos, dead_letter: DeadLetter) -> Self {
        Self {
            name: defaults::name(),
            config_version: defaults::config_version(),
            kafka,
            trigger: Trigger::default(),
            event: Event::default(),
            cosmos,
            dead_letter,
            shutdown: Shutdown::default(),
            admin: Admin::default(),
            log: Log::default(),
        }
    }
}
