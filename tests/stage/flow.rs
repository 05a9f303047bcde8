//! Events that keep coming while a test does its worst, and what is known of them: where Kafka put
//! each.

#![allow(unreachable_pub, reason = "the tests of this binary share it")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::stage::{Stage, event};
use crate::support::kafka::{Producer, Record};

/// How often a handful of events is sent.
const TICK: Duration = Duration::from_millis(20);

/// An event that Kafka has acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    pub offset: i64,
    pub device: usize,
    pub number: usize,
}

/// What Kafka has acknowledged, by partition, in the order of the offsets.
#[derive(Clone, Debug, Default)]
pub struct Acknowledged(Arc<Mutex<BTreeMap<i32, Vec<Sent>>>>);

impl Acknowledged {
    pub fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Vec<Sent>>> {
        self.0.lock().unwrap()
    }

    /// How many events there are.
    pub fn count(&self) -> usize {
        self.lock().values().map(Vec::len).sum()
    }

    /// Events that were sent at once: where Kafka put each, and which it is.
    pub fn of(places: &[(i32, i64)], names: impl Iterator<Item = (usize, usize)>) -> Self {
        let acknowledged = Self::default();
        for ((partition, offset), (device, number)) in places.iter().zip(names) {
            acknowledged.note(*partition, Sent { offset: *offset, device, number });
        }
        acknowledged
    }

    fn note(&self, partition: i32, sent: Sent) {
        let mut partitions = self.lock();
        let partition = partitions.entry(partition).or_default();
        // Answers of one connection come in order; after a broker's restart one may not.
        let at = partition.partition_point(|other| other.offset < sent.offset);
        partition.insert(at, sent);
    }
}

/// A thread that sends events of many devices in turn.
pub struct Flow {
    acknowledged: Acknowledged,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flow {
    /// Sends so many events a second to the stage's topic, until stopped.
    pub fn start(stage: &Stage, devices: usize, per_second: usize) -> Self {
        let acknowledged = Acknowledged::default();
        let stop = Arc::new(AtomicBool::new(false));
        // Idempotent, so that a broker's death makes no event two; for the service it would be one.
        let producer = Producer::new(stage.cluster, &[("enable.idempotence", "true")]);
        let (topic, noted, stopped) = (stage.topic.clone(), acknowledged.clone(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let (begun, mut sent) = (Instant::now(), 0);
            while !stopped.load(Ordering::Relaxed) {
                let due = (begun.elapsed().as_secs_f64() * per_second as f64) as usize;
                // What could not be sent while Kafka was away comes in pieces.
                let until = due.min(sent + per_second);
                let names: Vec<_> = (sent..until).map(|n| (n % devices, n / devices)).collect();
                sent = until;
                let records: Vec<_> = names
                    .iter()
                    .map(|(device, number)| {
                        Record::new(event(*device, *number)).key(format!("device-{device}"))
                    })
                    .collect();
                let places = producer.send(&topic, &records);
                for ((partition, offset), (device, number)) in places.into_iter().zip(names) {
                    noted.note(partition, Sent { offset, device, number });
                }
                std::thread::sleep(TICK);
            }
        });
        Self { acknowledged, stop, thread: Some(thread) }
    }

    /// What Kafka has, kept up to date.
    pub fn acknowledged(&self) -> Acknowledged {
        self.acknowledged.clone()
    }

    /// Sends nothing more; everything sent is acknowledged.
    pub fn stop(mut self) -> Acknowledged {
        self.end().expect("the flow's thread did not break down");
        self.acknowledged.clone()
    }

    fn end(&mut self) -> std::thread::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map_or(Ok(()), JoinHandle::join)
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
