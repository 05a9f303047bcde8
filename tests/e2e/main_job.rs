//! Events from a real Kafka end up in Cosmos DB, once each.

use std::collections::BTreeMap;

use crate::stage::{Layout, SOON, Stage, event, events};
use crate::support::guard::Signal;
use crate::support::kafka::Record;

#[test]
fn every_event_is_stored_once_as_it_came_with_the_added_fields() {
    let stage = Stage::new(Layout::default());
    stage.send(&events(50, 40));
    let service = stage.service(&[]);
    stage.wait_until_caught_up(&service, SOON);

    let documents = stage.documents();
    assert_eq!(documents.len(), 2_000);
    let by_id: BTreeMap<&str, _> =
        documents.iter().map(|document| (document["id"].as_str().unwrap(), document)).collect();
    assert_eq!(by_id.len(), 2_000, "no id twice");
    for (device, number) in (0..50).flat_map(|device| (0..40).map(move |number| (device, number))) {
        let sent: serde_json::Value = serde_json::from_str(&event(device, number)).unwrap();
        let mut stored = by_id[format!("{device}-{number}").as_str()].clone();
        let fields = stored.as_object_mut().unwrap();
        assert_eq!(fields.remove("createdAt").unwrap(), "2026-05-16T17:16:40.000Z");
        assert!(fields.remove("enqueuedAt").unwrap().is_string());
        assert!(fields.remove("processedAt").unwrap().is_string());
        assert_eq!(fields.remove("id"), fields.get("eventId").cloned());
        fields.retain(|name, _| !name.starts_with('_'));
        let mut sent = sent.as_object().unwrap().clone();
        sent.remove("createdAt");
        assert_eq!(*fields, sent);
    }
    assert_eq!(service.metric("streamproc_events_stored_total", &[]), Some(2_000.0));
    assert!(stage.letters().is_empty());
}

#[test]
fn a_terminated_service_drains_and_its_successor_goes_on_where_it_stopped() {
    let stage = Stage::new(Layout::default());
    stage.send(&events(20, 20));
    let service = stage.service(&[]);
    stage.wait_until_caught_up(&service, SOON);
    service.signal(Signal::Term);
    let status = service.wait_for_exit(SOON);
    assert!(status.success(), "{status}:\n{}", service.tail());

    stage.send(&[Record::new(event(1, 100)).key("device-1")]);
    let requests_before = stage.cosmos().stats().documents();
    let service = service.start_again();
    stage.wait_until_caught_up(&service, SOON);
    assert_eq!(stage.documents().len(), 401);
    assert_eq!(stage.cosmos().stats().documents() - requests_before, 1, "nothing was written again");
}
