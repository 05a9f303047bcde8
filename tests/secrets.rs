//! No secret is ever shown (P9): every method of sign-in, every way of rendering what belongs to it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fmt::Write;
use std::process::Command;
use std::time::{Duration, SystemTime};

use rdkafka::ClientContext;
use rdkafka::consumer::BaseConsumer;
use streamproc::azure::{CosmosSignIn, Timing, TokenCache, TokenSource};
use streamproc::config::load;
use streamproc::kafka::{Context, base, consumer, producer};

/// What must not be seen. Each is told apart by its place, so that a failure says what leaked.
const PASSWORD: &str = "secret-password-of-this-test";
const PRIVATE_KEY: &str = "secret-private-key-of-this-test";
const TOKEN: &str = "secret-token-of-this-test";
const ACCOUNT_KEY: &str = "c2VjcmV0LWFjY291bnQta2V5LW9mLXRoaXMtdGVzdA==";
const SECRETS: [&str; 4] = [PASSWORD, PRIVATE_KEY, TOKEN, ACCOUNT_KEY];

struct GivesToken;

impl TokenSource for GivesToken {
    async fn fetch(&self) -> anyhow::Result<azure_core::credentials::AccessToken> {
        let expires = SystemTime::now() + Duration::from_hours(1);
        Ok(azure_core::credentials::AccessToken::new(TOKEN, expires.into()))
    }
}

fn assert_clean(what: &str, rendered: &str) {
    for secret in SECRETS {
        assert!(!rendered.contains(secret), "{what} shows {secret}:\n{rendered}");
    }
}

#[tokio::test]
async fn no_rendering_of_any_sign_in_shows_a_secret() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let password = file("password", PASSWORD);
    let key = file("key", PRIVATE_KEY);
    let account_key = file("account-key", ACCOUNT_KEY);
    let federated = file("federated", TOKEN);
    let user = format!("username = \"u\"\npassword_file = \"{password}\"");
    let kafka = [
        "method = \"none\"".to_owned(),
        format!("method = \"scram\"\n{user}"),
        format!("method = \"plain\"\n{user}"),
        format!("method = \"mtls\"\ncertificate_file = \"{key}\"\nkey_file = \"{key}\""),
        "method = \"workload_identity\"\nscope = \"s\"".to_owned(),
    ];
    let cosmos = [
        format!("method = \"key\"\nkey_file = \"{account_key}\""),
        "method = \"key\"".to_owned(),
        "method = \"managed_identity\"".to_owned(),
        "method = \"developer\"".to_owned(),
        "method = \"workload_identity\"\nclient_id = \"c\"\ntenant_id = \"t\"".to_owned(),
    ];
    for (kafka_auth, cosmos_auth) in kafka.iter().flat_map(|k| cosmos.iter().map(move |c| (k, c))) {
        let what = format!("{kafka_auth}\n{cosmos_auth}\n");
        let toml = format!(
            "[kafka]\nbootstrap_servers = \"127.0.0.1:1\"\ntopics = [\"t\"]\n[kafka.auth]\n{kafka_auth}\n[cosmos]\n\
             endpoint = \"https://a/\"\nregions = [\"r\"]\ndatabase = \"d\"\ncontainer = \"c\"\n[cosmos.auth]\n\
             {cosmos_auth}\n[dead_letter]\ntopic = \"dead\"\n"
        );
        let path = directory.path().join("streamproc.toml");
        std::fs::write(&path, &toml).unwrap();
        let environment = [
            ("STREAMPROC_COSMOS_KEY", ACCOUNT_KEY),
            ("AZURE_COSMOS_KEY", ACCOUNT_KEY),
            ("AZURE_FEDERATED_TOKEN_FILE", &federated),
        ];
        let owned = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));

        let loaded = load(Some(&path), owned.clone().into_iter()).unwrap_or_else(|errors| panic!("{errors}"));
        let config = &loaded.config;
        let mut rendered = format!("{loaded:?} {loaded:#?} {}", serde_json::to_string(config).unwrap());
        for client in [base(&config.kafka, "t"), consumer(&config.kafka, "t"), producer(&config.kafka, "t")] {
            let client = client.unwrap();
            write!(rendered, "{client:?} {:?}", client.config_map()).unwrap();
        }
        let env = |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        write!(rendered, "{:?}", CosmosSignIn::new(&config.cosmos, &env).unwrap()).unwrap();
        assert_clean(&what, &rendered);

        for output in ["toml", "json"] {
            let ran = Command::new(env!("CARGO_BIN_EXE_streamproc"))
                .args(["config", "--output", output, "--config"])
                .arg(&path)
                .env_clear()
                .envs(environment)
                .output()
                .unwrap();
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
            assert_clean(&what, &String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()));
        }

        // The same with an error in it, so that messages are rendered that quote values.
        for broken in [
            toml.replace("[kafka]\n", "[kafka]\nworkers = \"x\"\n"),
            toml.replace("_file = \"", &format!(" = \"{PASSWORD}\"\n#")),
            toml.replace("https://a/", &format!("https://user:{PASSWORD}@a/")),
            toml.replace("https://a/", &format!("AccountEndpoint=https://a/;AccountKey={ACCOUNT_KEY}")),
            format!(
                "{toml}[kafka.properties]\nsasl.password = \"{PASSWORD}\"\nssl.key.pem = \"{PRIVATE_KEY}\"\n"
            ),
        ] {
            std::fs::write(&path, &broken).unwrap();
            if let Err(errors) = load(Some(&path), owned.clone().into_iter()) {
                assert_clean(&broken.replace(PASSWORD, "…"), &format!("{errors} {errors:?} {errors:#?}"));
            }
        }
    }
}

