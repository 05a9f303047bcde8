//! What a world is like, what is sent in it and what goes wrong, drawn from its seed before it begins.

use std::fmt;
use std::time::Duration;

use streamproc::core::kafka::TopicPartition;
use streamproc::core::worker::{OutOfRangePolicy, Settings};
use streamproc::core::write::verdict::Status;

use super::cosmos::{self, Closed};
use super::dice::Dice;
use super::events::{Bad, Draft, Fate};
use super::letters;

/// A world before it begins.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) partitions: Vec<TopicPartition>,
    /// How many workers the process in each place has.
    pub(crate) places: Vec<usize>,
    pub(crate) worker: Settings,
    /// The byte budget for records in one process.
    pub(crate) budget: usize,
    /// The bytes of bodies that one process may have in flight.
    pub(crate) body_bytes: usize,
    pub(crate) request_timeout: Duration,
    pub(crate) request_unit_limit: Option<f64>,
    pub(crate) key_ranges: u32,
    /// How Cosmos DB is when nothing is the matter with it.
    pub(crate) well: cosmos::Mood,
    /// After so long without a word the group gives a member up.
    pub(crate) session: Duration,
    pub(crate) sent: Vec<(Duration, Draft)>,
    pub(crate) faults: Vec<Fault>,
    /// From then on nothing is sent and nothing goes wrong.
    pub(crate) quiet_at: Duration,
}

/// Something goes wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) at: Duration,
    pub(crate) what: Trouble,
    /// How long it lasts; or how long it takes until what has ended is started anew.
    pub(crate) lasts: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// The process in this place ends without a word.
    Kill(usize),
    /// It is told to end.
    Drain(usize),
    /// It stands still, and goes on as if nothing had happened.
    Freeze(usize),
    /// Whoever runs in this place cannot reach Kafka.
    Cut(usize),
    /// A task of it that writes a micro-batch breaks down.
    BreakWriter(usize),
    /// A Kafka client of it is broken for good, and is replaced.
    BreakClient(usize),
    CommitsFail,
    /// Kafka deletes a part of a partition, in tenths.
    Delete(usize, i64),
    Cosmos(cosmos::Mood),
    Letters(letters::Mood),
}

/// So many milliseconds before nothing goes wrong any more the last thing does.
const LAST_FAULT: u64 = 1_000;

impl Trouble {
    /// Nobody makes a container anew, or takes a right away and gives it back, within a second.
    fn shortest(self) -> Duration {
        match self {
            Self::Cosmos(cosmos::Mood { closed: Some(_), .. }) => Duration::from_millis(LAST_FAULT),
            _ => Duration::ZERO,
        }
    }
}

impl Plan {
    pub(crate) fn draw(dice: &Dice) -> Self {
        let partitions = partitions(dice);
        let places: Vec<_> = (0..dice.weighted(&[(3, 1), (5, 2), (3, 3)])).map(|_| dice.pick(1..3)).collect();
        let quiet_at = dice.millis(8_000..30_000);
        let request_units = dice.one_of(&[100_000.0, 100_000.0, 70.0, 30.0]);
        let well = cosmos::Mood { request_units, ..cosmos::Mood::WELL };
        let faults = faults(dice, places.len(), partitions.len(), quiet_at, well);
        Self {
            worker: worker(dice),
            budget: dice.one_of(&[3_000, 8_000, 30_000, 1 << 20]),
            body_bytes: dice.one_of(&[1 << 10, 4 << 10, 1 << 20]),
            request_timeout: dice.millis(1_000..8_000),
            request_unit_limit: dice.chance(0.25).then(|| dice.pick(30..300) as f64),
            key_ranges: dice.pick(1..4) as u32,
            well,
            session: dice.millis(3_000..6_000),
            sent: traffic(dice, partitions.len(), quiet_at),
            faults,
            quiet_at,
            places,
            partitions,
        }
    }
}

impl Plan {
    /// How much the records in one process may take: bytes are taken from the budget in steps.
    pub(crate) fn most_held(&self) -> usize {
        self.budget + self.budget / 8
    }
}

impl fmt::Display for Plan {
    /// All but the events, of which each is mentioned when it is sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partitions, places, worker, budget, body_bytes, key_ranges, session, .. } = self;
        let partitions: Vec<_> = partitions.iter().map(ToString::to_string).collect();
        writeln!(f, "{}; workers in each place: {places:?}", partitions.join(" "))?;
        writeln!(f, "{worker:?}")?;
        writeln!(f, "budget {budget}, bodies {body_bytes}, {key_ranges} key ranges, session {session:?}")?;
        writeln!(
            f,
            "requests take {:?}, limited to {:?} RU/s",
            self.request_timeout, self.request_unit_limit
        )?;
        self.faults
            .iter()
            .try_for_each(|Fault { at, what, lasts }| writeln!(f, "{at:?}: {what:?}, {lasts:?}"))
    }
}

fn partitions(dice: &Dice) -> Vec<TopicPartition> {
    let topics = ["a", "b"];
    let of = |topic: &'static str| {
        (0..dice.pick(1..4)).map(move |number| TopicPartition::new(topic, number as i32)).collect::<Vec<_>>()
    };
    topics[..dice.weighted(&[(4, 1), (1, 2)])].iter().flat_map(|topic| of(topic)).collect()
}

