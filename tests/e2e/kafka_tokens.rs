//! Tokens for Kafka: an endpoint that hangs, at the start and while the stream flows, stops nobody
//! who has a token; short-lived ones are refreshed in time.

use std::time::{Duration, Instant};

use crate::guarded;
use crate::stage::held::{self, TOLD};
use crate::stage::{Layout, SOON, Stage, event};
use crate::support::guard::Signal;
use crate::support::kafka::{AUDIENCE, Listener, Record};
use crate::support::service::{Service, Setup};
use crate::support::tokens::{Endpoint, Mode};
use crate::support::wait;

/// Longer than any test waits.
const FOR_EVER: Duration = Duration::from_mins(1);

fn start(stage: &Stage, endpoint: &Endpoint) -> Service {
    let servers = format!("bootstrap_servers = {:?}", stage.cluster.bootstrap_of(Listener::Sasl));
    let scope = format!("scope = \"{AUDIENCE}/.default\"");
    let setup = Setup::new(&stage.config(&[
        ("kafka", &servers),
        ("kafka", "workers = 1"),
        ("kafka.auth", r#"method = "workload_identity""#),
        ("kafka.auth", "tls = false"),
        ("kafka.auth", &scope),
        ("kafka.auth", r#"tenant_id = "tenant""#),
        ("kafka.auth", r#"client_id = "client""#),
    ]));
    let federated = setup.file("federated", "a service account's token");
    setup
        .variable("AZURE_AUTHORITY_HOST", &endpoint.authority_host())
        .variable("AZURE_FEDERATED_TOKEN_FILE", &federated.display().to_string())
        .variable("SSL_CERT_FILE", &stage.cluster.security().authority.ca_file.display().to_string())
        .start()
}

fn stage() -> (Stage, Endpoint) {
    let cluster = guarded::cluster();
    let stage = Stage::on(cluster, Layout { partitions: 1, ..Layout::default() });
    let endpoint = Endpoint::start(&cluster.security().issuer, &cluster.security().authority);
    (stage, endpoint)
}

/// Sends an event and waits until it is stored, which takes a moment and no more.
fn one_more(stage: &Stage, service: &Service, number: usize) {
    stage.send(&[Record::new(event(1, number)).key("device-1")]);
    stage.wait_until_caught_up(service, SOON);
    let alive: serde_json::Value = serde_json::from_str(&service.get("/livez").unwrap().body).unwrap();
    let silence = alive["longestSilenceSeconds"].as_f64().unwrap();
    assert!(silence < 3.0, "a thread stood still for {silence} s\n{}", service.tail());
}

#[test]
fn a_token_endpoint_that_hangs_at_the_start_is_named_and_waited_for() {
    let (stage, endpoint) = stage();
    endpoint.set(Mode::Hang(FOR_EVER));
    stage.send(&[Record::new(event(1, 0)).key("device-1"), Record::new("no event")]);
    let service = start(&stage, &endpoint);
    held::wait_for(&service, "kafka_sign_in", &["there is no token yet", "kafka.auth"], TOLD);
    assert_eq!(service.get("/livez").unwrap().status, 200);

    // What hangs is given up after ten seconds, counted, and asked again.
    held::wait_for(&service, "kafka_sign_in", &["no answer within 10s"], SOON);
    let counted = service.metric("streamproc_auth_failures_total", &[r#"target="kafka""#]);
    assert_eq!(counted, Some(1.0));
    endpoint.set(Mode::Fail(401));
    held::wait_for(&service, "kafka_sign_in", &["the test said so"], SOON);
    endpoint.set(Mode::Answer);
    stage.wait_until_caught_up(&service, SOON);
    held::wait_until_ready(&service, SOON);
    assert_eq!((stage.cosmos().stats().documents(), stage.letters().len()), (1, 1));
}

#[test]
fn a_service_without_a_token_ends_when_it_is_told_to() {
    let (stage, endpoint) = stage();
    endpoint.set(Mode::Hang(FOR_EVER));
    let service = start(&stage, &endpoint);
    held::wait_for(&service, "kafka_sign_in", &["there is no token yet"], TOLD);
    let told = Instant::now();
    service.signal(Signal::Term);
    let status = service.wait_for_exit(SOON);
    assert!(
        status.success() && told.elapsed() < Duration::from_secs(5),
        "{status} after {:?}",
        told.elapsed()
    );
}

#[test]
fn the_stream_outlives_its_tokens_and_an_endpoint_that_hangs_for_a_while() {
    let (stage, endpoint) = stage();
    let lifetime = Duration::from_secs(8);
    endpoint.set_lifetime(lifetime);
    let service = start(&stage, &endpoint);
    one_more(&stage, &service, 0);
    held::wait_until_ready(&service, TOLD);
    // Each is replaced before it expires: neither the stream nor the brokers see an old one.
    let (before, begun) = (endpoint.given().len(), Instant::now());
    let mut number = 0;
    while endpoint.given().len() < before + 2 {
        assert!(
            begun.elapsed() < lifetime * 2,
            "{} tokens in {:?}",
            endpoint.given().len() - before,
            begun.elapsed()
        );
        number += 1;
        one_more(&stage, &service, number);
        assert_eq!(held::conditions(&service).unwrap(), [], "a refresh is no interruption");
    }
    let failures = service.metric("streamproc_auth_failures_total", &[r#"target="kafka""#]);
    assert_eq!(failures, Some(0.0));

    // Now there is a fresh one, and no other will come before it has expired.
    endpoint.set(Mode::Hang(FOR_EVER));
    let (begun, refreshed) = (Instant::now(), number);
    while begun.elapsed() + Duration::from_secs(3) < lifetime {
        number += 1;
        one_more(&stage, &service, number);
        assert_eq!(held::conditions(&service).unwrap(), [], "the old token still holds");
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(number > refreshed + 2, "{number} events");

    // The brokers do not let a sign-in outlast its token.
    held::wait_for(&service, "kafka_sign_in", &["the token has expired"], lifetime);
    endpoint.set(Mode::Answer);
    held::wait_until_ready(&service, SOON);
    let asked = endpoint.requests();
    one_more(&stage, &service, number + 1);
    wait::until(SOON, "tokens to be fetched as before", || (endpoint.requests() > asked).then_some(()));
    one_more(&stage, &service, number + 2);
    assert_eq!(stage.cosmos().stats().documents(), u64::try_from(number).unwrap() + 3);
    assert!(stage.letters().is_empty());
}
