//! Virtual time: hours pass in no time, and a token endpoint can hang for as long as it likes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::VecDeque;
use std::sync::Mutex;

use azure_core::time::OffsetDateTime;
use proptest::prelude::*;

use super::*;

const HOUR: Duration = Duration::from_hours(1);

/// What the source does at one fetch.
enum Act {
    Give(&'static str, Duration),
    Fail(&'static str),
    Hang,
}

/// Acts in turn; after the last act it hangs. Tells when each fetch began.
#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<(VecDeque<Act>, Vec<Instant>)>>);

impl Scripted {
    fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        Self(Arc::new(Mutex::new((acts.into_iter().collect(), Vec::new()))))
    }
    fn fetches(&self) -> Vec<Instant> {
        self.0.lock().unwrap().1.clone()
    }
}

impl TokenSource for Scripted {
    async fn fetch(&self) -> anyhow::Result<AccessToken> {
        let act = {
            let mut script = self.0.lock().unwrap();
            script.1.push(Instant::now());
            script.0.pop_front().unwrap_or(Act::Hang)
        };
        match act {
            Act::Give(text, life) => Ok(token(text, life)),
            Act::Fail(why) => anyhow::bail!(why),
            Act::Hang => std::future::pending().await,
        }
    }
}

fn token(text: impl Into<String>, life: Duration) -> AccessToken {
    AccessToken::new(text.into(), OffsetDateTime::from(SystemTime::now() + life))
}

/// Passes the time until the condition holds.
async fn until(limit: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn before_the_first_token_there_is_none_and_the_error_says_so_at_once() {
    let cache = TokenCache::start(Scripted::new([Act::Hang]), Timing::default());
    let before = Instant::now();
    assert_eq!(cache.current().unwrap_err().to_string(), "there is no token yet; it is being fetched");
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_hangs_is_given_up_after_ten_seconds_and_asked_again() {
    let source = Scripted::new([Act::Hang, Act::Give("good", HOUR)]);
    let begin = Instant::now();
    let cache = TokenCache::start(source.clone(), Timing::default());
    assert_eq!(cache.ready().await.secret.secret(), "good");
    assert!(begin.elapsed() < Duration::from_secs(11), "{:?}", begin.elapsed());
    assert_eq!(source.fetches().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn failures_are_told_and_forgotten_when_a_token_comes() {
    let source =
        Scripted::new([Act::Fail("out of order"), Act::Fail("out of order"), Act::Give("good", HOUR)]);
    let cache = TokenCache::start(source, Timing::default());
    assert_eq!(
        cache.settled().await.unwrap_err().to_string(),
        "there is no token yet and fetching one failed: out of order"
    );
    cache.ready().await;
    let state = cache.watch();
    assert_eq!((state.borrow().failures, state.borrow().failure.clone()), (2, None));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_refreshed_five_minutes_before_its_end_and_the_old_one_serves_until_then() {
    let source = Scripted::new([Act::Give("first", HOUR), Act::Hang, Act::Give("second", HOUR)]);
    let begin = Instant::now();
    let cache = TokenCache::start(source.clone(), Timing::default());
    cache.ready().await;
    until(HOUR, || source.fetches().len() == 2).await;
    let asked = source.fetches()[1] - begin;
    assert!(asked > Duration::from_mins(55) && asked < Duration::from_mins(56), "{asked:?}");
    assert_eq!(cache.current().unwrap().secret.secret(), "first", "while the endpoint hangs");
    until(Duration::from_mins(1), || cache.current().unwrap().secret.secret() == "second").await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expires_is_not_given_out_and_the_next_one_is() {
    let mut acts = vec![Act::Give("first", HOUR)];
    acts.extend((0..60).map(|_| Act::Fail("out of order")));
    acts.push(Act::Give("second", HOUR));
    let cache = TokenCache::start(Scripted::new(acts), Timing::default());
    cache.ready().await;
    until(HOUR * 2, || cache.current().is_err()).await;
    let error = cache.current().unwrap_err().to_string();
    assert_eq!(error, "the token has expired and fetching one failed: out of order");
    until(HOUR, || cache.current().is_ok()).await;
    assert_eq!(cache.current().unwrap().secret.secret(), "second");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_comes_expired_is_a_failure() {
    let source = Scripted::new([Act::Give("late", Duration::ZERO), Act::Give("good", HOUR)]);
    let cache = TokenCache::start(source, Timing::default());
    let error = cache.settled().await.unwrap_err().to_string();
    assert!(error.contains("had expired already"), "{error}");
    assert_eq!(cache.ready().await.secret.secret(), "good");
}

#[tokio::test(start_paused = true)]
async fn the_fetching_ends_with_the_last_clone() {
    let source = Scripted::new([Act::Give("short", Duration::from_mins(1))]);
    let cache = TokenCache::start(source.clone(), Timing::default());
    cache.ready().await;
    drop(cache.clone());
    until(Duration::from_mins(1), || source.fetches().len() == 2).await;
    drop(cache);
    let fetched = source.fetches().len();
    tokio::time::sleep(HOUR).await;
    assert_eq!(source.fetches().len(), fetched);
}

#[tokio::test(start_paused = true)]
async fn principal_and_expiry_come_from_the_token_itself() {
    let in_ten_minutes = SystemTime::now() + Duration::from_mins(10);
    let exp = in_ten_minutes.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let claims = format!(r#"{{"exp":{exp},"appid":"the-app","sub":"the-subject"}}"#);
    let jwt = format!("head.{}.signature", base64::encode_url_safe(claims));
    let read = Token::new(&token(jwt, HOUR), Instant::now(), SystemTime::now());
    assert_eq!(read.principal, "the-app");
    assert!(read.until - Instant::now() < Duration::from_mins(11), "{read:?}");
    let opaque = Token::new(&token("opaque", HOUR), Instant::now(), SystemTime::now());
    assert_eq!(opaque.principal, "streamproc");
    assert!(opaque.until - Instant::now() > Duration::from_mins(59), "{opaque:?}");
}

#[tokio::test(start_paused = true)]
async fn no_rendering_shows_the_token() {
    let cache = TokenCache::start(Scripted::new([Act::Give("very-secret", HOUR)]), Timing::default());
    let token = cache.ready().await;
    let rendered = format!("{cache:?} {token:?} {:?}", cache.watch().borrow());
    assert!(!rendered.contains("very-secret"), "{rendered}");
}

proptest! {
    /// Whatever the life of a token, there is time left to fail in, and the next one is not asked for
    /// in a busy loop.
    #[test]
    fn the_refresh_lies_between_half_of_the_life_and_its_end(seconds in 1_u64..200_000, random in 0.0..1.0_f64) {
        let life = Duration::from_secs(seconds);
        let wait = Timing::before_refresh(life, random);
        prop_assert!(wait >= life / 2);
        prop_assert!(life.saturating_sub(wait) >= (life / 5).min(Duration::from_secs(290)));
    }

    #[test]
    fn the_wait_after_failures_grows_to_its_limit_and_not_beyond(failures in 1_u32..1_000, random in 0.0..1.0_f64) {
        let timing = Timing::default();
        let wait = timing.after_failures(failures, random);
        prop_assert!(wait >= timing.first_retry.mul_f64(0.75));
        prop_assert!(wait <= timing.longest_retry.mul_f64(1.25));
        prop_assert!(failures < 8 || wait >= timing.longest_retry.mul_f64(0.75));
    }
}
