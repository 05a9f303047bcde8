//! What the workers of a process have in common.

use crate::azure::TokenCache;
use crate::config;
use crate::core::start::FirstStart;
use crate::core::worker::{OutOfRangePolicy, Settings as MachineSettings};
use crate::source::seen::Seen;

/// What the workers of a process have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where and how to read.
    pub kafka: config::Kafka,
    /// The byte budget of the process, `trigger.max_bytes`.
    pub max_bytes: u64,
    /// Where a group begins that is new to a topic.
    pub first_start: FirstStart,
    /// How the state machine works.
    pub machine: MachineSettings,
    /// Tokens to sign in to Kafka with, if it wants them.
    pub tokens: Option<TokenCache>,
    /// Which offsets the group has been seen to have.
    pub seen: Seen,
}

impl Settings {
    /// The settings of a configuration.
    pub fn of(config: &config::Config, tokens: Option<TokenCache>) -> Self {
        let machine = MachineSettings {
            max_events: config.trigger.max_events_per_trigger,
            interval: config.trigger.interval.0,
            shutdown_timeout: config.shutdown.timeout.0,
            on_out_of_range: match config.kafka.on_out_of_range {
                config::OnOutOfRange::Pause => OutOfRangePolicy::Hold,
                config::OnOutOfRange::Earliest => OutOfRangePolicy::Earliest,
                config::OnOutOfRange::Latest => OutOfRangePolicy::Latest,
            },
            skip_corrupt: config.kafka.on_corrupt == config::OnCorrupt::Skip,
            ..MachineSettings::default()
        };
        Self {
            kafka: config.kafka.clone(),
            max_bytes: config.trigger.max_bytes.0,
            first_start: match config.kafka.start {
                config::Start::Earliest => FirstStart::Earliest,
                config::Start::Latest => FirstStart::Latest,
                config::Start::Fail => FirstStart::Fail,
            },
            machine,
            tokens,
            seen: Seen::default(),
        }
    }
}
