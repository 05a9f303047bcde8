//! The whole service under every way of signing in to Kafka: what is good is stored, what is bad is a
//! dead letter. And the sign-in that fails: named, counted, tried again, and mended while it runs.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tempfile::TempDir;

use crate::stage::held::{self, TOLD};
use crate::stage::{Layout, SOON, Stage, events};
use crate::support::guard::{self, Signal};
use crate::support::kafka::{AUDIENCE, Listener, Received, Record, Security, shared};
use crate::support::service::{Service, Setup};
use crate::support::tokens::Endpoint;

/// What a pod shows to Entra.
const FEDERATED: &str = "a service account's token";

/// A way of signing in: the listener, the lines of `[kafka.auth]`, variables of the environment.
pub(super) struct Way {
    pub(super) listener: Listener,
    pub(super) lines: Vec<String>,
    pub(super) variables: Vec<(&'static str, String)>,
}

/// The files of a sign-in.
pub(super) struct Files {
    dir: TempDir,
}

impl Files {
    pub(super) fn new() -> Self {
        Self { dir: guard::temp_dir("sign-in") }
    }

    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

pub(super) fn line(key: &str, value: impl AsRef<Path>) -> String {
    format!("{key} = {:?}", value.as_ref().display().to_string())
}

impl Way {
    pub(super) fn new(listener: Listener, method: &str) -> Self {
        Self { listener, lines: vec![format!("method = {method:?}")], variables: Vec::new() }
    }

    pub(super) fn with(mut self, line: String) -> Self {
        self.lines.push(line);
        self
    }

    pub(super) fn with_user(self, security: &Security, password: &Path) -> Self {
        self.with(line("username", &security.username)).with(line("password_file", password))
    }

    /// By name and password, without TLS.
    pub(super) fn scram(security: &Security, password: &Path) -> Self {
        Self::new(Listener::Sasl, "scram").with_user(security, password).with("tls = false".into())
    }

    pub(super) fn scram_over_tls(security: &Security, password: &Path, ca: &Path) -> Self {
        Self::new(Listener::SaslTls, "scram").with_user(security, password).with(line("ca_file", ca))
    }

    pub(super) fn start(self, stage: &Stage) -> Service {
        self.start_at(stage, &stage.cluster.bootstrap_of(self.listener))
    }

