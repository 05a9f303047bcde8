//! Events that keep coming while a test does its worst, and what is known of them: where Kafka put
//! each, and what it says.

#![allow(unreachable_pub, reason = "the tests of this binary share it")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::stage::Stage;
use crate::support::kafka::{Producer, Record};

/// How often a handful of events is sent.
const TICK: Duration = Duration::from_millis(20);

/// How many of a device's last events may be sent again with another content.
const RECENT: usize = 4;

/// What is to become of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// It is stored.
    #[default]
    Stored,
    /// It is no event, and becomes a dead letter; see [`Poison`].
    Bad,
    /// The store refuses it, for it has the `serial` of its device's first event: a dead letter too. The
    /// container needs the unique key `/serial`.
    Refused,
    /// Its logical partition is full: a dead letter too.
    Full,
    /// It has left the topic before it had to be read: it may be stored, or not.
    Expired,
}

/// What is wrong with what is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Poison {
    NoTime,
    Torn,
    List,
    Keyless,
}

impl Poison {
    const ALL: [Self; 4] = [Self::NoTime, Self::Torn, Self::List, Self::Keyless];

    fn reason(self) -> &'static str {
        match self {
            Self::NoTime => "invalid_timestamp",
            Self::Torn => "invalid_json",
            Self::List => "not_an_object",
            Self::Keyless => "missing_partition_key",
        }
    }

    /// An event, spoilt.
    fn spoil(self, event: &str) -> String {
        match self {
            Self::NoTime => event.replace(CREATED, "yesterday"),
            Self::Torn => event[..event.len() - 1].to_owned(),
            Self::List => format!("[{event}]"),
            Self::Keyless => event.replace("deviceId", "device"),
        }
    }
}

/// When every event was made, as it says.
const CREATED: &str = "2026-05-16T17:16:40.000003Z";

/// An event that Kafka has acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub offset: i64,
    pub device: usize,
    pub number: usize,
    /// Counts the contents that its id was sent with.
    pub version: u32,
    pub fate: Fate,
    /// What its record gives as its time, if anything, in milliseconds since 1970.
    pub time: Option<i64>,
}

impl Sent {
    /// The id of its document.
    pub fn id(&self) -> String {
        format!("{}-{}", self.device, self.number)
    }

    /// What was sent.
    pub fn text(&self) -> String {
        let Self { device, number, version, .. } = self;
        let serial = if self.fate == Fate::Refused { 0 } else { *number };
        let event = format!(
            r#"{{"eventId":"{device}-{number}","deviceId":"device-{device}","deviceSequenceNumber":{number},"version":{version},"serial":"{device}-{serial}","value":{number}.25,"type":"CO2","createdAt":"{CREATED}"}}"#
        );
        if self.fate == Fate::Bad { self.poison().spoil(&event) } else { event }
    }

    fn poison(&self) -> Poison {
        Poison::ALL[self.number % Poison::ALL.len()]
    }

    /// Why it is to be a dead letter, if it is.
    pub fn reason(&self) -> Option<&'static str> {
        match self.fate {
            Fate::Stored | Fate::Expired => None,
            Fate::Bad => Some(self.poison().reason()),
            Fate::Refused => Some("rejected_by_store"),
            Fate::Full => Some("partition_key_full"),
        }
    }
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

    /// How far each partition has to be committed for all of them to be behind it.
    pub fn ends(&self) -> BTreeMap<i32, i64> {
        let ends = |(partition, sent): (&i32, &Vec<Sent>)| Some((*partition, sent.last()?.offset + 1));
        self.lock().iter().filter_map(ends).collect()
    }

    /// Events that were sent at once, each for the first time: where Kafka put each, and which it is.
    pub fn of(places: &[(i32, i64)], names: impl Iterator<Item = (usize, usize)>) -> Self {
        let acknowledged = Self::default();
        for ((partition, offset), (device, number)) in places.iter().zip(names) {
            let sent = Sent { offset: *offset, device, number, ..Sent::default() };
            acknowledged.note(*partition, sent);
        }
        acknowledged
    }

    /// What lies in a partition from one offset to before another has left the topic.
    pub fn expire(&self, partition: i32, offsets: std::ops::Range<i64>) {
        let mut partitions = self.lock();
        let sent = partitions.get_mut(&partition).into_iter().flatten();
        for sent in sent.filter(|sent| offsets.contains(&sent.offset)) {
            sent.fate = Fate::Expired;
        }
    }

    /// Notes an event that somebody else has sent.
    pub fn note(&self, partition: i32, sent: Sent) {
        let mut partitions = self.lock();
        let partition = partitions.entry(partition).or_default();
        // Answers of one connection come in order; after a broker's restart one may not.
        let at = partition.partition_point(|other| other.offset < sent.offset);
        partition.insert(at, sent);
    }
}

/// What comes, and how much of it. The fractions are of all events.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    pub devices: usize,
    /// The number of the first of them.
    pub first_device: usize,
    pub per_second: usize,
    /// How many events a device sends before the next one has its turn: they are written together.
    pub in_a_row: usize,
    /// How many have the id of one of their device's last events, and another content.
    pub updates: f64,
    /// How many are one of their device's last events once more.
    pub repeats: f64,
    /// How many are no events.
    pub bad: f64,
    /// How many the store refuses; see [`Fate::Refused`]. Half of them are updates.
    pub refused: f64,
    /// A device whose logical partition is full.
    pub full: Option<usize>,
    /// Whether a record's key is its event's id, as for a compacted topic, and not its device.
    pub keyed_by_id: bool,
    /// What records give as their time, in turn; those of now without any.
    pub times: &'static [i64],
    pub seed: u64,
}

