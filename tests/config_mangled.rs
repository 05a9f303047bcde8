//! The configurations of `config/`, mangled: whatever somebody's editor, template or script has made of them,
//! the loader takes it or says where it is wrong. `fuzz/` goes on where this ends.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/configuration.rs"]
mod configuration;

use std::path::PathBuf;

use proptest::prelude::*;
use proptest::sample::select;
use streamproc::config::environment::variable;
use streamproc::config::reference::{PROPERTIES, reference};

const FILES: [&str; 3] = ["local.toml", "prod.toml", "event-hubs.toml"];

/// Values of every kind, most of them where they do not belong.
const VALUES: &[&str] = &[
    "0",
    "-1",
    "4294967297",
    "18446744073709551616",
    "340282366920938463463374607431768211455",
    "999999999999999999999999999999999999999999",
    "0xffffffffffffffffffffffffffffffffffffffff",
    "1e999",
    "-0.0",
    "nan",
    "inf",
    "true",
    "1979-05-27T07:32:00Z",
    "\"\"",
    "\" \"",
    "\"1e400GiB\"",
    "\"18446744073709551615PB\"",
    "\"99999999999999999999999h\"",
    "\"584942417355y\"",
    "\"\\u0000\\u001b[2J\\n\"",
    "\"\u{202e}\u{9b}\"",
    "'''\nx\n'''",
    "[]",
    "[\"\", \"\"]",
    "[1, \"a\", [2]]",
    "{}",
    "{ a = { b = { c = 1 } } }",
    "\"",
    "[",
    "=",
    "",
];

/// A place in something, modulo its length.
type Place = usize;

