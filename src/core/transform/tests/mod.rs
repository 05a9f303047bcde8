//! The rules of the document, as tables; and then anything at all against a slow model.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bodies;
mod configuration;
#[allow(unreachable_pub, reason = "the fuzz target uses it too")]
mod model;
mod properties;
mod reasons;
mod speed;
mod timestamps;

use super::{BadEvent, Decoded, Document, Rules, decode};
use crate::config;
use crate::config::Event;
use crate::core::reason::Reason;
use crate::core::{key, transform};

/// 2019-05-16T17:16:40Z, the moment of the sample's documents.
const ENQUEUED_MILLIS: i64 = 1_558_027_000_000;
/// A second and a quarter later.
const PROCESSED_NANOS: i128 = 1_558_027_001_250_000_000;

/// The default configuration, with a change.
fn with(change: impl FnOnce(&mut Event)) -> Rules {
    let mut event = Event::default();
    change(&mut event);
    Rules::compile(&event).unwrap()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn decode_with(rules: &Rules, value: &[u8]) -> Result<Document, BadEvent> {
    match decode(rules, Some(value), Some(ENQUEUED_MILLIS), &rules.stamp(PROCESSED_NANOS))? {
        Decoded::Document(document) => Ok(document),
        Decoded::Skipped => panic!("an event with a value was skipped"),
    }
}

fn body_of(document: &Document, value: &[u8]) -> String {
    let mut body = b"before".to_vec();
    document.write_body(value, &mut body);
    assert_eq!(body.len(), b"before".len() + document.body_len());
    String::from_utf8(body).unwrap().strip_prefix("before").unwrap().to_owned()
}

/// The body that an event becomes.
fn body(rules: &Rules, value: &str) -> String {
    let document = decode_with(rules, value.as_bytes()).unwrap_or_else(|bad| panic!("{value}: {bad}"));
    body_of(&document, value.as_bytes())
}

/// What is wrong with an event.
fn bad(rules: &Rules, value: impl AsRef<[u8]>) -> BadEvent {
    let value = value.as_ref();
    match decode_with(rules, value) {
        Err(bad) => bad,
        Ok(document) => panic!("{}: stored as {}", String::from_utf8_lossy(value), body_of(&document, value)),
    }
}

fn reason(rules: &Rules, value: impl AsRef<[u8]>) -> Reason {
    bad(rules, value).reason
}
