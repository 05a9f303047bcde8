//! A credential that answers from a [`TokenCache`].
//!
//! The credentials of `azure_identity` keep a token too, but fetch the next one while the caller
//! waits and everybody else waits for that caller: five minutes before its end, a token endpoint that
//! hangs would stop all writes, although the old token still holds.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::{Error, ErrorKind};
use azure_core::time::OffsetDateTime;

use super::token::{CredentialSource, Timing, TokenCache};

/// Keeps a token for each scope that was ever asked for.
pub struct CachedCredential {
    inner: Arc<dyn TokenCredential>,
    timing: Timing,
    caches: Mutex<HashMap<Vec<String>, TokenCache>>,
}

impl CachedCredential {
    /// Wraps a credential.
    pub fn new(inner: Arc<dyn TokenCredential>, timing: Timing) -> Self {
        Self { inner, timing, caches: Mutex::default() }
    }

    fn cache(&self, scopes: &[&str]) -> TokenCache {
        let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        caches
            .entry(scopes)
            .or_insert_with_key(|scopes| {
                let source = CredentialSource { credential: self.inner.clone(), scopes: scopes.clone() };
                TokenCache::start(source, self.timing)
            })
            .clone()
    }
}

impl fmt::Debug for CachedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedCredential").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl TokenCredential for CachedCredential {
    /// The token that is there; waits only for the very first one, and never longer than
    /// [`Timing::request`]. After a failure it answers at once that there is none.
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let token = self.cache(scopes).settled().await.map_err(|error| {
            let message = error.to_string();
            Error::with_error(ErrorKind::Credential, error, message)
        })?;
        Ok(AccessToken::new(token.secret, OffsetDateTime::from(token.expires)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, SystemTime};

    use tokio::time::Instant;

    use super::*;

    /// Gives one token that lives an hour, and hangs ever after.
    #[derive(Debug, Default)]
    struct Once(AtomicUsize);

    #[async_trait::async_trait]
    impl TokenCredential for Once {
        async fn get_token(
            &self,
            scopes: &[&str],
            _: Option<TokenRequestOptions<'_>>,
        ) -> azure_core::Result<AccessToken> {
            if self.0.fetch_add(1, Ordering::SeqCst) > 0 {
                std::future::pending::<()>().await;
            }
            let expires = SystemTime::now() + Duration::from_hours(1);
            Ok(AccessToken::new(scopes.join(" "), expires.into()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_next_token_does_not_come_everybody_has_the_last_at_once() {
        let inner = Arc::new(Once::default());
        let credential = CachedCredential::new(inner.clone(), Timing::default());
        let mut late = None;
        for minute in 0..59 {
            let asked = Instant::now();
            let token = credential.get_token(&["scope"], None).await.unwrap();
            assert_eq!(token.token.secret(), "scope");
            assert_eq!(asked.elapsed(), Duration::ZERO, "in minute {minute}");
            late = late.or((inner.0.load(Ordering::SeqCst) > 1).then_some(minute));
            tokio::time::sleep(Duration::from_mins(1)).await;
        }
        assert_eq!(late, Some(56), "the next one is asked for five minutes before the end, and not before");
        tokio::time::sleep(Duration::from_mins(2)).await;
        let error = credential.get_token(&["scope"], None).await.unwrap_err().to_string();
        assert!(error.contains("has expired") && error.contains("no answer within 10s"), "{error}");
    }
}
