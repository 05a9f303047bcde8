//! The routes under `/_sandbox/`, for tests of the service as a process of its own.

use azure_core::http::Method;
use streamproc::sandbox::CosmosOptions;

use crate::clients::{Bare, cosmos, event};

#[tokio::test]
async fn the_sandbox_takes_no_orders_unless_it_was_started_to() {
    let sandbox = cosmos(CosmosOptions::default()).await;
    let bare = Bare::new(&sandbox);
    assert_ne!(bare.order(Method::Post, "fail?status=503").await.status, 200);
    assert_eq!(bare.upsert("a", "1").await.unwrap().status, 201);
    sandbox.stop().await;
}

#[tokio::test]
async fn faults_can_be_ordered_and_healed() {
    let sandbox = cosmos(CosmosOptions { control: true, ..CosmosOptions::default() }).await;
    let bare = Bare::new(&sandbox);
    let table = [
        ("fail?status=503&substatus=21008&kind=upsert", Some((503, 21008))),
        ("fail?status=500&for_ms=60000&path=colls/rawdata", Some((500, 0))),
        ("throttle?partition_key=a&retry_after_ms=100", Some((429, 3200))),
        ("hang?ms=1", Some((200, 0))),
        ("drop-response?kind=upsert", None),
        ("drop-request?kind=upsert", None),
    ];
    assert_eq!(bare.upsert("a", "1").await.unwrap().status, 201);
    for (order, expected) in table {
        let ordered = bare.order(Method::Post, order).await;
        assert_eq!(ordered.status, 200, "{order}: {}", ordered.body);
        let met = bare.upsert("a", "1").await.map(|reply| (reply.status, reply.substatus()));
        assert_eq!(met, expected, "{order}");
        bare.order(Method::Post, "heal").await;
        assert_eq!(bare.upsert("a", "1").await.unwrap().status, 200, "after {order}");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn an_order_that_makes_no_sense_says_what_is_missing() {
    let sandbox = cosmos(CosmosOptions { control: true, ..CosmosOptions::default() }).await;
    let bare = Bare::new(&sandbox);
    for (order, hint) in [
        ("fail", "status="),
        ("fail?status=x", "status"),
        ("hang", "ms="),
        ("explode", "explode"),
        ("throttle?kind=nonsense", "nonsense"),
        ("create-container", "pk="),
    ] {
        let refused = bare.order(Method::Post, order).await;
        assert_eq!(refused.status, 400, "{order}");
        assert!(refused.body.contains(hint), "{order}: {}", refused.body);
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn a_container_can_be_deleted_and_created_with_another_partition_key() {
    let sandbox = cosmos(CosmosOptions { control: true, ..CosmosOptions::default() }).await;
    let bare = Bare::new(&sandbox);
    bare.upsert("a", "1").await;
    assert_eq!(bare.order(Method::Get, "stats").await.json()["documents"]["dbs/streaming/colls/rawdata"], 1);
    assert_eq!(bare.order(Method::Post, "delete-container").await.status, 200);
    assert_eq!(bare.order(Method::Get, "stats").await.json()["documents"], serde_json::json!({}));
    assert_eq!(bare.upsert("a", "1").await.unwrap().status, 404);
    let created = bare.order(Method::Post, "create-container?pk=/type").await;
    assert_eq!(created.status, 200, "{}", created.body);
    let mismatch = bare.upsert("a", "1").await.unwrap();
    assert_eq!((mismatch.status, mismatch.substatus()), (400, 1001));
    assert_eq!(bare.upsert("TEMP", "1").await.unwrap().status, 201, "an event's type is TEMP");
    sandbox.stop().await;
}

#[tokio::test]
async fn the_stats_tell_requests_documents_and_bytes() {
    let sandbox = cosmos(CosmosOptions { control: true, ..CosmosOptions::default() }).await;
    let bare = Bare::new(&sandbox);
    bare.batch("a", &[event("a", "1"), event("a", "2")]).await;
    bare.upsert("a", "2").await;
    let stats = bare.order(Method::Get, "stats").await.json();
    let counted: Vec<String> = stats["requests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{} {} {}", one["kind"].as_str().unwrap(), one["status"], one["count"]))
        .collect();
    assert_eq!(counted, ["upsert 200 1", "batch 200 1"]);
    assert_eq!(stats["documents"]["dbs/streaming/colls/rawdata"], 2);
    assert!(stats["bytes_received"].as_u64().unwrap() > 200);
    assert!(stats["request_units"].as_f64().unwrap() > 15.0);
    sandbox.stop().await;
}
