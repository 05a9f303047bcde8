//! What `docs/performance.md` says was measured is what would be measured now: the committed counts of
//! instructions, and the versions of what this is compared with.

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

/// The version that a file of Maven's asks for an artifact in.
fn version<'a>(pom: &'a str, artifact: &str) -> &'a str {
    let (_, rest) = pom.split_once(&format!("<artifactId>{artifact}</artifactId>")).expect("it is named");
    let (_, rest) = rest.split_once("<version>").expect("a version");
    rest.split_once("</version>").expect("its end").0
}

#[test]
fn the_replaced_job_is_measured_in_the_versions_and_the_heap_that_the_page_names() {
    let folder = root().join("benches/peers/spark");
    let pom = std::fs::read_to_string(folder.join("pom.xml")).unwrap();
    let flags = std::fs::read_to_string(folder.join("jvm.options")).unwrap();
    let page = Page::read("docs/performance.md").text;
    let heap = flags.lines().find_map(|line| line.strip_prefix("-Xmx")).expect("a limit");
    for named in [
        format!("Spark {}", version(&pom, "spark-sql_2.12")),
        format!("Spark {}", version(&pom, "spark-sql-kafka-0-10_2.12")),
        format!("`azure-cosmos` {}", version(&pom, "azure-cosmos")),
        format!("`-Xmx{heap}`"),
    ] {
        assert!(page.contains(&named), "the page does not name {named}");
    }
}
