//! The sink with a store and dead letters made of values, in virtual time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Settings, Sink, Stop};
use crate::config;
use crate::core::budget::Budget;
use crate::core::kafka::{Epoch, Offset, TopicPartition};
use crate::core::key::{KeyPart, PartitionKey};
use crate::core::reason::Reason;
use crate::core::records::{RawRecord, Records};
use crate::core::settled::{Settled, Settlement};
use crate::core::transform::Rules;
use crate::core::worker::Batch;
use crate::core::write::lane::Answer;
use crate::core::write::refusals::Refusals;
use crate::core::write::verdict::Status;
use crate::dead_letter::{DeadLetters, Letter};
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;
use crate::store::{KeyRange, Kind, Obstacle, Request, Store};

/// What a fake store answers instead of storing: by key, the ids asked for, and how often it was asked.
type Fault = Box<dyn Fn(&str, &[String], usize) -> Option<Answer> + Send>;

#[derive(Clone, Default)]
struct FakeStore(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    documents: BTreeMap<(String, String), serde_json::Value>,
    requests: Vec<(String, Vec<String>)>,
    asked: HashMap<String, usize>,
    in_flight: HashSet<String>,
    fault: Option<Fault>,
    container_problem: Option<String>,
    checks: usize,
    /// How long it takes to answer.
    takes: Duration,
    /// How long for a key that is slower than that.
    takes_of: HashMap<String, Duration>,
    /// How long it takes to look at the container.
    check_takes: Duration,
}

impl FakeStore {
    fn failing(fault: impl Fn(&str, &[String], usize) -> Option<Answer> + Send + 'static) -> Self {
        let store = Self::default();
        store.lock().fault = Some(Box::new(fault));
        store
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }
}

fn key_text(key: &PartitionKey) -> String {
    match &key.0[0] {
        KeyPart::String(text) => text.to_string(),
        other => format!("{other:?}"),
    }
}

fn answer(code: u16) -> Answer {
    Answer { status: Status::new(code, 0), message: format!("said {code}"), ..Answer::stored(0.0) }
}

impl Store for FakeStore {
    async fn write(&self, request: Request<'_>) -> Answer {
        let key = key_text(request.key);
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        let documents = match request.kind {
            Kind::Point(id) => {
                assert_eq!(body["id"], *id.0);
                vec![body]
            }
            Kind::Batch(count) => {
                let operations = body.as_array().unwrap();
                assert_eq!(operations.len(), count);
                assert!(operations.iter().all(|operation| operation["operationType"] == "Upsert"));
                operations.iter().map(|operation| operation["resourceBody"].clone()).collect()
            }
        };
        let ids: Vec<String> =
            documents.iter().map(|document| document["id"].as_str().unwrap().to_owned()).collect();
        let takes = {
            let mut inner = self.lock();
            assert!(inner.in_flight.insert(key.clone()), "two requests of the key {key} at once");
            inner.requests.push((key.clone(), ids.clone()));
            let of_key = inner.takes_of.get(&key).copied().unwrap_or_default();
            inner.takes.max(of_key).max(Duration::from_millis(5))
        };
        tokio::time::sleep(takes).await;
        let mut inner = self.lock();
        inner.in_flight.remove(&key);
        let asked = inner.asked.entry(key.clone()).or_default();
        *asked += 1;
        let asked = *asked;
        if let Some(answer) = inner.fault.as_ref().and_then(|fault| fault(&key, &ids, asked)) {
            return answer;
        }
        for (id, document) in ids.into_iter().zip(documents) {
            inner.documents.insert((key.clone(), id), document);
        }
        Answer::stored(7.0)
    }

    fn range_of(&self, key: &PartitionKey) -> KeyRange {
        KeyRange(u32::from(["hot", "sick"].contains(&key_text(key).as_str())))
    }

    async fn check(&self) -> Result<(), Obstacle> {
        let takes = self.lock().check_takes;
        tokio::time::sleep(takes).await;
        let mut inner = self.lock();
        inner.checks += 1;
        inner
            .container_problem
            .clone()
            .map_or(Ok(()), |detail| Err(Obstacle { reason: "container_missing", detail }))
    }
}

#[derive(Clone)]
struct FakeLetters(Arc<Mutex<Vec<Sent>>>, Arc<Mutex<Duration>>);

