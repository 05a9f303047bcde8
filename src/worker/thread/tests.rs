//! A worker's thread step by step: batches in flight, and what a client says that is replaced.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use super::WorkerThread;
use crate::core::kafka::{Offset, TopicPartition};
use crate::core::records::RawRecord;
use crate::core::worker::{Begin, Input};
use crate::source::lists;
use crate::worker::inbox::Outside;
use crate::worker::pool::Pulse;
use crate::worker::tests::bench::{Bench, FakeStore, Mood, NoLetters, event};
use crate::worker::tests::wait_until;

/// A worker that somebody else takes through its loop.
struct Led {
    worker: WorkerThread<FakeStore, NoLetters>,
    outside: Outside,
    inbox: Receiver<Input>,
}

fn name(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

impl Led {
    fn by(bench: &Bench) -> Self {
        let worker = WorkerThread::new(0, Arc::clone(&bench.shared), Arc::new(Pulse::new()));
        let (outside, inbox) = Outside::into_this_thread();
        Self { worker, outside, inbox }
    }

    fn apply(&mut self, input: Input) {
        self.worker.hear(input);
        self.worker.perform(&self.outside);
    }

    /// Reads an event of a partition, and writes it.
    fn write_one(&mut self) {
        self.apply(Input::Assigned(vec![name(0)]));
        let epoch = self.worker.machine.standing().next().unwrap().epoch;
        self.apply(Input::Begin { partition: name(0), epoch, at: Begin::At(Offset(0)) });
        let value = event(0, 0);
        let (value, headers) = (Some(value.as_bytes()), [].as_slice());
        let record = RawRecord { offset: Offset(0), timestamp_millis: None, key: None, value, headers };
        self.worker.machine.take("t", 0, &record, Instant::now());
        wait_until("the batch to be in flight", || {
            self.worker.perform(&self.outside);
            !self.worker.in_flight.is_empty()
        });
    }

    /// Hears what comes, until a batch has ended.
    fn hear_the_end(&mut self) {
        loop {
            let input = self.inbox.recv_timeout(Duration::from_secs(20)).expect("the batch ends");
            let is_the_end = matches!(input, Input::Ended { .. });
            self.apply(input);
            if is_the_end {
                return;
            }
        }
    }
}

#[test]
fn a_batch_that_has_ended_is_in_flight_no_more() {
    let bench = Bench::new();
    let mut led = Led::by(&bench);
    led.write_one();
    led.hear_the_end();
    assert!(led.worker.in_flight.is_empty());
    assert_eq!(bench.store.stored().len(), 1);
}

#[test]
fn a_batch_in_flight_of_a_partition_that_is_lost_is_let_go() {
    let bench = Bench::new();
    bench.store.is(Mood::Hangs);
    let mut led = Led::by(&bench);
    led.write_one();
    wait_until("a request", || bench.store.in_flight() == 1);
    led.apply(Input::Revoked { partitions: vec![name(0)], lost: true });
    assert!(led.worker.in_flight.is_empty());
    wait_until("the request to be let go", || bench.store.in_flight() == 0);
    led.hear_the_end();
}

#[test]
fn what_a_client_says_that_is_replaced_is_void() {
    let directory = tempfile::tempdir().unwrap();
    let password = directory.path().join("password");
    std::fs::write(&password, "old").unwrap();
    let bench = Bench::with(|settings| settings.kafka.auth.password_file = Some(password.clone()));
    let mut led = Led::by(&bench);
    led.worker.keep_a_client(&led.outside);
    let consumer = Arc::clone(&led.worker.client.as_ref().unwrap().consumer);

    // The client is refused, another password would do, and before it is heard of that the group has
    // given it one partition, and behind that another.
    led.worker.contact.failed(&KafkaError::Global(RDKafkaErrorCode::Authentication), "wrong password");
    std::fs::write(&password, "new").unwrap();
    let gives = RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    consumer.context().rebalance(&consumer, gives, &mut lists::of([&name(0)]));
    consumer.context().stats_raw(b"{}");
    consumer.context().rebalance(&consumer, gives, &mut lists::of([&name(1)]));
    drop(consumer);
    led.worker.hear_notices();
    assert!(led.worker.client.is_none());
    assert_eq!(led.worker.machine.owned(), 0);
    led.worker.perform(&led.outside);

    // The next one begins with nothing, and is heard.
    wait_until("another client", || {
        led.worker.keep_a_client(&led.outside);
        led.worker.client.is_some()
    });
    led.worker.hear_notices();
    assert_eq!(led.worker.machine.owned(), 0);
    wait_until("what the group gives it", || {
        led.worker.poll();
        led.worker.machine.owned() == 3
    });
    led.worker.client.take().unwrap().close();
}

#[test]
fn what_was_wrong_with_partitions_is_over_when_there_are_none() {
    let bench = Bench::new();
    let mut led = Led::by(&bench);
    led.apply(Input::Assigned(vec![name(0)]));
    let reasons = ["topic_forbidden", "commits_failing"];
    let raised = || reasons.map(|reason| bench.shared.health.is_raised(reason, "worker-0"));
    for reason in reasons {
        bench.shared.health.raise(reason, "worker-0", "");
    }
    led.worker.report_membership();
    assert_eq!(raised(), [true, true]);
    led.apply(Input::Revoked { partitions: vec![name(0)], lost: true });
    led.worker.report_membership();
    assert_eq!(raised(), [false, false]);
}
