//! The sign-in that `[cosmos.auth]` asks for.

use std::sync::Arc;

use azure_core::credentials::TokenCredential;

use super::credential::{CredentialError, Environment, Identity, credential};
use super::key::{AccountKey, KeyError};
use crate::config::{Cosmos, CosmosAuthMethod};

/// How to sign in to Cosmos DB.
#[derive(Clone, Debug)]
pub enum CosmosSignIn {
    /// With the account key.
    Key(AccountKey),
    /// With tokens.
    Token(Arc<dyn TokenCredential>),
}

/// Why there is no way to sign in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// No key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No credential.
    #[error(transparent)]
    Credential(#[from] CredentialError),
}

impl CosmosSignIn {
    /// The sign-in of this configuration. Needs a tokio runtime as soon as a token is asked for.
    ///
    /// # Errors
    ///
    /// What is missing on this machine. Nothing is asked of the network.
    pub fn new(cosmos: &Cosmos, env: Environment<'_>) -> Result<Self, SignInError> {
        let auth = &cosmos.auth;
        let client_id = auth.client_id.clone();
        let identity = match auth.method {
            CosmosAuthMethod::Key => return Ok(Self::Key(AccountKey::of(cosmos, env)?)),
            CosmosAuthMethod::WorkloadIdentity => {
                Identity::Workload { client_id, tenant_id: auth.tenant_id.clone() }
            }
            CosmosAuthMethod::ManagedIdentity => Identity::Managed { client_id },
            CosmosAuthMethod::Developer => Identity::Developer,
        };
        Ok(Self::Token(credential(&identity, env)?))
    }
}
