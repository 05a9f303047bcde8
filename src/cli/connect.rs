//! From a configuration to clients of Kafka and Cosmos DB, for commands.

use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use azure_data_cosmos::clients::ContainerClient;
use azure_data_cosmos::options::{BinaryEncodingOptions, Region};
use azure_data_cosmos::{AccountEndpoint, AccountReference, CosmosClient, RoutingStrategy};

use super::store_error::explain;
use super::{FAILED, USAGE};
use crate::azure::{self, CosmosSignIn, SignInError};
use crate::config::Cosmos;

/// Says why there is no container. What there is nothing to sign in with is a wrong configuration.
pub(super) fn fail(error: &anyhow::Error) -> ExitCode {
    super::fail(if error.is::<SignInError>() { USAGE } else { FAILED }, error)
}

/// The container of the configuration.
pub(super) async fn container(cosmos: &Cosmos) -> Result<ContainerClient> {
    let endpoint: AccountEndpoint = cosmos.endpoint.parse().context("cosmos.endpoint is not a URL")?;
    let account = match CosmosSignIn::new(cosmos, &azure::process_environment)? {
        CosmosSignIn::Key(key) => AccountReference::with_authentication_key(endpoint, key.secret().clone()),
        CosmosSignIn::Token(credential) => AccountReference::with_credential(endpoint, credential),
    };
    let region = cosmos.regions.first().context("cosmos.regions is empty: name the account's regions")?;
    let client = CosmosClient::builder()
        // Numbers come as text, and are printed as they came.
        .with_binary_encoding_options(BinaryEncodingOptions::new().with_enabled(false))
        .build(account, RoutingStrategy::ProximityTo(Region::from(region.clone())))
        .await
        .map_err(|error| anyhow!(explain(&error)))?;
    let database = client.database_client(cosmos.database.clone());
    let container = database.container_client(cosmos.container.clone(), None).await;
    container.map_err(|error| anyhow!(explain(&error)))
}
