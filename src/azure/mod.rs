//! Signing in to Azure: the credentials of Microsoft Entra ID, the account key, and tokens that are
//! fetched before anybody waits for them.

mod authority;
mod cached;
mod causes;
mod credential;
mod key;
mod sign_in;
mod token;

pub use cached::CachedCredential;
pub use causes::with_causes;
pub use credential::{CredentialError, Environment, Identity, credential, uncached};
pub use key::{AccountKey, KeyError};
pub use sign_in::{CosmosSignIn, SignInError};
pub use token::{CredentialSource, NoToken, Timing, Token, TokenCache, TokenSource, TokenState, claims};

/// The environment of this process, as [`Environment`] wants it.
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
