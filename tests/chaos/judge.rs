//! The last judgement: every acknowledged event against every stored document and every dead letter, by content.
//!
//! It reads Cosmos DB through Microsoft's SDK for Python and Kafka through a consumer of its own, knows from the
//! sender what each record said, and shares no code with the service.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::{Value, json};

use crate::scenario::Report;
use crate::stage::Stage;
use crate::stage::flow::{Acknowledged, Fate, Sent};
use crate::stage::letters;
use crate::support::kafka::Received;

/// How many examples of each breach are shown.
const SHOWN: usize = 5;

/// What Cosmos DB adds to a document.
const OF_THE_STORE: [&str; 5] = ["_rid", "_self", "_etag", "_ts", "_attachments"];

/// Breaches, for people.
#[derive(Debug, Default)]
pub(super) struct Examples(BTreeMap<&'static str, Vec<String>>);

impl Examples {
    fn add(&mut self, kind: &'static str, example: impl FnOnce() -> String) {
        let examples = self.0.entry(kind).or_default();
        if examples.len() < SHOWN {
            examples.push(example());
        }
    }
}

/// Holds what was acknowledged against what is there, and notes in the report what is wrong. Of what lies below the
/// offsets of `gone`, the user has deleted documents.
pub(super) fn judge(
    stage: &Stage,
    acknowledged: &Acknowledged,
    gone: &BTreeMap<i32, i64>,
    report: &mut Report,
) -> Examples {
    let mut examples = Examples::default();
    let acknowledged = acknowledged.lock();
    report.events = acknowledged.values().map(Vec::len).sum();
    documents(stage, &acknowledged, gone, report, &mut examples);
    dead_letters(stage, &acknowledged, report, &mut examples);
    examples
}

/// A1 and A2: of each id there is one document, and it holds the newest content that is to be stored.
fn documents(
    stage: &Stage,
    sent: &BTreeMap<i32, Vec<Sent>>,
    gone: &BTreeMap<i32, i64>,
    report: &mut Report,
    examples: &mut Examples,
) {
    let mut newest: HashMap<(usize, usize), &Sent> = HashMap::new();
    let mut excused = HashSet::new();
    for (partition, sent) in sent {
        let gone = gone.get(partition).copied().unwrap_or(0);
        for sent in sent.iter().filter(|sent| matches!(sent.fate, Fate::Stored | Fate::Expired)) {
            let name = (sent.device, sent.number);
            // By offset, and an id is in one partition: the last one is the newest.
            newest.insert(name, sent);
            if sent.offset < gone || sent.fate == Fate::Expired {
                excused.insert(name);
            } else {
                excused.remove(&name);
            }
        }
    }
    let mut found = HashSet::new();
    for document in stage.documents() {
        report.documents += 1;
        let Some((name, sent)) = named(&document).and_then(|name| Some((name, *newest.get(&name)?))) else {
            report.different += 1;
            examples.add("nobody sent it", || document.to_string());
            continue;
        };
        if !found.insert(name) {
            report.doubled += 1;
            examples.add("doubled", || document.to_string());
        }
        let version = document["version"].as_u64().and_then(|version| u32::try_from(version).ok());
        let older =
            version.filter(|version| *version < sent.version).map(|version| Sent { version, ..*sent });
        if older.is_some_and(|older| is_as_sent(document.clone(), &older)) {
            report.overwritten += 1;
            examples.add("overwritten by an older content", || {
                format!("{document} for {sent:?}; the topic holds {:?}", in_topic(stage, sent))
            });
        } else if !is_as_sent(document.clone(), sent) {
            report.different += 1;
            examples.add("not as it was sent", || format!("{document} for {sent:?}"));
        }
    }
    for (name, sent) in newest {
        if !found.contains(&name) && !excused.contains(&name) {
            report.lost += 1;
            examples.add("lost", || format!("{sent:?}"));
        }
    }
}

/// Where an id stands in the topic, and with which version: perhaps the sender has sent something twice.
fn in_topic(stage: &Stage, sent: &Sent) -> Vec<(i32, i64, String)> {
    let id = format!("\"eventId\":\"{}\"", sent.id());
    let records = stage.cluster.read_all(&stage.topic);
    let of_it = records.into_iter().filter(|record| record.text().contains(&id));
    of_it.map(|record| (record.partition, record.offset, record.text())).collect()
}

fn is_letter_of(letter: &Received, sent: &Sent) -> bool {
    // The key is the device's, or the id where a topic is compacted.
    let keys = [format!("device-{}", sent.device), sent.id()];
    letter.text() == sent.text()
        && letter.header("streamproc-reason").as_deref() == sent.reason()
        && letter.key.as_deref().is_some_and(|key| keys.iter().any(|wanted| wanted.as_bytes() == key))
}

fn named(document: &Value) -> Option<(usize, usize)> {
    let (device, number) = document["id"].as_str()?.split_once('-')?;
    Some((device.parse().ok()?, number.parse().ok()?))
}

/// Field for field: what the event had, what the service adds, and nothing else.
fn is_as_sent(mut document: Value, sent: &Sent) -> bool {
    let Some(fields) = document.as_object_mut() else { return false };
    fields.retain(|name, _| !OF_THE_STORE.contains(&name.as_str()));
    let stamps = ["enqueuedAt", "processedAt"].map(|name| fields.remove(name));
    let are_stamps =
        stamps.iter().flatten().filter_map(Value::as_str).filter(|text| is_stamp(text)).count() == 2;
    let is_enqueued_as_sent = sent.time.is_none_or(|time| stamps[0] == Some(json!(stamp(time))));
    let mut expected: Value = serde_json::from_str(&sent.text()).expect("the sender's JSON");
    expected["id"] = json!(sent.id());
    expected["createdAt"] = json!("2026-05-16T17:16:40.000Z");
    are_stamps && is_enqueued_as_sent && document == expected
}

/// A time in milliseconds since 1970, as documents have it.
fn stamp(millis: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(millis).expect("a time of these centuries");
    time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// `2026-05-16T17:16:40.000Z`.
fn is_stamp(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00.000Z"
}

/// A1 and A6: what is to be a dead letter is one, untouched and with the right reason, and nothing else is. What the store would refuse need not
/// be one if a newer content of the same id is stored: it may have taken its place in a micro-batch.
fn dead_letters(
    stage: &Stage,
    sent: &BTreeMap<i32, Vec<Sent>>,
    report: &mut Report,
    examples: &mut Examples,
) {
    let mut wanted: HashMap<(i32, i64), &Sent> = HashMap::new();
    let mut last_stored: HashMap<(usize, usize), i64> = HashMap::new();
    for (partition, sent) in sent {
        for sent in sent {
            if sent.reason().is_some() {
                wanted.insert((*partition, sent.offset), sent);
            } else if sent.fate == Fate::Stored {
                last_stored.insert((sent.device, sent.number), sent.offset);
            }
        }
    }
    let mut found = BTreeSet::new();
    for letter in stage.letters() {
        report.letters += 1;
        let place = letters::source(&letter);
        match place.and_then(|place| Some((place, *wanted.get(&place)?))) {
            Some((place, sent)) if is_letter_of(&letter, sent) => drop(found.insert(place)),
            _ => {
                report.stray_letters += 1;
                examples.add("stray dead letter", || format!("{:?} {}", letter.headers, letter.text()));
            }
        }
    }
    for (place, sent) in wanted {
        let is_superseded = sent.fate == Fate::Refused
            && last_stored.get(&(sent.device, sent.number)).is_some_and(|last| *last > sent.offset);
        if !found.contains(&place) && !is_superseded {
            report.lost += 1;
            examples.add("no dead letter", || format!("{place:?} {sent:?}"));
        }
    }
}
