//! What a person is told about a wrong configuration.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::Path;

use streamproc::config::{ConfigError, ConfigErrors, Loaded, Place, Problem, load};

/// The least that makes a configuration.
const LEAST: &str = r#"
[kafka]
bootstrap_servers = "localhost:9092"
topics = ["streaming"]
[cosmos]
endpoint = "https://account.documents.azure.com:443/"
regions = ["West Europe"]
database = "streaming"
container = "rawdata"
[dead_letter]
topic = "streaming-dead-letter"
"#;

struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    fn load(&self, toml: &str, env: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
        let path = self.file("streamproc.toml", toml);
        load(Some(Path::new(&path)), env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }
}

fn loaded(toml: &str, env: &[(&str, &str)]) -> Loaded {
    Scene::new().load(toml, env).unwrap_or_else(|errors| panic!("{errors}"))
}

fn errors(toml: &str, env: &[(&str, &str)]) -> Vec<ConfigError> {
    Scene::new().load(toml, env).expect_err("an error").iter().cloned().collect()
}

/// The only error there is.
fn only(toml: &str, env: &[(&str, &str)]) -> ConfigError {
    let mut errors = errors(toml, env);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    errors.remove(0)
}

/// `LEAST` with a line put under a section's header.
fn with(section: &str, line: &str) -> String {
    let header = format!("[{section}]\n");
    if LEAST.contains(&header) {
        LEAST.replace(&header, &format!("{header}{line}\n"))
    } else if section.is_empty() {
        format!("{line}\n{LEAST}")
    } else {
        format!("{LEAST}\n{header}{line}\n")
    }
}

