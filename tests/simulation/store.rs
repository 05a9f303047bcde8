//! A process's way to Cosmos DB, behind the trait that the sink writes through.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;
use serde_json::value::RawValue;
use streamproc::core::key::{KeyPart, PartitionKey};
use streamproc::core::write::lane::Answer;
use streamproc::core::write::verdict::Status;
use streamproc::store::{KeyRange, Kind, Obstacle, Request, Store};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::cosmos::Service;
use super::events::{Fate, Number};
use super::oracle::Writer;
use super::world::World;

tokio::task_local! {
    /// Whose micro-batch the task writes: a request does not say.
    pub(crate) static WRITER: Writer;
}

/// A process's client.
pub(crate) struct Connection {
    pub(crate) world: World,
}

/// A request, as it goes over the network.
#[derive(Clone)]
struct Call {
    writer: Writer,
    key: String,
    range: u32,
    numbers: Vec<Number>,
    is_over: Arc<AtomicBool>,
}

/// Somebody waits for the answer, until this is dropped.
struct Awaited<'a> {
    world: &'a World,
    call: Call,
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.call.is_over.store(true, Ordering::Relaxed);
        self.world.lock().oracle.is_over(&self.call.writer, &self.call.key);
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Operation<'a> {
    operation_type: &'a str,
    #[serde(borrow)]
    resource_body: &'a RawValue,
}

impl Store for Connection {
    async fn write(&self, request: Request<'_>) -> Answer {
        let limit = self.world.plan.request_timeout;
        let call = self.call(&request);
        let (answer_to, answer) = oneshot::channel();
        let awaited = Awaited { world: &self.world, call: call.clone() };
        tokio::spawn(serve(self.world.clone(), call, answer_to));
        let answer = async {
            match answer.await {
                Ok(answer) => answer,
                // It never answers.
                Err(_) => pending().await,
            }
        };
        let answer = timeout(limit, answer).await;
        drop(awaited);
        answer.unwrap_or_else(|_| Answer { status: Status::new(408, 0), ..Answer::stored(0.0) })
    }

    fn range_of(&self, key: &PartitionKey) -> KeyRange {
        KeyRange(range_of(&text(key), self.world.plan.key_ranges))
    }

    async fn check(&self) -> Result<(), Obstacle> {
        sleep(self.world.dice.millis(1..50)).await;
        let closed = self.world.lock().cosmos.mood.closed;
        match closed.filter(|closed| closed.is_seen) {
            Some(closed) => Err(Obstacle { reason: closed.reason, detail: "seen by a check".to_owned() }),
            None => Ok(()),
        }
    }
}

impl Connection {
    fn call(&self, request: &Request<'_>) -> Call {
        let (writer, key) = (WRITER.get(), text(request.key));
        let bodies: Vec<&[u8]> = match request.kind {
            Kind::Point(_) => vec![&request.body],
            Kind::Batch(_) => {
                let operations: Vec<Operation<'_>> =
                    serde_json::from_slice(&request.body).expect("a batch is a list of operations");
                assert!(operations.iter().all(|operation| operation.operation_type == "Upsert"));
                operations.iter().map(|operation| operation.resource_body.get().as_bytes()).collect()
            }
        };
        let mut guard = self.world.lock();
        let state = &mut *guard;
        let mut numbers = Vec::new();
        for body in bodies {
            match state.events.of_document(body) {
                Some(number) if state.events.get(number).device == key => numbers.push(number),
                _ => state.oracle.breaks("A1", || {
                    format!("a document of {key} is like no event: {}", String::from_utf8_lossy(body))
                }),
            }
        }
        state.oracle.started(&state.events, &writer, &key, &numbers);
        state.cosmos.under_way += 1;
        let range = range_of(&key, self.world.plan.key_ranges);
        drop(guard);
        self.world.trace.note(|| format!("{writer} asks for {key} {numbers:?}"));
        Call { writer, key, range, numbers, is_over: Arc::default() }
    }
}

/// The service's side of a request. It goes on when nobody waits for it any more.
async fn serve(world: World, call: Call, answer_to: oneshot::Sender<Answer>) {
    sleep(world.dice.millis(1..10)).await;
    if let Some(service) = arrive(&world, &call) {
        let works = async {
            if let Some(after) = service.works_after {
                sleep(after).await;
                work(&world, &call);
            }
        };
        let answers = async {
            if let Some(after) = service.answers_after {
                sleep(after).await;
                let Call { writer, numbers, .. } = &call;
                world
                    .trace
                    .note(|| format!("{writer} is answered {} for {numbers:?}", service.answer.status));
                let _ = answer_to.send(service.answer);
            }
        };
        tokio::join!(works, answers);
    }
    world.lock().cosmos.under_way -= 1;
}

/// What becomes of the request; none if it is lost, which it can be once its process is gone.
fn arrive(world: &World, call: &Call) -> Option<Service> {
    let mut guard = world.lock();
    let state = &mut *guard;
    if call.is_over.load(Ordering::Relaxed) && world.dice.chance(0.3) {
        return None;
    }
    let service = state.cosmos.decide(&state.events, &call.numbers, call.range, Instant::now(), &world.dice);
    state.oracle.count("requests");
    match call.numbers[..] {
        [number] if state.events.get(number).fate == Fate::Refused(service.answer.status) => {
            state.oracle.refused(number);
        }
        _ => {}
    }
    if service.answer.is_throttled() {
        state.oracle.count("throttled requests");
    }
    Some(service)
}

fn work(world: &World, call: &Call) {
    let Call { writer, numbers, is_over, .. } = call;
    let mut guard = world.lock();
    let state = &mut *guard;
    let has_lost_it = writer.member.is_none() || state.group.owner(&writer.partition) != writer.member;
    let is_late = is_over.load(Ordering::Relaxed) || has_lost_it;
    state.cosmos.upsert(&state.events, numbers);
    for number in numbers {
        state.oracle.stored(&state.events, *number, is_late);
    }
    if is_late {
        state.oracle.count("writes that landed late");
    }
    drop(guard);
    world.trace.note(|| format!("{writer} stores {numbers:?}{}", if is_late { ", late" } else { "" }));
}

fn text(key: &PartitionKey) -> String {
    match key.0.first() {
        Some(KeyPart::String(text)) => text.to_string(),
        other => panic!("all keys of this world are strings, not {other:?}"),
    }
}

/// In which of so many ranges a key is.
fn range_of(key: &str, ranges: u32) -> u32 {
    key.bytes().map(u32::from).sum::<u32>() % ranges
}
