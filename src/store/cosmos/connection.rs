//! A signed-in connection to one container.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use azure_data_cosmos_driver::models::{
    AccountReference, ContainerReference, CosmosOperation, Credential, DatabaseReference,
};
use azure_data_cosmos_driver::options::{
    AvailabilityStrategy, BinaryEncodingOptions, ContentResponseOnWrite, DriverOptions, OperationOptions,
    OperationOptionsBuilder, Region, ThrottlingRetryOptionsBuilder,
};
use azure_data_cosmos_driver::{CosmosDriver, CosmosDriverRuntime, CosmosError, ResponseBody};
use serde::Deserialize;
use url::Url;

use super::account;
use super::answer::{about_certificate, one_line};
use super::ranges::Ranges;
use crate::azure::with_causes;

/// Gives the credential as it is at present: a key file is read again, so that a rotated key is
/// taken up. An error says what is missing.
pub type CredentialSource = Arc<dyn Fn() -> Result<Credential, String> + Send + Sync>;

/// Which container, and how to get at it.
#[derive(Clone)]
pub struct Target {
    /// The account.
    pub endpoint: Url,
    /// The account's regions, nearest first.
    pub regions: Vec<String>,
    /// The database.
    pub database: String,
    /// The container.
    pub container: String,
    /// The partition key paths that the container must have, each beginning with a slash.
    pub partition_key_paths: Vec<String>,
    /// The most one request may take.
    pub request_timeout: Duration,
    /// Whether an account with several write regions is taken.
    pub allow_multiple_write_regions: bool,
    /// How to sign in.
    pub credential: CredentialSource,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("endpoint", &self.endpoint.as_str())
            .field("database", &self.database)
            .field("container", &self.container)
            .finish_non_exhaustive()
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is nothing to sign in with.
    #[error("{0}")]
    NoCredential(String),
    /// The sign-in was refused.
    #[error("Cosmos DB at {endpoint} refuses the sign-in: {message}. Look at cosmos.auth.")]
    SignIn {
        /// The account.
        endpoint: String,
        /// What it said.
        message: String,
    },
    /// We are known, but may not do this, or not from here.
    #[error(
        "Cosmos DB at {endpoint} forbids it: {message}. Give the identity the role Cosmos DB Built-in Data \
         Contributor, and look at the account's firewall."
    )]
    Forbidden {
        /// The account.
        endpoint: String,
        /// What it said.
        message: String,
    },
    /// The account cannot be reached or does not answer as it should.
    #[error("Cosmos DB at {endpoint} cannot be reached: {message}{}", about_certificate(message))]
    Unreachable {
        /// The account.
        endpoint: String,
        /// What was seen.
        message: String,
    },
    /// There is no such container.
    #[error("there is no container {container} in the database {database} of {endpoint}: {message}")]
    ContainerMissing {
        /// The account.
        endpoint: String,
        /// The database.
        database: String,
        /// The container.
        container: String,
        /// What the account said.
        message: String,
    },
    /// The container's partition key paths are others than the configuration's.
    #[error(
        "the container {container} has the partition key {found}, but event.partition_key says {expected}: \
         make them equal"
    )]
    PartitionKeyMismatch {
        /// The container.
        container: String,
        /// The configuration's paths.
        expected: String,
        /// The container's paths.
        found: String,
    },
    /// The account writes in several regions.
    #[error(
        "the account {endpoint} has several write regions, where the last writer wins whatever the order in Kafka; \
         if that is all right, set cosmos.allow_multiple_write_regions = true"
    )]
    MultipleWriteRegions {
        /// The account.
        endpoint: String,
    },
}

impl ConnectError {
    /// The reason's name in the metrics and on `/readyz`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoCredential(_) | Self::SignIn { .. } => "sign_in",
            Self::Forbidden { .. } => "forbidden",
            Self::Unreachable { .. } => "store_unreachable",
            Self::ContainerMissing { .. } => "container_missing",
            Self::PartitionKeyMismatch { .. } => "partition_key_mismatch",
            Self::MultipleWriteRegions { .. } => "multiple_write_regions",
        }
    }
}

/// A signed-in connection to one container.
pub(super) struct Connection {
    pub(super) driver: Arc<CosmosDriver>,
    pub(super) container: ContainerReference,
    pub(super) options: OperationOptions,
    pub(super) ranges: Ranges,
    credential: Credential,
}

