//! The embedded Cosmos DB: Microsoft's in-memory emulator behind an HTTP port of its own.
//!
//! The emulator is part of the driver crate under Microsoft's Rust SDK, which tests itself with it. It
//! knows no HTTP; this module serves it, checks the account key, keeps to a throughput, and goes wrong on
//! demand. docs/sandbox.md says where it differs from the service.

mod call;
mod control;
mod doors;
mod emulator;
mod fault;
mod journal;
mod key;
mod ranges;
mod server;
mod stats;
mod throughput;
mod token;

use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, ensure};
use azure_core::credentials::Secret;
use azure_data_cosmos_driver::in_memory_emulator::EmulatorStore;
use tokio::runtime::Handle;
use url::Url;

pub use call::Kind;
pub use fault::{Effect, Fault, Faults};
pub use journal::Journal;
pub use key::{KEY_SENTENCE, key_for, public_key};
pub use stats::{Answered, Stats};

use doors::Doors;
use emulator::{Emulator, Region, Shape};
use server::Service;
use throughput::Throughput;
use token::Tokens;

/// What the embedded Cosmos DB holds when it starts.
#[derive(Clone, Debug)]
pub struct CosmosOptions {
    /// The port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// The name of the account's only region.
    pub region: String,
    /// Further regions, each at an address of its own. Then the first one has one too, and the account's address leads to
    /// the region that takes the writes.
    #[doc(hidden)]
    pub further_regions: Vec<String>,
    /// The database.
    pub database: String,
    /// The containers in it.
    pub containers: Vec<ContainerOptions>,
    /// Request units a second of each container, at least 400. None: without limit.
    pub throughput: Option<u64>,
    /// Physical partitions of each container, 1 to 100,000.
    pub physical_partitions: u32,
    /// The account key, base64. None: [`public_key`].
    pub key: Option<String>,
    /// Where the account tells clients that it is, if something stands before it.
    #[doc(hidden)]
    pub advertised: Option<Url>,
    /// Whether faults can be asked for over HTTP, under `/_sandbox/`.
    pub control: bool,
    /// Whether [`EmbeddedCosmos::journal`] is kept.
    #[doc(hidden)]
    pub journal: bool,
}

impl Default for CosmosOptions {
    fn default() -> Self {
        Self {
            port: 0,
            region: "West Europe".into(),
            further_regions: Vec::new(),
            database: "streaming".into(),
            containers: vec![ContainerOptions::default()],
            throughput: None,
            physical_partitions: PHYSICAL_PARTITIONS,
            key: None,
            advertised: None,
            control: false,
            journal: false,
        }
    }
}

/// Physical partitions of a container, unless asked otherwise.
///
/// The emulator copies all documents of a physical partition for every transactional batch. Measured with
/// 100,000 events of 1,000 devices in batches of 10, on two cores shared with the client: 75 s with 100
/// partitions, 17 s with 1,000, 16 s with 4,000, where hardly two devices meet in a partition any more
/// and the devices' own documents are what is left to copy. Creating them takes 10 ms for 1,000, 60 ms
/// for 4,000, 280 ms for 10,000. What clients see of them is another matter: `ranges`.
pub const PHYSICAL_PARTITIONS: u32 = 2_000;

/// One container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerOptions {
    /// Its name.
    pub name: String,
    /// One to three paths, such as `/deviceId`.
    pub partition_key: Vec<String>,
    /// Paths that are unique within a partition key, such as `/eventId`.
    pub unique_keys: Vec<String>,
}

impl Default for ContainerOptions {
    /// The container of the sample that `streamproc` replaces.
    fn default() -> Self {
        Self {
            name: "rawdata".into(),
            partition_key: vec!["/deviceId".into()],
            unique_keys: vec!["/eventId".into()],
        }
    }
}

/// A running Cosmos DB.
pub struct EmbeddedCosmos {
    endpoint: Url,
    key: String,
    database: String,
    containers: Vec<ContainerOptions>,
    shape: Shape,
    service: Arc<Service>,
    doors: Arc<Doors>,
}

