//! A token that is there when it is asked for.
//!
//! A task of its own fetches the token, again well before it expires, and again after every failure.
//! Whoever needs the token takes the one that is there: nobody waits for a token endpoint, and one
//! that hangs or fails costs nothing as long as the last token holds.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use azure_core::base64;
use azure_core::credentials::{AccessToken, Secret, TokenCredential};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::causes::with_causes;

/// Where tokens come from.
pub trait TokenSource: Send + Sync + 'static {
    /// Fetches a token. May take as long as it likes: [`TokenCache`] gives up after
    /// [`Timing::request`].
    ///
    /// # Errors
    ///
    /// Why there is none, in words that hold no secret.
    fn fetch(&self) -> impl Future<Output = anyhow::Result<AccessToken>> + Send;
}

/// A credential of `azure_identity`, asked for one scope.
#[derive(Clone, Debug)]
pub struct CredentialSource {
    /// The credential.
    pub credential: Arc<dyn TokenCredential>,
    /// The scopes, `https://NAMESPACE.servicebus.windows.net/.default`.
    pub scopes: Vec<String>,
}

impl TokenSource for CredentialSource {
    async fn fetch(&self) -> anyhow::Result<AccessToken> {
        let scopes: Vec<&str> = self.scopes.iter().map(String::as_str).collect();
        Ok(self.credential.get_token(&scopes, None).await?)
    }
}

/// A token and what it says about itself. `Debug` does not show it.
#[derive(Clone, Debug)]
pub struct Token {
    /// The token.
    pub secret: Secret,
    /// Whom it stands for.
    pub principal: String,
    /// When it expires, by the clock on the wall.
    pub expires: SystemTime,
    /// When it expires, by the clock that nobody sets.
    pub(super) until: Instant,
}

impl Token {
    /// Reads the principal and the expiry out of the token, if it is a JSON web token; the expiry is
    /// the earlier of that one and the answer's.
    fn new(token: &AccessToken, now: Instant, wall: SystemTime) -> Self {
        let claims: Value = claims(token.token.secret()).unwrap_or_default();
        let answered = SystemTime::from(token.expires_on);
        let expires = claims["exp"]
            .as_u64()
            .map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
            .map_or(answered, |claimed| claimed.min(answered));
        let principal = ["appid", "azp", "sub", "oid"]
            .iter()
            .find_map(|claim| claims[claim].as_str().filter(|name| !name.is_empty() && !name.contains('\0')))
            .unwrap_or("streamproc");
        Self {
            secret: token.token.clone(),
            principal: principal.to_owned(),
            expires,
            until: now + expires.duration_since(wall).unwrap_or_default(),
        }
    }
}

/// The second part of a JSON web token. Nothing is verified: whoever it is shown to does that.
pub fn claims<T: DeserializeOwned>(token: &str) -> Option<T> {
    let body = token.split('.').nth(1)?;
    serde_json::from_slice(&base64::decode_url_safe(body).ok()?).ok()
}

/// How patient the fetching is.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// The longest that one fetch may take.
    pub request: Duration,
    /// The wait after the first failure; it doubles with every further one.
    pub first_retry: Duration,
    /// The longest wait after a failure.
    pub longest_retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(10),
            first_retry: Duration::from_millis(500),
            longest_retry: Duration::from_secs(30),
        }
    }
}

impl Timing {
    /// How long to wait after so many failures in a row, give or take a quarter, so that the
    /// processes of a deployment do not knock in step.
    fn after_failures(&self, failures: u32, random: f64) -> Duration {
        let doubled = self.first_retry.saturating_mul(1 << failures.saturating_sub(1).min(16));
        doubled.min(self.longest_retry).mul_f64(0.75 + random / 2.0)
    }

    /// How long to keep a token before fetching the next: until five minutes before its end, when
    /// `azure_identity`'s own cache gives up the old one too, or for four fifths of a short life.
    fn before_refresh(life: Duration, random: f64) -> Duration {
        const MARGIN: Duration = Duration::from_mins(5);
        if life.mul_f64(0.2) <= MARGIN {
            life.mul_f64(0.8)
        } else {
            life.saturating_sub(MARGIN) + Duration::from_secs(1) + Duration::from_secs(4).mul_f64(random)
        }
    }
}