#[tokio::test]
async fn no_rendering_of_a_token_or_of_what_keeps_it_shows_it() {
    let tokens = TokenCache::start(GivesToken, Timing::default());
    let token = tokens.ready().await;
    let context = Context::new("t", Some(tokens.clone()));
    let given = context.generate_oauth_token(None).unwrap();
    assert_eq!(given.token, TOKEN, "the token itself is the right one");
    let rendered = format!("{token:?} {tokens:?} {context:?} {:?}", tokens.watch().borrow());
    assert_clean("the token", &rendered);
}

/// librdkafka's own log, at its most talkative, of a client that has a password.
#[test]
fn the_librarys_log_of_everything_shows_no_password() {
    #[derive(Clone, Default)]
    struct Everything(std::sync::Arc<std::sync::Mutex<String>>);
    impl ClientContext for Everything {
        fn log(&self, _: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
            writeln!(self.0.lock().unwrap(), "{facility} {message}").unwrap();
        }
    }
    impl rdkafka::consumer::ConsumerContext for Everything {}

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    std::fs::write(&path, PASSWORD).unwrap();
    let mut kafka = streamproc::config::Kafka::new("127.0.0.1:1", ["t"]);
    kafka.auth.method = streamproc::config::KafkaAuthMethod::Scram;
    kafka.auth.tls = false;
    kafka.auth.username = "user".into();
    kafka.auth.password_file = Some(path);
    kafka.properties.insert("debug".into(), "all".into());
    let heard = Everything::default();
    let client: BaseConsumer<Everything> = consumer(&kafka, "t")
        .unwrap()
        .set_log_level(rdkafka::config::RDKafkaLogLevel::Debug)
        .create_with_context(heard.clone())
        .unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !heard.0.lock().unwrap().contains("Connection refused") {
        drop(client.poll(Duration::from_millis(20)));
        assert!(std::time::Instant::now() < deadline, "heard only {:?}", heard.0);
    }
    let heard = heard.0.lock().unwrap();
    assert!(heard.contains("sasl.password"), "the configuration was logged");
    assert_clean("the library's log", &heard);
}

