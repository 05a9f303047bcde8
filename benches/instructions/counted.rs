//! The steps to be counted, each a function that is never inlined, so that callgrind can tell the instructions between
//! its call and its return from all others. Neither the making of the events nor the dropping of what the steps make
//! is among them.

use streamproc_core::core::kafka::Offset;
use streamproc_core::core::records::Records;
use streamproc_core::core::transform::Document;
use streamproc_core::core::write::lane::Lane;

use crate::steps::Steps;

/// The names of the functions below, in the order of an event's way.
pub(crate) const STEPS: [&str; 6] = ["copy", "decode", "group", "bodies", "request_units", "ledger"];

/// So many events, of so many devices in turn.
pub(crate) const EVENTS: usize = 10_000;
const DEVICES: u64 = 500;

/// Takes the events through each step once.
pub(crate) fn run() {
    let steps = Steps::new(EVENTS, DEVICES);
    let records = copy(&steps);
    let documents = decode(&steps, &records);
    let mut lanes = group(&documents);
    let (_bytes, requests) = bodies(&records, &documents, &mut lanes);
    assert!(request_units(&steps) > 0.0);
    let frontier = ledger(&steps);
    // All of it was needed, so that the compiler can leave nothing out.
    assert_eq!((requests, frontier), (DEVICES as usize, Offset(EVENTS as i64)));
}

#[inline(never)]
fn copy(steps: &Steps) -> Records {
    steps.copy()
}

#[inline(never)]
fn decode(steps: &Steps, records: &Records) -> Vec<Document> {
    steps.decode(records)
}

#[inline(never)]
fn group(documents: &[Document]) -> Vec<Lane> {
    Steps::group(documents)
}

#[inline(never)]
fn bodies(records: &Records, documents: &[Document], lanes: &mut [Lane]) -> (usize, usize) {
    Steps::bodies(records, documents, lanes)
}

#[inline(never)]
fn request_units(steps: &Steps) -> f64 {
    steps.request_units()
}

#[inline(never)]
fn ledger(steps: &Steps) -> Offset {
    steps.ledger()
}
