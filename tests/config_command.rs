//! `streamproc config` and `completions`, as a person runs them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use streamproc::config::load;

/// Runs the program with these variables and no others.
fn streamproc(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_streamproc"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn local() -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config/local.toml").display().to_string()
}

const KEY: (&str, &str) = ("STREAMPROC_COSMOS_KEY", "c2VjcmV0IG9mIHRoZSB0ZXN0");

#[test]
fn the_effective_configuration_names_the_origin_of_what_is_overridden_and_the_variables_of_the_sdk() {
    let output = streamproc(
        &["config", "--config", &local()],
        &[
            KEY,
            ("STREAMPROC__KAFKA__WORKERS", "7"),
            ("STREAMPROC__KAFKA__PROPERTIES__LINGER_MS", "20"),
            ("AZURE_COSMOS_PPCB_ENABLED", "false"),
        ],
    );
    let text = out(&output);
    assert!(output.status.success(), "{}", err(&output));
    for line in [
        "workers = 7  # from STREAMPROC__KAFKA__WORKERS",
        "\"linger.ms\" = \"20\"  # from STREAMPROC__KAFKA__PROPERTIES__LINGER_MS",
        "group_id = \"streamproc\"",
        "max_bytes = \"64MiB\"",
        "# key_file is not set",
        "#   AZURE_COSMOS_PPCB_ENABLED = \"false\"",
        "#   isolation.level = read_committed",
        "#   linger.ms = 20",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line:?} in\n{text}");
    }
    assert!(!text.contains(KEY.1), "{text}");
}

#[test]
fn its_output_is_a_configuration_file_that_says_the_same() {
    let output = streamproc(
        &["config", "--config", &local()],
        &[
            KEY,
            ("STREAMPROC__TRIGGER__INTERVAL", "1m 30s"),
            ("STREAMPROC__KAFKA__PROPERTIES__LINGER_MS", "20"),
        ],
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("again.toml");
    std::fs::write(&path, out(&output)).unwrap();
    let environment = |more: &[(&str, &str)]| {
        let all =
            [KEY].iter().chain(more).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
        all.into_iter()
    };
    let again = load(Some(&path), environment(&[])).unwrap_or_else(|errors| panic!("{errors}"));
    let first = load(
        Some(Path::new(&local())),
        environment(&[
            ("STREAMPROC__TRIGGER__INTERVAL", "1m 30s"),
            ("STREAMPROC__KAFKA__PROPERTIES__LINGER_MS", "20"),
        ]),
    )
    .unwrap();
    assert_eq!(serde_json::to_value(again.config).unwrap(), serde_json::to_value(first.config).unwrap());
}

#[test]
fn the_same_comes_as_json() {
    let output = streamproc(
        &["config", "--output", "json", "--config", &local()],
        &[KEY, ("STREAMPROC__KAFKA__WORKERS", "7")],
    );
    let json: serde_json::Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!(json["configuration"]["kafka"]["workers"], 7);
    assert_eq!(json["overridden"]["kafka.workers"], "STREAMPROC__KAFKA__WORKERS");
    assert_eq!(json["librdkafka"]["consumer"]["enable.auto.commit"], "false");
    assert_eq!(json["librdkafka"]["producer"]["enable.idempotence"], "true");
    assert!(!out(&output).contains(KEY.1));
}

#[test]
fn the_schema_needs_no_configuration_and_has_defaults_and_descriptions() {
    let output = streamproc(&["config", "--schema"], &[]);
    let schema: serde_json::Value = serde_json::from_str(&out(&output)).unwrap();
    let workers = &schema["$defs"]["Kafka"]["properties"]["workers"];
    assert_eq!(workers["default"], 2);
    assert!(workers["description"].as_str().unwrap().contains("Members of the group"), "{workers}");
}

#[test]
fn a_wrong_configuration_ends_with_2_and_says_why_on_stderr() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wrong.toml");
    std::fs::write(&path, "[kafka]\nworkers = 0\n").unwrap();
    for arguments in [&["config", "--config"][..], &["run", "--config"], &["--config"]] {
        let output = streamproc(&[arguments, &[path.to_str().unwrap()]].concat(), &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(out(&output).is_empty());
        let told = err(&output);
        assert!(told.starts_with("error: The configuration has "), "{told}");
        assert!(told.contains("wrong.toml:2:11: kafka.workers"), "{told}");
        assert!(!told.contains("panicked") && !told.contains("backtrace"), "{told}");
    }
}

#[test]
fn without_a_configuration_it_names_one() {
    for environment in [&[][..], &[("STREAMPROC_CONFIG", "")]] {
        let output = streamproc(&["config"], environment);
        assert_eq!(output.status.code(), Some(2));
        assert!(err(&output).contains("config/local.toml"), "{}", err(&output));
        assert!(streamproc(&["completions", "bash"], environment).status.success());
    }
    let with_variables = streamproc(&["config"], &[("STREAMPROC__KAFKA__WORKERS", "2")]);
    assert_eq!(with_variables.status.code(), Some(2));
    assert!(err(&with_variables).contains("kafka.bootstrap_servers"), "{}", err(&with_variables));
}

#[test]
fn there_are_completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = streamproc(&["completions", shell], &[]);
        assert!(output.status.success() && out(&output).contains("completions"), "{shell}");
    }
    assert_eq!(streamproc(&["completions", "cmd"], &[]).status.code(), Some(2));
}

#[test]
fn what_librdkafka_says_of_a_value_stays_on_its_line() {
    let output = streamproc(
        &["config", "--config", &local()],
        &[KEY, ("STREAMPROC__KAFKA__PROPERTIES__LINGER_MS", "99999999999")],
    );
    let said = err(&output);
    assert!(said.contains("0..900000)\n"), "{said}");
    assert_eq!(output.status.code(), Some(2), "{said}");
}

#[test]
fn an_error_that_nobody_reads_is_an_error_all_the_same() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamproc"));
    command.args(["--config", "there/is/none.toml", "config"]).stderr(Stdio::piped());
    let mut running = command.spawn().unwrap();
    drop(running.stderr.take());
    assert_eq!(running.wait().unwrap().code(), Some(2));
}
