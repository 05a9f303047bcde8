//! A real Prometheus scrapes the service, and each query of the dashboard has an answer.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::panels::queries;
use crate::stage::flow::{Flow, Mix};
use crate::stage::{Layout, SOON, Stage};
use crate::support::guard;
use crate::support::process::Process;
use crate::support::{http, port, wait};

/// The query, as Grafana sends it.
fn sent(query: &str) -> String {
    ["$cluster", "$namespace", "$job"]
        .iter()
        .fold(query.replace("$__rate_interval", "20s"), |query, name| query.replace(name, ".*"))
}

#[test]
fn no_query_of_the_dashboard_is_empty() {
    let stage = Stage::new(Layout { partitions: 4, throughput: Some(1_000_000), ..Layout::default() });
    let service = stage.service(&[("event", "tombstone = \"skip\"")]);
    let flow = Flow::start_mixed(&stage, Mix { bad: 0.05, updates: 0.3, ..Mix::plain(20, 200) });
    let (address, folder) = (SocketAddr::from(([127, 0, 0, 1], port::free())), guard::temp_dir("prometheus"));
    let scraped = service.admin();
    let config = format!(
        "global: {{ scrape_interval: 1s, external_labels: {{}} }}\n\
         scrape_configs:\n\
         - job_name: streaming/streamproc\n  \
           static_configs:\n  \
           - {{ targets: ['{scraped}'], labels: {{ namespace: streaming, pod: streamproc-0, container: streamproc }} }}\n"
    );
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, config).unwrap();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/prometheus/prometheus");
    let prometheus = Process::start(
        "prometheus",
        Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}")),
    );
    // What only trouble brings: a throttled range, and a record without a value.
    stage.send(&[crate::support::kafka::Record::tombstone("gone")]);
    let metric = |name: &str| service.metric(name, &[]).unwrap_or(0.0);
    wait::until(SOON, "events to be stored", || {
        (metric("streamproc_events_stored_total") > 100.0).then_some(())
    });
    stage.cosmos().set_throughput(200);
    wait::until(SOON, "the stream to be held", || (metric("streamproc_paused") > 0.0).then_some(()));
    let mut left = queries();
    assert!(left.len() > 30, "{left:?}");
    wait::until_ok(Duration::from_mins(2), "an answer to each query", || {
        left.retain(|(_, query)| answers(address, &sent(query)).is_ok_and(|answers| answers == 0));
        if left.is_empty() { Ok(()) } else { Err(format!("{left:#?}\n{}", prometheus.tail())) }
    });
    drop(flow);
}

/// How many series a query gives.
fn answers(address: SocketAddr, query: &str) -> Result<usize, String> {
    let query_string: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
    let answer = http::get(address, &format!("/api/v1/query?query={query_string}"))
        .map_err(|error| error.to_string())?;
    let body: Value = serde_json::from_str(&answer.body).map_err(|error| error.to_string())?;
    assert_eq!(body["status"], "success", "{query}: {body}");
    Ok(body["data"]["result"].as_array().map_or(0, Vec::len))
}
