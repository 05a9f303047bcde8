//! Tokens in the place of the key, for tests of signing in with Microsoft Entra ID: who shows one for
//! Cosmos DB that has not expired is let in. Nobody checks who has signed it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use super::key::Unauthorized;
use crate::azure;

/// For whom a token of Cosmos DB is meant.
const AUDIENCE: &str = "https://cosmos.azure.com";

/// Whether tokens are taken, and those that were shown, each once, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    taken: AtomicBool,
    shown: Mutex<Vec<String>>,
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    exp: u64,
}

impl Tokens {
    /// Tokens are taken from now on, or none any more.
    pub(super) fn take(&self, taken: bool) {
        self.taken.store(taken, Ordering::Relaxed);
    }

    pub(super) fn are_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed)
    }

    /// Lets a request in that shows this token.
    pub(super) fn check(&self, token: &str, now: SystemTime) -> Result<(), Unauthorized> {
        let refused = |why: &str| Err(Unauthorized(format!("The token cannot serve the request: {why}.")));
        {
            let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            if !shown.iter().any(|known| known == token) {
                shown.push(token.to_owned());
            }
        }
        let Some(claims) = azure::claims::<Claims>(token) else { return refused("it is no JSON web token") };
        if claims.aud.trim_end_matches('/') != AUDIENCE {
            return refused("it is meant for another audience");
        }
        if now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() >= claims.exp {
            return refused("it has expired");
        }
        Ok(())
    }

    /// The tokens that were shown.
    pub(super) fn shown(&self) -> Vec<String> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("head.{}.signature", azure_core::base64::encode_url_safe(claims))
    }

    #[test]
    fn a_token_for_cosmos_db_lets_in_until_it_expires() {
        let tokens = Tokens::default();
        let at = |seconds| UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let good = token(r#"{"aud":"https://cosmos.azure.com","exp":100}"#);
        assert_eq!(tokens.check(&good, at(99)), Ok(()));
        assert_eq!(tokens.check(&good, at(98)), Ok(()));
        assert!(tokens.check(&good, at(100)).is_err());
        let other = token(r#"{"aud":"https://vault.azure.net","exp":100}"#);
        assert!(tokens.check(&other, at(1)).is_err());
        assert!(tokens.check("opaque", at(1)).is_err());
        assert_eq!(tokens.shown(), [good, other, "opaque".to_owned()]);
    }
}
