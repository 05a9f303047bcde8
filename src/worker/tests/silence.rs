//! How long a worker's thread has not gone through its loop, which is what `/livez` goes by: long when it stands
//! still, and never because Kafka or the store does.

use std::process::Command;
use std::time::{Duration, Instant};

use super::bench::{Bench, Mood};
use super::wait_until;

/// A file on a mount that hangs, as far as a reader can tell: a pipe that nobody writes to.
#[test]
fn a_thread_that_stands_still_is_silent_for_as_long() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("password");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let bench = Bench::with(|settings| settings.kafka.auth.password_file = Some(pipe.clone()));
    let begun = Instant::now();
    let pool = bench.start();
    wait_until("a silence", || pool.longest_silence() > Duration::from_secs(1));
    assert!(pool.longest_silence() <= begun.elapsed());
    std::fs::write(&pipe, "comes after all").unwrap();
    wait_until("the thread to go on", || pool.longest_silence() < Duration::from_millis(500));
    bench.send(0..1);
    bench.wait_for_commits(1);
    assert_eq!(bench.drain(&pool), Ok(()));
}

#[test]
fn no_thread_stands_still_while_kafka_and_the_store_are_gone() {
    let bench = Bench::new();
    let pool = bench.start();
    bench.send(0..10);
    bench.wait_for_commits(10);
    bench.store.is(Mood::Hangs);
    bench.send(10..20);
    wait_until("a request", || bench.store.in_flight() > 0);
    bench.cluster.broker_down(1).unwrap();
    // Longer than the group keeps a member that is gone.
    let begun = Instant::now();
    wait_until("the session to be over", || {
        let silence = pool.longest_silence();
        assert!(silence < Duration::from_secs(2), "{silence:?} after {:?}", begun.elapsed());
        begun.elapsed() > Duration::from_secs(5)
    });
    assert!(
        bench.shared.health.is_raised("kafka_unreachable", "worker-0"),
        "{:?}",
        bench.shared.health.conditions()
    );
    bench.store.is(Mood::Takes);
    bench.cluster.broker_up(1).unwrap();
    bench.wait_for_commits(20);
    assert_eq!(bench.drain(&pool), Ok(()));
}
