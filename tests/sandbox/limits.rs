//! What the service refuses for its size or its rate.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use streamproc::sandbox::{CosmosOptions, Kind};

use crate::clients::{Bare, cosmos, event};

#[tokio::test]
async fn a_batch_of_more_than_100_operations_is_answered_with_400() {
    let sandbox = cosmos(CosmosOptions::default()).await;
    let bare = Bare::new(&sandbox);
    let events: Vec<Value> = (0..101).map(|n| event("a", &n.to_string())).collect();
    assert_eq!(bare.batch("a", &events).await.unwrap().status, 400);
    assert_eq!(bare.batch("a", &events[..100]).await.unwrap().status, 200);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_body_of_more_than_2_mb_is_answered_with_413() {
    let sandbox = cosmos(CosmosOptions::default()).await;
    let bare = Bare::new(&sandbox);
    let large = |bytes: usize| {
        let mut event = event("a", "1");
        event["padding"] = json!("x".repeat(bytes));
        event
    };
    for bytes in [(2 << 20) + 1, 3 << 20, 9 << 20] {
        let point = bare.post("a", "x-ms-documentdb-is-upsert", large(bytes).to_string()).await.unwrap();
        assert_eq!(point.status, 413, "a document of {bytes} bytes");
    }
    let halves = [large(1 << 20), large(1 << 20)];
    assert_eq!(bare.batch("a", &halves).await.unwrap().status, 413, "a batch");
    let fits = bare.post("a", "x-ms-documentdb-is-upsert", large((2 << 20) - 1000).to_string()).await;
    assert_eq!(fits.unwrap().status, 201);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_client_that_sends_its_whole_body_before_it_reads_still_gets_to_read_413() {
    let sandbox = cosmos(CosmosOptions::default()).await;
    let mut stream =
        TcpStream::connect(&*sandbox.cosmos_endpoint().unwrap().socket_addrs(|| None).unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let body = vec![b' '; 32 << 20];
    write!(stream, "POST / HTTP/1.1\r\nhost: sandbox\r\ncontent-length: {}\r\n\r\n", body.len()).unwrap();
    stream.write_all(&body).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 413");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_container_is_throttled_with_429_at_its_throughput_and_serves_again_after_the_wait_it_named() {
    let options = CosmosOptions { throughput: Some(400), ..CosmosOptions::default() };
    let sandbox = cosmos(options).await;
    let bare = Bare::new(&sandbox);
    let started = Instant::now();
    let refused = loop {
        let reply = bare.upsert("a", "1").await.unwrap();
        if reply.status == 429 {
            break reply;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "never throttled");
    };
    assert_eq!(refused.substatus(), 3200);
    let wait: u64 = refused.header("x-ms-retry-after-ms").unwrap().parse().unwrap();
    assert!((1..=1000).contains(&wait), "{wait}");
    tokio::time::sleep(Duration::from_millis(wait)).await;
    assert_eq!(bare.upsert("a", "1").await.unwrap().status, 200);
    assert!(sandbox.cosmos().unwrap().stats().count(Kind::Upsert, 429) > 0);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_batch_costs_and_is_throttled_like_its_operations() {
    let options = CosmosOptions { throughput: Some(400), ..CosmosOptions::default() };
    let sandbox = cosmos(options).await;
    let bare = Bare::new(&sandbox);
    let events: Vec<Value> = (0..100).map(|n| event("a", &n.to_string())).collect();
    let served = bare.batch("a", &events).await.unwrap();
    let point = bare.upsert("b", "1").await.unwrap();
    assert_eq!((served.status, point.status), (200, 429), "100 writes take more than 400 RU");
    assert!((500.0..700.0).contains(&served.charge()), "{}", served.charge());
    let results = served.json();
    let sum: f64 = results.as_array().unwrap().iter().map(|one| one["requestCharge"].as_f64().unwrap()).sum();
    assert!((sum - served.charge()).abs() < 1.0, "{sum} and {}", served.charge());
    sandbox.stop().await;
}
