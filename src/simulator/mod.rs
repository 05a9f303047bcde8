//! The sample's devices: sends events to Kafka as they would.
//!
//! - Events are those of the sample's page, in its fields and order; see `event`.
//! - They are keyed by device id and sent idempotently with `acks=all`; what counts as delivered is
//!   what Kafka has acknowledged, and one failed delivery fails the run.
//! - A *duplicate* is the same bytes under the same key sent again directly after the first, every
//!   so many events. Directly after, as the sample's own generator does it: a copy that came later
//!   would be stored later too, and would look like an event out of sequence.
//! - An asked rate is held against the clock of the start, so that it does not drift; see `pace`.
//! - An embedded Kafka forgets what is not read in time; there the simulator waits for the reader;
//!   see `hold_back`.
//!
//! It runs on a thread of its own, because generating and sending 50,000 events a second is work
//! for one core, and because Kafka's client blocks.

mod cluster;
mod delivery;
mod event;
mod hold_back;
mod options;
mod pace;
mod send;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use tokio_util::sync::CancellationToken;

pub use event::Events;
pub use options::{Counts, Options, Progress, Summary, Until};

/// Why a run could not begin, or failed.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// No broker answered.
    #[error(
        "Kafka at {servers} did not answer within {} s: {reason}; check kafka.bootstrap_servers and kafka.auth",
        .waited.as_secs()
    )]
    Unreachable {
        /// `bootstrap.servers`.
        servers: String,
        /// How long we waited.
        waited: Duration,
        /// What Kafka's client says.
        reason: String,
    },
    /// The topic is not there, or may not be seen.
    #[error("topic {topic} at {servers} cannot be used: {reason}; create it, or name another with --topic")]
    Topic {
        /// The topic.
        topic: String,
        /// `bootstrap.servers`.
        servers: String,
        /// What Kafka says.
        reason: String,
    },
    /// Kafka's client does not take its configuration.
    #[error("Kafka's client refuses its configuration")]
    Client(#[source] KafkaError),
    /// Kafka's client does not take a record.
    #[error("after {} events: cannot send to {}: {reason}", .summary.events, .summary.topic)]
    Send {
        /// What Kafka's client says.
        reason: String,
        /// What was done until then.
        summary: Box<Summary>,
    },
    /// Kafka did not store a record.
    #[error("after {} events: {failed} records were not delivered to {}, the first because: {reason}", .summary.events, .summary.topic)]
    Delivery {
        /// How many.
        failed: u64,
        /// What Kafka says of the first.
        reason: String,
        /// What was done until then.
        summary: Box<Summary>,
    },
    /// Kafka neither stored nor refused records in time.
    #[error("after {} events: {missing} records were not acknowledged by {} within {} s", .summary.events, .summary.topic, .waited.as_secs())]
    Unacknowledged {
        /// How many.
        missing: u64,
        /// How long we waited.
        waited: Duration,
        /// What was done until then.
        summary: Box<Summary>,
    },
    /// The thread it ran on ended without an answer.
    #[error("the simulator's thread ended unexpectedly: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

/// Sends events until `options.until` or until cancelled; then waits for their acknowledgements.
///
/// `client_config` holds what it takes to reach the cluster and to sign in; the producer's own
/// properties are set here. `progress` can be read all the while.
///
/// # Errors
/// When the cluster or the topic cannot be reached (within 10 s), or when a record is not delivered.
pub async fn run(
    options: Options,
    client_config: ClientConfig,
    progress: Arc<Progress>,
    cancel: CancellationToken,
) -> Result<Summary, SimulatorError> {
    let stop = cancel.child_token();
    // A caller that is dropped takes its thread with it.
    let _stop_with_the_caller = stop.clone().drop_guard();
    tokio::task::spawn_blocking(move || send::run(options, &client_config, &progress, &stop)).await?
}
