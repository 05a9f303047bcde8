//! Any bytes at all: no panic, and the outcome that the slow model says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use streamproc::config;
use streamproc::core::{key, transform};

#[path = "../../src/core/transform/tests/model.rs"]
mod model;

fuzz_target!(|value: &[u8]| {
    for event in model::configurations() {
        if let Err(difference) = model::check(&event, value, Some(1_558_027_000_000), 1_558_027_001_250_000_000) {
            panic!("{difference}");
        }
    }
});
