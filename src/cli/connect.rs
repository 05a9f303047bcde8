//! From the configuration file to clients of Kafka and Cosmos DB.
//!
//! PROVISIONAL: reads the file as plain TOML, connects to Kafka without sign-in and to Cosmos DB
//! with the account key. The configuration loader and the sign-in of the service take this place.

use std::path::Path;
use std::{env, fs};

use anyhow::{Context, Result, anyhow, bail};
use azure_core::credentials::Secret;
use azure_data_cosmos::clients::ContainerClient;
use azure_data_cosmos::options::{BinaryEncodingOptions, Region};
use azure_data_cosmos::{AccountEndpoint, AccountReference, CosmosClient, RoutingStrategy};
use rdkafka::ClientConfig;

use super::store_error::explain;
use crate::config::{Config, Cosmos, CosmosAuthMethod};

/// Reads the configuration.
pub(super) fn load(path: Option<&Path>) -> Result<Config> {
    let path = path.context("no configuration: name one with --config FILE or STREAMPROC_CONFIG")?;
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is not a valid configuration", path.display()))
}

/// What every Kafka client begins with.
pub(super) fn kafka(config: &Config) -> ClientConfig {
    let mut client_config = ClientConfig::new();
    client_config.set("bootstrap.servers", &config.kafka.bootstrap_servers);
    for (key, value) in &config.kafka.properties {
        client_config.set(key, value);
    }
    client_config
}

/// The container of the configuration.
pub(super) async fn container(cosmos: &Cosmos) -> Result<ContainerClient> {
    let endpoint: AccountEndpoint = cosmos.endpoint.parse().context("cosmos.endpoint is not a URL")?;
    let account = AccountReference::with_authentication_key(endpoint, Secret::new(account_key(cosmos)?));
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

fn account_key(cosmos: &Cosmos) -> Result<String> {
    if cosmos.auth.method != CosmosAuthMethod::Key {
        bail!("cosmos.auth.method: only \"key\" is supported here so far");
    }
    let key = match &cosmos.auth.key_file {
        Some(file) => {
            fs::read_to_string(file).with_context(|| format!("cosmos.auth.key_file {}", file.display()))?
        }
        None => env::var("STREAMPROC_COSMOS_KEY")
            .context("no account key: set cosmos.auth.key_file or STREAMPROC_COSMOS_KEY")?,
    };
    Ok(key.trim().to_owned())
}
