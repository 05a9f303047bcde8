//! Each fault that can be asked for, and that it is that one.

use std::time::{Duration, Instant};

use serde_json::Value;
use streamproc::sandbox::{CosmosOptions, Effect, Fault, Kind, Sandbox};

use crate::clients::{Bare, container, cosmos, event, eventually, partition_ids, query};

async fn sandbox_with(fault: Fault) -> (Sandbox, Bare) {
    let sandbox = cosmos(CosmosOptions::default()).await;
    sandbox.cosmos().unwrap().faults().add(fault);
    let bare = Bare::new(&sandbox);
    (sandbox, bare)
}

fn answer(status: u16, substatus: u32) -> Effect {
    Effect::Answer { status, substatus, retry_after: None, after_work: false }
}

/// Whether the document is stored, asked past the fault.
async fn is_stored(bare: &Bare, device: &str, id: &str) -> bool {
    bare.read(device, id).await.unwrap().status == 200
}

#[tokio::test]
async fn a_request_can_be_answered_with_any_status_and_is_then_not_carried_out() {
    for (status, substatus) in [(503, 21008), (410, 1007), (449, 0), (403, 1014)] {
        let fault = Fault { kind: Some(Kind::Upsert), ..Fault::new(answer(status, substatus)) };
        let (sandbox, bare) = sandbox_with(fault).await;
        let reply = bare.upsert("a", "1").await.unwrap();
        assert_eq!((reply.status, reply.substatus()), (status, substatus));
        assert!(!is_stored(&bare, "a", "1").await, "{status}");
        assert_eq!(sandbox.cosmos().unwrap().stats().count(Kind::Upsert, status), 1);
        sandbox.stop().await;
    }
}

#[tokio::test]
async fn a_request_can_be_carried_out_and_answered_with_a_failure() {
    let effect = Effect::Answer { status: 408, substatus: 0, retry_after: None, after_work: true };
    let (sandbox, bare) = sandbox_with(Fault { times: Some(1), ..Fault::new(effect) }).await;
    assert_eq!(bare.upsert("a", "1").await.unwrap().status, 408);
    assert!(is_stored(&bare, "a", "1").await);
    assert_eq!(sandbox.cosmos().unwrap().stats().documents(), 1);
    sandbox.stop().await;
}

#[tokio::test]
async fn one_partition_key_can_be_throttled_to_nothing_while_others_are_served() {
    let effect = Effect::Answer {
        status: 429,
        substatus: 3200,
        retry_after: Some(Duration::from_millis(250)),
        after_work: false,
    };
    let fault = Fault { partition_key: Some("hot".into()), ..Fault::new(effect) };
    let (sandbox, bare) = sandbox_with(fault).await;
    for reply in [bare.upsert("hot", "1").await, bare.batch("hot", &[event("hot", "1")]).await] {
        let reply = reply.unwrap();
        assert_eq!((reply.status, reply.header("x-ms-retry-after-ms")), (429, Some("250")));
    }
    assert_eq!(bare.upsert("cold", "1").await.unwrap().status, 201);
    sandbox.cosmos().unwrap().faults().clear();
    assert_eq!(bare.upsert("hot", "1").await.unwrap().status, 201);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_response_can_be_lost_after_the_work_was_done() {
    // An HTTP client repeats by itself a request that a kept-alive connection has lost, so it is all of them.
    let (sandbox, bare) =
        sandbox_with(Fault { kind: Some(Kind::Batch), ..Fault::new(Effect::DropResponse) }).await;
    let events: Vec<Value> = ["1", "2"].map(|id| event("a", id)).into();
    assert!(bare.batch("a", &events).await.is_none());
    assert!(is_stored(&bare, "a", "1").await && is_stored(&bare, "a", "2").await);
    assert_eq!(sandbox.cosmos().unwrap().stats().documents(), 2);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_request_can_be_lost_before_any_work_was_done() {
    let (sandbox, bare) =
        sandbox_with(Fault { kind: Some(Kind::Upsert), ..Fault::new(Effect::DropRequest) }).await;
    assert!(bare.upsert("a", "1").await.is_none());
    assert!(!is_stored(&bare, "a", "1").await);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_request_that_hangs_is_carried_out_late_even_when_its_client_has_gone() {
    let hang = Effect::Hang(Duration::from_millis(800));
    let (sandbox, bare) = sandbox_with(Fault { kind: Some(Kind::Upsert), ..Fault::new(hang) }).await;
    let started = Instant::now();
    let abandoned = tokio::time::timeout(Duration::from_millis(200), bare.upsert("a", "1")).await;
    assert!(abandoned.is_err(), "it was answered at once: {abandoned:?}");
    assert!(!is_stored(&bare, "a", "1").await);
    eventually("the abandoned upsert lands", || async { is_stored(&bare, "a", "1").await.then_some(()) })
        .await;
    assert!(started.elapsed() >= Duration::from_millis(800));
    sandbox.stop().await;
}

#[tokio::test]
async fn a_fault_that_is_over_leaves_no_trace() {
    let until = Instant::now() + Duration::from_millis(300);
    let (sandbox, bare) = sandbox_with(Fault { until: Some(until), ..Fault::new(answer(503, 0)) }).await;
    assert_eq!(bare.upsert("a", "1").await.unwrap().status, 503);
    eventually("the service is back", || async {
        (bare.upsert("a", "1").await.unwrap().status == 201).then_some(())
    })
    .await;
    sandbox.stop().await;
}

#[tokio::test]
async fn the_emulators_own_store_is_open_for_splits() {
    let options = CosmosOptions { physical_partitions: 1, ..CosmosOptions::default() };
    let sandbox = cosmos(options).await;
    let container = container(&sandbox).await;
    container.upsert_item("a", "1", event("a", "1"), None).await.unwrap();
    let store = sandbox.cosmos().unwrap().store();
    let partition = partition_ids(&sandbox).await[0];
    store.split_partition("streaming", "rawdata", partition, Duration::from_millis(300));
    let during = Bare::new(&sandbox).upsert("a", "2").await.unwrap();
    assert_eq!((during.status, during.substatus()), (410, 1007));
    eventually("the split is over", || async {
        container.upsert_item("a", "3", event("a", "3"), None).await.ok()
    })
    .await;
    assert_eq!(partition_ids(&sandbox).await.len(), 2);
    assert_eq!(query(&container, "SELECT VALUE c.id FROM c ORDER BY c.id").await, ["1", "3"]);
    sandbox.stop().await;
}
