//! Every way of signing in to the brokers lets the right client in and keeps the wrong one out.

use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::types::RDKafkaErrorCode;

use crate::support::guard;
use crate::support::kafka::{AUDIENCE, Cluster, Listener, Options, shared, unique};
use crate::support::process::Process;
use crate::support::tokens::{Endpoint, Mode};
use crate::support::wait;

const LIMIT: Duration = Duration::from_secs(20);
/// For a client that is kept out: it tries again and again, and never gets an answer.
const REFUSED: Duration = Duration::from_secs(3);

#[test]
fn passwords_are_checked() {
    let security = shared().security();
    for (listener, properties) in [
        (Listener::Sasl, security.scram()),
        (Listener::Sasl, security.plain()),
        (Listener::SaslTls, security.scram_over_tls()),
    ] {
        shared().answers(listener, &properties, LIMIT).unwrap();
        let wrong: Vec<_> = properties
            .into_iter()
            .map(
                |(name, value)| {
                    if name == "sasl.password" { (name, "wrong".to_owned()) } else { (name, value) }
                },
            )
            .collect();
        assert!(shared().answers(listener, &wrong, REFUSED).is_err(), "{wrong:?}");
    }
}

#[test]
fn client_certificates_are_checked() {
    let mut properties = shared().security().mtls();
    shared().answers(Listener::Mtls, &properties, LIMIT).unwrap();
    properties.retain(|(name, _)| !["ssl.certificate.location", "ssl.key.location"].contains(name));
    assert!(shared().answers(Listener::Mtls, &properties, REFUSED).is_err());
}

#[test]
fn rights_are_checked() {
    let options = Options::brokers(1)
        .with_sign_in()
        .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
        .property("super.users", "User:ANONYMOUS");
    let cluster = Cluster::start(&options);
    let (open, closed) = (unique("open"), unique("closed"));
    cluster.create_topic(&open, 1, &[]);
    cluster.create_topic(&closed, 1, &[]);
    let user = format!("User:{}", cluster.security().username);
    let grant = ["--add", "--allow-principal", &user, "--operation", "Read", "--topic", &open];
    cluster.tool("org.apache.kafka.tools.AclCommand", &grant);

    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_of(Listener::Sasl)).set("log_level", "0");
    for (name, value) in cluster.security().scram() {
        config.set(name, value);
    }
    let consumer: BaseConsumer = config.create().unwrap();
    // Not by watermarks: there librdkafka makes a partition that is not known of the refusal.
    let error_of = |topic: &str| {
        let metadata = consumer.fetch_metadata(Some(topic), LIMIT).unwrap();
        metadata.topics()[0].error().map(RDKafkaErrorCode::from)
    };
    assert_eq!(error_of(&open), None);
    assert_eq!(error_of(&closed), Some(RDKafkaErrorCode::TopicAuthorizationFailed));
}

/// Hands librdkafka one token, as often as it asks.
struct Bearer(String);

impl ClientContext for Bearer {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let in_an_hour = std::time::SystemTime::now() + Duration::from_hours(1);
        let millis = in_an_hour.duration_since(std::time::UNIX_EPOCH)?.as_millis();
        Ok(OAuthToken {
            token: self.0.clone(),
            principal_name: String::new(),
            lifetime_ms: i64::try_from(millis)?,
        })
    }
}

impl ConsumerContext for Bearer {}

fn signs_in(token: &str, limit: Duration) -> Result<(), String> {
    let consumer: BaseConsumer<Bearer> = ClientConfig::new()
        .set("bootstrap.servers", shared().bootstrap_of(Listener::Sasl))
        .set("group.id", "streamproc-tests-look-on")
        .set("security.protocol", "SASL_PLAINTEXT")
        .set("sasl.mechanism", "OAUTHBEARER")
        .set("log_level", "0")
        .create_with_context(Bearer(token.to_owned()))
        .unwrap();
    // The refresh event is served by a poll; until then there is no token at all.
    let _ = consumer.poll(Duration::from_millis(100));
    consumer.fetch_metadata(None, limit).map(drop).map_err(|e| e.to_string())
}

#[test]
fn tokens_are_checked() {
    let issuer = &shared().security().issuer;
    let hour = Duration::from_hours(1);
    signs_in(&issuer.token("streamproc", AUDIENCE, hour), LIMIT).unwrap();

    let for_another = issuer.token("streamproc", "https://elsewhere.test", hour);
    assert!(signs_in(&for_another, REFUSED).is_err(), "another audience");
    let genuine = issuer.token("streamproc", AUDIENCE, hour);
    let (signed, signature) = genuine.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    assert!(signs_in(&format!("{signed}.{first}{}", &signature[1..]), REFUSED).is_err(), "another signature");
}

/// Prints a token from `azure_identity`. Runs as a child of the test below, which sets the
/// environment variables that the credential reads.
#[test]
#[ignore = "the child process of a_token_of_workload_identity_opens_kafka"]
fn child_that_asks_for_a_token() {
    use azure_core::credentials::TokenCredential;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let token = runtime.block_on(async {
        let credential = azure_identity::WorkloadIdentityCredential::new(None).unwrap();
        credential.get_token(&[&format!("{AUDIENCE}/.default")], None).await.unwrap()
    });
    println!("token={}", token.token.secret());
}

#[test]
fn a_token_of_workload_identity_opens_kafka() {
    let security = shared().security();
    let endpoint = Endpoint::start(&security.issuer, &security.authority);
    let dir = guard::temp_dir("identity");
    let federated = dir.path().join("token");
    std::fs::write(&federated, "a service account's token").unwrap();
    let ask = || {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "sign_in_smoke::child_that_asks_for_a_token", "--ignored", "--nocapture"])
            .env("AZURE_AUTHORITY_HOST", endpoint.authority_host())
            .env("AZURE_TENANT_ID", "tenant")
            .env("AZURE_CLIENT_ID", "client")
            .env("AZURE_FEDERATED_TOKEN_FILE", &federated)
            .env("SSL_CERT_FILE", &security.authority.ca_file);
        Process::start("the asking child", &mut command)
    };

    let line = ask().wait_for_line("token=", LIMIT);
    let (_, token) = line.split_once("token=").unwrap();
    signs_in(token, LIMIT).unwrap();

    let before = endpoint.requests();
    endpoint.set(Mode::Fail(400));
    assert!(!ask().wait_for_exit(LIMIT).success(), "a refusal is an error");
    endpoint.set(Mode::Hang(Duration::from_mins(1)));
    let hanging = ask();
    wait::until(LIMIT, "two more requests", || (endpoint.requests() >= before + 2).then_some(()));
    assert!(hanging.exited().is_none(), "it waits for the endpoint");
}