    pub(super) fn start_at(&self, stage: &Stage, brokers: &str) -> Service {
        let servers = format!("bootstrap_servers = {brokers:?}");
        let mut overrides = vec![("kafka", servers.as_str()), ("kafka", "workers = 1")];
        overrides.extend(self.lines.iter().map(|line| ("kafka.auth", line.as_str())));
        let setup = Setup::new(&stage.config(&overrides));
        self.variables.iter().fold(setup, |setup, (name, value)| setup.variable(name, value)).start()
    }
}

/// Twenty good events and a bad one.
fn send(stage: &Stage) {
    let mut records = events(4, 5);
    records.insert(7, Record::new("no event"));
    stage.send(&records);
}

/// Waits until what [`send`] has sent is where it belongs.
fn expect_all(stage: &Stage, service: &Service) {
    stage.wait_until_caught_up(service, SOON);
    assert_eq!(stage.cosmos().stats().documents(), 20);
    let letters: Vec<_> = stage.letters().iter().map(Received::text).collect();
    assert_eq!(letters, ["no event"]);
    held::wait_until_ready(service, TOLD);
}

fn end(service: &Service) {
    service.signal(Signal::Term);
    let status = service.wait_for_exit(SOON);
    assert!(status.success(), "{status}:\n{}", service.tail());
}

pub(super) fn identity(
    files: &Files,
    security: &Security,
    endpoint: &Endpoint,
) -> Vec<(&'static str, String)> {
    let federated = files.write("federated", FEDERATED);
    vec![
        ("AZURE_AUTHORITY_HOST", endpoint.authority_host()),
        ("AZURE_TENANT_ID", "tenant".into()),
        ("AZURE_CLIENT_ID", "client".into()),
        ("AZURE_FEDERATED_TOKEN_FILE", federated.display().to_string()),
        ("SSL_CERT_FILE", security.authority.ca_file.display().to_string()),
    ]
}

#[test]
fn under_every_way_of_signing_in_events_are_stored_and_bad_ones_are_dead_letters() {
    let security = shared().security();
    let files = Files::new();
    let password = files.write("password", format!("{}\n", security.password));
    let ca = &security.authority.ca_file;
    let endpoint = Endpoint::start(&security.issuer, &security.authority);
    let sha256 = || r#"mechanism = "SCRAM-SHA-256""#.to_owned();
    let ways = [
        Way::new(Listener::Plain, "none"),
        Way::scram(security, &password),
        Way::scram(security, &password).with(sha256()),
        Way::scram_over_tls(security, &password, ca),
        Way::scram_over_tls(security, &password, ca).with(sha256()),
        Way::new(Listener::SaslTls, "plain").with_user(security, &password).with(line("ca_file", ca)),
        Way::new(Listener::Mtls, "mtls")
            .with(line("ca_file", ca))
            .with(line("certificate_file", &security.client.certificate))
            .with(line("key_file", &security.client.key)),
        Way {
            variables: identity(&files, security, &endpoint),
            ..Way::new(Listener::SaslTls, "workload_identity")
                .with(line("ca_file", ca))
                .with(line("scope", format!("{AUDIENCE}/.default")))
        },
    ];
    // All at once: what takes time is the waiting.
    let running: Vec<_> = ways
        .into_iter()
        .map(|way| {
            let stage = Stage::new(Layout { partitions: 1, ..Layout::default() });
            send(&stage);
            let service = way.start(&stage);
            (stage, service)
        })
        .collect();
    for (stage, service) in &running {
        expect_all(stage, service);
        assert_eq!(service.metric("streamproc_auth_failures_total", &[]), Some(0.0));
    }
    for (_, service) in &running {
        service.signal(Signal::Term);
    }
    for (_, service) in &running {
        end_was_good(service);
    }
}

fn end_was_good(service: &Service) {
    let status = service.wait_for_exit(SOON);
    assert!(status.success(), "{status}:\n{}", service.tail());
}

/// A sign-in that fails, what is said about it, and what mends it.
struct Refused {
    way: Way,
    said: &'static str,
    mend: Box<dyn Fn()>,
}

#[test]
fn a_sign_in_that_fails_is_named_and_counted_and_goes_on_once_its_files_are_right() {
    let security = shared().security();
    let ca = &security.authority.ca_file;
    let copy = |from: &Path, to: &Path| {
        let (from, to) = (from.to_owned(), to.to_owned());
        Box::new(move || assert!(fs::copy(&from, &to).is_ok())) as Box<dyn Fn()>
    };
    let files = Files::new();
    let right = files.write("right", &security.password);
    let wrong = files.write("wrong", "not the password");
    let stranger = crate::support::certificates::Authority::new(files.dir.path());
    let unknown_ca = files.write("unknown-ca.pem", fs::read(&stranger.ca_file).unwrap());
    let other = stranger.issue("client");
    let (certificate, key) = (
        files.write("client-now.pem", fs::read(&other.certificate).unwrap()),
        files.write("client-now.key", fs::read(&other.key).unwrap()),
    );
    let mend_certificate = {
        let mend = [copy(&security.client.certificate, &certificate), copy(&security.client.key, &key)];
        Box::new(move || mend.iter().for_each(|one| one()))
    };
    let refused = [
        Refused {
            way: Way::scram(security, &wrong),
            said: "invalid credentials",
            mend: copy(&right, &wrong),
        },
        Refused {
            way: Way::scram_over_tls(security, &right, &unknown_ca),
            said: "certificate could not be verified",
            mend: copy(ca, &unknown_ca),
        },
        Refused {
            way: Way::new(Listener::Mtls, "mtls")
                .with(line("ca_file", ca))
                .with(line("certificate_file", &certificate))
                .with(line("key_file", &key)),
            said: "SSL alert number",
            mend: mend_certificate,
        },
    ];
    let running: Vec<_> = refused
        .into_iter()
        .map(|Refused { way, said, mend }| {
            let stage = Stage::new(Layout { partitions: 1, ..Layout::default() });
            send(&stage);
            (way.start(&stage), stage, said, mend)
        })
        .collect();
    for (service, stage, said, mend) in &running {
        held::wait_for(service, "kafka_sign_in", &[said, "kafka.auth"], TOLD);
        let counted = service.metric("streamproc_auth_failures_total", &[r#"target="kafka""#]);
        assert!(counted.is_some_and(|count| count >= 1.0), "{counted:?}");
        assert!(stage.letters().is_empty());
        mend();
    }
    for (service, stage, ..) in &running {
        expect_all(stage, service);
    }
}

#[test]
fn a_user_that_is_unknown_and_a_broker_of_another_name_are_named() {
    let security = shared().security();
    let files = Files::new();
    let password = files.write("password", &security.password);
    let stage = Stage::new(Layout { partitions: 1, ..Layout::default() });
    let unknown = Way::scram(security, &password).with(line("username", "nobody"));
    let unknown = unknown.start(&stage);
    // Whoever speaks TLS at that port is not the one we want to talk to.
    let certificate = security.authority.issue_for("elsewhere", "DNS:elsewhere.test");
    let elsewhere = Endpoint::start_with(&security.issuer, &certificate);
    let elsewhere = Way::scram_over_tls(security, &password, &security.authority.ca_file)
        .start_at(&stage, &format!("localhost:{}", elsewhere.port()));
    held::wait_for(&unknown, "kafka_sign_in", &["invalid credentials"], TOLD);
    held::wait_for(
        &elsewhere,
        "kafka_sign_in",
        &["certificate verify failed", "not made out to the name"],
        TOLD,
    );
    for service in [&unknown, &elsewhere] {
        end(service);
    }
    assert!(stage.letters().is_empty());
}

/// The lines of a private key that are nothing but key.
fn lines_of_key(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().filter(|line| !line.starts_with("-----")).map(str::to_owned).collect()
}

/// With everything that our own program, librdkafka and the libraries for HTTP and TLS have to say.
#[test]
fn the_log_of_everything_shows_no_secret_under_any_way_of_signing_in() {
    let security = shared().security();
    let files = Files::new();
    let (password, ca) = (files.write("password", &security.password), &security.authority.ca_file);
    let wrong = files.write("wrong-password", "not the password, and no less secret");
    let account_key = BASE64_STANDARD.encode("the key of the account, which nobody is to see");
    let key_file = files.write("account-key", &account_key);
    let endpoint = Endpoint::start(&security.issuer, &security.authority);
    let key = vec![("STREAMPROC_COSMOS_KEY", account_key.clone())];
    let in_a_file = vec![("STREAMPROC__COSMOS__AUTH__KEY_FILE", key_file.display().to_string())];
    let mut by_token = identity(&files, security, &endpoint);
    by_token.push(("STREAMPROC__COSMOS__AUTH__METHOD", "workload_identity".into()));
    let mtls = Way::new(Listener::Mtls, "mtls")
        .with(line("ca_file", ca))
        .with(line("certificate_file", &security.client.certificate))
        .with(line("key_file", &security.client.key));
    let token = Way::new(Listener::SaslTls, "workload_identity")
        .with(line("ca_file", ca))
        .with(line("scope", format!("{AUDIENCE}/.default")));
    let ways = [
        (Way::scram(security, &password), &key),
        (
            Way::new(Listener::SaslTls, "plain").with_user(security, &password).with(line("ca_file", ca)),
            &in_a_file,
        ),
        (mtls, &by_token),
        (token, &by_token),
        (Way::scram(security, &wrong), &key),
    ];
    let running: Vec<_> = ways
        .into_iter()
        .map(|(mut way, variables)| {
            way.variables = variables.clone();
            way.variables.push(("RUST_LOG", "trace".into()));
            way.variables.push(("STREAMPROC__KAFKA__PROPERTIES__DEBUG", "all".into()));
            let stage = Stage::new(Layout { partitions: 1, ..Layout::default() });
            stage.cosmos().rotate_key(&account_key);
            stage.cosmos().take_tokens(true);
            send(&stage);
            (way.start(&stage), stage)
        })
        .collect();
    let (refused, let_in) = running.split_last().unwrap();
    for (service, stage) in let_in {
        expect_all(stage, service);
    }
    held::wait_for(&refused.0, "kafka_sign_in", &["invalid credentials"], TOLD);
    // Cosmos DB refuses what it has just taken.
    for (service, stage) in let_in {
        stage.cosmos().rotate_key(&BASE64_STANDARD.encode("another"));
        stage.cosmos().take_tokens(false);
        send(stage);
        held::wait_for(service, "sign_in", &["401"], TOLD);
    }
    let mut secrets = lines_of_key(&security.client.key);
    secrets.extend(endpoint.given());
    secrets.extend([
        security.password.clone(),
        account_key,
        FEDERATED.into(),
        fs::read_to_string(&wrong).unwrap(),
    ]);
    assert!(secrets.len() > 6 && secrets.iter().all(|secret| secret.len() > 20), "{secrets:?}");
    for (service, _) in &running {
        let pages =
            ["/readyz", "/metrics", "/progress", "/livez"].map(|path| service.get(path).unwrap().body);
        let log = service.stderr();
        assert!(log.iter().any(|line| line.contains("TRACE")), "{}", service.tail());
        for line in log.iter().chain(&pages) {
            let shown = secrets.iter().find(|secret| line.contains(secret.as_str()));
            assert_eq!(shown, None, "in {line}");
        }
    }
}