/// What there is now.
#[derive(Clone, Debug, Default)]
pub struct TokenState {
    /// The last token, expired or not.
    token: Option<Token>,
    /// Why the last fetch failed; nothing after one that succeeded.
    pub failure: Option<Arc<str>>,
    /// How many fetches have failed since the start.
    pub failures: u64,
}

impl TokenState {
    /// The token, when there is one that still holds.
    ///
    /// # Errors
    ///
    /// That there is none, and why.
    pub fn token(&self) -> Result<&Token, NoToken> {
        self.token
            .as_ref()
            .filter(|token| token.until > Instant::now())
            .ok_or_else(|| NoToken { expired: self.token.is_some(), failure: self.failure.clone() })
    }
}

/// There is no token that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoToken {
    expired: bool,
    failure: Option<Arc<str>>,
}

impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.expired { "the token has expired" } else { "there is no token yet" })?;
        match &self.failure {
            Some(failure) => write!(f, " and fetching one failed: {failure}"),
            None => f.write_str("; it is being fetched"),
        }
    }
}

impl std::error::Error for NoToken {}

/// The token that is there now. Clones share it; the fetching ends with the last clone.
#[derive(Clone, Debug)]
pub struct TokenCache {
    state: watch::Receiver<TokenState>,
    _task: Arc<AbortOnDropHandle<()>>,
}

impl TokenCache {
    /// Starts fetching, on the tokio runtime of the caller.
    pub fn start(source: impl TokenSource, timing: Timing) -> Self {
        let (sender, state) = watch::channel(TokenState::default());
        let task = tokio::spawn(async move { fetch_forever(&source, timing, &sender).await });
        Self { state, _task: Arc::new(AbortOnDropHandle::new(task)) }
    }

    /// The token that is there now. Never waits.
    ///
    /// # Errors
    ///
    /// That there is none that holds, and why.
    pub fn current(&self) -> Result<Token, NoToken> {
        self.state.borrow().token().cloned()
    }

    /// Waits until there is a token. For ever, if need be: a caller that must not wait puts a time
    /// limit around it and asks [`TokenCache::current`] for the reason.
    pub async fn ready(&self) -> Token {
        let mut state = self.state.clone();
        loop {
            if let Ok(token) = state.borrow_and_update().token() {
                return token.clone();
            }
            if state.changed().await.is_err() {
                // The fetching has ended, which only a panic in the source brings about.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits for the outcome of a fetch: a token, or why there is none.
    ///
    /// # Errors
    ///
    /// That there is none that holds, and why.
    pub async fn settled(&self) -> Result<Token, NoToken> {
        let mut state = self.state.clone();
        match state.wait_for(|state| state.token().is_ok() || state.failure.is_some()).await {
            Ok(state) => state.token().cloned(),
            Err(_) => self.current(),
        }
    }

    /// The state, to be watched: for `/readyz` and for `auth_failures_total`.
    pub fn watch(&self) -> watch::Receiver<TokenState> {
        self.state.clone()
    }
}

async fn fetch_forever(source: &impl TokenSource, timing: Timing, state: &watch::Sender<TokenState>) {
    let mut failures_in_a_row = 0;
    loop {
        let pause = match fetch_once(source, timing.request).await {
            Ok(token) => {
                failures_in_a_row = 0;
                let life = token.until.saturating_duration_since(Instant::now());
                state.send_modify(|state| {
                    state.token = Some(token);
                    state.failure = None;
                });
                Timing::before_refresh(life, rand::random())
            }
            Err(reason) => {
                failures_in_a_row += 1;
                let pause = timing.after_failures(failures_in_a_row, rand::random());
                tracing::warn!(reason, retry_in_ms = pause.as_millis() as u64, "fetching a token failed");
                state.send_modify(|state| {
                    state.failure = Some(reason.into());
                    state.failures += 1;
                });
                pause
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn fetch_once(source: &impl TokenSource, limit: Duration) -> Result<Token, String> {
    let answer = tokio::time::timeout(limit, source.fetch())
        .await
        .map_err(|_| format!("no answer within {}", humantime::format_duration(limit)))?
        .map_err(|error| with_causes(error.as_ref()))?;
    let now = Instant::now();
    let token = Token::new(&answer, now, SystemTime::now());
    if token.until <= now {
        return Err("the token that came had expired already; is the clock right?".into());
    }
    Ok(token)
}

#[cfg(test)]
mod tests;
