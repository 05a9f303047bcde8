//! A key that does not exist, and which one was probably meant.

use super::error::{ConfigError, Place, Problem};
use super::layer::Layer;
use super::librdkafka;
use super::reference::{PROPERTIES, Section, reference};
use super::typed::nearest;

/// The error about an unknown key, and the path of the key that was probably meant.
pub(super) fn error(path: &str, place: Place) -> (ConfigError, Option<String>) {
    let property = path.strip_prefix("kafka.").is_some_and(librdkafka::is_known);
    let (section_path, name) = match path.split_once('.') {
        Some(split) if property => split,
        _ => path.rsplit_once('.').unwrap_or(("", path)),
    };
    let section = reference().section(section_path);
    let (meant, action) = if property {
        (None, format!("move it: properties of librdkafka belong in [{PROPERTIES}]"))
    } else {
        advise(path, section_path, name)
    };
    let error = ConfigError {
        problem: Problem::UnknownKey,
        place,
        key: path.to_owned(),
        found: "a key that does not exist".into(),
        expected: section.map_or_else(|| "a key of the reference".into(), expected),
        action,
    };
    (error, meant)
}

fn expected(section: &Section) -> String {
    let mut names: Vec<&str> = section.keys.iter().map(|key| key.name.as_str()).collect();
    let below: Vec<String> = subsections(&section.path).map(|path| format!("[{path}]")).collect();
    names.extend(below.iter().map(String::as_str));
    let names = names.join(", ");
    if section.path.is_empty() {
        format!("one of {names}")
    } else {
        format!("a key of [{}]: {names}", section.path)
    }
}

/// The sections directly below one.
fn subsections(path: &str) -> impl Iterator<Item = &'static str> {
    let depth = if path.is_empty() { 0 } else { path.split('.').count() };
    let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
    reference().sections().iter().map(|section| section.path.as_str()).filter(move |below| {
        !below.is_empty() && below.starts_with(&prefix) && below.split('.').count() == depth + 1
    })
}

fn advise(path: &str, section_path: &str, name: &str) -> (Option<String>, String) {
    let in_section: Vec<String> = reference()
        .section(section_path)
        .into_iter()
        .flat_map(|section| section.keys.iter().map(|key| key.path.clone()))
        .chain(subsections(section_path).map(str::to_owned))
        .collect();
    let last = |path: &str| path.rsplit('.').next().unwrap_or(path).to_owned();

    // A secret: never in the configuration, but in the file that a sibling names.
    let file = format!("{path}_file");
    if reference().key(&file).is_some() {
        let variable =
            if path == "cosmos.auth.key" { ", or set the variable STREAMPROC_COSMOS_KEY" } else { "" };
        return (
            Some(file.clone()),
            format!(
                "a secret never stands in the configuration: put it into a file and name that in {file}{variable}"
            ),
        );
    }
    // The right name in the wrong section.
    let elsewhere: Vec<&str> = reference()
        .keys()
        .map(|key| key.path.as_str())
        .filter(|key| last(key) == name.to_lowercase())
        .collect();
    if !elsewhere.is_empty() {
        let home: Vec<String> = elsewhere
            .iter()
            .map(|key| format!("[{}]", key.rsplit_once('.').map_or("", |(s, _)| s)))
            .collect();
        let meant = if let [one] = elsewhere[..] { Some(one.to_owned()) } else { None };
        return (meant, format!("move it: {name} belongs in {}", home.join(" or ")));
    }
    // A misspelt name of this section.
    let names: Vec<String> = in_section.iter().map(|path| last(path)).collect();
    if let Some(name) = nearest(name, names.iter().map(String::as_str)) {
        let meant = in_section.iter().find(|path| last(path) == name).cloned();
        let whole = meant.as_deref().is_some_and(|path| reference().section(path).is_some());
        let shown = match (&meant, whole) {
            (Some(path), true) => format!("[{path}]"),
            _ => name.to_owned(),
        };
        let place = if section_path.is_empty() { String::new() } else { format!(" (in [{section_path}])") };
        return (meant, format!("did you mean {shown}?{}", if whole { String::new() } else { place }));
    }
    // Misspelt, and elsewhere.
    let paths = reference()
        .keys()
        .map(|key| key.path.as_str())
        .chain(reference().sections().iter().map(|s| s.path.as_str()));
    match nearest(path, paths) {
        Some(path) => (Some(path.to_owned()), format!("did you mean {path}?")),
        None => (None, "remove it; docs/configuration.md lists every key".into()),
    }
}

/// The error about a property that librdkafka does not know.
pub(super) fn property(name: &str, place: Place) -> ConfigError {
    let action = match nearest(&name.replace('_', "."), librdkafka::names()) {
        Some(name) => format!("did you mean {name}?"),
        None => "remove it; librdkafka's CONFIGURATION.md lists every property".into(),
    };
    ConfigError {
        problem: Problem::UnknownKey,
        place,
        key: format!("{PROPERTIES}.{name}"),
        found: "a property that librdkafka does not know".into(),
        expected: "a property of librdkafka 2.12".into(),
        action,
    }
}

/// Whether a missing key is the one that an unknown key was meant to be.
pub(super) fn explains(meant: &[String], missing: &str) -> bool {
    meant.iter().any(|meant| missing == meant || Layer::is_below(missing, meant))
}
