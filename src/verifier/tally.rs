//! Takes in the stored documents one by one and keeps only what the assertions need.
//!
//! Memory: 16 bytes of sequence numbers and 8 of a hash for each event at most, and the room that a
//! growing list and table need; measured 35 MB for a million events in random order, 80 MB for three
//! million. Less where devices speak more than once a second and the store hands events out in order.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use super::report::{EXAMPLES, Found, SequenceRange};
use super::sequence::{DeviceLog, Numbers};
use super::window::Windows;

/// What a stored document says of itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Document<'a> {
    pub(super) event_id: Option<Cow<'a, str>>,
    pub(super) device: Option<Cow<'a, str>>,
    pub(super) sequence: Option<u64>,
    /// Cosmos DB's own time of storing (`_ts`), in whole seconds since 1970.
    pub(super) stored_at: i64,
    /// Milliseconds since 1970.
    pub(super) enqueued_at: Option<i64>,
    /// Milliseconds since 1970.
    pub(super) processed_at: Option<i64>,
}

/// Everything taken in so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) documents: u64,
    pub(super) without_event_id: u64,
    pub(super) without_sequence: u64,
    pub(super) without_enqueued_at: u64,
    /// Documents that were enqueued after they were stored, by more than clocks differ.
    pub(super) enqueued_later: u64,
    pub(super) windows: Windows,
    /// Documents whose event id another one has.
    pub(super) duplicates: Found<String>,
    /// 64 bits of each event id. That two of a million have the same by chance, and one is taken
    /// for a duplicate, happens once in 37 million times; of a hundred million, once in 3,700.
    event_ids: HashSet<u64>,
    hash: RandomState,
    devices: HashMap<Box<str>, DeviceLog>,
}

/// How far the clocks of Kafka and of Cosmos DB may be apart, in milliseconds. A time of enqueuing that
/// is later still is not the broker's, and would hide the late events of its minute in their average.
const CLOCKS_APART: i64 = 5_000;

/// `_ts` is cut off to whole seconds: on average a document was stored half a second after it.
const HALF_A_SECOND: i64 = 500;

impl Tally {
    pub(super) fn add(&mut self, document: &Document<'_>) {
        self.documents += 1;
        match &document.event_id {
            None => self.without_event_id += 1,
            Some(id) => {
                if !self.event_ids.insert(self.hash.hash_one(id.as_ref())) {
                    self.duplicates.add(1, || id.to_string());
                }
            }
        }
        match (document.device.as_deref(), document.sequence) {
            (Some(device), Some(number)) => {
                let stored_at = u32::try_from(document.stored_at).unwrap_or_default();
                match self.devices.get_mut(device) {
                    Some(log) => log.push(number, stored_at),
                    None => self.devices.entry(device.into()).or_default().push(number, stored_at),
                }
            }
            _ => self.without_sequence += 1,
        }
        self.without_enqueued_at += u64::from(document.enqueued_at.is_none());
        let stored_at = document.stored_at * 1000 + HALF_A_SECOND;
        let is_later = |enqueued_at: &i64| enqueued_at.saturating_sub(stored_at) > CLOCKS_APART;
        self.enqueued_later += u64::from(document.enqueued_at.as_ref().is_some_and(is_later));
        let enqueued_at = document.enqueued_at.filter(|enqueued_at| !is_later(enqueued_at));
        let after_enqueued = |at: i64| enqueued_at.map(|enqueued_at| at.saturating_sub(enqueued_at));
        let processing = document.processed_at.and_then(after_enqueued);
        self.windows.add(document.stored_at, after_enqueued(stored_at), processing);
    }

    /// How many different events there are.
    pub(super) fn events(&self) -> u64 {
        self.event_ids.len() as u64
    }

    /// How many devices have sent numbered events.
    pub(super) fn devices(&self) -> u64 {
        self.devices.len() as u64
    }

    /// How many events have a device and a number.
    pub(super) fn in_sequences(&self) -> u64 {
        self.devices.values().map(DeviceLog::events).sum()
    }

    /// Sequence numbers that are not there: of all from 0 on, or of each device's middle ones.
    pub(super) fn missing(&self, all: bool) -> Found<SequenceRange> {
        self.of_every_device(|log| if all { log.missing_of_all() } else { log.missing_of_middle() })
    }

    /// Events that were stored after a later one of their device.
    pub(super) fn out_of_sequence(&self) -> Found<SequenceRange> {
        self.of_every_device(DeviceLog::out_of_sequence)
    }

    fn of_every_device(&self, look: impl Fn(&DeviceLog) -> Vec<Numbers>) -> Found<SequenceRange> {
        let mut found = Found::default();
        // Short names first: device 9 before device 10.
        let mut devices: Vec<_> = self.devices.iter().collect();
        devices.sort_unstable_by_key(|(device, _)| (device.len(), *device));
        for (device, log) in devices {
            for (first, last) in look(log) {
                let count = (last - first).saturating_add(1);
                found.add(count, || SequenceRange { device: device.to_string(), first, last });
            }
        }
        found
    }
}

impl<T> Found<T> {
    /// Counts so many more, and keeps an example unless there are enough.
    fn add(&mut self, count: u64, example: impl FnOnce() -> T) {
        self.total = self.total.saturating_add(count);
        if self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }
}
