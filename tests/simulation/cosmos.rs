//! Cosmos DB: documents, request units, and what it answers on good days and on bad ones.

use std::collections::BTreeMap;
use std::time::Duration;

use streamproc::core::write::lane::Answer;
use streamproc::core::write::verdict::Status;
use tokio::time::Instant;

use super::dice::Dice;
use super::events::{DocumentName, Events, Fate, Number};

/// What a document costs.
const CHARGE: f64 = 7.0;

const SECOND: Duration = Duration::from_secs(1);

/// The account.
pub(crate) struct Cosmos {
    documents: BTreeMap<DocumentName, Vec<u8>>,
    pub(crate) mood: Mood,
    /// What each range of partition keys has spent, and since when.
    spent: BTreeMap<u32, (Instant, f64)>,
    /// Requests that it may still be working on.
    pub(crate) under_way: usize,
}

/// How it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mood {
    /// The longest that an answer takes, in milliseconds.
    pub(crate) latency: u64,
    /// What a range of partition keys may spend in a second.
    pub(crate) request_units: f64,
    /// How often it does not do what it should.
    pub(crate) is_odd: f64,
    /// How often it does not answer.
    pub(crate) hangs: f64,
    pub(crate) closed: Option<Closed>,
}

/// It takes nothing, because of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) status: Status,
    pub(crate) reason: &'static str,
    /// Whether who looks at the container is told, too.
    pub(crate) is_seen: bool,
}

/// What becomes of a request that has arrived.
pub(crate) struct Service {
    pub(crate) answer: Answer,
    /// None: it never answers.
    pub(crate) answers_after: Option<Duration>,
    /// None: it does not do it.
    pub(crate) works_after: Option<Duration>,
}

/// What it may do that it should not.
#[derive(Clone, Copy, Debug)]
enum Odd {
    /// It says this, and has not done it.
    Not(Status),
    /// It says this, and has done it.
    Done(Status),
    /// It says this, and does it later.
    Later(Status),
    /// It throttles without need.
    Throttled,
    /// It says this of one operation of a batch.
    Operation(Status),
}

const ODDS: [(u32, Odd); 19] = [
    (4, Odd::Not(Status::new(408, 0))),
    (4, Odd::Done(Status::new(408, 0))),
    (3, Odd::Later(Status::new(408, 0))),
    (2, Odd::Not(Status::new(503, 20_003))),
    (2, Odd::Done(Status::new(503, 20_003))),
    (2, Odd::Later(Status::new(503, 20_003))),
    (2, Odd::Not(Status::new(503, 0))),
    (1, Odd::Done(Status::new(500, 0))),
    (2, Odd::Not(Status::new(410, 1002))),
    (1, Odd::Done(Status::new(410, 1002))),
    (2, Odd::Not(Status::new(449, 0))),
    (1, Odd::Not(Status::new(403, 3))),
    (1, Odd::Not(Status::new(404, 1002))),
    (1, Odd::Not(Status::new(418, 0))),
    (4, Odd::Throttled),
    (2, Odd::Operation(Status::new(429, 3200))),
    (1, Odd::Operation(Status::new(449, 0))),
    (1, Odd::Operation(Status::new(410, 0))),
    (1, Odd::Operation(Status::new(413, 0))),
];

impl Mood {
    /// All is well.
    pub(crate) const WELL: Self =
        Self { latency: 20, request_units: 100_000.0, is_odd: 0.0, hangs: 0.0, closed: None };
}

impl Service {
    fn done(charge: f64, takes: Duration) -> Self {
        Self { answer: Answer::stored(charge), answers_after: Some(takes), works_after: Some(takes) }
    }

    fn says(status: Status, takes: Duration) -> Self {
        let answer =
            Answer { status, message: "as the dice would have it".to_owned(), ..Answer::stored(0.0) };
        Self { answer, answers_after: Some(takes), works_after: None }
    }

    fn throttles(retry_after: Option<Duration>, takes: Duration) -> Self {
        let throttled = Self::says(Status::new(429, 3200), takes);
        Self { answer: Answer { retry_after, ..throttled.answer }, ..throttled }
    }

