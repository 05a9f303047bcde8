//! `docs/reliability.md` names every scenario that is played, and no other; and every defect that they find.

use std::collections::BTreeSet;

use crate::page::{Page, root};

/// The functions of a folder's tests, by an attribute above them.
fn tests(folder: &str, leave_out: &str) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for entry in std::fs::read_dir(root().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") || path.ends_with(leave_out) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for (_, behind) in text.match_indices("#[test]\n").map(|(at, mark)| text.split_at(at + mark.len())) {
            let (_, name) = behind.split_once("fn ").expect("a function follows");
            tests.insert(name.split('(').next().expect("its name").to_owned());
        }
    }
    assert!(!tests.is_empty(), "{folder} was read");
    tests
}

#[test]
fn every_scenario_stands_on_the_page_and_no_other() {
    let page = Page::read("docs/reliability.md");
    let table = page.tables().find(|table| table.header[0] == "scenario").expect("the table of scenarios");
    let rows: BTreeSet<String> = table.rows.iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    let played = tests("tests/chaos", "mutants.rs");
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
    let found = tests("tests/chaos", "main.rs").len() - tests("tests/chaos", "mutants.rs").len();
    // One of them only the simulation can tell.
    assert_eq!(table.rows.len(), found + 1, "{:?}", table.rows);
}
