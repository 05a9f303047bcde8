//! The librdkafka properties of our clients, and what the library says about them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use streamproc::azure::{Timing, TokenCache, TokenSource};
use streamproc::config::check::LARGEST_BUDGET;
use streamproc::config::librdkafka::{Role, is_for};
use streamproc::config::refused::Refused;
use streamproc::config::{Kafka, KafkaAuthMethod, ScramMechanism, Span};
use streamproc::kafka::{Contact, Context, base, consumer, producer};
use streamproc::observe::health::Health;
use streamproc::observe::metrics::Metrics;
use streamproc::source::consumer::queue_bytes;

fn kafka() -> Kafka {
    Kafka::new("127.0.0.1:1", ["streaming"])
}

fn with_auth(method: KafkaAuthMethod, tls: bool, password: Option<PathBuf>) -> Kafka {
    let mut kafka = kafka();
    kafka.auth.method = method;
    kafka.auth.tls = tls;
    kafka.auth.username = "user".into();
    kafka.auth.password_file = password;
    kafka
}

type Expected<'a> = &'a [(&'a str, &'a str)];

/// The properties of a kind that begin so.
fn properties(config: &ClientConfig, starts: &[&str]) -> BTreeMap<String, String> {
    config
        .config_map()
        .into_iter()
        .filter(|(name, _)| starts.iter().any(|start| name.starts_with(start)))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn each_method_sets_its_properties_and_no_others() {
    let directory = tempfile::tempdir().unwrap();
    let password = directory.path().join("password");
    std::fs::write(&password, "word\n").unwrap();
    let hidden = "[sanitized for safety]";
    let cases: [(KafkaAuthMethod, bool, Expected<'_>); 7] = [
        (KafkaAuthMethod::None, true, &[("security.protocol", "plaintext")]),
        (
            KafkaAuthMethod::Scram,
            true,
            &[
                ("security.protocol", "sasl_ssl"),
                ("sasl.mechanism", "SCRAM-SHA-512"),
                ("sasl.username", "user"),
                ("sasl.password", hidden),
            ],
        ),
        (
            KafkaAuthMethod::Scram,
            false,
            &[
                ("security.protocol", "sasl_plaintext"),
                ("sasl.mechanism", "SCRAM-SHA-512"),
                ("sasl.username", "user"),
                ("sasl.password", hidden),
            ],
        ),
        (
            KafkaAuthMethod::Plain,
            true,
            &[
                ("security.protocol", "sasl_ssl"),
                ("sasl.mechanism", "PLAIN"),
                ("sasl.username", "user"),
                ("sasl.password", hidden),
            ],
        ),
        (
            KafkaAuthMethod::Mtls,
            true,
            &[
                ("security.protocol", "ssl"),
                ("ssl.certificate.location", "/certificate"),
                ("ssl.key.location", "/key"),
            ],
        ),
        (
            KafkaAuthMethod::WorkloadIdentity,
            true,
            &[("security.protocol", "sasl_ssl"), ("sasl.mechanism", "OAUTHBEARER")],
        ),
        (
            KafkaAuthMethod::WorkloadIdentity,
            false,
            &[("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "OAUTHBEARER")],
        ),
    ];
    for (method, tls, expected) in cases {
        let mut kafka = with_auth(method, tls, Some(password.clone()));
        if method == KafkaAuthMethod::Mtls {
            kafka.auth.certificate_file = Some("/certificate".into());
            kafka.auth.key_file = Some("/key".into());
        }
        let config = base(&kafka, "test").unwrap();
        let expected = expected.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        assert_eq!(properties(&config, &["security.", "sasl.", "ssl."]), expected, "{method:?}");
        assert_eq!(config.get("bootstrap.servers"), Some("127.0.0.1:1"));
        assert_eq!(config.get("client.id"), Some("streamproc-test"));
    }
}

#[test]
fn the_certificate_authority_is_set_wherever_there_is_tls() {
    for (method, tls, set) in [
        (KafkaAuthMethod::None, true, false),
        (KafkaAuthMethod::Scram, true, true),
        (KafkaAuthMethod::Scram, false, false),
        (KafkaAuthMethod::Mtls, true, true),
        (KafkaAuthMethod::WorkloadIdentity, true, true),
    ] {
        let mut kafka = with_auth(method, tls, None);
        kafka.auth.ca_file = Some("/ca".into());
        assert_eq!(base(&kafka, "test").unwrap().get("ssl.ca.location").is_some(), set, "{method:?}");
    }
}

#[test]
fn the_mechanism_of_scram_is_the_configured_one() {
    let mut kafka = with_auth(KafkaAuthMethod::Scram, true, None);
    kafka.auth.mechanism = ScramMechanism::Sha256;
    assert_eq!(base(&kafka, "test").unwrap().get("sasl.mechanism"), Some("SCRAM-SHA-256"));
}

#[test]
fn the_password_is_read_again_for_every_client_and_loses_only_its_line_break() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    let kafka = with_auth(KafkaAuthMethod::Scram, true, Some(path.clone()));
    for (content, password) in
        [("first\n", "first"), ("second", "second"), (" spaces \r\n", " spaces "), ("two\n\n", "two\n")]
    {
        std::fs::write(&path, content).unwrap();
        assert_eq!(base(&kafka, "test").unwrap().get("sasl.password"), Some(password));
    }
    for (content, why) in [("", "is empty"), ("\n", "is empty"), ("a\0b", "zero byte")] {
        std::fs::write(&path, content).unwrap();
        let error = base(&kafka, "test").unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("kafka.auth.password_file"), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(base(&kafka, "test").unwrap_err().to_string().contains("No such file"));
}

#[test]
fn what_the_consumer_and_the_producer_fix_no_user_can_set_otherwise() {
    let kafka = kafka();
    for (config, role) in [
        (consumer(&kafka, "test").unwrap(), Role::Consumer),
        (producer(&kafka, "test").unwrap(), Role::Producer),
    ] {
        for (name, value) in config.config_map() {
            assert!(is_for(role, name), "{name} on a {role:?}");
            let open = [
                "client.id",
                "socket.keepalive.enable",
                "reconnect.backoff.ms",
                "reconnect.backoff.max.ms",
                "topic.metadata.refresh.interval.ms",
                "heartbeat.interval.ms",
            ];
            let refused = Refused::of(name);
            assert!(refused.is_some() || open.contains(&name), "{name} could be overridden");
            assert!(refused.is_none_or(|r| r.fine.is_empty() || r.fine.contains(&value)), "{name} = {value}");
        }
    }
}

#[test]
fn a_short_session_has_three_heartbeats_and_a_long_one_is_not_slowed() {
    for (session, heartbeat) in [(6_000, "2000"), (12_000, "3000"), (300_000, "3000")] {
        let mut kafka = kafka();
        kafka.session_timeout = Span::from_millis(session);
        assert_eq!(consumer(&kafka, "test").unwrap().get("heartbeat.interval.ms"), Some(heartbeat));
    }
    let mut kafka = kafka();
    kafka.properties.insert("heartbeat.interval.ms".into(), "1000".into());
    assert_eq!(consumer(&kafka, "test").unwrap().get("heartbeat.interval.ms"), Some("1000"));
}

/// Keeps the library's log.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<String>>>);

impl ClientContext for Listener {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.lock().unwrap().push(format!("{facility}: {message}"));
    }
}
impl ConsumerContext for Listener {}
impl ProducerContext for Listener {
    type DeliveryOpaque = ();
    fn delivery(&self, _: &rdkafka::message::DeliveryResult<'_>, (): ()) {}
}

/// Polls until the library has reported that the broker is down: by then every warning about the
/// configuration, which comes first, has been heard.
fn hear(listener: &Listener, mut poll: impl FnMut()) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        poll();
        let heard = listener.0.lock().unwrap().clone();
        if heard.iter().any(|line| line.starts_with("FAIL")) {
            return heard;
        }
        assert!(Instant::now() < deadline, "heard only {heard:?}");
    }
}

#[test]
fn the_library_warns_about_no_property_whatever_the_user_sets_for_either_kind() {
    let mut kafka = kafka();
    for (name, value) in [
        ("linger.ms", "20"),
        ("compression.type", "lz4"),
        ("fetch.min.bytes", "1000"),
        ("fetch.wait.max.ms", "100"),
        ("socket.timeout.ms", "30000"),
    ] {
        kafka.properties.insert(name.into(), value.into());
    }
    kafka.client_rack = "1".into();

    let listener = Listener::default();
    let mut config = consumer(&kafka, "test").unwrap();
    let reader: BaseConsumer<Listener> =
        config.set_log_level(RDKafkaLogLevel::Info).create_with_context(listener.clone()).unwrap();
    reader.subscribe(&["streaming"]).unwrap();
    let heard = hear(&listener, || drop(reader.poll(Duration::from_millis(50))));
    assert!(!heard.iter().any(|line| line.contains("CONFWARN")), "{heard:?}");
    assert_eq!(config.get("fetch.min.bytes"), Some("1000"));
    assert_eq!(config.get("linger.ms"), None);

    let listener = Listener::default();
    let mut config = producer(&kafka, "test").unwrap();
    let writer: BaseProducer<Listener> =
        config.set_log_level(RDKafkaLogLevel::Info).create_with_context(listener.clone()).unwrap();
    let heard = hear(&listener, || {
        writer.poll(Duration::from_millis(50));
    });
    assert!(!heard.iter().any(|line| line.contains("CONFWARN")), "{heard:?}");
    assert_eq!(config.get("linger.ms"), Some("20"));
    assert_eq!(config.get("fetch.min.bytes"), None);
    drop(writer.client().fatal_error());
}

/// Never gives a token.
struct Hanging;

impl TokenSource for Hanging {
    async fn fetch(&self) -> anyhow::Result<azure_core::credentials::AccessToken> {
        std::future::pending().await
    }
}

/// Gives one at once.
struct Ready(&'static str);

impl TokenSource for Ready {
    async fn fetch(&self) -> anyhow::Result<azure_core::credentials::AccessToken> {
        let expires = std::time::SystemTime::now() + Duration::from_hours(1);
        Ok(azure_core::credentials::AccessToken::new(self.0, expires.into()))
    }
}

#[tokio::test]
async fn the_callback_answers_at_once_with_the_token_or_with_the_reason_that_there_is_none() {
    let tokens = TokenCache::start(Ready("token"), Timing::default());
    tokens.ready().await;
    let token = Context::new("test", Some(tokens)).generate_oauth_token(None).unwrap();
    assert_eq!((token.token.as_str(), token.principal_name.as_str()), ("token", "streamproc"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let left = token.lifetime_ms - i64::try_from(now.as_millis()).unwrap();
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");

    let reason = |context: Context| context.generate_oauth_token(None).err().unwrap().to_string();
    let hanging = TokenCache::start(Hanging, Timing::default());
    assert_eq!(reason(Context::new("test", Some(hanging))), "there is no token yet; it is being fetched");
    assert_eq!(reason(Context::new("test", None)), "this client was given no source of tokens");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_token_keeps_polling_and_says_why_it_is_not_connected() {
    let mut kafka = with_auth(KafkaAuthMethod::WorkloadIdentity, false, None);
    kafka.auth.scope = "scope".into();
    let health = Health::new(Metrics::new().unwrap());
    let contact = Contact::new(kafka.clone(), "test", Metrics::new().unwrap(), health.clone());
    let context = Context::new("test", Some(TokenCache::start(Hanging, Timing::default())))
        .reporting_to(Arc::new(contact));
    let client: BaseConsumer<Context> =
        consumer(&kafka, "test").unwrap().create_with_context(context).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut longest = Duration::ZERO;
    while !health.conditions().iter().any(|condition| condition.detail.contains("there is no token yet")) {
        let before = Instant::now();
        drop(client.poll(Duration::from_millis(20)));
        longest = longest.max(before.elapsed());
        assert!(Instant::now() < deadline, "said only {:?}", health.conditions());
    }
    assert!(longest < Duration::from_secs(5), "a poll took {longest:?}");
}

/// What `config` lets pass, the client takes: the queue of one worker that has its part for itself.
#[test]
fn the_largest_budget_can_be_given_to_one_client() {
    let largest = LARGEST_BUDGET;
    let mut config = consumer(&kafka(), "worker-0").unwrap();
    config.set("queued.max.messages.kbytes", (queue_bytes(largest, 1) >> 10).to_string());
    config.create::<BaseConsumer>().unwrap();
}
