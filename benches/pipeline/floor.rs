//! What nobody can do without: librdkafka reading the same records and doing nothing with them, and the
//! same bodies posted by a bare HTTP client. Each in a process of its own, so that its CPU is its own.

use std::env;
use std::fs;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use axum::body::Bytes;
use futures::StreamExt;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::stage::endpoint::Endpoint;
use crate::stage::usage;
use crate::support::guard;
use crate::support::process::Process;

/// Names the part that this process plays.
const PART: &str = "STREAMPROC_BENCH_FLOOR";

/// As many requests at a time as the service has in flight over its connections.
const AT_ONCE: usize = 32;

pub fn is_asked_for() -> bool {
    env::var_os(PART).is_some()
}

/// The CPU of reading so many records of a topic.
pub fn consume(bootstrap: &str, topic: &str, events: u64) -> Duration {
    play("consume", &[bootstrap, topic, &events.to_string()])
}

/// The CPU of posting so many of the bodies that were written.
pub fn post(endpoint: &Endpoint, requests: u64) -> Duration {
    let dir = guard::temp_dir("bodies");
    let path = dir.path().join("bodies");
    let mut file = fs::File::create(&path).unwrap();
    for body in endpoint.bodies() {
        file.write_all(&(body.len() as u64).to_le_bytes()).unwrap();
        file.write_all(&body).unwrap();
    }
    play("post", &[endpoint.url().as_str(), &path.display().to_string(), &requests.to_string()])
}

fn play(part: &str, arguments: &[&str]) -> Duration {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(arguments).env(PART, part);
    let process = Process::start(part, &mut command);
    let status = process.wait_for_exit(Duration::from_mins(10));
    assert!(status.success(), "{}", process.tail());
    let micros = process.stdout().last().and_then(|line| line.parse().ok());
    Duration::from_micros(micros.unwrap_or_else(|| panic!("{}", process.tail())))
}

pub fn main() {
    let part = env::var(PART).unwrap();
    let arguments: Vec<String> = env::args().skip(1).collect();
    match (part.as_str(), arguments.as_slice()) {
        ("consume", [bootstrap, topic, events]) => read(bootstrap, topic, events.parse().unwrap()),
        ("post", [url, bodies, requests]) => send(url, bodies, requests.parse().unwrap()),
        other => panic!("{other:?}"),
    }
    println!("{}", usage::cpu(std::process::id()).as_micros());
}

fn read(bootstrap: &str, topic: &str, events: u64) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "floor")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10)).unwrap();
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut seen = 0;
    while seen < events {
        if consumer.poll(Duration::from_secs(10)).expect("a record").is_ok() {
            seen += 1;
        }
    }
}

fn send(url: &str, bodies: &str, requests: usize) {
    let stored = fs::read(bodies).unwrap();
    let mut rest = stored.as_slice();
    let mut bodies = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let (body, after) = after.split_at(u64::from_le_bytes(*length) as usize);
        bodies.push(Bytes::copy_from_slice(body));
        rest = after;
    }
    let target = format!("{url}dbs/streaming/colls/rawdata/docs");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        futures::stream::iter(bodies.iter().cycle().take(requests))
            .for_each_concurrent(AT_ONCE, |body| {
                let header = if body.first() == Some(&b'[') {
                    "x-ms-cosmos-is-batch-request"
                } else {
                    "x-ms-documentdb-is-upsert"
                };
                let request = client.post(&target).header(header, "True").body(body.clone());
                async {
                    let answer = request.send().await.unwrap();
                    assert_eq!(answer.status(), 200);
                    answer.bytes().await.unwrap();
                }
            })
            .await;
    });
}