impl EmbeddedCosmos {
    /// Creates the account and serves it on `runtime`.
    ///
    /// # Errors
    ///
    /// When the port is taken, or the options describe a container that Cosmos DB would refuse.
    pub async fn start(options: CosmosOptions, runtime: &Handle) -> anyhow::Result<Self> {
        for container in &options.containers {
            ensure!(
                (1..=3).contains(&container.partition_key.len()),
                "container {}: a partition key has one to three paths",
                container.name
            );
        }
        let listener = super::listen("Cosmos DB", options.port)?;
        let address = listener.local_addr()?;
        let endpoint = server::endpoint(address)?;
        let further = Doors::listen(&options.region, &options.further_regions)?;
        let regions = if further.is_empty() {
            let gateway = options.advertised.unwrap_or_else(|| endpoint.clone());
            vec![Region { name: options.region, gateway }]
        } else {
            further.iter().map(|(region, _)| region.clone()).collect()
        };
        let key = options.key.unwrap_or_else(public_key);
        let shape =
            Shape { physical_partitions: options.physical_partitions, throughput: options.throughput };
        let service = Arc::new(Service {
            emulator: Emulator::new(regions)?,
            key: RwLock::new(Secret::new(key.clone())),
            tokens: Tokens::default(),
            faults: Faults::default(),
            throughput: options.throughput.map(|limit| Throughput::new(limit, ranges::shown(shape))),
            counter: stats::Counter::default(),
            journal: options.journal.then(Arc::default),
            control: options.control.then(|| (options.database.clone(), shape)),
        });
        let (database, containers) = (options.database.clone(), options.containers.clone());
        let prepared = Arc::clone(&service);
        let prepare = async move {
            prepared.emulator.create_database(&database).await?;
            for container in &containers {
                prepared.emulator.create_container(&database, container, shape).await?;
            }
            anyhow::Ok(())
        };
        runtime.spawn(prepare).await.context("the embedded Cosmos DB")??;
        let serving = Arc::clone(&service);
        let doors = Arc::new(Doors::open(further, &service, runtime));
        let behind = Arc::clone(&doors);
        runtime.spawn(async move {
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                server::serve(listener, serving, behind).await;
            }
        });
        let CosmosOptions { database, containers, .. } = options;
        Ok(Self { endpoint, key, database, containers, shape, service, doors })
    }

    /// Where clients find it, `http://127.0.0.1:8081/`.
    pub fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// The account key, base64.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The database made at the start.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The containers made at the start.
    pub fn containers(&self) -> &[ContainerOptions] {
        &self.containers
    }

    /// What was answered so far, and what is stored.
    pub fn stats(&self) -> Stats {
        self.service.counter.read()
    }

    /// Takes another key from now on, and the old one no more.
    #[doc(hidden)]
    pub fn rotate_key(&self, key: &str) {
        *self.service.key.write().unwrap_or_else(PoisonError::into_inner) = Secret::new(key.to_owned());
    }

    /// Takes tokens too from now on, or none any more. Nobody asks who has signed them.
    #[doc(hidden)]
    pub fn take_tokens(&self, taken: bool) {
        self.service.tokens.take(taken);
    }

    /// The tokens that clients have shown, each once, in the order in which they came.
    #[doc(hidden)]
    pub fn tokens_shown(&self) -> Vec<String> {
        self.service.tokens.shown()
    }

    /// What goes wrong on purpose.
    #[doc(hidden)]
    pub fn faults(&self) -> &Faults {
        &self.service.faults
    }

    /// How often and as what each document was written, if [`CosmosOptions::journal`] asked for it.
    #[doc(hidden)]
    pub fn journal(&self) -> Option<Arc<Journal>> {
        self.service.journal.clone()
    }

    /// Gives each container so many request units a second from now on, if it was started with a limit.
    #[doc(hidden)]
    pub fn set_throughput(&self, request_units_per_second: u64) {
        if let Some(throughput) = &self.service.throughput {
            throughput.set(request_units_per_second);
        }
    }

    /// Deletes a container with all that is in it.
    ///
    /// # Errors
    ///
    /// When there is none of this name.
    #[doc(hidden)]
    pub async fn delete_container(&self, name: &str) -> anyhow::Result<()> {
        control::delete_container(&self.service, &self.database, name).await.map(drop)
    }

    /// Makes a container.
    ///
    /// # Errors
    ///
    /// When Cosmos DB would refuse it.
    #[doc(hidden)]
    pub async fn create_container(&self, container: &ContainerOptions) -> anyhow::Result<()> {
        self.service.emulator.create_container(&self.database, container, self.shape).await
    }

    /// Whether one of several regions can be reached. Of one that cannot, connections are cut and refused; nor does the
    /// account's address lead anywhere while that region takes the writes.
    ///
    /// # Errors
    ///
    /// When the account has no such region, or it has the account's address.
    #[doc(hidden)]
    pub fn set_reachable(&self, region: &str, reachable: bool) -> anyhow::Result<()> {
        let which = self.service.emulator.region(region).with_context(|| format!("no region {region}"))?;
        self.doors.set_open(which, reachable)
    }

    /// The emulator's own store, for what goes beyond faults: splits, merges, regions.
    #[doc(hidden)]
    pub fn store(&self) -> Arc<EmulatorStore> {
        self.service.emulator.store()
    }
}