impl Default for FakeLetters {
    fn default() -> Self {
        Self(Arc::default(), Arc::new(Mutex::new(Duration::from_millis(1))))
    }
}

impl FakeLetters {
    fn delay(&self, length: Duration) {
        *self.1.lock().unwrap() = length;
    }
}

/// A letter's offset, reason, error and status.
type Sent = (i64, Reason, String, Option<u16>);

impl DeadLetters for FakeLetters {
    async fn send(&self, letter: &Letter<'_>) {
        let delay = *self.1.lock().unwrap();
        tokio::time::sleep(delay).await;
        let status = letter.status.map(|status| status.code);
        self.0.lock().unwrap().push((letter.record.offset.0, letter.reason, letter.error.to_owned(), status));
    }
}

struct Bench {
    sink: Arc<Sink<FakeStore, FakeLetters>>,
    store: FakeStore,
    letters: FakeLetters,
    health: Health,
    metrics: Metrics,
    settled: Arc<Mutex<BTreeMap<i64, Settled>>>,
}

impl Bench {
    fn new(store: FakeStore) -> Self {
        let metrics = Metrics::new().unwrap();
        let health = Health::new(metrics.clone());
        let letters = FakeLetters::default();
        let settings = Settings {
            rules: Rules::compile(&config::Event::default()).unwrap(),
            group: "g".into(),
            body_bytes: 16 << 20,
            request_timeout: Duration::from_secs(25),
            max_fraction: 0.1,
        };
        let assigned = Arc::new(AtomicUsize::new(1));
        let sink =
            Sink::new(store.clone(), letters.clone(), settings, assigned, metrics.clone(), health.clone());
        Self { sink: Arc::new(sink), store, letters, health, metrics, settled: Arc::default() }
    }

    fn start(&self, events: &[String], stop: Stop) -> tokio::task::JoinHandle<bool> {
        let batch = batch(events);
        let (sink, settled) = (Arc::clone(&self.sink), Arc::clone(&self.settled));
        tokio::spawn(async move {
            let report = |settlements: Vec<Settlement>| {
                for Settlement { offset, outcome } in settlements {
                    assert_eq!(
                        settled.lock().unwrap().insert(offset.0, outcome),
                        None,
                        "{offset} ended twice"
                    );
                }
            };
            sink.write(batch, &report, &stop).await.is_some()
        })
    }

    async fn write(&self, events: &[String]) {
        assert!(self.start(events, Stop::default()).await.unwrap());
        assert_eq!(self.settled().len(), events.len(), "every record has ended");
    }

    fn settled(&self) -> BTreeMap<i64, Settled> {
        self.settled.lock().unwrap().clone()
    }

    fn reasons(&self) -> Vec<&'static str> {
        self.health.conditions().iter().map(|condition| condition.reason).collect()
    }

    async fn wait_for(&self, what: &str, mut condition: impl FnMut() -> bool) {
        for _ in 0..100_000 {
            if condition() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("waited for {what} in vain; conditions: {:?}", self.health.conditions());
    }
}

fn batch(events: &[String]) -> Batch {
    let partition = TopicPartition::new("t", 0);
    let mut records = Records::new();
    for (offset, event) in events.iter().enumerate() {
        records.push(&RawRecord {
            offset: Offset(offset as i64),
            timestamp_millis: Some(1_700_000_000_000),
            key: None,
            value: Some(event.as_bytes()),
            headers: &[],
        });
    }
    let charge = Budget::new(1 << 30).open(&partition);
    Batch { partition, epoch: Epoch(1), records, opened_at: Instant::now(), charge }
}

