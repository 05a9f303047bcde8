//! What happens to an event between Kafka's buffer and the body of a request, step by step, for whoever
//! measures it.

#![allow(clippy::expect_used, unreachable_pub, reason = "what measures shares it")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use streamproc::config;
use streamproc::core::kafka::Offset;
use streamproc::core::ledger::Ledger;
use streamproc::core::records::{RawRecord, Records};
use streamproc::core::settled::{Settled, Settlement};
use streamproc::core::transform::{Decoded, Document, Rules, Stamp, decode};
use streamproc::core::write::body;
use streamproc::core::write::estimate::Estimate;
use streamproc::core::write::governor::Governor;
use streamproc::core::write::lane::{Answer, Lane};
use streamproc::core::write::pace::Pace;
use streamproc::core::write::plan::{Candidate, lanes};
use streamproc::simulator::Events;

/// How many documents a request has whose request units are accounted for.
const DOCUMENTS: u64 = 20;

const CREATED_AT_MICROS: i64 = 1_700_000_000_000_000;

/// The sample's events, as Kafka would hand them over.
pub struct Steps {
    events: Vec<Vec<u8>>,
    rules: Rules,
    stamp: Stamp,
}

impl Steps {
    /// So many events of about a kilobyte, of so many devices in turn.
    pub fn new(events: usize, devices: u64) -> Self {
        let mut simulated = Events::new(7, devices, 23);
        let event = |number: usize| {
            simulated.write_next(CREATED_AT_MICROS + number as i64);
            simulated.json().to_vec()
        };
        let rules = Rules::compile(&config::Event::default()).expect("the defaults are valid");
        let stamp = rules.stamp(i128::from(CREATED_AT_MICROS) * 1_000);
        Self { events: (0..events).map(event).collect(), rules, stamp }
    }

    /// Copies the records out of the client's memory.
    pub fn copy(&self) -> Records {
        let mut records = Records::new();
        for (offset, event) in self.events.iter().enumerate() {
            records.push(&RawRecord {
                offset: Offset(offset as i64),
                timestamp_millis: Some(CREATED_AT_MICROS / 1_000),
                key: None,
                value: Some(event),
                headers: &[],
            });
        }
        records
    }

    /// Proves each valid and finds what is named: the recipes of the documents.
    pub fn decode(&self, records: &Records) -> Vec<Document> {
        let decoded = (0..records.len()).map(|index| {
            match decode(&self.rules, records.value(index), records.timestamp_millis(index), &self.stamp) {
                Ok(Decoded::Document(document)) => document,
                other => panic!("{other:?}"),
            }
        });
        decoded.collect()
    }

    /// Groups the documents by partition key.
    pub fn group(documents: &[Document]) -> Vec<Lane> {
        lanes(documents.iter().enumerate().map(|(record, document)| Candidate {
            record,
            key: &document.key,
            id: &document.id,
            length: document.body_len(),
        }))
    }

    /// Makes the bodies of all requests; gives how many bytes and how many requests.
    pub fn bodies(records: &Records, documents: &[Document], lanes: &mut [Lane]) -> (usize, usize) {
        let stored = Answer::stored(7.0);
        let (mut bytes, mut requests) = (0, 0);
        for lane in lanes {
            while let Some(group) = lane.request() {
                let body = body::of(group, |record| Some((&documents[record], records.value(record)?)));
                bytes += black_box(body).len();
                requests += 1;
                lane.answer(&stored);
            }
        }
        (bytes, requests)
    }

    /// Accounts for as many requests of 20 documents each as there are events for: what each is expected to cost,
    /// its turn at the pace of its range and within the limit, and what it cost. Nothing has to wait.
    pub fn request_units(&self) -> f64 {
        const RETRY_AFTER: Duration = Duration::from_millis(1);
        const MANY: f64 = 1e9;
        let mut now = Instant::now();
        let (mut estimate, mut pace, mut governor) =
            (Estimate::default(), Pace::default(), Governor::new(now));
        governor.set_limit(Some(MANY), now);
        // From its first throttled answer on, a range has a rate.
        let first = pace.start(0, MANY, now);
        pace.served(first, MANY, now);
        let second = pace.start(0, MANY, now);
        pace.throttled(second, RETRY_AFTER, now);
        now += RETRY_AFTER;
        let mut spent = 0.0;
        for request in 0..self.events.len() as u64 / DOCUMENTS {
            now += Duration::from_millis(1);
            let bytes = DOCUMENTS as usize * self.events[0].len();
            let expected = estimate.of(bytes);
            assert_eq!((pace.wait(now), governor.wait(now)), (None, None), "nothing has to wait");
            let started = pace.start(request, expected, now);
            governor.charge(expected, now);
            now += Duration::from_millis(5);
            let cost = black_box(7.5 * DOCUMENTS as f64);
            estimate.learn(bytes, cost);
            pace.served(started, cost, now);
            governor.charge(cost - expected, now);
            spent += cost;
        }
        spent
    }

    /// Notes as many offsets and settles them, a hundred at a time.
    pub fn ledger(&self) -> Offset {
        let mut ledger = Ledger::new(Offset(0));
        let count = self.events.len() as i64;
        for offset in 0..count {
            ledger.observe(Offset(offset), None).expect("each is read once");
        }
        let mut settlements = Vec::with_capacity(100);
        for first in (0..count).step_by(100) {
            settlements.clear();
            settlements.extend(
                (first..count.min(first + 100))
                    .map(|offset| Settlement { offset: Offset(offset), outcome: Settled::Stored }),
            );
            ledger.settle(&settlements);
        }
        ledger.frontier()
    }
}
