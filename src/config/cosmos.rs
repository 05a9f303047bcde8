//! Where the documents go: `[cosmos]` and `[cosmos.auth]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Span, defaults};

/// `[cosmos]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cosmos {
    /// The account, `https://ACCOUNT.documents.azure.com:443/`.
    pub endpoint: String,
    /// The account's regions, nearest first.
    pub regions: Vec<String>,
    /// The database.
    pub database: String,
    /// The container.
    pub container: String,
    /// The most one request may take, retries of the SDK included.
    #[serde(default = "defaults::request_timeout")]
    pub request_timeout: Span,
    /// A limit for the whole consumer group; a process takes its share by the partitions it owns. 0: none.
    #[serde(default)]
    pub max_request_units_per_second: u64,
    /// Whether an account with several write regions is taken. There the last writer wins, whatever the order in Kafka.
    #[serde(default)]
    pub allow_multiple_write_regions: bool,
    /// The account's Azure resource id, by which its throughput could be read. Nothing reads it yet.
    #[serde(default)]
    pub resource_id: String,
    /// How to sign in to Cosmos DB.
    #[serde(default)]
    pub auth: CosmosAuth,
}

/// `[cosmos.auth]`
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CosmosAuth {
    /// How to sign in.
    #[serde(default)]
    pub method: CosmosAuthMethod,
    /// The client id of the identity. Without it, `AZURE_CLIENT_ID` or the machine's own identity.
    #[serde(default)]
    pub client_id: String,
    /// `workload_identity`: the tenant. Without it, `AZURE_TENANT_ID`.
    #[serde(default)]
    pub tenant_id: String,
    /// `key`: a file that holds the account key. Without it, `STREAMPROC_COSMOS_KEY`.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
}

/// `cosmos.auth.method`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CosmosAuthMethod {
    /// A federated token of the pod's service account.
    #[default]
    WorkloadIdentity,
    /// The managed identity of the machine.
    ManagedIdentity,
    /// Whoever is signed in with the Azure CLI or the Azure Developer CLI.
    Developer,
    /// The account key.
    Key,
}

impl Cosmos {
    /// Writes to this container; everything else by default.
    pub fn new<R: Into<String>>(
        endpoint: impl Into<String>,
        regions: impl IntoIterator<Item = R>,
        database: impl Into<String>,
        container: impl Into<String>,
    ) -> Self {
        Self {
            endpoint: endpoint.into(),
            regions: regions.into_iter().map(Into::into).collect(),
            database: database.into(),
            container: container.into(),
            request_timeout: defaults::request_timeout(),
            max_request_units_per_second: 0,
            allow_multiple_write_regions: false,
            resource_id: String::new(),
            auth: CosmosAuth::default(),
        }
    }
}
