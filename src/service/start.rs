//! From a configuration to a stream that flows, step by step: sign in, look at Cosmos DB, look at the
//! dead-letter topic, start the workers. Each step waits for what can be repaired from outside, says
//! what it waits for, and ends at once when the process is to stop.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::LongestSilence;
use super::clients::{Clients, ClientsError};
use super::observer::Observer;
use super::token;
use crate::admin::ListenError;
use crate::azure::{self, AccountKey, CosmosSignIn, SignInError, TokenCache};
use crate::config::Config;
use crate::core::budget::Budget;
use crate::core::transform::{RuleError, Rules};
use crate::kafka;
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;
use crate::observe::progress::Progress;
use crate::sink::{self, Backoff, Sink};
use crate::store::cosmos::{Cosmos, CredentialSource, Target};
use crate::worker::{Broken, Joining, Ownership, Pool, Settings as WorkerSettings, Shared};

/// Which part of the byte budget is for the bodies of requests in flight.
const BODIES_PART: u64 = 4;

/// A step that takes longer is said to.
const WORTH_MENTIONING: Duration = Duration::from_secs(5);

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Two metrics of one name: a defect here.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// The admin port cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The rules for events contradict each other.
    #[error("{0}")]
    Rules(#[from] RuleError),
    /// There is nothing to sign in to Cosmos DB with.
    #[error("Cosmos DB: {0}")]
    CosmosSignIn(#[from] SignInError),
    /// There is nothing to sign in to Kafka with.
    #[error("Kafka: {0}")]
    KafkaSignIn(#[from] azure::CredentialError),
    /// The endpoint is no address.
    #[error("cosmos.endpoint {endpoint}: {source}")]
    Endpoint {
        /// What it says.
        endpoint: String,
        /// What is wrong.
        source: url::ParseError,
    },
    /// A Kafka client cannot be made.
    #[error(transparent)]
    Clients(#[from] ClientsError),
}

impl StartError {
    /// Whether the configuration is to be mended, or what it names on this machine.
    pub fn is_of_configuration(&self) -> bool {
        use crate::dead_letter::kafka::ProducerError;
        use crate::source::consumer::ConsumerError;
        match self {
            Self::Rules(_)
            | Self::CosmosSignIn(_)
            | Self::KafkaSignIn(_)
            | Self::Endpoint { .. }
            | Self::Clients(
                ClientsError::Consumer(ConsumerError::Setup(_))
                | ClientsError::Producer(ProducerError::Setup(_)),
            ) => true,
            Self::Metrics(_) | Self::Listen(_) | Self::Clients(_) => false,
        }
    }
}

/// What the service is made of, before it runs.
pub(super) struct Parts {
    pub(super) config: Config,
    rules: Rules,
    target: Target,
    tokens: Option<TokenCache>,
    /// Not before there is a token, if they need one.
    clients: Option<Clients>,
    metrics: Metrics,
    health: Health,
    progress: Progress,
}

impl Parts {
    /// Makes everything that needs no answer from outside.
    pub(super) fn prepare(
        config: Config,
        metrics: Metrics,
        health: Health,
        progress: Progress,
    ) -> Result<Self, StartError> {
        let rules = Rules::compile(&config.event)?;
        let target = target(&config)?;
        let tokens = kafka::tokens(&config.kafka.auth, &azure::process_environment)?;
        let clients = match &tokens {
            None => Some(Clients::new(&config, None, &metrics, &health)?),
            Some(_) => None,
        };
        Ok(Self { config, rules, target, tokens, clients, metrics, health, progress })
    }

    /// Runs until told to stop.
    pub(super) async fn run(
        mut self,
        stop: CancellationToken,
        silence: LongestSilence,
    ) -> Result<(), Broken> {
        let _watching = self.tokens.clone().map(|tokens| {
            let watching = token::watch(tokens, self.metrics.clone(), self.health.clone());
            AbortOnDropHandle::new(tokio::spawn(watching))
        });
        let clients = self.clients.take();
        let ready = async { tokio::join!(self.connect(), self.connect_kafka(clients)) };
        let (store, clients) = tokio::select! {
            ready = ready => ready,
            () = stop.cancelled() => return Ok(()),
        };
        let Self { config, rules, tokens, metrics, health, progress, .. } = self;
        let Clients { questions, dead_letters, .. } = clients;
        let ownership = Ownership::new();
        let settings = sink::Settings {
            rules,
            group: config.kafka.group_id.clone(),
            body_bytes: usize::try_from(config.trigger.max_bytes.0 / BODIES_PART).unwrap_or(usize::MAX),
            request_timeout: config.cosmos.request_timeout.0,
            max_fraction: config.dead_letter.max_fraction,
        };
        let sink = Arc::new(Sink::new(
            store,
            dead_letters,
            settings,
            ownership.count(),
            metrics.clone(),
            health.clone(),
        ));
        let joining = if config.kafka.workers > 1 && questions.client.is_empty(&config.kafka.group_id).await {
            Joining::one_first(Instant::now())
        } else {
            Joining::together(Instant::now())
        };
        let look_again = Arc::new(Notify::new());
        let shared = Arc::new(Shared {
            settings: Arc::new(WorkerSettings::of(&config, tokens)),
            sink: Arc::clone(&sink),
            budget: Budget::new(usize::try_from(config.trigger.max_bytes.0 / 2).unwrap_or(usize::MAX)),
            ownership: ownership.clone(),
            joining,
            runtime: tokio::runtime::Handle::current(),
            metrics: metrics.clone(),
            health: health.clone(),
            progress,
            look_again: Arc::clone(&look_again),
        });
        let pool = match Pool::start(&shared) {
            Ok(pool) => Arc::new(pool),
            Err(error) => {
                health.raise("starting", "", format!("the system gives no thread for a worker: {error}"));
                stop.cancelled().await;
                return Ok(());
            }
        };
        let asked = Arc::clone(&pool);
        let _ = silence.set(Box::new(move || asked.longest_silence()));
        health.clear("starting", "");
        let observer = Observer {
            questions: questions.client.clone(),
            kafka: config.kafka.clone(),
            ownership,
            metrics,
            health,
            partitions: Mutex::default(),
        };
        let limit = config.cosmos.max_request_units_per_second;
        let set_limit = move |share| sink.set_request_unit_limit((limit > 0).then_some(limit as f64 * share));
        // All of it, until it is known which part is ours.
        set_limit(1.0);
        let observing = tokio::spawn(observer.run(stop.clone(), look_again, set_limit));
        stop.cancelled().await;
        tracing::info!("draining: reading has stopped, writes in flight may end");
        let drained = pool.drain().await;
        let _ = observing.await;
        if drained.is_ok() {
            tracing::info!("drained");
        }
        drained
    }

    /// Connects to Cosmos DB, for as long as it takes.
    async fn connect(&self) -> Cosmos {
        let connect = || async {
            Cosmos::connect(self.target.clone()).await.map_err(|error| (error.reason(), error.to_string()))
        };
        let waiting = format!("no answer from Cosmos DB at {}", self.target.endpoint);
        let store = self.until(connect, ("store_unreachable", &waiting)).await;
        tracing::info!(endpoint = %self.target.endpoint, container = self.target.container, "Cosmos DB is ready");
        store
    }

    /// Waits for a token for Kafka, if it wants one, and for a dead-letter topic that can be used.
    async fn connect_kafka(&self, clients: Option<Clients>) -> Clients {
        let clients = match clients {
            Some(clients) => clients,
            None => self.make_clients().await,
        };
        let verify = || async {
            let found = clients.look_at_dead_letters().await;
            found.map_err(|error| ("dead_letters_unavailable", error.to_string()))
        };
        let topic = &self.config.dead_letter.topic;
        let waiting = format!("no answer from Kafka about the topic {topic}");
        let found = self.until(verify, ("dead_letters_unavailable", &waiting)).await;
        tracing::info!(
            topic,
            partitions = found.partitions,
            largest_record = found.largest_record,
            retention_millis = found.retention_millis,
            may_write = if found.writable { "yes" } else { "Kafka does not tell" },
            "the dead-letter topic is ready"
        );
        clients
    }

    /// Waits for a token before it makes the clients.
    async fn make_clients(&self) -> Clients {
        if let Some(tokens) = &self.tokens {
            tokens.ready().await;
        }
        let make = || async {
            let made = Clients::new(&self.config, self.tokens.clone(), &self.metrics, &self.health);
            made.map_err(|error| ("kafka_client", error.to_string()))
        };
        self.until(make, ("kafka_client", "no Kafka client")).await
    }

    /// Tries again until it works, saying what is in the way; `waiting` is in the way while an attempt
    /// takes long.
    async fn until<T, F: Future<Output = Result<T, (&'static str, String)>>>(
        &self,
        attempt: impl Fn() -> F,
        waiting: (&'static str, &str),
    ) -> T {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(5));
        let mut raised: Option<&'static str> = None;
        loop {
            let mut attempt = pin!(attempt());
            let outcome = if let Ok(outcome) = tokio::time::timeout(WORTH_MENTIONING, &mut attempt).await {
                outcome
            } else {
                // What the last attempt has found says more.
                if raised.is_none() {
                    let (reason, what) = waiting;
                    let seconds = WORTH_MENTIONING.as_secs();
                    self.health.raise(reason, "", format!("{what} for {seconds} seconds"));
                    raised = Some(reason);
                }
                attempt.await
            };
            let (reason, detail) = match outcome {
                Ok(value) => {
                    raised.inspect(|reason| self.health.clear(reason, ""));
                    return value;
                }
                Err(problem) => problem,
            };
            if let Some(before) = raised.replace(reason)
                && before != reason
            {
                self.health.clear(before, "");
            }
            if matches!(reason, "sign_in" | "forbidden") {
                self.metrics.auth_failures.with_label_values(&["cosmos"]).inc();
            }
            self.health.raise(reason, "", detail);
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }
}

fn target(config: &Config) -> Result<Target, StartError> {
    let cosmos = &config.cosmos;
    let endpoint = cosmos
        .endpoint
        .parse()
        .map_err(|source| StartError::Endpoint { endpoint: cosmos.endpoint.clone(), source })?;
    let path = |path: &String| if path.starts_with('/') { path.clone() } else { format!("/{path}") };
    Ok(Target {
        endpoint,
        regions: cosmos.regions.clone(),
        database: cosmos.database.clone(),
        container: cosmos.container.clone(),
        partition_key_paths: config.event.partition_key.iter().map(path).collect(),
        request_timeout: cosmos.request_timeout.0,
        allow_multiple_write_regions: cosmos.allow_multiple_write_regions,
        credential: credential_source(config)?,
    })
}

/// A key is read from its file every time, so that a rotated one is taken up; a token credential
/// renews itself.
fn credential_source(config: &Config) -> Result<CredentialSource, StartError> {
    use azure_data_cosmos_driver::models::Credential;
    let cosmos = config.cosmos.clone();
    Ok(match CosmosSignIn::new(&cosmos, &azure::process_environment)? {
        CosmosSignIn::Token(credential) => Arc::new(move || Ok(Credential::from(Arc::clone(&credential)))),
        CosmosSignIn::Key(_) => Arc::new(move || {
            let key =
                AccountKey::of(&cosmos, &azure::process_environment).map_err(|error| error.to_string())?;
            Ok(Credential::AccountKey(key.secret().clone()))
        }),
    })
}
