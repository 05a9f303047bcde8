//! `docs/operations.md` has a section for every reason that a condition on `/readyz` can have, and for
//! no other.
//!
//! The reasons are read from the source: the first argument of every `raise`, followed back through the
//! functions that hand it on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use streamproc::observe::health::Health;
use streamproc::observe::metrics::Metrics;

use crate::page::{Page, root};

/// Enums whose words are reasons, and where they are.
const ENUMS: [(&str, &str); 5] = [
    ("src/kafka/contact.rs", "Obstacle"),
    ("src/core/worker/partition.rs", "Hold"),
    ("src/core/write/verdict.rs", "Pause"),
    ("src/core/write/verdict.rs", "Retry"),
    ("src/store/cosmos/connection.rs", "ConnectError"),
];

/// The code of the program by path, without its tests and comments.
fn source() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut open: Vec<PathBuf> = vec![root().join("src")];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let is_test = path.ends_with("tests") || path.ends_with("tests.rs");
            if path.is_dir() && !is_test {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
                files.insert(below_root(&path), code(&std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files
}

fn below_root(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/")
}

fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .fold(String::new(), |all, line| all + line + "\n")
}

/// What stands between the bracket that opens at the beginning of `text` and the one that closes it, cut
/// at the commas in between.
fn arguments(text: &str) -> Vec<String> {
    let (mut depth, mut quoted, mut last) = (0, false, ' ');
    let mut arguments = vec![String::new()];
    for letter in text.chars() {
        match letter {
            '"' if last != '\\' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth -= 1,
            _ => {}
        }
        last = letter;
        match (depth, letter) {
            (0, _) => break,
            (1, '(') => {}
            (1, ',') if !quoted => arguments.push(String::new()),
            _ => arguments.last_mut().unwrap().push(letter),
        }
    }
    // Behind a comma at the end there is none.
    arguments
        .iter()
        .map(|argument| argument.trim().to_owned())
        .filter(|argument| !argument.is_empty())
        .collect()
}

/// The function around a place: its name, and its parameters but for `self`.
fn function_around(text: &str, place: usize) -> (String, Vec<String>) {
    let start = text[..place].rfind("fn ").expect("a call is inside a function");
    let name: String =
        text[start + 3..].chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    let open = start + text[start..].find('(').unwrap();
    let parameters = arguments(&text[open..]);
    let named =
        parameters.iter().map(|parameter| parameter.split(':').next().unwrap_or_default().trim().to_owned());
    (name, named.filter(|name| !name.ends_with("self")).collect())
}

fn word(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

/// The word that a constant of the same file stands for.
fn constant<'a>(name: &str, file: &'a str) -> Option<&'a str> {
    let (_, rest) = file.split_once(&format!("const {name}: &str = "))?;
    word(rest.split(';').next()?)
}

fn reasons_in_code() -> BTreeSet<String> {
    let source = source();
    let mut reasons = BTreeSet::new();
    for (path, name) in ENUMS {
        let (_, body) = source[path].split_once(&format!("impl {name} {{")).unwrap();
        let body = body.split("\n}\n").next().unwrap();
        let words = body.split("=> \"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
        reasons.extend(words);
    }
    // Functions, how many arguments they take, and the place of the reason among them.
    let mut functions = vec![("raise".to_owned(), 3, 0)];
    let mut done = 0;
    while let Some((function, count, at)) = functions.get(done).cloned() {
        done += 1;
        for (path, text) in &source {
            for (place, call) in text.match_indices(&format!(".{function}(")) {
                let arguments = arguments(&text[place + call.len() - 1..]);
                if arguments.len() != count {
                    continue;
                }
                let argument = &arguments[at];
                let (around, parameters) = function_around(text, place);
                if let Some(word) = word(argument).or_else(|| constant(argument, text)) {
                    reasons.insert(word.to_owned());
                } else if argument.ends_with(".as_str()") || argument == "obstacle.reason" {
                    // One of the enums: an obstacle is made of a `Pause` or a `ConnectError`.
                } else if let Some(at) = parameters.iter().position(|parameter| parameter == argument) {
                    let handed_on = (around, parameters.len(), at);
                    if !functions.contains(&handed_on) {
                        functions.push(handed_on);
                    }
                } else {
                    // It comes with its detail, as a pair.
                    let pairs = text.split("(\"").skip(1).filter_map(|rest| rest.split_once("\", error"));
                    let words: Vec<_> = pairs.map(|(word, _)| word.to_owned()).collect();
                    assert!(
                        !words.is_empty(),
                        "{path}: where does the reason {argument:?} in {around} come from?"
                    );
                    reasons.extend(words);
                }
            }
        }
    }
    reasons
}

#[test]
fn every_reason_has_a_section_and_every_section_a_reason() {
    let page = Page::read("docs/operations.md");
    let (_, after) = page.text.split_once("\n## What /readyz says\n").unwrap();
    let sections = after.split("\n## ").next().unwrap();
    let described: BTreeSet<String> =
        sections.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_owned).collect();
    let reasons = reasons_in_code();
    let missing: Vec<_> = reasons.difference(&described).collect();
    let unknown: Vec<_> = described.difference(&reasons).collect();
    assert!(missing.is_empty(), "docs/operations.md has no section for {missing:?}");
    assert!(unknown.is_empty(), "docs/operations.md has sections for what is never raised: {unknown:?}");
}

#[test]
fn every_reason_that_readyz_can_show_is_counted_by_the_metric_that_the_pages_name() {
    let metrics = Metrics::new().unwrap();
    let health = Health::new(metrics.clone());
    for reason in reasons_in_code() {
        let reason: &'static str = reason.leak();
        let sample = |value: u8| format!("streamproc_paused{{reason=\"{reason}\"}} {value}");
        let shows = |value| metrics.render().unwrap().lines().any(|line| line == sample(value));
        health.raise(reason, "somewhere", "");
        assert!(
            health.conditions().iter().any(|condition| condition.reason == reason) && shows(1),
            "{reason}"
        );
        health.clear(reason, "somewhere");
        assert!(health.conditions().is_empty() && shows(0), "{reason}");
    }
    let metrics = Page::read("docs/metrics.md").text;
    let row = metrics.lines().find(|line| line.starts_with("| `streamproc_paused` |")).expect("the metric");
    assert!(row.contains("operations.md#what-readyz-says"), "{row}");
    assert!(metrics.contains("(operations.md#alerts)"), "an alert for all of them");
}

#[test]
fn the_reasons_are_found_in_the_source() {
    let reasons = reasons_in_code();
    // One found directly, one of each enum, one handed on once, one handed on twice, one of a pair, one
    // of a constant.
    for reason in [
        "starting",
        "out_of_range",
        "sign_in",
        "server_error",
        "store_unreachable",
        "offsets_unknown",
        "throttled",
        "dead_letters_unavailable",
        "kafka_unreachable",
        "topic_missing",
    ] {
        assert!(reasons.contains(reason), "{reason} is not among {reasons:?}");
    }
    assert!(
        reasons
            .iter()
            .all(|reason| reason.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_')),
        "{reasons:?}"
    );
}
