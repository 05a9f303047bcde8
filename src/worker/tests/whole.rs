//! Whole workers: what breaks down is replaced, done again, or said.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::bench::{Bench, Mood, PARTITIONS};
use super::wait_until;
use crate::worker::Broken;

/// Events of the numbers below `count`, each stored this often.
fn each(count: usize, times: usize) -> BTreeMap<String, usize> {
    let of_one = |partition| (0..count).map(move |number| (format!("{partition}-{number}"), times));
    (0..PARTITIONS).flat_map(of_one).collect()
}

/// What is fatal to librdkafka's consumer is that another one has its place in the group.
#[test]
fn a_client_that_is_broken_for_good_is_replaced_and_the_next_one_goes_on_from_the_commit() {
    let bench = Bench::new();
    let pool = bench.start();
    bench.send(0..10);
    bench.wait_for_commits(10);
    let fenced = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID];
    bench.cluster.request_errors(RDKafkaApiKey::Heartbeat, &fenced);
    wait_until("all that the client had to be lost", || bench.owned() == 0);
    wait_until("another client", || bench.shared.health.is_raised("kafka_connecting", "worker-0"));
    bench.send(10..20);
    bench.wait_for_commits(20);
    assert_eq!(bench.store.stored(), each(20, 1));
    assert_eq!(bench.drain(&pool), Ok(()));
}

#[test]
fn a_batch_whose_writer_breaks_down_is_read_and_written_again() {
    let bench = Bench::new();
    bench.store.is(Mood::BreaksDownOnce);
    let pool = bench.start();
    bench.send(0..10);
    bench.wait_for_commits(10);
    assert_eq!(bench.store.stored(), each(10, 1));
    assert_eq!(bench.drain(&pool), Ok(()));
}

#[test]
fn a_worker_that_breaks_down_says_so_and_the_drain_fails() {
    // No clock goes so far, so the worker's sum of it and now panics.
    let bench = Bench::with(|settings| settings.machine.longest_sleep = Duration::MAX);
    let pool = bench.start();
    wait_until("a word about it", || bench.shared.health.is_raised("worker_broken", "worker-0"));
    assert_eq!(bench.drain(&pool), Err(Broken));
}