fn event(device: &str, id: &str, value: f64) -> String {
    format!(r#"{{"eventId":"{id}","deviceId":"{device}","value":{value}}}"#)
}

fn stored_value(store: &FakeStore, device: &str, id: &str) -> f64 {
    store.lock().documents[&(device.to_owned(), id.to_owned())]["value"].as_f64().unwrap()
}

#[tokio::test(start_paused = true)]
async fn events_are_stored_together_by_key_and_the_newest_version_wins() {
    let bench = Bench::new(FakeStore::default());
    bench
        .write(&[event("a", "1", 1.0), event("b", "1", 2.0), event("a", "2", 3.0), event("a", "1", 4.0)])
        .await;
    let mut requests = bench.store.lock().requests.clone();
    requests.sort();
    assert_eq!(requests, [("a".into(), vec!["2".into(), "1".into()]), ("b".into(), vec!["1".to_owned()])]);
    assert!((stored_value(&bench.store, "a", "1") - 4.0).abs() < f64::EPSILON);
    assert_eq!(bench.settled()[&0], Settled::Superseded { by: Offset(3) });
    assert_eq!(bench.settled()[&3], Settled::Stored);
    assert!((bench.metrics.request_units.get() - 14.0).abs() < f64::EPSILON);
}

#[tokio::test(start_paused = true)]
async fn a_bad_event_goes_to_the_dead_letters_and_the_good_ones_around_it_are_stored() {
    let bench = Bench::new(FakeStore::default());
    bench.write(&[event("a", "1", 1.0), "{".into(), event("a", "2", 1.0)]).await;
    assert_eq!(bench.store.lock().documents.len(), 2);
    let letters = bench.letters.0.lock().unwrap().clone();
    assert_eq!((letters[0].0, letters[0].1, letters[0].3), (1, Reason::InvalidJson, None));
    assert_eq!(bench.settled()[&1], Settled::DeadLettered(Reason::InvalidJson));
}

#[tokio::test(start_paused = true)]
async fn a_document_that_the_store_refuses_is_a_dead_letter_and_its_older_version_is_stored() {
    let guilty = |ids: &[String]| ids.iter().position(|id| id == "2");
    let bench = Bench::new(FakeStore::failing(move |_, ids, asked| {
        let index = guilty(ids)?;
        let operations =
            (0..ids.len()).map(|at| Status::new(if at == index { 409 } else { 424 }, 0)).collect();
        match (ids.len(), asked) {
            (1, asked) if asked > 3 => None,
            (1, _) => Some(answer(409)),
            _ => Some(Answer { operations, ..answer(207) }),
        }
    }));
    bench
        .write(&[event("a", "1", 1.0), event("a", "2", 1.0), event("a", "2", 2.0), event("a", "3", 1.0)])
        .await;
    let letters = bench.letters.0.lock().unwrap().clone();
    assert_eq!(letters, [(2, Reason::RejectedByStore, "said 409".into(), Some(409))]);
    assert!((stored_value(&bench.store, "a", "2") - 1.0).abs() < f64::EPSILON);
    assert_eq!(bench.settled()[&1], Settled::Stored);
    assert_eq!(bench.store.lock().documents.len(), 3);
}

/// They come last, since what is stored comes in batches.
#[tokio::test(start_paused = true)]
async fn a_few_refusals_in_a_hundred_are_not_too_many_however_large_the_micro_batch_is() {
    let bench = Bench::new(FakeStore::failing(|key, _, _| (key == "sick").then(|| answer(400))));
    let device =
        |number| if number % 25 == 0 { "sick".to_owned() } else { format!("device-{}", number % 50) };
    let events: Vec<_> = (0..5_000).map(|number| event(&device(number), &number.to_string(), 1.0)).collect();
    tokio::time::timeout(Duration::from_mins(10), bench.write(&events)).await.expect("nothing is held");
    assert_eq!(bench.letters.0.lock().unwrap().len(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_key_does_not_hold_up_the_others() {
    let bench = Bench::new(FakeStore::failing(|key, _, _| {
        let retry_after = Some(Duration::from_millis(50));
        (key == "hot").then(|| Answer { retry_after, ..answer(429) })
    }));
    let mut events = vec![event("hot", "1", 1.0)];
    events.extend((0..500).map(|number| event(&format!("device-{number}"), "1", 1.0)));
    let begun = tokio::time::Instant::now();
    let stop = Stop::default();
    let writing = bench.start(&events, stop.clone());
    bench.wait_for("all but the hot key", || bench.settled().len() == 500).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    bench.wait_for("the condition", || bench.reasons() == ["throttled"]).await;
    assert!(bench.metrics.store_throttled.get() > 3);
    stop.abandon();
    assert!(!writing.await.unwrap(), "an abandoned batch has no report");
    assert!(bench.reasons().is_empty(), "what was abandoned holds nothing any more");
}

/// What only waits ends when the partition is asked back; what gets on is written to its end.
#[tokio::test(start_paused = true)]
async fn a_batch_that_winds_down_ends_what_waits_and_finishes_what_gets_on() {
    for status in [429, 503, 401, 403, 418, 400] {
        let bench = Bench::new(FakeStore::failing(move |key, _, _| (key == "sick").then(|| answer(status))));
        let mut events = vec![event("sick", "1", 1.0); 2];
        events.extend((0..300).map(|number| event("busy", &number.to_string(), 1.0)));
        if status == 400 {
            // Refusals are held back once they are too many.
            *bench.sink.refusals() = Refusals::new(0.0);
        }
        let stop = Stop::default();
        stop.wind_down();
        let begun = tokio::time::Instant::now();
        assert!(!bench.start(&events, stop).await.unwrap(), "{status}: not all of it has ended");
        assert!(begun.elapsed() < Duration::from_secs(1), "{status}: {:?}", begun.elapsed());
        let settled = bench.settled();
        assert!(!settled.contains_key(&0) && !settled.contains_key(&1), "{status}");
        if ![401, 403].contains(&status) {
            assert_eq!(settled.len(), 300, "{status}");
        }
        assert!(bench.letters.0.lock().unwrap().is_empty(), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_on_its_way_may_arrive_while_the_batch_winds_down_but_not_for_long() {
    for (delay, arrives) in [(1_500, true), (10_000, false)] {
        let bench = Bench::new(FakeStore::default());
        bench.letters.delay(Duration::from_millis(delay));
        let stop = Stop::default();
        stop.wind_down();
        assert_eq!(bench.start(&["{".into()], stop).await.unwrap(), arrives);
        assert_eq!(bench.settled().len(), usize::from(arrives));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_sign_in_pauses_everything_dead_letters_nothing_and_goes_on_by_itself() {
    let refusing = Arc::new(Mutex::new(true));
    let still = Arc::clone(&refusing);
    let bench = Bench::new(FakeStore::failing(move |_, _, _| still.lock().unwrap().then(|| answer(401))));
    let events: Vec<_> = (0..200).map(|number| event(&format!("device-{number}"), "1", 1.0)).collect();
    let writing = bench.start(&events, Stop::default());
    bench.wait_for("the condition", || bench.reasons() == ["sign_in"]).await;
    tokio::time::sleep(Duration::from_mins(5)).await;
    let asked = bench.store.lock().requests.len();
    // Pauses of four to eight seconds.
    assert!(asked < 64 + 80, "while nothing can be written one lane at a time asks, not {asked}");
    *refusing.lock().unwrap() = false;
    assert!(writing.await.unwrap());
    assert_eq!(bench.settled().values().filter(|outcome| **outcome == Settled::Stored).count(), 200);
    assert!(bench.letters.0.lock().unwrap().is_empty());
    assert!(bench.reasons().is_empty());
}

/// Nobody is left who would try again, and say that it is over.
#[tokio::test(start_paused = true)]
async fn what_closed_the_gate_holds_nothing_once_the_last_batch_is_abandoned() {
    let bench = Bench::new(FakeStore::failing(|_, _, _| Some(answer(401))));
    let batches = ["a", "b"].map(|device| {
        let stop = Stop::default();
        (bench.start(&[event(device, "1", 1.0)], stop.clone()), stop)
    });
    bench.wait_for("the condition", || bench.reasons() == ["sign_in"]).await;
    for (writing, stop) in batches {
        assert_eq!(bench.reasons(), ["sign_in"], "while somebody waits");
        stop.abandon();
        assert!(!writing.await.unwrap());
    }
    assert_eq!(bench.reasons(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn when_the_reason_changes_the_one_before_is_over() {
    let codes = [401, 403, 404];
    let bench =
        Bench::new(FakeStore::failing(move |_, _, asked| codes.get(asked - 1).map(|code| answer(*code))));
    let writing = bench.start(&[event("device", "1", 1.0)], Stop::default());
    for reason in ["sign_in", "forbidden", "container_missing"] {
        bench.wait_for(reason, || bench.reasons() == [reason]).await;
    }
    assert!(writing.await.unwrap());
    assert!(bench.reasons().is_empty(), "{:?}", bench.reasons());
}

#[tokio::test(start_paused = true)]
async fn a_check_that_fails_when_others_are_stored_meanwhile_holds_nothing() {
    let bench = Bench::new(FakeStore::failing(|key, _, asked| {
        (key.contains('b') && asked == 1).then(|| answer(401))
    }));
    bench.store.lock().container_problem = Some("no answer".into());
    bench.store.lock().takes_of.insert("a".into(), Duration::from_secs(4));
    bench.store.lock().check_takes = Duration::from_secs(5);
    let writing = bench.start(&[event("a", "1", 1.0), event("b", "2", 1.0)], Stop::default());
    assert!(writing.await.unwrap());
    assert_eq!(bench.reasons(), [""; 0]);
    let store = bench.store.lock();
    assert_eq!((store.documents.len(), store.checks), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_missing_container_is_looked_for_before_anything_is_asked_again() {
    let missing = Arc::new(Mutex::new(true));
    let still = Arc::clone(&missing);
    let bench = Bench::new(FakeStore::failing(move |_, _, _| still.lock().unwrap().then(|| answer(404))));
    bench.store.lock().container_problem = Some("there is no container rawdata".into());
    let writing = bench.start(&[event("a", "1", 1.0)], Stop::default());
    bench.wait_for("some checks", || bench.store.lock().checks > 3).await;
    assert_eq!(bench.store.lock().requests.len(), 1);
    assert_eq!(bench.health.conditions()[0].detail, "there is no container rawdata");
    bench.store.lock().container_problem = None;
    *missing.lock().unwrap() = false;
    assert!(writing.await.unwrap());
    assert!(bench.reasons().is_empty());
}

/// It was in order when it was looked at, and was made anew before the next write arrived.
#[tokio::test(start_paused = true)]
async fn a_container_that_is_made_anew_behind_a_look_at_it_makes_no_dead_letter() {
    let mismatch = || Answer { status: Status::new(400, 1001), ..answer(400) };
    let bench = Bench::new(FakeStore::failing(move |_, _, asked| match asked {
        1 => Some(answer(401)),
        2 => Some(mismatch()),
        _ => None,
    }));
    bench.store.lock().takes = Duration::from_millis(100);
    let writing = bench.start(&[event("a", "1", 1.0)], Stop::default());
    bench.wait_for("the first look", || bench.store.lock().checks == 1).await;
    bench.store.lock().container_problem = Some("it has other paths".into());
    bench.wait_for("the condition", || bench.reasons() == ["container_missing"]).await;
    bench.store.lock().container_problem = None;
    assert!(writing.await.unwrap());
    assert!(bench.letters.0.lock().unwrap().is_empty());
    assert_eq!((bench.store.lock().documents.len(), bench.reasons().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_refusals_pauses_instead_of_filling_the_dead_letters() {
    let refusing = Arc::new(Mutex::new(true));
    let still = Arc::clone(&refusing);
    let bench = Bench::new(FakeStore::failing(move |_, _, _| still.lock().unwrap().then(|| answer(400))));
    let events: Vec<_> = (0..300).map(|number| event(&format!("device-{number}"), "1", 1.0)).collect();
    let writing = bench.start(&events, Stop::default());
    bench.wait_for("the condition", || bench.reasons() == ["too_many_refusals"]).await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(bench.letters.0.lock().unwrap().len(), 100);
    *refusing.lock().unwrap() = false;
    assert!(writing.await.unwrap());
    assert_eq!(bench.store.lock().documents.len(), 200);
    assert!(bench.reasons().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_request_is_asked_again_and_stored_once() {
    let bench = Bench::new(FakeStore::failing(|_, _, asked| (asked < 3).then(|| answer(408))));
    bench.write(&[event("a", "1", 1.0), event("a", "2", 1.0)]).await;
    assert_eq!(bench.store.lock().requests.len(), 3);
    assert_eq!(bench.metrics.store_retries.with_label_values(&["timeout"]).get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_long_in_being_answered_is_said_to_be_and_forgotten_when_it_is() {
    let bench = Bench::new(FakeStore::default());
    bench.store.lock().takes = Duration::from_secs(20);
    let begun = tokio::time::Instant::now();
    let writing = bench.start(&[event("a", "1", 1.0)], Stop::default());
    bench.wait_for("the condition", || bench.reasons() == ["timeout"]).await;
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert!(writing.await.unwrap());
    assert_eq!(bench.reasons(), [""; 0]);
}