    /// One operation of the batch is refused, and so the others are not done either.
    fn refuses(operation: usize, of: usize, status: Status, takes: Duration) -> Self {
        let operations = (0..of).map(|at| if at == operation { status } else { Status::new(424, 0) });
        let refused = Self::says(Status::new(207, 0), takes);
        Self { answer: Answer { operations: operations.collect(), ..refused.answer }, ..refused }
    }
}

impl Cosmos {
    pub(crate) fn new(mood: Mood) -> Self {
        Self { documents: BTreeMap::new(), mood, spent: BTreeMap::new(), under_way: 0 }
    }

    pub(crate) fn document(&self, name: &DocumentName) -> Option<&[u8]> {
        self.documents.get(name).map(Vec::as_slice)
    }

    /// The documents of these records are there.
    pub(crate) fn upsert(&mut self, events: &Events, numbers: &[Number]) {
        for event in numbers.iter().map(|number| events.get(*number)) {
            if let Some(name) = &event.name {
                self.documents.insert(name.clone(), event.document.clone());
            }
        }
    }

    /// Decides about a request for documents of one partition key, in a range of those.
    pub(crate) fn decide(
        &mut self,
        events: &Events,
        numbers: &[Number],
        range: u32,
        now: Instant,
        dice: &Dice,
    ) -> Service {
        let takes = dice.millis(1..self.mood.latency.max(2));
        if let Some(closed) = self.mood.closed {
            return Service::says(closed.status, takes);
        }
        if dice.chance(self.mood.hangs) {
            let works_after = dice.chance(0.5).then(|| dice.millis(100..12_000));
            return Service { answers_after: None, works_after, ..Service::done(0.0, takes) };
        }
        if dice.chance(self.mood.is_odd)
            && let Some(odd) = odd(numbers.len(), takes, dice)
        {
            return odd;
        }
        let charge = CHARGE * numbers.len() as f64;
        if let Some(retry_after) = self.throttles(range, charge, now) {
            return Service::throttles(Some(retry_after), takes);
        }
        let refused = numbers.iter().enumerate().find_map(|(at, number)| match events.get(*number).fate {
            Fate::Refused(status) => Some((at, status)),
            Fate::Good | Fate::Bad(_) => None,
        });
        match refused {
            None => Service::done(charge, takes),
            Some((at, status)) if numbers.len() > 1 && dice.chance(0.7) => {
                Service::refuses(at, numbers.len(), status, takes)
            }
            Some((_, status)) => Service::says(status, takes),
        }
    }

    /// Takes request units out of the present second of a range, or says when the next one begins. The last
    /// request in a second may overdraw it.
    fn throttles(&mut self, range: u32, charge: f64, now: Instant) -> Option<Duration> {
        let (since, spent) = self.spent.entry(range).or_insert((now, 0.0));
        if now - *since >= SECOND {
            (*since, *spent) = (now, 0.0);
        }
        if *spent >= self.mood.request_units {
            return Some((*since + SECOND - now).max(Duration::from_millis(1)));
        }
        *spent += charge;
        None
    }
}

/// Something that it should not do, if that can be done to a request for so many documents.
fn odd(count: usize, takes: Duration, dice: &Dice) -> Option<Service> {
    Some(match dice.weighted(&ODDS) {
        Odd::Not(status) => Service::says(status, takes),
        Odd::Done(status) => Service { works_after: Some(takes), ..Service::says(status, takes) },
        Odd::Later(status) => {
            let works_after = Some(takes + dice.millis(10..8_000));
            Service { works_after, ..Service::says(status, takes) }
        }
        Odd::Throttled => {
            let retry_after = dice.chance(0.7).then(|| dice.millis(1..3_000));
            Service::throttles(retry_after, takes)
        }
        Odd::Operation(status) if count > 1 => Service::refuses(dice.pick(0..count), count, status, takes),
        // A batch can be too large where its parts are not.
        Odd::Operation(_) => return None,
    })
}
