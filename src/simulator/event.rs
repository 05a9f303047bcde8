//! The sample's events, one after another, as bytes.
//!
//! Pure: the same seed gives the same events, byte for byte, on every machine (`ChaCha8` is portable
//! by definition). Only `createdAt` comes from outside. `tests` pins the first event of a seed, so
//! that a change of the stream is seen.
//!
//! Event n (from 0) belongs to device `n mod devices` and is its number `n div devices`, as in the
//! sample's generator: every device speaks in turn, and nothing needs to be remembered per device.

use chrono::DateTime;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::io::Write;

/// Writes the events of a simulated fleet of devices, each into the same buffer.
pub struct Events {
    random: ChaCha8Rng,
    next: u64,
    devices: u64,
    /// `"moreData0":`, `,"moreData1":` and so on.
    more_data: Vec<String>,
    second: Second,
    key: Vec<u8>,
    json: Vec<u8>,
}

impl Events {
    /// Events of so many devices (at least one), each with so many fields in `complexData`.
    pub fn new(seed: u64, devices: u64, complex_data_count: usize) -> Self {
        let field = |i: usize| format!("{}\"moreData{i}\":", if i == 0 { "" } else { "," });
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            next: 0,
            devices: devices.max(1),
            more_data: (0..complex_data_count).map(field).collect(),
            second: Second::default(),
            key: Vec::with_capacity(64),
            json: Vec::with_capacity(1024),
        }
    }

    /// How many events have been written so far.
    pub fn written(&self) -> u64 {
        self.next
    }

    /// Writes the next event, created at so many microseconds since 1970. Read it with
    /// [`Self::key`] and [`Self::json`] until the next one is written.
    pub fn write_next(&mut self, created_at_micros: i64) {
        let device = self.next % self.devices;
        let sequence = self.next / self.devices;
        self.next += 1;

        self.key.clear();
        self.key.extend_from_slice(b"contoso-device-id-");
        number(&mut self.key, device);

        let out = &mut self.json;
        out.clear();
        out.extend_from_slice(b"{\"eventId\":\"");
        event_id(out, &mut self.random);
        out.extend_from_slice(b"\",\"complexData\":{");
        for field in &self.more_data {
            out.extend_from_slice(field.as_bytes());
            reading(out, &mut self.random);
        }
        out.extend_from_slice(b"},\"value\":");
        reading(out, &mut self.random);
        out.extend_from_slice(b",\"deviceId\":\"");
        out.extend_from_slice(&self.key);
        out.extend_from_slice(b"\",\"deviceSequenceNumber\":");
        number(out, sequence);
        out.extend_from_slice(b",\"type\":\"");
        out.extend_from_slice(if self.random.next_u32() & 1 == 0 { b"TEMP" } else { b"CO2" });
        out.extend_from_slice(b"\",\"createdAt\":\"");
        self.second.write(out, created_at_micros);
        out.extend_from_slice(b"\"}");
    }

    /// The Kafka key of the event last written: its device id.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The event last written.
    pub fn json(&self) -> &[u8] {
        &self.json
    }
}

/// A random UUID (version 4).
fn event_id(out: &mut Vec<u8>, random: &mut ChaCha8Rng) {
    let mut bytes = [0; 16];
    random.fill_bytes(&mut bytes);
    let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    out.extend_from_slice(id.hyphenated().encode_lower(&mut text).as_bytes());
}

/// A sensor's reading, 10 to 100, as the sample draws it: in the shortest decimal form that reads
/// back as the same double.
fn reading(out: &mut Vec<u8>, random: &mut ChaCha8Rng) {
    // 53 random bits are a uniform double in [0, 1); spelled out, because how the rand crate draws
    // one may change between its versions, and the events of a seed must not.
    let unit = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    out.extend_from_slice(zmij::Buffer::new().format_finite(10.0 + 90.0 * unit).as_bytes());
}

fn number(out: &mut Vec<u8>, number: u64) {
    let written = write!(out, "{number}");
    debug_assert!(written.is_ok(), "a Vec takes every byte");
}

/// The second last written, `2019-05-16T17:16:40`: at thousands of events a second the calendar is
/// asked once.
#[derive(Default)]
struct Second {
    since_1970: Option<i64>,
    text: String,
}