/// What can go wrong with a file on its way.
#[derive(Clone, Debug)]
enum Edit {
    Overwrite(Place, Vec<u8>),
    Insert(Place, Vec<u8>),
    Delete(Place, usize),
    RepeatLine(Place, usize),
    MoveLine(Place, Place),
    /// Another value behind an equals sign.
    Value(Place, &'static str),
    /// A value, or a key, so many levels deep.
    Nest(Place, usize, Nesting),
}

#[derive(Clone, Copy, Debug)]
enum Nesting {
    Arrays,
    Tables,
    Dots,
    Sections,
}

fn edit() -> impl Strategy<Value = Edit> {
    let bytes = || prop::collection::vec(any::<u8>(), 1..8);
    let marks = prop::collection::vec(select(b"\"'[]{}=.,#\n\\\r\0 ".as_slice()), 1..6);
    let nestings = [Nesting::Arrays, Nesting::Tables, Nesting::Dots, Nesting::Sections];
    prop_oneof![
        1 => (any::<Place>(), bytes()).prop_map(|(at, bytes)| Edit::Overwrite(at, bytes)),
        1 => (any::<Place>(), prop_oneof![bytes(), marks]).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        1 => (any::<Place>(), 1..200_usize).prop_map(|(at, length)| Edit::Delete(at, length)),
        1 => (any::<Place>(), 1..4_usize).prop_map(|(line, times)| Edit::RepeatLine(line, times)),
        1 => (any::<Place>(), any::<Place>()).prop_map(|(from, to)| Edit::MoveLine(from, to)),
        6 => (any::<Place>(), select(VALUES)).prop_map(|(line, value)| Edit::Value(line, value)),
        1 => (any::<Place>(), 1..3_000_usize, select(nestings.to_vec()))
            .prop_map(|(line, depth, nesting)| Edit::Nest(line, depth, nesting)),
    ]
}

impl Edit {
    fn apply(&self, text: &mut Vec<u8>) {
        let mut lines: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        match self {
            Self::Overwrite(at, bytes) => {
                let at = *at % (text.len() + 1);
                let end = text.len().min(at + bytes.len());
                text.splice(at..end, bytes.iter().copied());
                return;
            }
            Self::Insert(at, bytes) => {
                let at = *at % (text.len() + 1);
                text.splice(at..at, bytes.iter().copied());
                return;
            }
            Self::Delete(at, length) => {
                let at = *at % (text.len() + 1);
                text.drain(at..text.len().min(at + length));
                return;
            }
            Self::RepeatLine(line, times) => {
                let at = *line % lines.len();
                let line = lines[at].clone();
                lines.splice(at..at, std::iter::repeat_n(line, *times));
            }
            Self::MoveLine(from, to) => {
                let line = lines.remove(*from % lines.len());
                lines.insert(*to % (lines.len() + 1), line);
            }
            Self::Value(line, value) => {
                if let Some(line) = with_a_value(&mut lines, *line) {
                    set_value(line, value);
                }
            }
            Self::Nest(line, depth, nesting) => {
                let Some(line) = with_a_value(&mut lines, *line) else { return };
                match nesting {
                    Nesting::Arrays => {
                        set_value(line, &format!("{}{}", "[".repeat(*depth), "]".repeat(*depth)));
                    }
                    Nesting::Tables => {
                        set_value(line, &format!("{}1{}", "{ a = ".repeat(*depth), " }".repeat(*depth)));
                    }
                    Nesting::Dots => *line = format!("{}a = 1", "a.".repeat(*depth)).into_bytes(),
                    Nesting::Sections => *line = format!("[{}a]", "a.".repeat(*depth)).into_bytes(),
                }
            }
        }
        *text = lines.join(&b'\n');
    }
}

/// One of the lines that say `key = value`, those in comments included.
fn with_a_value(lines: &mut [Vec<u8>], which: Place) -> Option<&mut Vec<u8>> {
    let mut those: Vec<_> = lines.iter_mut().filter(|line| line.contains(&b'=')).collect();
    if those.is_empty() { None } else { Some(those.swap_remove(which % those.len())) }
}

fn set_value(line: &mut Vec<u8>, value: &str) {
    let equals = line.iter().position(|byte| *byte == b'=').expect("it has one");
    line.truncate(equals + 1);
    line.extend_from_slice(value.as_bytes());
    if line.starts_with(b"# ") {
        line.drain(..2);
    }
}

/// Variables that override keys, or nearly.
fn environment() -> impl Strategy<Value = Vec<(String, String)>> {
    let mut names: Vec<String> = reference().keys().map(|key| variable(&key.path)).collect();
    let properties = ["heartbeat.interval.ms", "client.id", "linger.ms", "debug", "sasl.password", "", "a.b"];
    names.extend(properties.map(|property| variable(&format!("{PROPERTIES}.{property}"))));
    names.extend(
        ["STREAMPROC__", "STREAMPROC__KAFKA", "STREAMPROC__X__Y", "STREAMPROC_KAFKA_WORKERS"]
            .map(str::to_owned),
    );
    let plain = VALUES.iter().map(|value| value.trim_matches('"').to_owned()).collect::<Vec<_>>();
    let value = prop_oneof![select(plain), any::<String>()];
    prop::collection::vec((select(names), value), 0..3)
}

fn text(file: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config").join(file);
    std::fs::read(path).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mangled_configuration_is_taken_or_refused_with_its_place(
        file in select(FILES.as_slice()),
        edits in prop::collection::vec(edit(), 0..4),
        environment in environment(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut toml = text(file);
        for edit in &edits {
            edit.apply(&mut toml);
        }
        if let Err(what) = configuration::check(folder.path(), &toml, &environment) {
            let toml = String::from_utf8_lossy(&toml);
            prop_assert!(false, "{what}\nunder {environment:?}\nof {file}:\n{toml}");
        }
    }
}

/// Loads the sandbox's configuration with a line of it set, and these variables.
fn local_with(section: &str, line: &str, environment: &[(&str, &str)]) -> Result<bool, String> {
    let folder = tempfile::tempdir().unwrap();
    let key = line.split('=').next().unwrap().trim();
    let text = String::from_utf8(text("local.toml")).unwrap();
    let mut lines: Vec<&str> =
        text.lines().filter(|line| line.split('=').next().unwrap().trim() != key).collect();
    let at = if section.is_empty() {
        0
    } else {
        lines.iter().position(|line| *line == format!("[{section}]")).expect("a section") + 1
    };
    lines.insert(at, line);
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let environment: Vec<_> = environment.iter().map(owned).collect();
    configuration::check(folder.path(), lines.join("\n").as_bytes(), &environment)
}

/// What mangling has found, or could not.
#[test]
fn numbers_beyond_all_measure_are_refused() {
    let huge = "340282366920938463463374607431768211455";
    let heartbeat = [("STREAMPROC__KAFKA__PROPERTIES__HEARTBEAT_INTERVAL_MS", huge)];
    assert_eq!(local_with("", "config_version = 1", &heartbeat), Ok(false));
    assert_eq!(local_with("", "config_version = 4294967297", &[]), Ok(false));
    for (section, line) in [
        ("kafka", format!("workers = {huge}")),
        ("kafka", "workers = 18446744073709551615".to_owned()),
        ("trigger", "max_bytes = \"18446744073709551615PB\"".to_owned()),
        ("trigger", "interval = \"584942417355y\"".to_owned()),
        ("dead_letter", "max_fraction = 1e999".to_owned()),
    ] {
        assert_eq!(local_with(section, &line, &[]), Ok(false), "{line}");
    }
    assert_eq!(local_with("kafka", "workers = 4", &[]), Ok(true));
}

#[test]
fn what_is_nested_deeper_than_anybody_would_is_refused() {
    for line in [
        format!("topics = {}{}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("topics = {}1{}", "{a=".repeat(100_000), "}".repeat(100_000)),
        format!("{}a = 1", "a.".repeat(100_000)),
    ] {
        assert_eq!(local_with("kafka", &line, &[]), Ok(false), "{}", &line[..20]);
    }
}

#[test]
fn these_manglings_do_what_they_say() {
    let apply = |edit: Edit, text: &str| {
        let mut text = text.as_bytes().to_vec();
        edit.apply(&mut text);
        String::from_utf8(text).unwrap()
    };
    assert_eq!(apply(Edit::RepeatLine(0, 2), "a = 1"), "a = 1\na = 1\na = 1");
    assert_eq!(apply(Edit::Value(0, "nan"), "# a = 1 # b"), "a =nan");
    assert_eq!(apply(Edit::Delete(0, 2), "a = 1"), "= 1");
    assert_eq!(apply(Edit::Nest(0, 2, Nesting::Arrays), "a = 1"), "a =[[]]");
}