/// The times that a user cannot set are shorter than they are in the service, where they matter only for
/// how long a world takes.
fn worker(dice: &Dice) -> Settings {
    Settings {
        max_events: dice.one_of(&[2, 5, 20, 1_000]),
        interval: dice.millis(10..500),
        shutdown_timeout: dice.millis(1_000..8_000),
        on_out_of_range: dice.weighted(&[
            (4, OutOfRangePolicy::Hold),
            (1, OutOfRangePolicy::Earliest),
            (1, OutOfRangePolicy::Latest),
        ]),
        skip_corrupt: dice.chance(0.3),
        commit_interval: dice.millis(100..1_000),
        commit_timeout: dice.millis(500..3_000),
        recheck: Duration::from_secs(5),
        recheck_unknown_start: Duration::from_secs(1),
        reprobe: Duration::from_secs(1),
        longest_sleep: Duration::from_secs(1),
        shortest_sleep: Duration::from_millis(10),
        ..Settings::default()
    }
}

/// Events of a few devices, of which each has few ids, so that documents have versions.
fn traffic(dice: &Dice, partitions: usize, until: Duration) -> Vec<(Duration, Draft)> {
    let devices = dice.pick(1..8);
    let ids = dice.pick(1..6);
    let (bad, refused) = (dice.one_of(&[0.0, 0.05, 0.2]), dice.one_of(&[0.0, 0.1, 0.3]));
    let unreadable = dice.one_of(&[0.0, 0.0, 0.0, 0.05]);
    let backlog = dice.chance(0.5);
    let mut times: Vec<_> = (0..dice.pick(10..120))
        .map(|_| {
            if backlog && dice.chance(0.6) {
                Duration::ZERO
            } else {
                dice.millis(0..until.as_millis() as u64)
            }
        })
        .collect();
    times.sort();
    let mut drafts: Vec<Draft> = Vec::new();
    for number in 0..times.len() {
        let gap = if dice.chance(0.15) { dice.pick(1..4) as i64 } else { 0 };
        if !drafts.is_empty() && dice.chance(0.05) {
            let again = dice.one_of(&drafts);
            drafts.push(Draft { gap, is_readable: true, ..again });
            continue;
        }
        let device = dice.pick(0..devices);
        drafts.push(Draft {
            partition: device % partitions,
            device,
            id: dice.pick(0..ids),
            content: number,
            fate: fate(dice, bad, refused),
            filler: if dice.chance(0.1) { dice.pick(0..1_000) } else { 0 },
            gap,
            is_readable: !dice.chance(unreadable),
        });
    }
    times.into_iter().zip(drafts).collect()
}

fn fate(dice: &Dice, bad: f64, refused: f64) -> Fate {
    if dice.chance(bad) {
        return Fate::Bad(dice.one_of(&[Bad::NotJson, Bad::NoId, Bad::NoValue]));
    }
    if dice.chance(refused) {
        let refusals = [(400, 0), (409, 0), (413, 0), (403, 1014)];
        let (code, substatus) = dice.one_of(&refusals);
        return Fate::Refused(Status::new(code, substatus));
    }
    Fate::Good
}

fn faults(dice: &Dice, places: usize, partitions: usize, until: Duration, well: cosmos::Mood) -> Vec<Fault> {
    let until = until.as_millis() as u64 - LAST_FAULT;
    let mut faults: Vec<_> = (0..dice.pick(0..20))
        .map(|_| {
            let what = trouble(dice, places, partitions, well);
            let lasts = if dice.chance(0.3) { dice.millis(0..500) } else { dice.millis(500..12_000) };
            Fault { at: dice.millis(0..until), what, lasts: lasts.max(what.shortest()) }
        })
        .collect();
    faults.sort_by_key(|fault| fault.at);
    faults
}

fn trouble(dice: &Dice, places: usize, partitions: usize, well: cosmos::Mood) -> Trouble {
    let place = dice.pick(0..places);
    let mood = letters::Mood { is_down: dice.chance(0.6), slow_by: dice.millis(0..5_000) };
    let delete = Trouble::Delete(dice.pick(0..partitions), dice.pick(1..11) as i64);
    dice.weighted(&[
        (4, Trouble::Kill(place)),
        (4, Trouble::Drain(place)),
        (4, Trouble::Freeze(place)),
        (3, Trouble::Cut(place)),
        (1, Trouble::BreakWriter(place)),
        (1, Trouble::BreakClient(place)),
        (2, Trouble::CommitsFail),
        (2, delete),
        (10, Trouble::Cosmos(cosmos_mood(dice, well))),
        (3, Trouble::Letters(mood)),
    ])
}

fn cosmos_mood(dice: &Dice, well: cosmos::Mood) -> cosmos::Mood {
    let is_seen = dice.chance(0.5);
    let closed = |code, substatus, reason| Closed { status: Status::new(code, substatus), reason, is_seen };
    let closed = dice.one_of(&[
        closed(401, 0, "sign_in"),
        closed(403, 0, "forbidden"),
        closed(404, 1003, "container_missing"),
        // Who looks at the container sees its paths: that is how a document's own mismatch is told.
        Closed { is_seen: true, ..closed(400, 1001, "partition_key_mismatch") },
    ]);
    let odd = dice.chance(0.5);
    dice.weighted(&[
        (3, cosmos::Mood { is_odd: 0.3, ..well }),
        (2, cosmos::Mood { is_odd: 0.7, hangs: 0.1, ..well }),
        (3, cosmos::Mood { hangs: 0.3, ..well }),
        (2, cosmos::Mood { latency: 3_000, is_odd: if odd { 0.2 } else { 0.0 }, ..well }),
        (4, cosmos::Mood { request_units: dice.one_of(&[7.0, 14.0, 30.0]), ..well }),
        (3, cosmos::Mood { closed: Some(closed), ..well }),
    ])
}
