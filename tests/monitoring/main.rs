//! The alerts and the dashboard of `helm/streamproc/files`, without a Prometheus that runs: they ask for what there
//! is, each alert has its section, and fires when it should and only then. `tests/e2e/dashboard.rs` asks a real one.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod panels;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use streamproc::observe::metrics::Metrics;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn alerts() -> String {
    read("helm/streamproc/files/alerts.yaml")
}

fn dashboard() -> String {
    let queries: Vec<_> = panels::queries().into_iter().map(|(_, query)| query).collect();
    assert!(queries.len() > 20, "{queries:?}");
    queries.join("\n")
}

/// The labels of each metric, and of the series that a histogram is made of.
fn labels() -> BTreeMap<String, BTreeSet<String>> {
    let mut all = BTreeMap::new();
    for metric in Metrics::new().unwrap().described() {
        let labels: BTreeSet<String> = metric.labels.iter().cloned().collect();
        if metric.kind == "histogram" {
            for part in ["bucket", "sum", "count"] {
                all.insert(format!("{}_{part}", metric.name), labels.clone());
            }
        } else {
            all.insert(metric.name.clone(), labels);
        }
    }
    all
}

/// The series that a text of queries names, each with the labels that it selects by.
fn selected(queries: &str) -> Vec<(String, Vec<String>)> {
    let mut selected = Vec::new();
    for (at, _) in queries.match_indices("streamproc_") {
        let name: String =
            queries[at..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
        let behind = &queries[at + name.len()..];
        let inside =
            behind.strip_prefix('{').and_then(|behind| behind.split_once('}')).map_or("", |(i, _)| i);
        let of = |matcher: &str| matcher.split(['=', '!']).next().unwrap().trim().to_owned();
        selected.push((name, inside.split("\", ").filter(|matcher| matcher.contains('=')).map(of).collect()));
    }
    selected
}

/// What Prometheus adds to every series.
const ADDED: [&str; 5] = ["cluster", "namespace", "job", "pod", "instance"];

#[test]
fn what_is_asked_for_exists() {
    let known = labels();
    for (name, by) in selected(&(alerts() + &dashboard())) {
        let Some(labels) = known.get(&name) else { panic!("there is no metric {name}") };
        for label in by {
            assert!(
                labels.contains(&label) || ADDED.contains(&label.as_str()),
                "{name} has no label {label}"
            );
        }
    }
}

#[test]
fn every_metric_that_tells_of_trouble_is_watched() {
    let asked: BTreeSet<_> = selected(&(alerts() + &dashboard())).into_iter().map(|(name, _)| name).collect();
    let unwatched: Vec<_> = labels()
        .into_keys()
        .filter(|name| !asked.contains(name))
        .filter(|name| {
            ["failures", "paused", "retries", "throttled", "lag", "skipped"]
                .iter()
                .any(|word| name.contains(word))
        })
        .collect();
    assert!(unwatched.is_empty(), "{unwatched:?}");
}

#[test]
fn every_alert_has_its_section_and_no_section_is_left_over() {
    let (alerts, page) = (alerts(), read("docs/operations.md"));
    let named: Vec<_> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    for name in &named {
        assert!(page.contains(&format!("### {name}\n")), "docs/operations.md has no section on {name}");
        let link = format!("runbook_url: docs/operations.md#{}\n", name.to_lowercase());
        assert!(alerts.contains(&link), "{name} does not lead to its section");
    }
    let sections = page.lines().filter_map(|line| line.strip_prefix("### Streamproc"));
    assert_eq!(sections.count(), named.len(), "of {named:?}");
}

/// The reasons of `/readyz` that an alert names are such.
#[test]
fn the_reasons_that_alerts_name_are_those_of_the_page() {
    let (alerts, page) = (alerts(), read("docs/operations.md"));
    let mut count = 0;
    for (_, behind) in alerts.match_indices("streamproc_paused{reason").map(|(at, _)| alerts.split_at(at)) {
        let reasons = behind.split('"').nth(1).unwrap();
        for reason in reasons.split('|') {
            assert!(page.contains(&format!("### {reason}\n")), "docs/operations.md has no reason {reason}");
            count += 1;
        }
    }
    assert!(count > 10, "{count} were found");
}

/// As `promtool` has it, whose tests compare annotations by the letter: they are left out.
#[test]
fn each_alert_fires_when_it_should_and_only_then() {
    let promtool = root().join(".cache/prometheus/promtool");
    assert!(promtool.exists(), "scripts/setup.sh test fetches {}", promtool.display());
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("alerts.yaml");
    let mut is_annotation = false;
    let bare = alerts().lines().fold(String::new(), |bare, line| {
        is_annotation = line.trim() == "annotations:" || is_annotation && line.starts_with("          ");
        if is_annotation { bare } else { bare + line + "\n" }
    });
    std::fs::write(&rules, bare).unwrap();
    let tests = folder.path().join("tests.yaml");
    let played = read("tests/monitoring/alerts.yaml").replace("ALERTS", rules.to_str().unwrap());
    let untested: Vec<_> = alerts()
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: ").map(str::to_owned))
        .filter(|name| {
            let quiet = played.contains(&format!("alertname: {name} }}"));
            let fires = played.contains(&format!("alertname: {name}\n        exp_alerts"));
            !(quiet && fires)
        })
        .collect();
    assert!(untested.is_empty(), "both firing and quiet has to be tested of {untested:?}");
    std::fs::write(&tests, played).unwrap();
    run(&promtool, &["check", "rules", root().join("helm/streamproc/files/alerts.yaml").to_str().unwrap()]);
    run(&promtool, &["test", "rules", tests.to_str().unwrap()]);
}

fn run(program: &PathBuf, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}:\n{said}");
}
