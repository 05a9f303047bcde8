//! Any bytes at all as a configuration, and variables over it: no panic, and either a configuration or errors
//! that name a key, a line or a variable.
//!
//! The bytes are a file up to the first zero byte, and behind it lines `NAME=VALUE`, to which
//! `STREAMPROC__` is added.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/support/configuration.rs"]
mod configuration;

/// A folder of this process's own; the loader reads a file.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("streamproc-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
});

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (toml, rest) = bytes.split_at(end);
    let variables = String::from_utf8_lossy(rest);
    let environment: Vec<(String, String)> = variables
        .trim_start_matches('\0')
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (format!("STREAMPROC__{name}"), value.to_owned()))
        .collect();
    if let Err(what) = configuration::check(&FOLDER, toml, &environment) {
        panic!("{what}");
    }
});