impl Second {
    /// Writes `2019-05-16T17:16:40.000003Z`.
    fn write(&mut self, out: &mut Vec<u8>, micros: i64) {
        let (second, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
        if self.since_1970 != Some(second) {
            self.since_1970 = Some(second);
            self.text = DateTime::from_timestamp(second, 0)
                .unwrap_or_default()
                .format("%Y-%m-%dT%H:%M:%S")
                .to_string();
        }
        out.extend_from_slice(self.text.as_bytes());
        let written = write!(out, ".{fraction:06}Z");
        debug_assert!(written.is_ok(), "a Vec takes every byte");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    /// 2019-05-16T17:16:40.000003Z, the time on the sample's page.
    const CREATED: i64 = 1_558_027_000_000_003;

    fn take(seed: u64, devices: u64, count: usize) -> Vec<(String, String)> {
        let mut events = Events::new(seed, devices, 23);
        (0..count)
            .map(|_| {
                events.write_next(CREATED);
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                (text(events.key()), text(events.json()))
            })
            .collect()
    }

    #[test]
    fn an_event_has_the_fields_of_the_samples_page_in_its_order() {
        let (key, json) = take(1, 1000, 1).remove(0);
        let event: Value = serde_json::from_str(&json).unwrap();
        let fields: Vec<_> = json
            .match_indices("\":")
            .map(|(end, _)| {
                let start = json[..end].rfind('"').unwrap() + 1;
                json[start..end].to_owned()
            })
            .collect();
        let mut expected = vec!["eventId".to_owned(), "complexData".to_owned()];
        expected.extend((0..23).map(|i| format!("moreData{i}")));
        expected.extend(["value", "deviceId", "deviceSequenceNumber", "type", "createdAt"].map(String::from));
        assert_eq!(fields, expected);
        assert_eq!(key, "contoso-device-id-0");
        assert_eq!(event["deviceId"], key);
        assert_eq!(event["deviceSequenceNumber"], 0);
        assert_eq!(event["createdAt"], "2019-05-16T17:16:40.000003Z");
        assert!(matches!(event["type"].as_str(), Some("TEMP" | "CO2")), "{}", event["type"]);
        assert!((10.0..100.0).contains(&event["value"].as_f64().unwrap()));
        assert_eq!(event["complexData"].as_object().unwrap().len(), 23);
        let id = uuid::Uuid::parse_str(event["eventId"].as_str().unwrap()).unwrap();
        assert_eq!(id.get_version_num(), 4);
    }

    #[test]
    fn the_first_event_of_a_seed_never_changes() {
        let mut events = Events::new(42, 1000, 2);
        events.write_next(CREATED);
        assert_eq!(
            std::str::from_utf8(events.json()).unwrap(),
            concat!(
                r#"{"eventId":"a15b5d39-b5bf-40ae-8891-7925c63f45f3","#,
                r#""complexData":{"moreData0":48.47647625708677,"moreData1":66.46244690776064},"#,
                r#""value":35.973449122706434,"deviceId":"contoso-device-id-0","deviceSequenceNumber":0,"#,
                r#""type":"TEMP","createdAt":"2019-05-16T17:16:40.000003Z"}"#,
            )
        );
    }

    #[test]
    fn an_event_has_the_size_of_the_samples() {
        let events = take(7, 1000, 2000);
        let mean = events.iter().map(|(_, json)| json.len()).sum::<usize>() as f64 / 2000.0;
        assert!((910.0..=930.0).contains(&mean), "an event has {mean} bytes on average");
    }

    #[test]
    fn another_seed_gives_other_events() {
        assert_ne!(take(1, 10, 1), take(2, 10, 1));
    }

    #[test]
    fn both_types_occur_about_as_often() {
        let co2 = take(3, 10, 1000).iter().filter(|(_, json)| json.contains("\"CO2\"")).count();
        assert!((400..600).contains(&co2), "{co2} of 1000 are CO2");
    }

    #[test]
    fn no_complex_data_is_an_empty_object() {
        let mut events = Events::new(1, 1, 0);
        events.write_next(CREATED);
        let event: Value = serde_json::from_slice(events.json()).unwrap();
        assert_eq!(event["complexData"], serde_json::json!({}));
    }

    proptest! {
        /// Every device counts up from 0 without a gap, whatever the size of the fleet, and the
        /// same seed repeats every byte.
        #[test]
        fn every_device_counts_from_zero_and_a_seed_repeats(seed: u64, devices in 1_u64..20, count in 0_usize..100) {
            let events = take(seed, devices, count);
            let mut next = std::collections::BTreeMap::<String, u64>::new();
            for (key, json) in &events {
                let event: Value = serde_json::from_str(json).unwrap();
                prop_assert_eq!(event["deviceId"].as_str(), Some(key.as_str()));
                let expected = next.entry(key.clone()).or_default();
                prop_assert_eq!(event["deviceSequenceNumber"].as_u64(), Some(*expected));
                *expected += 1;
            }
            prop_assert!(next.len() as u64 <= devices);
            prop_assert_eq!(events, take(seed, devices, count));
        }

        /// The timestamp reads back as the same instant.
        #[test]
        fn created_at_reads_back(micros in 0_i64..4_000_000_000_000_000) {
            let mut events = Events::new(0, 1, 0);
            events.write_next(micros);
            let event: Value = serde_json::from_slice(events.json()).unwrap();
            let read = DateTime::parse_from_rfc3339(event["createdAt"].as_str().unwrap()).unwrap();
            prop_assert_eq!(read.timestamp_micros(), micros);
        }
    }
}
