//! The tokens of OAUTHBEARER, as Event Hubs takes them.

use crate::azure::{CredentialError, CredentialSource, Environment, Identity, Timing, TokenCache, uncached};
use crate::config::{KafkaAuth, KafkaAuthMethod};

/// Starts fetching tokens when the method is `workload_identity`; one cache serves all the clients
/// of the process. Runs on the tokio runtime of the caller.
///
/// # Errors
///
/// What workload identity lacks on this machine.
pub fn tokens(auth: &KafkaAuth, env: Environment<'_>) -> Result<Option<TokenCache>, CredentialError> {
    if auth.method != KafkaAuthMethod::WorkloadIdentity {
        return Ok(None);
    }
    let identity =
        Identity::Workload { client_id: auth.client_id.clone(), tenant_id: auth.tenant_id.clone() };
    let source = CredentialSource { credential: uncached(&identity, env)?, scopes: vec![auth.scope.clone()] };
    Ok(Some(TokenCache::start(source, Timing::default())))
}