impl Mix {
    /// Good events, each once.
    pub fn plain(devices: usize, per_second: usize) -> Self {
        Self {
            devices,
            first_device: 0,
            per_second,
            in_a_row: 1,
            updates: 0.0,
            repeats: 0.0,
            bad: 0.0,
            refused: 0.0,
            full: None,
            keyed_by_id: false,
            times: &[],
            seed: 0,
        }
    }
}

/// A thread that sends events of many devices.
pub struct Flow {
    acknowledged: Acknowledged,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flow {
    /// Sends so many good events a second to the stage's topic, each once, until stopped.
    pub fn start(stage: &Stage, devices: usize, per_second: usize) -> Self {
        Self::start_mixed(stage, Mix::plain(devices, per_second))
    }

    /// Sends what the mix says, until stopped.
    pub fn start_mixed(stage: &Stage, mix: Mix) -> Self {
        let acknowledged = Acknowledged::default();
        let stop = Arc::new(AtomicBool::new(false));
        // Idempotent and without a time limit, so that a broker's death makes no event two, and none
        // doubtful; for the service two would be one.
        // It soon finds partitions that are added.
        let properties = [
            ("enable.idempotence", "true"),
            ("message.timeout.ms", "0"),
            ("topic.metadata.refresh.interval.ms", "1000"),
        ];
        let producer = Producer::new(stage.cluster, &properties);
        let (topic, noted, stopped) = (stage.topic.clone(), acknowledged.clone(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut devices = Devices::new(mix);
            let (begun, mut count) = (Instant::now(), 0);
            while !stopped.load(Ordering::Relaxed) {
                let due = (begun.elapsed().as_secs_f64() * mix.per_second as f64) as usize;
                // What could not be sent while Kafka was away comes in pieces.
                let until = due.min(count + mix.per_second);
                let batch: Vec<_> = (count..until).map(|_| devices.next()).collect();
                count = until;
                let key = |sent: &Sent| {
                    if mix.keyed_by_id { sent.id() } else { format!("device-{}", sent.device) }
                };
                let record = |sent: &Sent| {
                    let record = Record::new(sent.text()).key(key(sent));
                    match sent.time {
                        None => record,
                        Some(time) => record.at(time),
                    }
                };
                let records: Vec<_> = batch.iter().map(record).collect();
                let places = producer.send(&topic, &records);
                for ((partition, offset), sent) in places.into_iter().zip(batch) {
                    // librdkafka gives none when a repetition was refused as one (DUPLICATE_SEQUENCE_NUMBER).
                    assert!(offset >= 0, "Kafka has {sent:?} and does not say where");
                    noted.note(partition, Sent { offset, ..sent });
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
        self.finish()
    }

    /// The same, of a flow that somebody else holds.
    pub fn finish(&mut self) -> Acknowledged {
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

/// What each device sends next.
struct Devices {
    mix: Mix,
    random: StdRng,
    turn: usize,
    /// By device: how many numbers it has used, and the versions of its last events.
    used: Vec<(usize, BTreeMap<usize, u32>)>,
}

impl Devices {
    fn new(mix: Mix) -> Self {
        let random = StdRng::seed_from_u64(mix.seed);
        Self { mix, random, turn: 0, used: vec![(0, BTreeMap::new()); mix.devices] }
    }

    /// The offset is not known yet.
    fn next(&mut self) -> Sent {
        let mut sent = self.pick();
        sent.device += self.mix.first_device;
        let is_full = self.mix.full == Some(sent.device) && sent.fate != Fate::Bad;
        let times = self.mix.times;
        let time = (!times.is_empty()).then(|| times[sent.number % times.len()]);
        Sent { fate: if is_full { Fate::Full } else { sent.fate }, time, ..sent }
    }

    fn pick(&mut self) -> Sent {
        let device = self.turn / self.mix.in_a_row % self.mix.devices;
        self.turn += 1;
        let Mix { updates, repeats, bad, refused, .. } = self.mix;
        let dice: f64 = self.random.random();
        let is_update = dice < updates || dice >= 1.0 - refused / 2.0;
        let fate = match dice {
            dice if dice >= 1.0 - refused => Fate::Refused,
            dice if dice >= 1.0 - refused - bad => Fate::Bad,
            _ => Fate::Stored,
        };
        let is_repeat = (updates..updates + repeats).contains(&dice);
        let (next, recent) = &mut self.used[device];
        // The first one's serial is the one that others are refused for: it stays what it is.
        let known =
            recent.iter().filter(|(number, _)| **number > 0).map(|(number, version)| (*number, *version));
        let known: Vec<_> = known.collect();
        if let Some((number, version)) = (!known.is_empty() && (is_update || is_repeat))
            .then(|| known[self.random.random_range(0..known.len())])
        {
            let version = version + u32::from(is_update);
            recent.insert(number, version);
            return Sent { device, number, version, fate, ..Sent::default() };
        }
        let number = *next;
        *next += 1;
        let fate = if number == 0 { Fate::Stored } else { fate };
        if fate == Fate::Stored {
            recent.insert(number, 0);
            if recent.len() > RECENT {
                recent.pop_first();
            }
        }
        Sent { device, number, fate, ..Sent::default() }
    }
}
