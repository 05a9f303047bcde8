//! `run`: the service, until it is asked to stop.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::process::ExitCode;
use std::time::Duration;

use super::{Cli, FAILED, USAGE, load_config, logging, signals};
use crate::config::Loaded;
use crate::service::{Service, StartError};

/// What may follow `shutdown.timeout`: the last commit and leaving the group, five seconds each.
const LAST_STEPS: Duration = Duration::from_secs(10);

pub(super) fn run(cli: &Cli) -> ExitCode {
    let loaded = match load_config(cli) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    logging::start(loaded.config.log.format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            super::remark(&format!("error: the system gives no threads: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    let served = runtime.block_on(serve(loaded));
    // A question to a Kafka that does not answer takes some seconds; nobody waits for that any more.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Its causes stand in its own words already.
            super::remark(&format!("error: {error}"));
            ExitCode::from(status(&error))
        }
    }
}

fn status(error: &anyhow::Error) -> u8 {
    let is_usage = error.downcast_ref().is_some_and(StartError::is_of_configuration);
    if is_usage { USAGE } else { FAILED }
}

async fn serve(loaded: Loaded) -> anyhow::Result<()> {
    let stop = signals::stop_token()?;
    let config = loaded.config;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        name = config.name,
        kafka = config.kafka.bootstrap_servers,
        topics = config.kafka.topics.join(","),
        group = config.kafka.group_id,
        workers = config.kafka.workers,
        cosmos = config.cosmos.endpoint,
        container = format!("{}/{}", config.cosmos.database, config.cosmos.container),
        dead_letters = config.dead_letter.topic,
        "starting"
    );
    if Backtrace::capture().status() == BacktraceStatus::Captured {
        tracing::warn!(
            "RUST_BACKTRACE is set, which makes each request to Cosmos DB cost half as much again: set RUST_LIB_BACKTRACE=0 \
             besides, and a panic still has its backtrace"
        );
    }
    let limit = config.shutdown.timeout.0 + LAST_STEPS;
    let service = Service::start(config).await?;
    stop.cancelled().await;
    if let Ok(stopped) = tokio::time::timeout(limit, service.stop()).await {
        return Ok(stopped?);
    }
    // What was stored and not committed is read again by the next owner: the same upserts.
    tracing::warn!(seconds = limit.as_secs(), "not everything came to its end in time; the process ends");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::Broken;

    #[test]
    fn a_worker_that_broke_down_is_a_failure_and_no_matter_of_the_configuration() {
        assert_eq!(status(&Broken.into()), FAILED);
    }
}
