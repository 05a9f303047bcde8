//! The service: everything of one process, from the configuration to the last commit.
//!
//! It joins the consumer group only when documents can be stored and dead letters can be sent: a new
//! replica with a wrong key or a missing topic must not take partitions away from the ones that work.

mod clients;
mod observer;
mod questions;
mod start;
mod token;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use self::start::StartError;
use crate::admin::{Admin, Sources};
use crate::config::Config;
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;
use crate::observe::progress::Progress;
use crate::worker::Broken;

/// A running service.
pub struct Service {
    /// What is counted.
    pub metrics: Metrics,
    /// What holds the stream.
    pub health: Health,
    /// The last micro-batches.
    pub progress: Progress,
    /// The admin port.
    pub admin: Admin,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), Broken>>,
}

/// The part that the admin port asks for before it exists.
pub(crate) type LongestSilence = Arc<OnceLock<Box<dyn Fn() -> Duration + Send + Sync>>>;

impl Service {
    /// Starts the service. What can be repaired from outside (Kafka or Cosmos DB out of reach, a
    /// missing topic) is waited for and shown on `/readyz`.
    ///
    /// # Errors
    ///
    /// What waiting cannot help: the admin port is taken, a credential is not there, a rule of the
    /// configuration cannot be followed.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let metrics = Metrics::new()?;
        let health = Health::new(metrics.clone());
        let progress = progress(&config);
        let parts = start::Parts::prepare(config, metrics.clone(), health.clone(), progress.clone())?;
        health.raise("starting", "", "looking at Cosmos DB, the dead-letter topic and Kafka");
        let silence: LongestSilence = Arc::default();
        let asked = Arc::clone(&silence);
        let sources = Sources {
            metrics: metrics.clone(),
            health: health.clone(),
            progress: progress.clone(),
            silence: Arc::new(move || asked.get().map_or(Duration::ZERO, |silence| silence())),
        };
        let admin = Admin::listen(&parts.config.admin.listen, sources).await?;
        tracing::info!(address = %admin.address, "the admin port answers");
        let stop = CancellationToken::new();
        let task = tokio::spawn(parts.run(stop.clone(), silence));
        Ok(Self { metrics, health, progress, admin, stop, task })
    }

    /// Drains: stops reading, lets writes in flight end within `shutdown.timeout`, commits, leaves
    /// the group.
    ///
    /// # Errors
    ///
    /// When a part of the service had broken down, and so did not drain.
    pub async fn stop(self) -> Result<(), Broken> {
        self.stop.cancel();
        let ended = self.task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the service broke down");
            Err(Broken)
        });
        self.admin.stop().await;
        ended
    }
}

fn progress(config: &Config) -> Progress {
    // The same for every process and every run of this pipeline, as a query's id is in Spark.
    let id = uuid::Uuid::new_v5(
        &uuid::Uuid::NAMESPACE_URL,
        format!("{}/{}", config.kafka.group_id, config.name).as_bytes(),
    );
    let sink = format!("CosmosDB[{}/{}]", config.cosmos.database, config.cosmos.container);
    Progress::new(&config.name, &id.to_string(), &sink)
}
