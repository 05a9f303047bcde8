//! What is verified is what the container holds.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use streamproc::simulator::Events;
use streamproc::verifier::{Expectations, Name, Report, Selection, verify};

use super::store::Store;

/// Events of the simulator, as the service stores them.
pub(crate) fn documents(devices: u64, count: usize) -> Vec<Value> {
    let mut events = Events::new(5, devices, 2);
    let time = |before: TimeDelta| (Utc::now() - before).to_rfc3339_opts(SecondsFormat::Millis, true);
    (0..count)
        .map(|_| {
            events.write_next(0);
            let mut document: Value = serde_json::from_slice(events.json()).unwrap();
            document["id"] = document["eventId"].clone();
            document["enqueuedAt"] = time(TimeDelta::seconds(2)).into();
            document["processedAt"] = time(TimeDelta::seconds(1)).into();
            document
        })
        .collect()
}

async fn report(store: &Store, expected: &Expectations) -> Report {
    let read = AtomicU64::new(0);
    let report = verify(&store.container, &Selection::default(), expected, &read).await.unwrap();
    assert_eq!(read.load(Ordering::Relaxed), report.documents);
    report
}

fn holds(report: &Report, name: Name) -> bool {
    report.assertions.iter().find(|assertion| assertion.name == name).unwrap().holds
}

#[tokio::test]
async fn a_whole_container_holds() {
    let store = Store::new(&["/deviceId"], 5).await;
    store.fill(documents(20, 1000)).await;
    let expected = Expectations { min_rate: Some(1.0), count: Some(1000), ..Expectations::default() };
    assert!(store.was_asked_for_binary(), "storing is this client's own affair");
    let report = report(&store, &expected).await;
    assert!(!store.was_asked_for_binary());
    assert!(report.holds, "{:?}", report.assertions);
    assert_eq!((report.documents, report.events, report.devices), (1000, 1000, 20));
    assert!(report.request_units > 0.0);
    let latency = report.windows[0].latency.unwrap();
    assert!((1.0..14.0).contains(&latency), "enqueued 2 s before, found {latency}");
    let processing = report.windows[0].processing.unwrap();
    assert!((processing - 1.0).abs() < 0.01, "{processing}");
}

#[tokio::test]
async fn a_lost_event_is_found_among_many_partitions() {
    // More than the hundred that the SDK asks in one query.
    let store = Store::new(&["/deviceId"], 150).await;
    let mut documents = documents(10, 500);
    let lost = documents.remove(237);
    store.fill(documents).await;
    let report = report(&store, &Expectations::default()).await;
    assert!(!holds(&report, Name::Missing) && holds(&report, Name::Duplicates));
    let gap = &report.missing.examples[0];
    assert_eq!(lost["deviceId"].as_str(), Some(gap.device.as_str()));
    assert_eq!((lost["deviceSequenceNumber"].as_u64(), report.missing.total), (Some(gap.first), 1));
}

#[tokio::test]
async fn an_event_in_two_partitions_is_a_duplicate() {
    let store = Store::new(&["/deviceId"], 3).await;
    let mut documents = documents(10, 100);
    let mut twin = documents[42].clone();
    twin["deviceId"] = "contoso-device-id-11".into();
    let id = twin["eventId"].as_str().unwrap().to_owned();
    documents.push(twin);
    store.fill(documents).await;
    let report = report(&store, &Expectations { count: Some(100), ..Expectations::default() }).await;
    assert!(!holds(&report, Name::Duplicates) && holds(&report, Name::Events));
    assert_eq!(report.duplicates.examples, [id]);
}

#[tokio::test]
async fn what_was_stored_before_is_left_out_when_asked() {
    let store = Store::new(&["/deviceId"], 1).await;
    store.fill(documents(2, 10)).await;
    let counted = async |since: DateTime<Utc>| {
        let selection = Selection { since: Some(since), ..Selection::default() };
        let expected = Expectations::default();
        verify(&store.container, &selection, &expected, &AtomicU64::new(0)).await.unwrap().documents
    };
    assert_eq!(counted(Utc::now() - TimeDelta::hours(1)).await, 10);
    assert_eq!(counted(Utc::now() + TimeDelta::hours(1)).await, 0);
}

#[tokio::test]
async fn a_report_is_one_json_object_with_everything() {
    let store = Store::new(&["/deviceId"], 2).await;
    store.fill(documents(2, 20)).await;
    let report = json!(report(&store, &Expectations::default()).await);
    assert_eq!(report["holds"], true);
    assert_eq!(report["assertions"][0]["asserted"], json!({"at_least": 1.0}));
    assert_eq!(report["missing"], json!({"total": 0, "examples": []}));
    assert!(report["windows"][0]["start"].as_str().unwrap().ends_with(":00Z"));
}