impl Connection {
    pub(super) async fn open(target: &Target) -> Result<Self, ConnectError> {
        let credential = (target.credential)().map_err(ConnectError::NoCredential)?;
        let account = AccountReference::builder(target.endpoint.clone())
            .auth(credential.clone())
            .build()
            .map_err(|error| target.problem(&error))?;
        let properties = account::read(&account).await.map_err(|problem| problem.of(&target.endpoint))?;
        if properties.enable_multiple_write_locations && !target.allow_multiple_write_regions {
            return Err(ConnectError::MultipleWriteRegions { endpoint: target.endpoint.to_string() });
        }
        if let Some(unknown) = properties.unknown_regions(&target.regions) {
            tracing::warn!(endpoint = %target.endpoint, "cosmos.regions: {unknown}");
        }
        let regions = target.regions.iter().cloned().map(Region::from).collect();
        // Each connection has a runtime of its own: its caches must not outlive a container that was
        // deleted and made again.
        let runtime = CosmosDriverRuntime::builder()
            .with_wrapping_sdk_identifier(concat!("streamproc/", env!("CARGO_PKG_VERSION")))
            .build()
            .await
            .map_err(|error| target.problem(&error))?;
        let options = DriverOptions::builder(account).with_preferred_regions(regions).build();
        let driver = runtime.create_driver(options).await.map_err(|error| target.problem(&error))?;
        let options = operation_options(target.request_timeout);
        let container = driver
            .resolve_container_by_name(&target.database, &target.container, options.clone())
            .await
            .map_err(|error| target.container_problem(&error))?;
        target.compare_paths(container.partition_key_definition().paths())?;
        let ranges = Ranges::read(&driver, &container).await;
        Ok(Self { driver, container, options, ranges, credential })
    }

    /// Has the ranges read again, if that was long ago.
    pub(super) async fn renew_ranges(&self) {
        self.ranges.renew_if_old(&self.driver, &self.container).await;
    }

    /// Looks again: gives a new connection if the key was rotated or the container was made again,
    /// and an error if the container is not there or has other paths.
    pub(super) async fn renew(&self, target: &Target) -> Result<Option<Self>, ConnectError> {
        let credential = (target.credential)().map_err(ConnectError::NoCredential)?;
        if !same_credential(&credential, &self.credential) {
            return Self::open(target).await.map(Some);
        }
        let database =
            DatabaseReference::from_name(self.container.account().clone(), target.database.clone());
        let read = CosmosOperation::read_container_by_name(database, target.container.clone());
        let response = self
            .driver
            .execute_singleton_operation(read, self.options.clone())
            .await
            .map_err(|error| target.container_problem(&error))?;
        let properties: ContainerProperties = match response.into_body() {
            ResponseBody::Bytes(bytes) => serde_json::from_slice(&bytes).ok(),
            _ => None,
        }
        .ok_or_else(|| ConnectError::Unreachable {
            endpoint: target.endpoint.to_string(),
            message: "its answer to a read of the container is not what it should be".to_owned(),
        })?;
        target.compare_paths(&properties.partition_key.paths)?;
        if properties.rid == self.container.rid() { Ok(None) } else { Self::open(target).await.map(Some) }
    }
}

#[derive(Deserialize)]
struct ContainerProperties {
    #[serde(rename = "_rid")]
    rid: String,
    #[serde(rename = "partitionKey")]
    partition_key: PartitionKeyPaths,
}

#[derive(Deserialize)]
struct PartitionKeyPaths {
    paths: Vec<String>,
}

/// What holds for every request.
fn operation_options(request_timeout: Duration) -> OperationOptions {
    OperationOptionsBuilder::new()
        // Numbers go out as the text they came in; the binary form would make doubles of them.
        .with_binary_encoding(BinaryEncodingOptions::new().with_enabled(false))
        .with_content_response_on_write(ContentResponseOnWrite::Disabled)
        .with_end_to_end_latency_policy(request_timeout.into())
        .with_throttling_retry_options(ThrottlingRetryOptionsBuilder::new().with_max_retry_count(0).build())
        // Nothing is read back, so no session has to be kept.
        .with_session_capturing_disabled(true)
        .with_availability_strategy(AvailabilityStrategy::Disabled)
        .build()
}

fn same_credential(a: &Credential, b: &Credential) -> bool {
    match (a, b) {
        (Credential::AccountKey(a), Credential::AccountKey(b)) => a.secret() == b.secret(),
        // A token credential renews itself.
        (Credential::TokenCredential(_), Credential::TokenCredential(_)) => true,
        _ => false,
    }
}

impl Target {
    fn compare_paths<P: AsRef<str>>(&self, found: &[P]) -> Result<(), ConnectError> {
        let equal = found.len() == self.partition_key_paths.len()
            && found
                .iter()
                .zip(&self.partition_key_paths)
                .all(|(found, expected)| found.as_ref() == expected);
        if equal {
            return Ok(());
        }
        let found: Vec<_> = found.iter().map(AsRef::as_ref).collect();
        Err(ConnectError::PartitionKeyMismatch {
            container: self.container.clone(),
            expected: self.partition_key_paths.join(", "),
            found: found.join(", "),
        })
    }

    fn problem(&self, error: &CosmosError) -> ConnectError {
        let (endpoint, message) = (self.endpoint.to_string(), one_line(&with_causes(error)));
        match u16::from(error.status().status_code()) {
            401 => ConnectError::SignIn { endpoint, message },
            403 => ConnectError::Forbidden { endpoint, message },
            _ => ConnectError::Unreachable { endpoint, message },
        }
    }

    fn container_problem(&self, error: &CosmosError) -> ConnectError {
        if u16::from(error.status().status_code()) != 404 {
            return self.problem(error);
        }
        ConnectError::ContainerMissing {
            endpoint: self.endpoint.to_string(),
            database: self.database.clone(),
            container: self.container.clone(),
            message: one_line(&with_causes(error)),
        }
    }
}
