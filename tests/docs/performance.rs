//! What the page on performance says was measured is what would be measured now.

use crate::page::{Page, root};

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
