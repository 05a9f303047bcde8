//! The credentials of Microsoft Entra ID, and what to do when one cannot be made.

use std::path::PathBuf;
use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_identity::{
    ClientAssertionCredentialOptions, DeveloperToolsCredential, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};

use super::authority;
use super::cached::CachedCredential;
use super::token::Timing;

/// Reads one environment variable. An argument, so that a test need not change the process's own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Who signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The pod's service account, by a federated token. Empty ids are taken from the environment.
    Workload {
        /// The client id of the identity.
        client_id: String,
        /// The tenant.
        tenant_id: String,
    },
    /// The managed identity of the machine; with a client id, that user-assigned one.
    Managed {
        /// The client id, or nothing.
        client_id: String,
    },
    /// Whoever is signed in with the Azure CLI or the Azure Developer CLI.
    Developer,
}

/// Why there is no credential.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A variable is not set that workload identity needs.
    #[error(
        "workload identity: {variable} is not set. Is the pod labelled azure.workload.identity/use: \"true\", and does \
         its service account carry the annotation azure.workload.identity/client-id?{key}"
    )]
    NotSet {
        /// The variable.
        variable: &'static str,
        /// The key that can be set in its place.
        key: &'static str,
    },
    /// The federated token cannot be read.
    #[error("workload identity: the federated token {path} (AZURE_FEDERATED_TOKEN_FILE): {source}")]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The SDK refuses to make one.
    #[error("{identity}: {source}")]
    Sdk {
        /// The way of signing in.
        identity: &'static str,
        /// Why.
        source: azure_core::Error,
    },
}

/// A credential of this identity, which keeps its tokens fresh in the background.
///
/// # Errors
///
/// What is missing. Nothing is asked of the network: a token endpoint that is down shows later, and
/// passes.
pub fn credential(
    identity: &Identity,
    env: Environment<'_>,
) -> Result<Arc<dyn TokenCredential>, CredentialError> {
    Ok(Arc::new(CachedCredential::new(uncached(identity, env)?, Timing::default())))
}

/// The SDK's own credential, for a [`super::TokenCache`] around it.
///
/// # Errors
///
/// What is missing.
pub fn uncached(
    identity: &Identity,
    env: Environment<'_>,
) -> Result<Arc<dyn TokenCredential>, CredentialError> {
    let client_options = authority::client_options(env(authority::VARIABLE).as_deref());
    match identity {
        Identity::Workload { client_id, tenant_id } => {
            let path = PathBuf::from(needed("", "AZURE_FEDERATED_TOKEN_FILE", "", env)?);
            let client_id =
                needed(client_id, "AZURE_CLIENT_ID", " Or set client_id in the configuration.", env)?;
            let tenant_id =
                needed(tenant_id, "AZURE_TENANT_ID", " Or set tenant_id in the configuration.", env)?;
            if let Err(source) = std::fs::File::open(&path) {
                return Err(CredentialError::TokenFile { path, source });
            }
            let options = WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions { client_options },
                client_id: Some(client_id),
                tenant_id: Some(tenant_id),
                token_file_path: Some(path),
            };
            let credential = WorkloadIdentityCredential::new(Some(options));
            Ok(credential.map_err(|source| CredentialError::Sdk { identity: "workload identity", source })?)
        }
        Identity::Managed { client_id } => {
            let user_assigned_id =
                (!client_id.is_empty()).then(|| UserAssignedId::ClientId(client_id.clone()));
            let options = ManagedIdentityCredentialOptions { user_assigned_id, client_options };
            let credential = ManagedIdentityCredential::new(Some(options));
            Ok(credential.map_err(|source| CredentialError::Sdk { identity: "managed identity", source })?)
        }
        Identity::Developer => {
            let credential = DeveloperToolsCredential::new(None);
            Ok(credential.map_err(|source| CredentialError::Sdk { identity: "developer sign-in", source })?)
        }
    }
}

/// The configured value, or the variable's.
fn needed(
    configured: &str,
    variable: &'static str,
    key: &'static str,
    env: Environment<'_>,
) -> Result<String, CredentialError> {
    if !configured.is_empty() {
        return Ok(configured.to_owned());
    }
    env(variable).filter(|value| !value.is_empty()).ok_or(CredentialError::NotSet { variable, key })
}
