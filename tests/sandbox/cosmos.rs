//! The embedded Cosmos DB as Microsoft's Rust SDK and the REST API see it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use azure_core::http::Method;
use azure_data_cosmos::PartitionKey;
use azure_data_cosmos::models::TransactionalBatchOperationResult;
use serde_json::{Value, json};
use streamproc::sandbox::{ContainerOptions, CosmosOptions, Kind};

use crate::clients::{Bare, DOCUMENTS, batch, container, cosmos, event, partition_ids, query, sdk};

#[tokio::test]
async fn the_sdk_writes_reads_queries_and_deletes_documents_in_text_and_in_binary() {
    let sandbox = cosmos(CosmosOptions::default()).await;
    let (endpoint, key) = (sandbox.cosmos_endpoint().unwrap(), sandbox.cosmos_key().unwrap());
    for binary in [false, true] {
        let container = sdk(endpoint, key, binary).await.unwrap();
        let created = container.upsert_item("a", "1", event("a", "1"), None).await.unwrap();
        assert_eq!(u16::from(created.status().status_code()), 201, "binary: {binary}");
        let replaced = container.upsert_item("a", "1", event("a", "1"), None).await.unwrap();
        assert_eq!(u16::from(replaced.status().status_code()), 200, "binary: {binary}");
        container.create_item("b", "2", event("b", "2"), None).await.unwrap();
        let read: Value = container.read_item("a", "1", None).await.unwrap().into_model().unwrap();
        assert_eq!((&read["deviceId"], &read["value"]), (&json!("a"), &json!(1.5)), "binary: {binary}");
        let found = query(&container, "SELECT c.id FROM c WHERE c.type = 'TEMP' ORDER BY c.id").await;
        assert_eq!(found, [json!({ "id": "1" }), json!({ "id": "2" })], "binary: {binary}");
        container.delete_item("a", "1", None).await.unwrap();
        container.delete_item("b", "2", None).await.unwrap();
        assert_eq!(query(&container, "SELECT * FROM c").await, [] as [Value; 0], "binary: {binary}");
    }
    assert_eq!(sandbox.cosmos().unwrap().stats().documents(), 0);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_batch_is_stored_as_a_whole_or_not_at_all() {
    let sandbox = cosmos(CosmosOptions::default()).await;
    let container = container(&sandbox).await;
    let stored = container.execute_transactional_batch(batch("a", ["1", "2", "3"]), None).await.unwrap();
    let results = stored.into_model().unwrap();
    let statuses: Vec<u16> =
        results.results().iter().map(TransactionalBatchOperationResult::status_code).collect();
    assert_eq!(statuses, [201, 201, 201]);

    let clash = batch("a", ["4"]).create_item(event("a", "1")).unwrap().upsert_item(event("a", "5"), None);
    let refused = container.execute_transactional_batch(clash.unwrap(), None).await.unwrap();
    assert_eq!(u16::from(refused.status().status_code()), 207);
    let results = refused.into_model().unwrap();
    let statuses: Vec<u16> =
        results.results().iter().map(TransactionalBatchOperationResult::status_code).collect();
    assert_eq!(statuses, [424, 409, 424]);
    assert_eq!(query(&container, "SELECT VALUE c.id FROM c ORDER BY c.id").await, ["1", "2", "3"]);
    assert_eq!(sandbox.cosmos().unwrap().stats().documents(), 3);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_query_over_many_partitions_finds_every_document_once_and_needs_few_requests() {
    let sandbox = cosmos(CosmosOptions::default()).await;
    let container = container(&sandbox).await;
    let devices: BTreeSet<String> = (0..300).map(|n| format!("device-{n:03}")).collect();
    for device in &devices {
        container.upsert_item(device, device, event(device, device), None).await.unwrap();
    }
    let found = query(&container, "SELECT VALUE c.deviceId FROM c").await;
    assert_eq!(found.len(), devices.len());
    let found: BTreeSet<String> = found.iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    assert_eq!(found, devices);
    let asked = sandbox.cosmos().unwrap().stats().count(Kind::Query, 200);
    assert_eq!(asked, 50, "one request for each range that is shown");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_container_of_few_partitions_shows_them_as_they_are() {
    for partitions in [1, 3, 4, 7, 50] {
        let options = CosmosOptions { physical_partitions: partitions, ..CosmosOptions::default() };
        let sandbox = cosmos(options).await;
        assert_eq!(partition_ids(&sandbox).await.len(), partitions as usize);
        let container = container(&sandbox).await;
        let written = container.upsert_item("a", "1", event("a", "1"), None).await.unwrap();
        assert!(written.headers().session_token().is_some());
        assert_eq!(query(&container, "SELECT VALUE c.id FROM c").await, ["1"]);
        sandbox.stop().await;
    }
}

#[tokio::test]
async fn a_partition_key_may_have_three_paths() {
    let paths = vec!["/tenant".to_owned(), "/site/id".to_owned(), "deviceId".to_owned()];
    let containers = vec![ContainerOptions { partition_key: paths, ..ContainerOptions::default() }];
    let sandbox = cosmos(CosmosOptions { containers, ..CosmosOptions::default() }).await;
    let container = container(&sandbox).await;
    let document = json!({ "id": "1", "tenant": "t", "site": { "id": 4 }, "deviceId": "d" });
    let key = PartitionKey::from(("t", 4, "d"));
    container.upsert_item(key.clone(), "1", &document, None).await.unwrap();
    let read: Value = container.read_item(key, "1", None).await.unwrap().into_model().unwrap();
    assert_eq!(read["site"]["id"], 4);
    assert_eq!(query(&container, "SELECT VALUE c.id FROM c").await, ["1"]);
    sandbox.stop().await;
}

#[tokio::test]
async fn an_event_id_is_unique_within_its_partition_key() {
    let sandbox = cosmos(CosmosOptions::default()).await;
    let bare = Bare::new(&sandbox);
    assert_eq!(bare.upsert("a", "1").await.unwrap().status, 201);
    let mut twin = event("a", "2");
    twin["eventId"] = json!("1");
    let clash = bare.post("a", "x-ms-documentdb-is-upsert", twin.to_string()).await.unwrap();
    assert_eq!(clash.status, 409);
    assert_eq!(bare.upsert("b", "1").await.unwrap().status, 201, "in another partition");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_wrong_key_is_answered_with_401() {
    let sandbox = cosmos(CosmosOptions::default()).await;
    let wrong = azure_core::base64::encode("not the key of this sandbox");
    let refused = sdk(sandbox.cosmos_endpoint().unwrap(), &wrong, false).await.err().unwrap();
    assert_eq!(u16::from(refused.status().status_code()), 401, "{refused}");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_missing_container_is_answered_with_404_and_substatus_1003() {
    let sandbox = cosmos(CosmosOptions { control: true, ..CosmosOptions::default() }).await;
    let bare = Bare::new(&sandbox);
    let missing = bare.read("a", "1").await.unwrap();
    assert_eq!((missing.status, missing.substatus()), (404, 0), "a missing document");
    bare.order(Method::Post, "delete-container").await;
    for reply in
        [bare.upsert("a", "1").await, bare.batch("a", &[event("a", "1")]).await, bare.read("a", "1").await]
    {
        let reply = reply.unwrap();
        assert_eq!((reply.status, reply.substatus()), (404, 1003), "{}", reply.body);
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn a_document_of_another_partition_key_than_the_headers_is_answered_with_400_and_substatus_1001() {
    let sandbox = cosmos(CosmosOptions::default()).await;
    let body = event("b", "1").to_string();
    let refused = Bare::new(&sandbox).post("a", "x-ms-documentdb-is-upsert", body).await.unwrap();
    assert_eq!((refused.status, refused.substatus()), (400, 1001), "{}", refused.body);
    sandbox.stop().await;
}

/// docs/sandbox.md says so.
#[tokio::test]
async fn a_document_128_deep_is_refused_and_a_double_comes_back_as_the_same_double() {
    let sandbox = cosmos(CosmosOptions::default()).await;
    let bare = Bare::new(&sandbox);
    let document = |id: &str, value: &str| {
        let document = event("a", id).to_string();
        format!("{},\"more\":{value}}}", document.trim_end_matches('}'))
    };
    for (depth, status) in [(127, 201), (128, 400)] {
        let nested = format!("{}{}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        let body = document(&depth.to_string(), &nested);
        let reply = bare.post("a", "x-ms-documentdb-is-upsert", body).await.unwrap();
        assert_eq!(reply.status, status, "{depth} deep: {}", reply.body);
    }
    for (sent, kept) in [
        ("0.12345678901234567", "0.12345678901234566"),
        ("1.10", "1.1"),
        ("9007199254740993", "9007199254740993"),
    ] {
        bare.post("a", "x-ms-documentdb-is-upsert", document("number", sent)).await.unwrap();
        let read = bare.read("a", "number").await.unwrap().body;
        assert!(read.contains(&format!("\"more\":{kept}")), "{sent} came back in {read}");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn a_path_may_end_with_a_slash_and_name_resources_by_their_ids() {
    let sandbox = cosmos(CosmosOptions::default()).await;
    let bare = Bare::new(&sandbox);
    let link = "dbs/streaming/colls/rawdata";
    let container = bare.signed(Method::Get, &format!("{link}/"), ("colls", link), &[], "").await.unwrap();
    assert_eq!(container.status, 200, "{}", container.body);
    let container = container.json();
    let by_id = format!("{}docs", container["_self"].as_str().unwrap());
    let headers = [("x-ms-documentdb-partitionkey", r#"["a"]"#), ("x-ms-documentdb-is-upsert", "true")];
    let signed = ("docs", container["_rid"].as_str().unwrap().to_lowercase());
    let signed = (signed.0, signed.1.as_str());
    let written = bare.signed(Method::Post, &by_id, signed, &headers, event("a", "1").to_string()).await;
    assert_eq!(written.unwrap().status, 201);
    assert_eq!(bare.read("a", "1").await.unwrap().status, 200);
    sandbox.stop().await;
}

#[tokio::test]
async fn an_id_that_needs_escaping_in_a_path_can_be_read_back() {
    let sandbox = cosmos(CosmosOptions::default()).await;
    let container = container(&sandbox).await;
    for id in ["a b", "ä+%20&=", "100%"] {
        container.upsert_item("a", id, event("a", id), None).await.unwrap();
        let read: Value = container.read_item("a", id, None).await.unwrap().into_model().unwrap();
        assert_eq!(read["id"], id);
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn the_port_speaks_http_1_and_http_2() {
    let sandbox = cosmos(CosmosOptions::default()).await;
    let address = sandbox.cosmos_endpoint().unwrap().socket_addrs(|| None).unwrap()[0];
    let talk = move |says: &'static [u8], length: usize| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(says).unwrap();
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer).unwrap();
        answer
    };
    let http_1 = talk(b"GET / HTTP/1.1\r\nhost: sandbox\r\n\r\n", 12);
    assert_eq!(String::from_utf8_lossy(&http_1), "HTTP/1.1 401");
    // The preface of HTTP/2 and an empty SETTINGS frame (type 4), answered with SETTINGS.
    let http_2 = talk(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", 4);
    assert_eq!(http_2[3], 4, "{http_2:?}");
    sandbox.stop().await;
}

#[tokio::test]
async fn the_sandbox_is_there_before_its_start_returns_and_gone_after_its_stop() {
    let sandbox = cosmos(CosmosOptions::default()).await;
    let bare = Bare::new(&sandbox);
    assert_eq!(
        bare.signed(Method::Get, DOCUMENTS, ("docs", "dbs/streaming/colls/rawdata"), &[], "")
            .await
            .unwrap()
            .status,
        200
    );
    sandbox.stop().await;
    assert!(bare.upsert("a", "1").await.is_none());
}
