//! The pages lead where they say: to pages, sections, files and tests that exist.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::page::{Page, root};

/// The targets of a page's links, without code.
fn targets(page: &Page) -> Vec<String> {
    let mut code = false;
    let mut found = Vec::new();
    for line in page.text.lines() {
        if line.starts_with("```") {
            code = !code;
        }
        if !code && !line.starts_with("    ") {
            let rest = line.split("](").skip(1);
            found.extend(rest.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned()));
        }
    }
    found
}

/// `docs/adr/../document.md` is `docs/document.md`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    plain
}

/// What stands between single backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with("    ")).flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut broken = Vec::new();
    for page in Page::all() {
        for target in targets(&page).iter().filter(|target| !target.contains("://")) {
            let (path, section) = target.split_once('#').unwrap_or((target, ""));
            let folder = Path::new(&page.path).parent().unwrap_or(Path::new(""));
            let path = if path.is_empty() { PathBuf::from(&page.path) } else { plain(&folder.join(path)) };
            let there = root().join(&path).exists();
            let has_section = section.is_empty()
                || (there
                    && Page::read(&path.to_string_lossy()).anchors().iter().any(|anchor| anchor == section));
            if !there || !has_section {
                broken.push(format!("{}: {target}", page.path));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn every_file_of_ours_that_a_page_names_exists() {
    let ours = ["src/", "tests/", "benches/", "docs/", "scripts/", "config/", "fuzz/"];
    let mut missing = Vec::new();
    for page in Page::all() {
        for path in quoted(&page.text).filter(|word| ours.iter().any(|folder| word.starts_with(folder))) {
            let is_path =
                path.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter));
            // A NAME is for the reader to fill in; artifacts are what the fuzzer leaves.
            let is_to_come = path.contains("NAME") || path.contains("/artifacts");
            if is_path && !is_to_come && !root().join(path).exists() {
                missing.push(format!("{}: {path}", page.path));
            }
        }
    }
    assert!(missing.is_empty(), "files that do not exist:\n{}", missing.join("\n"));
}

#[test]
fn every_test_that_the_architecture_names_exists() {
    let mut tests = BTreeSet::new();
    let mut open = vec![root().join("src"), root().join("tests")];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let names = text.split("fn ").skip(1).filter_map(|rest| rest.split_once('('));
                tests.extend(names.map(|(name, _)| name.to_owned()));
            }
        }
    }
    // A sentence has more than four words; of what else these pages name, only librdkafka's functions do.
    let is_sentence = |word: &&str| {
        word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_')
            && word.split('_').filter(|part| !part.is_empty()).count() > 4
            && !word.starts_with("rd_kafka_")
    };
    let mut named = 0;
    let mut missing = Vec::new();
    let pages = Page::all().into_iter().filter(|page| {
        page.path == "ARCHITECTURE.md" || page.path == "CONTRIBUTING.md" || page.path.starts_with("docs/adr/")
    });
    for page in pages {
        for word in quoted(&page.text).filter(is_sentence) {
            named += 1;
            if !tests.contains(word) {
                missing.push(format!("{}: {word}", page.path));
            }
        }
    }
    assert!(named > 20, "only {named} tests were found in the pages");
    assert!(missing.is_empty(), "tests that do not exist:\n{}", missing.join("\n"));
}