/// The line and column of an error.
fn at(error: &ConfigError) -> (usize, usize) {
    match &error.place {
        Place::File { line, column, .. } => (*line, *column),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_least_configuration_is_enough_and_everything_else_has_its_default() {
    let config = loaded(LEAST, &[]).config;
    assert_eq!(config.kafka.workers, 2);
    assert_eq!(config.kafka.group_id, "streamproc");
    assert!(config.kafka.auth.tls, "a sign-in that is left out must not switch encryption off");
    assert_eq!(config.trigger.max_bytes.0, 64 << 20);
    assert_eq!(config.event.partition_key, ["deviceId"]);
    assert_eq!(config.shutdown.timeout.to_string(), "25s");
}

#[test]
fn the_environment_overrides_the_file_and_is_named_as_the_origin() {
    let loaded = loaded(
        &with("kafka", "workers = 3"),
        &[
            ("STREAMPROC__KAFKA__WORKERS", "5"),
            ("STREAMPROC__KAFKA__TOPICS", "a, b"),
            ("STREAMPROC__COSMOS__AUTH__CLIENT_ID", "6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
            ("STREAMPROC__KAFKA__PROPERTIES__LINGER_MS", "20"),
            ("STREAMPROC__KAFKA__PROPERTIES__LOG_LEVEL", "6"),
            ("STREAMPROC__TRIGGER__MAX_BYTES", "128MiB"),
            ("STREAMPROC__LOG__FORMAT", "text"),
            ("HOME", "/root"),
        ],
    );
    let config = loaded.config;
    assert_eq!(config.kafka.workers, 5);
    assert_eq!(config.kafka.topics, ["a", "b"]);
    assert_eq!(config.cosmos.auth.client_id, "6f9619ff-8b86-d011-b42d-00cf4fc964ff");
    assert_eq!(config.kafka.properties["linger.ms"], "20");
    assert_eq!(config.kafka.properties["log_level"], "6");
    assert_eq!(config.trigger.max_bytes.0, 128 << 20);
    assert_eq!(loaded.overridden["kafka.workers"], "STREAMPROC__KAFKA__WORKERS");
    assert_eq!(loaded.overridden["kafka.properties.linger.ms"], "STREAMPROC__KAFKA__PROPERTIES__LINGER_MS");
    assert_eq!(loaded.overridden.len(), 7);
}

#[test]
fn the_environment_alone_is_enough() {
    let variables: BTreeMap<String, String> = [
        ("STREAMPROC__KAFKA__BOOTSTRAP_SERVERS", "a:9092,b:9092"),
        ("STREAMPROC__KAFKA__TOPICS", "streaming"),
        ("STREAMPROC__COSMOS__ENDPOINT", "http://127.0.0.1:8081/"),
        ("STREAMPROC__COSMOS__REGIONS", "West Europe,North Europe"),
        ("STREAMPROC__COSMOS__DATABASE", "d"),
        ("STREAMPROC__COSMOS__CONTAINER", "c"),
        ("STREAMPROC__DEAD_LETTER__TOPIC", "dead"),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .into();
    let config = load(None, variables.into_iter()).unwrap().config;
    assert_eq!(config.cosmos.regions, ["West Europe", "North Europe"]);
    assert_eq!(config.kafka.bootstrap_servers, "a:9092,b:9092");
}

#[test]
fn an_unknown_key_is_told_the_nearest_one_its_section_and_its_place() {
    let error = only(&with("trigger", "intervall = \"1s\""), &[]);
    assert_eq!((error.problem, at(&error)), (Problem::UnknownKey, (14, 1)));
    assert_eq!(error.action, "did you mean interval? (in [trigger])");
    assert!(error.expected.contains("max_events_per_trigger"), "{error}");

    for (section, line, action) in [
        ("", "kafaka = 1", "did you mean [kafka]?"),
        ("kafka", "max_bytes = \"64MiB\"", "move it: max_bytes belongs in [trigger]"),
        ("kafka", "client_id = \"x\"", "move it: client_id belongs in [kafka.auth] or [cosmos.auth]"),
        ("kafka", "linger.ms = 5", "move it: properties of librdkafka belong in [kafka.properties]"),
        ("kafka.auht", "method = \"scram\"", "did you mean [kafka.auth]?"),
        ("dead-letter", "x = 1", "did you mean [dead_letter]?"),
        ("", "wholly_unrelated_thing = 1", "remove it; docs/configuration.md lists every key"),
    ] {
        let error = only(&with(section, line), &[]);
        assert_eq!((error.problem, error.action.as_str()), (Problem::UnknownKey, action), "{line}");
    }
}

#[test]
fn a_key_that_an_unknown_one_was_meant_to_be_is_not_reported_missing_as_well() {
    assert_eq!(only(&LEAST.replace("topics =", "topcs ="), &[]).problem, Problem::UnknownKey);
    assert_eq!(only(&LEAST.replace("[dead_letter]", "[dead-letter]"), &[]).problem, Problem::UnknownKey);
}

#[test]
fn a_wrong_type_points_at_the_value() {
    let error = only(&with("kafka", "workers = \"two\""), &[]);
    assert_eq!((error.problem, at(&error)), (Problem::WrongType, (3, 11)));
    assert_eq!(error.found, "\"two\"");
    assert_eq!(error.expected, "a whole number, 0 or more");

    let error = only(LEAST, &[("STREAMPROC__KAFKA__WORKERS", "two")]);
    assert_eq!(error.place, Place::Variable("STREAMPROC__KAFKA__WORKERS".into()));
    assert!(
        error.to_string().starts_with("environment variable STREAMPROC__KAFKA__WORKERS: kafka.workers\n")
    );

    let error = only(&format!("log = \"json\"\n{LEAST}"), &[]);
    assert_eq!(error.action, "write [log] on a line of its own and its keys below it");
}

#[test]
fn a_wrong_word_lists_the_allowed_ones() {
    let error = only(&with("kafka", "start = \"earlist\""), &[]);
    assert_eq!(error.expected, "one of \"earliest\", \"latest\", \"fail\"");
    assert_eq!(error.action, "write \"earliest\"");
}

#[test]
fn a_missing_value_says_where_to_add_it() {
    let error = only(&LEAST.replace("topics = [\"streaming\"]\n", ""), &[]);
    assert_eq!((error.problem, error.key.as_str(), at(&error)), (Problem::Missing, "kafka.topics", (2, 2)));
    assert!(error.action.contains("add topics = [\"streaming\"] under [kafka]"), "{error}");
    assert!(error.action.contains("STREAMPROC__KAFKA__TOPICS"), "{error}");
    assert_eq!(errors("", &[]).len(), 7, "every required key");
}

#[test]
fn errors_of_every_kind_are_reported_together_the_most_useful_first() {
    use Problem::{Contradiction, Missing, NotAllowed, Refused, UnknownKey, WrongType};
    let toml = with("kafka", "workers = 100\nstart = 5\nunknown_thing_here = 1")
        .replace("\"streaming-dead-letter\"", "\"streaming\"")
        .replace("database = \"streaming\"\n", "");
    let toml = format!("{toml}[kafka.properties]\nenable.auto.commit = true\n");
    let problems: Vec<Problem> = errors(&toml, &[]).iter().map(|error| error.problem).collect();
    assert_eq!(problems, [UnknownKey, WrongType, NotAllowed, Refused, Contradiction, Missing]);
}

#[test]
fn what_is_not_toml_names_the_line() {
    let error = only(&LEAST.replace("database = \"streaming\"", "database = streaming"), &[]);
    assert_eq!((error.problem, at(&error).0), (Problem::Syntax, 8));
    let error = only(&with("kafka", "topics = [\"a\"]"), &[]);
    assert_eq!((error.problem, error.action.as_str()), (Problem::Syntax, "keep one of the two"));
}

#[test]
fn a_value_without_quotes_is_shown_with_them_unless_it_may_be_a_secret() {
    for (line, found, action) in [
        ("group_id = streamproc", "text without quotes", "write group_id = \"streamproc\""),
        ("group_id = none # for now", "text without quotes", "write group_id = \"none\""),
        ("client_rack = /a/b", "text without quotes", "write client_rack = \"/a/b\""),
        ("password = hunter2", "text without quotes", "write password = (hidden)"),
    ] {
        let error = only(&with("kafka", line), &[]);
        assert_eq!((error.problem, at(&error).0), (Problem::Syntax, 3), "{line}");
        assert_eq!((error.found.as_str(), error.action.as_str()), (found, action), "{line}");
    }
    let error = only(&with("kafka", "group_id = \"a"), &[]);
    assert!(error.action.starts_with("mend this line"), "{error}");
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    let scene = Scene::new();
    let missing = load(Some(&scene.directory.path().join("no.toml")), std::iter::empty()).unwrap_err();
    assert!(missing.to_string().contains("no.toml"), "{missing}");
    assert!(missing.to_string().contains("--config"), "{missing}");
    let directory = load(Some(scene.directory.path()), std::iter::empty()).unwrap_err();
    assert!(directory.to_string().contains("name the file in this directory"), "{directory}");
    let path = scene.directory.path().join("latin1.toml");
    std::fs::write(&path, b"name = \"a\"\nx = \"\xe9\"\n").unwrap();
    let latin = load(Some(&path), std::iter::empty()).unwrap_err();
    assert!(latin.to_string().contains("line 2"), "{latin}");
}

#[test]
fn properties_pass_through_in_either_spelling_and_as_numbers() {
    let toml = with(
        "kafka.properties",
        "linger.ms = 20\n\"fetch.min.bytes\" = \"1000\"\nsocket.keepalive.enable = true",
    );
    let properties =
        loaded(&toml, &[("STREAMPROC__KAFKA__PROPERTIES__LINGER_MS", "7")]).config.kafka.properties;
    assert_eq!(properties["linger.ms"], "7");
    assert_eq!(properties["fetch.min.bytes"], "1000");
    assert_eq!(properties["socket.keepalive.enable"], "true");
}

#[test]
fn every_refused_property_is_refused_with_its_reason_and_what_to_use() {
    for refused in streamproc::config::refused::REFUSED {
        let name = refused.name.replace('*', "x");
        let error = only(&with("kafka.properties", &format!("\"{name}\" = \"anything\"")), &[]);
        assert_eq!(error.problem, Problem::Refused, "{name}");
        assert_eq!(at(&error), (14, 1), "{name}");
        assert!(error.expected.contains(refused.reason) && error.action == refused.instead, "{error}");
        for fine in refused.fine {
            loaded(&with("kafka.properties", &format!("\"{name}\" = \"{fine}\"")), &[]);
        }
    }
}

#[test]
fn what_librdkafka_would_not_take_is_said_before_anything_starts() {
    for (line, problem, word) in [
        ("\"lingr.ms\" = 5", Problem::UnknownKey, "did you mean linger.ms?"),
        ("linger_ms = 5", Problem::UnknownKey, "did you mean linger.ms?"),
        ("\"linger.ms\" = 9999999", Problem::NotAllowed, "0..900000"),
        ("\"compression.type\" = \"zip\"", Problem::NotAllowed, "compression.type"),
        ("\"linger.ms\" = [5]", Problem::WrongType, "one string"),
        (
            "\"linger.ms\" = 5\n\"queue.buffering.max.ms\" = 6",
            Problem::Contradiction,
            "another name of linger.ms",
        ),
        ("\"linger.ms\" = 5\nlinger.ms = 6", Problem::Contradiction, "the same property"),
        ("\"heartbeat.interval.ms\" = 5000", Problem::Contradiction, "a third of"),
    ] {
        let error = only(&with("kafka.properties", line), &[]);
        assert_eq!(error.problem, problem, "{line}");
        assert!(error.to_string().split_whitespace().collect::<Vec<_>>().join(" ").contains(word), "{error}");
    }
    let error = only(LEAST, &[("STREAMPROC__KAFKA__PROPERTIES__LINGR_MS", "5")]);
    assert_eq!(error.place, Place::Variable("STREAMPROC__KAFKA__PROPERTIES__LINGR_MS".into()));
}

#[test]
fn a_dead_letter_topic_among_the_topics_is_a_contradiction() {
    let error = only(&LEAST.replace("streaming-dead-letter", "streaming"), &[]);
    assert_eq!(
        (error.problem, error.key.as_str(), at(&error)),
        (Problem::Contradiction, "dead_letter.topic", (11, 9))
    );
}

#[test]
fn the_variables_of_the_sdk_are_kept_and_the_dangerous_ones_refused() {
    let seen = loaded(LEAST, &[("AZURE_COSMOS_PPCB_ENABLED", "false"), ("COSMOS_DISABLE_IMDS", "1")]);
    assert_eq!(seen.sdk_variables.len(), 2);
    let error = only(LEAST, &[("AZURE_COSMOS_EMULATOR_HOST", "account.documents.azure.com")]);
    assert_eq!(error.problem, Problem::Refused);
    assert!(error.to_string().contains("certificate"), "{error}");
    let sandbox = LEAST.replace("https://account.documents.azure.com:443/", "http://localhost:8081/");
    loaded(&sandbox, &[("AZURE_COSMOS_EMULATOR_SERVER_CERT_VALIDATION_DISABLED", "true")]);
}

#[test]
fn an_error_fits_on_one_screen_however_many_there_are() {
    let unknown = (0..200).map(|n| format!("nonsense_number_{n} = 1")).collect::<Vec<_>>().join("\n");
    let text = Scene::new().load(&format!("{unknown}\n{LEAST}"), &[]).unwrap_err().to_string();
    assert!(text.lines().count() <= 40, "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 160), "{text}");
    assert!(text.starts_with("The configuration has 200 errors."), "{text}");
    assert!(text.contains("and 195 more"), "{text}");
}

#[test]
fn an_error_reads_like_this() {
    let error = only(&with("trigger", "intervall = \"1s\""), &[]);
    let text = error.to_string();
    let (place, rest) = text.split_once('\n').unwrap();
    assert!(place.ends_with("streamproc.toml:14:1: trigger.intervall"), "{place}");
    assert_eq!(
        rest,
        "  found     a key that does not exist\n  \
           expected  a key of [trigger]: max_events_per_trigger, interval, max_bytes\n  \
           do        did you mean interval? (in [trigger])\n"
    );
}

/// Our own check of the types runs before serde, which would report one error without a place: so
/// it must let nothing through that serde refuses.
#[test]
fn what_our_type_check_takes_the_structs_take_too() {
    let literals = [
        "\"\"",
        "\"x\"",
        "\"5\"",
        "\"5s\"",
        "\"64MiB\"",
        "\"json\"",
        "\"none\"",
        "0",
        "5",
        "-5",
        "99999999999999999999",
        "0x10",
        "1.5",
        "nan",
        "inf",
        "true",
        "[]",
        "[\"a\"]",
        "[1]",
        "{}",
        "{a = 1}",
        "1979-05-27T07:32:00Z",
    ];
    for key in streamproc::config::reference::reference().keys() {
        let (section, name) = key.path.rsplit_once('.').unwrap_or(("", &key.path));
        let without: String = LEAST
            .lines()
            .filter(|l| !l.starts_with(&format!("{name} =")))
            .fold(String::new(), |text, line| text + line + "\n");
        for literal in literals {
            let line = format!("{name} = {literal}");
            let toml = match section {
                "" => format!("{line}\n{without}"),
                _ if without.contains(&format!("[{section}]\n")) => {
                    without.replace(&format!("[{section}]\n"), &format!("[{section}]\n{line}\n"))
                }
                _ => format!("{without}\n[{section}]\n{line}\n"),
            };
            if let Err(errors) = Scene::new().load(&toml, &[]) {
                assert!(
                    errors.iter().all(|error| error.expected != "a configuration of this version"),
                    "{} = {literal}: {errors}",
                    key.path
                );
            }
        }
    }
}

/// The same text through the `config` crate's own TOML source gives the same configuration.
#[test]
fn our_reader_reads_what_the_config_crate_reads() {
    let toml = with("kafka", "workers = 0x10\nstart = \"latest\"\nsession_timeout = \"1m 30s\"")
        + "[kafka.properties]\n\"linger.ms\" = \"5\"\n[trigger]\nmax_bytes = 16_777_216\n[event]\ntimestamps = []\n";
    let theirs: streamproc::config::Config = config::Config::builder()
        .add_source(config::File::from_str(&toml, config::FileFormat::Toml))
        .build()
        .unwrap()
        .try_deserialize()
        .unwrap();
    let ours = loaded(&toml, &[]).config;
    assert_eq!(serde_json::to_value(&ours).unwrap(), serde_json::to_value(&theirs).unwrap());
}
