//! `docs/configuration.md` is written by this test, from the schema and the tables that the checks
//! walk: it cannot tell another story than the program.

use std::fmt::Write;
use std::path::PathBuf;

use serde_json::Value;
use streamproc::config::reference::{Key, Kind, PROPERTIES, reference};
use streamproc::config::{check, refused, sdk_variables};

const HEAD: &str = "\
<!-- Written by `STREAMPROC_BLESS=1 cargo test --test docs`; change the structs in src/config, not this file. -->

# Configuration

One TOML file, named by `--config FILE` or the variable `STREAMPROC_CONFIG`. `config/` holds three that are
complete: `local.toml` for the sandbox, `prod.toml` for AKS with Strimzi, `event-hubs.toml` for Event Hubs.

- **Every key can be overridden** from the environment: `STREAMPROC__KAFKA__WORKERS=4` sets `workers` in `[kafka]`,
  `STREAMPROC__NAME=x` sets `name`. Lists are separated by commas. In `[kafka.properties]` an underscore means a dot:
  `STREAMPROC__KAFKA__PROPERTIES__LINGER_MS=20` sets `linger.ms`. Without a file, the environment alone is read.
- **Unknown keys are refused**, with the nearest known one. What is wrong is reported together, a screen of it at
  a time, with file, line and column, or the variable; the exit status is 2.
- **Secrets never stand in it**, only the names of files that hold them (`password_file`, `key_file`). The files are
  read again for every new client, so that a rotated secret is found. The account key of Cosmos DB may come from the
  variable `STREAMPROC_COSMOS_KEY` instead.
- `streamproc config` checks it, and shows what is in effect and where it comes from, secrets hidden; nothing is
  asked of the network. `streamproc config --schema` prints the JSON schema, for an editor.

A key without a default must be set. Durations are written `500ms`, `25s`, `2m`; sizes `64MiB`, `2GB`.
";

const PROPERTIES_HEAD: &str = "\
The properties are those of librdkafka 2.12 (its CONFIGURATION.md). Each reaches the clients it is for: one of
producers the producer of dead letters, one of consumers the workers.

Those below are refused, because a key of ours sets them or a value would break a promise: P1 nothing is lost, P2
nothing is doubled, P3 offsets are committed after the writes, P4 writes of one key in order, P5 memory is bounded,
P7 an outage kills nothing, P8 a stop is clean, P9 no secret is shown. A value in the second column changes nothing and
is let through.

";

const SDK_HEAD: &str = "
## Variables of the Cosmos DB SDK

The SDK reads about fifty variables `AZURE_COSMOS_*` behind the program's back. `streamproc config` shows those that are
set. These are refused, unless the endpoint is a loopback address, that is the sandbox:

| variable | because |
|---|---|
";

fn document() -> String {
    let mut out = HEAD.to_owned();
    for section in reference().sections() {
        if section.path.is_empty() {
            writeln!(out, "\n## The top of the file\n").unwrap();
        } else {
            writeln!(out, "\n## `[{}]`\n\n{}\n", section.path, section.about).unwrap();
        }
        if section.path == PROPERTIES {
            properties(&mut out);
            continue;
        }
        writeln!(out, "| key | type | default | meaning |\n|---|---|---|---|").unwrap();
        for key in &section.keys {
            let default = key.default.as_ref().map_or("**required**".to_owned(), written);
            writeln!(
                out,
                "| `{}` | {} | {default} | {} |",
                key.name,
                cell(&kind(&key.kind)),
                cell(&meaning(key))
            )
            .unwrap();
        }
    }
    sdk(&mut out);
    out
}

fn properties(out: &mut String) {
    out.push_str(PROPERTIES_HEAD);
    writeln!(out, "| refused | but for | because | in its place |\n|---|---|---|---|").unwrap();
    for refused in refused::REFUSED {
        let fine: Vec<String> = refused.fine.iter().map(|value| format!("`{value}`")).collect();
        writeln!(
            out,
            "| `{}` | {} | {} | {} |",
            refused.name,
            fine.join(", "),
            cell(refused.reason),
            cell(refused.instead)
        )
        .unwrap();
    }
}

fn sdk(out: &mut String) {
    out.push_str(SDK_HEAD);
    for refused in sdk_variables::REFUSED {
        writeln!(out, "| `{}` | {} |", refused.name, cell(refused.reason)).unwrap();
    }
}

fn kind(kind: &Kind) -> String {
    match kind {
        Kind::Text => "string".into(),
        Kind::File => "file".into(),
        Kind::Integer => "integer".into(),
        Kind::Number => "number".into(),
        Kind::Bool => "boolean".into(),
        Kind::Duration => "duration".into(),
        Kind::Size => "size".into(),
        Kind::List => "list of strings".into(),
        Kind::Choice(words) => {
            words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(" or ")
        }
    }
}

fn written(default: &Value) -> String {
    match default {
        Value::Null => "not set".into(),
        other => format!("`{other}`"),
    }
}

/// The meaning, the limits, and what each word of a choice means.
fn meaning(key: &Key) -> String {
    let mut text = key.about.clone();
    let limits: Vec<&str> = check::LIMITS
        .iter()
        .filter(|limit| limit.key == key.path && !text.contains(limit.expected))
        .map(|limit| limit.expected)
        .collect();
    if !limits.is_empty() {
        write!(text, "<br>Allowed: {}.", limits.join("; ")).unwrap();
    }
    if let Kind::Choice(words) = &key.kind {
        for (word, about) in words.iter().filter(|(word, about)| about.trim_end_matches('.') != word) {
            write!(text, "<br>`{word}`: {about}").unwrap();
        }
    }
    text
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn the_reference_of_the_configuration_is_what_the_program_does() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let wanted = document();
    if std::env::var_os("STREAMPROC_BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(wanted.lines()).find(|(found, wanted)| found != wanted);
    assert!(
        found == wanted,
        "docs/configuration.md is out of date, first at {differs:?}; write it again with:\n\n    \
         STREAMPROC_BLESS=1 cargo test --test docs\n"
    );
}

#[test]
fn every_key_stands_in_the_reference() {
    let text = document();
    for key in reference().keys() {
        assert!(text.contains(&format!("| `{}` |", key.name)), "{}", key.path);
    }
}