/// What `config` says of the local configuration with these variables, and whether it takes it.
fn config_says(output: &str, environment: &[(&str, &str)]) -> (bool, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_streamproc"))
        .args(["config", "--output", output, "--config"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/config/local.toml"))
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    (ran.status.success(), String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned())
}

/// What somebody has put into a file, or into the variable, is wrong, and still nobody else's business.
#[test]
fn what_a_file_or_a_variable_of_secrets_holds_by_mistake_is_not_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let binary = |secret: &str| [b"\xff\xfe", secret.as_bytes()].concat();
    let mut kafka = streamproc::config::Kafka::new("127.0.0.1:1", ["t"]);
    kafka.auth.tls = false;
    kafka.auth.method = streamproc::config::KafkaAuthMethod::Plain;
    kafka.auth.username = "user".into();
    for content in [binary(PASSWORD), format!("{PASSWORD}\0").into_bytes()] {
        kafka.auth.password_file = Some(file("password", &content));
        let error = consumer(&kafka, "t").unwrap_err();
        assert_clean("the error about a password", &format!("{error} {error:?}"));
    }

    kafka.auth.method = streamproc::config::KafkaAuthMethod::Mtls;
    let pem =
        |what: &str| ["-----BEGIN ", what, "-----\n", PRIVATE_KEY, "\n-----END ", what, "-----\n"].concat();
    for content in
        [PRIVATE_KEY.into(), pem("PRIVATE KEY").into_bytes(), binary(PRIVATE_KEY), pem("CERTIFICATE").into()]
    {
        let path = file("key", &content);
        kafka.auth.certificate_file = Some(path.clone());
        kafka.auth.key_file = Some(path);
        let made: Result<BaseConsumer, _> = consumer(&kafka, "t").unwrap().create();
        let error = made.map(drop).unwrap_err();
        assert_clean("the error about a certificate", &format!("{error} {error:?}"));
    }

    let connection_string = format!("AccountEndpoint=https://a/;AccountKey={ACCOUNT_KEY};");
    for content in [connection_string.as_bytes(), &binary(ACCOUNT_KEY)] {
        let mut cosmos = streamproc::config::Cosmos::new("https://a/", ["r"], "d", "c");
        cosmos.auth.method = streamproc::config::CosmosAuthMethod::Key;
        cosmos.auth.key_file = Some(file("account-key", content));
        let error = CosmosSignIn::new(&cosmos, &|_| None).unwrap_err();
        assert_clean("the error about an account key", &format!("{error} {error:?}"));
    }
    let (ended, said) = run_with(&[("STREAMPROC_COSMOS_KEY", &connection_string)]);
    assert_eq!(ended, Some(2), "{said}");
    assert!(said.contains("STREAMPROC_COSMOS_KEY is not base64"), "{said}");
    assert_clean("the service", &said);
}

#[test]
fn a_secret_in_a_variable_that_does_not_exist_is_not_repeated() {
    for variable in [
        "STREAMPROC__COSMOS__AUTH__KEY",
        "STREAMPROC__COSMOS__KEY",
        "STREAMPROC__KAFKA__AUTH__PASSWORD",
        "STREAMPROC__KAFKA__PROPERTIES__SASL_PASSWORD",
        "STREAMPROC__KAFKA__PROPERTIES__SASL_OAUTHBEARER_CLIENT_SECRET",
        "STREAMPROC__KAFKA__PROPERTIES__SSL_KEY_PEM",
        "STREAMPROC__KAFKA__AUTH__METHOD",
        "STREAMPROC__KAFKA__WORKERS",
    ] {
        let (ended, said) = run_with(&[(variable, ACCOUNT_KEY)]);
        assert_eq!(ended, Some(2), "{variable}: {said}");
        assert!(said.contains(variable), "{said}");
        assert_clean(variable, &said);
    }
}

/// How the service ends under the sandbox's configuration and these variables, and what it says.
fn run_with(environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_streamproc"))
        .args(["run", "--config"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/config/local.toml"))
        .env_clear()
        .env("STREAMPROC__ADMIN__LISTEN", "127.0.0.1:0")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    (ran.status.code(), String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned())
}

#[test]
fn a_secret_that_stands_where_the_name_of_its_file_belongs_is_not_repeated() {
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
    let scram = [("STREAMPROC__KAFKA__AUTH__METHOD", "scram"), ("STREAMPROC__KAFKA__AUTH__USERNAME", "u")];
    let mtls = [
        ("STREAMPROC__KAFKA__AUTH__METHOD", "mtls"),
        ("STREAMPROC__KAFKA__AUTH__CERTIFICATE_FILE", "certificate"),
    ];
    let begins_like_a_path = format!("/{ACCOUNT_KEY}");
    let cases: [Case<'_>; 5] = [
        (&[], "STREAMPROC__COSMOS__AUTH__KEY_FILE", ACCOUNT_KEY),
        (&[], "STREAMPROC__COSMOS__AUTH__KEY_FILE", &begins_like_a_path),
        (&scram, "STREAMPROC__KAFKA__AUTH__PASSWORD_FILE", PASSWORD),
        (&mtls, "STREAMPROC__KAFKA__AUTH__KEY_FILE", PRIVATE_KEY),
        (&mtls, "STREAMPROC__KAFKA__AUTH__CA_FILE", "-----BEGIN secret-private-key-of-this-test"),
    ];
    for (method, variable, given) in cases {
        let (taken, said) = config_says("toml", &[method, &[(variable, given)]].concat());
        assert!(!taken && said.contains(variable) && said.contains("(hidden)"), "{said}");
        assert_clean(variable, &said);
    }
    let (_, said) = config_says("toml", &[("STREAMPROC__COSMOS__AUTH__KEY_FILE", "/etc/nowhere/key")]);
    assert!(said.contains("\"/etc/nowhere/key\""), "a path is shown:\n{said}");
}

#[test]
fn a_secret_in_a_value_that_is_meant_for_something_else_is_hidden_by_config() {
    for variable in [
        "STREAMPROC__KAFKA__PROPERTIES__CLIENT_ID",
        "STREAMPROC__KAFKA__GROUP_ID",
        "STREAMPROC__KAFKA__CLIENT_RACK",
        "STREAMPROC__NAME",
        "STREAMPROC__EVENT__TIMESTAMPS",
    ] {
        for output in ["toml", "json"] {
            let given = if variable.ends_with("TIMESTAMPS") { "createdAt," } else { "" };
            let (taken, said) = config_says(output, &[(variable, &format!("{given}{ACCOUNT_KEY}"))]);
            assert!(taken && said.contains("(hidden)"), "{variable}: {said}");
            assert_clean(&format!("{variable} as {output}"), &said);
        }
    }
}
