//! Signing in to Azure: the credentials of Microsoft Entra ID, the account key, and tokens that are
//! fetched before anybody waits for them.

mod authority;
mod cached;
mod credential;
mod key;
mod token;

pub use cached::CachedCredential;
pub use credential::{CredentialError, Environment, Identity, credential};
pub use key::{AccountKey, KeyError};
pub use token::{CredentialSource, NoToken, Timing, Token, TokenCache, TokenSource, TokenState};
