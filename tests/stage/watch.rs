//! A watch over what the service has promised: it reads the group's committed offsets all the time,
//! and holds each against what Cosmos DB and the dead letters have been given.

#![allow(unreachable_pub, reason = "the tests of this binary share it")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, TopicPartitionList};
use streamproc::sandbox::Journal;

use crate::stage::Stage;
use crate::stage::flow::{Acknowledged, Fate, Sent};
use crate::stage::letters::Letters;
use crate::support::kafka;

/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// How long one look may wait for Kafka.
const LIMIT: Duration = Duration::from_secs(2);

/// How often Kafka is asked for the last look.
const LAST_TRIES: usize = 5;

/// How many breaches are kept.
const KEPT: usize = 20;

/// The watch.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Seen>>,
}

/// What a watch has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// How often Kafka told the offsets.
    pub looks: usize,
    /// How often some partition's had moved on.
    pub moves: usize,
    /// The last ones.
    pub committed: BTreeMap<i32, i64>,
    /// How many acknowledged events lie below the last ones, and were looked for.
    pub checked: usize,
    /// Where it was not as promised.
    pub broken: Vec<String>,
}

impl Watch {
    /// Watches the stage's group.
    pub fn start(stage: &Stage, acknowledged: Acknowledged) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let looker = Looker {
            consumer: ClientConfig::new()
                .set("bootstrap.servers", stage.cluster.bootstrap())
                .set("group.id", &stage.group)
                .set("reconnect.backoff.max.ms", "500")
                .set("log_level", "0")
                .create()
                .expect("a client"),
            topic: stage.topic.clone(),
            is_compacted: stage.is_compacted,
            journal: stage.cosmos().journal().expect("stages keep a journal"),
            letters: Letters::of(stage),
            acknowledged,
            checked: BTreeMap::new(),
            seen: Seen::default(),
        };
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || looker.run(&stopped));
        Self { stop, thread: Some(thread) }
    }

    /// Ends the watch.
    ///
    /// # Panics
    /// When a promise was broken, or nothing was seen.
    #[track_caller]
    pub fn end(mut self) -> Seen {
        let seen = self.finish();
        assert!(seen.broken.is_empty(), "{:#?}", seen.broken);
        assert!(seen.moves > 0, "nothing was ever committed: {seen:?}");
        seen
    }

    /// Ends the watch, and tells what it has seen.
    pub fn finish(&mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("not ended yet").join().expect("the watch did not break down")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(Ok(seen)) = self.thread.take().map(JoinHandle::join)
            && !seen.broken.is_empty()
        {
            eprintln!("the watch has seen: {:#?}", seen.broken);
        }
    }
}

struct Looker {
    consumer: BaseConsumer,
    topic: String,
    /// Whether an older content may be gone from the topic when there is a newer one.
    is_compacted: bool,
    journal: Arc<Journal>,
    letters: Letters,
    acknowledged: Acknowledged,
    /// By partition: up to which offset the acknowledged events were looked for, and how many they were.
    checked: BTreeMap<i32, (i64, usize)>,
    seen: Seen,
}

impl Looker {
    fn run(mut self, stop: &AtomicBool) -> Seen {
        // One look more after the end.
        let mut left = LAST_TRIES;
        loop {
            let last = stop.load(Ordering::Relaxed);
            let committed = self.committed();
            if let Some(committed) = &committed {
                self.look(committed);
            }
            left -= usize::from(last);
            if last && (committed.is_some() || left == 0) {
                self.seen.checked = self.checked.values().map(|(_, count)| count).sum();
                return self.seen;
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn committed(&self) -> Option<BTreeMap<i32, i64>> {
        // Asked by what was sent, since a topic may grow.
        let last = *self.acknowledged.lock().keys().next_back()?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(&self.topic, 0, last);
        let answer = self.consumer.committed_offsets(asked, LIMIT).ok()?;
        let elements = answer.elements();
        Some(elements.iter().filter_map(|e| Some((e.partition(), kafka::committed_offset(e)?))).collect())
    }

    /// The journal is looked into after the offsets were read: whatever they cover has to be there.
    fn look(&mut self, committed: &BTreeMap<i32, i64>) {
        self.seen.looks += 1;
        for (partition, offset) in committed {
            let before = self.seen.committed.insert(*partition, *offset);
            if before.is_some_and(|before| *offset < before) {
                self.note(format!("partition {partition} went back from {before:?} to {offset}"));
            }
            self.seen.moves += usize::from(before.is_some_and(|before| *offset > before));
            self.look_below(*partition, *offset);
        }
    }

    fn look_below(&mut self, partition: i32, offset: i64) {
        let (frontier, count) = self.checked.get(&partition).copied().unwrap_or_default();
        let covered: Vec<Sent> = {
            let acknowledged = self.acknowledged.lock();
            let Some(events) = acknowledged.get(&partition) else { return };
            let below = |offset: i64| events.partition_point(|sent| sent.offset < offset);
            // Of what was noted late some lies below: then all are looked for again.
            let from = if below(frontier) == count { count } else { 0 };
            let end = frontier.max(offset);
            self.checked.insert(partition, (end, below(end)));
            events[from..below(end)].to_vec()
        };
        for sent in covered {
            let has_ended = match sent.fate {
                Fate::Stored => {
                    is_stored(&self.journal, &sent) || self.is_compacted && self.has_newer(partition, &sent)
                }
                Fate::Expired => true,
                Fate::Bad | Fate::Full => self.letters.hold(partition, sent.offset),
                // A newer one may have taken its place before the store was asked.
                Fate::Refused => is_stored(&self.journal, &sent) || self.letters.hold(partition, sent.offset),
            };
            if !has_ended {
                let breach =
                    format!("partition {partition} is committed up to {offset}, but not done with {sent:?}");
                self.note(breach);
            }
        }
    }

    fn has_newer(&self, partition: i32, sent: &Sent) -> bool {
        let acknowledged = self.acknowledged.lock();
        let same = |other: &&Sent| (other.device, other.number) == (sent.device, sent.number);
        acknowledged[&partition].iter().rev().find(same).is_some_and(|newest| newest.offset > sent.offset)
    }

    fn note(&mut self, breach: String) {
        if self.seen.broken.len() < KEPT {
            self.seen.broken.push(breach);
        }
    }
}

/// Whether this content was ever written, or a newer one in its place. What may have been written over it since is
/// another question.
fn is_stored(journal: &Journal, sent: &Sent) -> bool {
    let bodies = journal.bodies(&format!("[\"device-{}\"]", sent.device), &sent.id());
    let version = |body: &str| {
        let (_, rest) = body.split_once("\"version\":")?;
        rest.split([',', '}']).next()?.parse::<u32>().ok()
    };
    // Events without a version have one content.
    bodies.iter().any(|body| version(body).is_none_or(|version| version >= sent.version))
}
