//! `docs/reliability.md` names every scenario that is played, and no other; and every defect that they find.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::page::{Page, root};

/// The tests of a file.
fn tests_of(path: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let behind = text.match_indices("#[test]\n").map(|(at, mark)| &text[at + mark.len()..]);
    let name = |behind: &str| behind.split_once("fn ")?.1.split('(').next().map(str::to_owned);
    behind.map(|behind| name(behind).expect("a function follows")).collect()
}

fn chaos(file: &str) -> PathBuf {
    root().join("tests/chaos").join(file)
}

#[test]
fn every_scenario_stands_on_the_page_and_no_other() {
    let page = Page::read("docs/reliability.md");
    let table = page.tables().find(|table| table.header[0] == "scenario").expect("the table of scenarios");
    let rows: BTreeSet<String> = table.rows.iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    let files = std::fs::read_dir(chaos("")).unwrap().map(|entry| entry.unwrap().path());
    let played: BTreeSet<_> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
        .filter(|file| *file != chaos("mutants.rs"))
        .flat_map(|file| tests_of(&file))
        .collect();
    assert!(!played.is_empty(), "the scenarios were read");
    let unknown: Vec<_> = rows.difference(&played).collect();
    assert!(unknown.is_empty(), "nobody plays {unknown:?}");
    // What breaks a promise, or needs more than a short form, stands in the text.
    let untold: Vec<_> = played.iter().filter(|name| !page.text.contains(&format!("`{name}`"))).collect();
    assert!(untold.is_empty(), "the page does not name {untold:?}");
}

#[test]
fn every_defect_stands_on_the_page() {
    let page = Page::read("docs/reliability.md");
    let table = page.tables().find(|table| table.header[0] == "defect").expect("the table of defects");
    let found = tests_of(&chaos("mutants.rs")).len();
    // One of them only the simulation can tell.
    assert_eq!(table.rows.len(), found + 1, "{:?}", table.rows);
}
