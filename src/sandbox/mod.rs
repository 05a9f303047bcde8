//! An embedded Kafka and an embedded Cosmos DB, for `demo`, `sandbox` and tests. Nothing is installed,
//! nothing is kept.
//!
//! Both speak their true protocols on this machine's loopback address, so that any client of theirs can
//! be tried, but neither is the real thing: docs/sandbox.md says where they differ. The production
//! binary is built without this module.

mod background;
mod cosmos;
mod kafka;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context;
use url::Url;

pub use cosmos::{
    Answered, ContainerOptions, CosmosOptions, Effect, EmbeddedCosmos, Fault, Faults, Journal, KEY_SENTENCE,
    Kind, PHYSICAL_PARTITIONS, Stats, key_for, public_key,
};
pub use kafka::{DroppedUnread, EmbeddedKafka, KafkaOptions, LogStatus, Mock, Topic};

use background::Background;

/// What the sandbox runs. Either part may be left out, to use a real one instead.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// The embedded Kafka.
    pub kafka: Option<KafkaOptions>,
    /// The embedded Cosmos DB.
    pub cosmos: Option<CosmosOptions>,
}

impl Default for SandboxOptions {
    /// Both, on free ports.
    fn default() -> Self {
        Self { kafka: Some(KafkaOptions::default()), cosmos: Some(CosmosOptions::default()) }
    }
}

/// A port of the sandbox that another program holds.
#[derive(Debug, thiserror::Error)]
#[error("port {port} of 127.0.0.1, wanted for {service}, is taken by another program")]
pub struct PortTaken {
    /// `Kafka` or `Cosmos DB`.
    pub service: &'static str,
    /// The port.
    pub port: u16,
}

/// A running sandbox. It ends when it is stopped or dropped.
pub struct Sandbox {
    kafka: Option<EmbeddedKafka>,
    cosmos: Option<EmbeddedCosmos>,
    background: Background,
}

impl Sandbox {
    /// Starts what the options name. When this returns, clients can connect.
    ///
    /// # Errors
    ///
    /// [`PortTaken`] when a port is in use; otherwise when an embedded part cannot be set up as asked.
    pub async fn start(options: SandboxOptions) -> anyhow::Result<Self> {
        let background = Background::start()?;
        let cosmos = match options.cosmos {
            Some(options) => Some(EmbeddedCosmos::start(options, background.handle()).await?),
            None => None,
        };
        let kafka = match options.kafka {
            Some(options) => Some(EmbeddedKafka::start(options, background.handle()).await?),
            None => None,
        };
        Ok(Self { kafka, cosmos, background })
    }

    /// The embedded Kafka, unless it was left out.
    pub fn kafka(&self) -> Option<&EmbeddedKafka> {
        self.kafka.as_ref()
    }

    /// The embedded Cosmos DB, unless it was left out.
    pub fn cosmos(&self) -> Option<&EmbeddedCosmos> {
        self.cosmos.as_ref()
    }

    /// `host:port` to give a Kafka client; None without the embedded Kafka.
    pub fn kafka_bootstrap(&self) -> Option<&str> {
        self.kafka.as_ref().map(EmbeddedKafka::bootstrap)
    }

    /// The account's address; None without the embedded Cosmos DB.
    pub fn cosmos_endpoint(&self) -> Option<&Url> {
        self.cosmos.as_ref().map(EmbeddedCosmos::endpoint)
    }

    /// The account key, base64; None without the embedded Cosmos DB.
    pub fn cosmos_key(&self) -> Option<&str> {
        self.cosmos.as_ref().map(EmbeddedCosmos::key)
    }

    /// Partitions whose oldest records were dropped before the group had committed past them. Empty is
    /// what one wants to see.
    pub fn dropped_unread(&self) -> Vec<DroppedUnread> {
        self.kafka.as_ref().map_or_else(Vec::new, EmbeddedKafka::dropped_unread)
    }

    /// Closes all connections and frees the ports.
    pub async fn stop(self) {
        let Self { kafka, cosmos, background } = self;
        let stop = move || {
            drop(cosmos);
            drop(kafka);
            background.stop();
        };
        let _ = tokio::task::spawn_blocking(stop).await;
    }
}

/// A listener on the loopback address that tells who is in the way.
fn listen(service: &'static str, port: u16) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address).map_err(|error| {
        if error.kind() == io::ErrorKind::AddrInUse {
            anyhow::Error::new(PortTaken { service, port })
        } else {
            anyhow::Error::new(error).context(format!("cannot listen on {address} for {service}"))
        }
    })?;
    listener.set_nonblocking(true).context("the listener")?;
    Ok(listener)
}
