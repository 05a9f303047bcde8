//! `docs/metrics.md` names every metric there is, with its type and labels, and no other.

use std::collections::BTreeMap;

use streamproc::observe::metrics::Metrics;

use crate::page::{Page, Table};

/// Type and labels, by name.
type Metric = BTreeMap<String, (String, Vec<String>)>;

fn in_the_page() -> Metric {
    let page = Page::read("docs/metrics.md");
    let tables: Vec<Table> = page.tables().filter(|table| table.header[0] == "metric").collect();
    assert!(tables.len() > 3, "the tables were read");
    let rows = tables.into_iter().flat_map(|table| table.rows);
    rows.map(|row| {
        let [name, kind, labels, meaning] = row.as_slice() else { panic!("{row:?}") };
        assert!(meaning.ends_with('.'), "{name}: {meaning}");
        let labels = labels.split(", ").filter(|label| !label.is_empty()).map(str::to_owned).collect();
        (name.trim_matches('`').to_owned(), (kind.clone(), labels))
    })
    .collect()
}

#[test]
fn every_metric_stands_in_the_page_with_its_type_and_labels_and_no_other() {
    let registered: Metric = Metrics::new()
        .unwrap()
        .described()
        .iter()
        .map(|metric| (metric.name.clone(), (metric.kind.to_owned(), metric.labels.clone())))
        .collect();
    let mut described = in_the_page();
    described.retain(|name, _| name.starts_with("streamproc_"));
    for (name, metric) in &registered {
        assert_eq!(described.get(name), Some(metric), "{name} in docs/metrics.md");
    }
    let unknown: Vec<_> = described.keys().filter(|name| !registered.contains_key(*name)).collect();
    assert!(unknown.is_empty(), "docs/metrics.md names what is not registered: {unknown:?}");
}

#[test]
fn the_metrics_of_the_process_are_those_that_the_page_names() {
    let text = Metrics::new().unwrap().render().unwrap();
    let served: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE process_")?.split_once(' ')).collect();
    let described = in_the_page();
    let described: BTreeMap<&str, &str> = described
        .iter()
        .filter_map(|(name, (kind, _))| Some((name.strip_prefix("process_")?, kind.as_str())))
        .collect();
    assert_eq!(described, served);
}
