//! `docs/performance.md` tells the counts of instructions that are committed, and those are of the compiler in use.

#[allow(dead_code, reason = "what compares and writes is for the package that counts")]
#[path = "../../benches/instructions/baseline.rs"]
mod baseline;

use baseline::Counts;

use crate::page::{Page, root};

fn committed() -> Counts {
    Counts::read(&root().join("benches/instructions/baseline.json")).unwrap()
}

#[test]
fn the_page_tells_the_instructions_of_the_baseline() {
    let page = Page::read("docs/performance.md");
    let table = page.tables().find(|table| table.header.starts_with(&["step".into(), "instructions".into()]));
    let rows = table.expect("the table of steps").rows;
    let told = rows.iter().map(|row| (row[0].clone(), row[1].replace(',', "").parse::<f64>().unwrap()));
    let told: Vec<_> = told.filter(|(step, _)| !step.contains('+')).collect();
    let committed = committed().instructions_an_event;
    assert_eq!(told.len(), committed.len(), "{told:?} and {committed:?}");
    for (step, told) in told {
        // Nobody should have to edit the page for what hashing with random keys changes.
        let change = (told / committed[&step] - 1.0).abs();
        assert!(change < 0.01, "{step}: the page tells {told}, and the baseline is {}", committed[&step]);
    }
}

#[test]
fn the_baseline_is_of_the_compiler_in_use() {
    let toolchain = std::fs::read_to_string(root().join("rust-toolchain.toml")).unwrap();
    let channel =
        toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"');
    let made_by = committed().made_by;
    assert!(
        made_by.starts_with(&format!("rustc {channel}, ")),
        "made by {made_by}, and the compiler is {channel}: make bench-counts ARGS=--bless"
    );
}
