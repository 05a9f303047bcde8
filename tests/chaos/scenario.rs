//! What a scenario is like: how long it runs, how its choices can be repeated, and what it came to.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

/// How long the faults of a scenario go on: shortly in `make test`, for `STREAMPROC_SOAK_MINUTES` in a soak.
pub(super) fn length(short: Duration) -> Duration {
    let minutes = std::env::var("STREAMPROC_SOAK_MINUTES").ok();
    minutes.map_or(short, |minutes| Duration::from_secs_f64(60.0 * minutes.parse::<f64>().expect("minutes")))
}

/// Whether this is a soak, which may take larger worlds.
pub(super) fn is_soak() -> bool {
    std::env::var_os("STREAMPROC_SOAK_MINUTES").is_some()
}

/// How many devices there are: in a soak many, since the emulator of Cosmos DB copies all documents of a physical
/// partition for every batch (`src/sandbox/cosmos`), and a few devices' documents of half an hour are too many.
pub(super) fn devices(short: usize) -> usize {
    if is_soak() { 10_000 } else { short }
}

/// A new seed, or that of an earlier run.
pub(super) fn seed() -> u64 {
    let given = std::env::var("STREAMPROC_SEED").ok();
    given.map_or_else(rand::random, |seed| seed.parse().expect("STREAMPROC_SEED is a number"))
}

/// What a scenario came to.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) scenario: String,
    pub(super) seed: u64,
    pub(super) seconds: f64,
    pub(super) faults: usize,
    /// Records that Kafka has acknowledged.
    pub(super) events: usize,
    pub(super) documents: usize,
    pub(super) letters: usize,
    /// A1: acknowledged, and neither stored nor a dead letter.
    pub(super) lost: usize,
    /// A2: documents beside the one of an id.
    pub(super) doubled: usize,
    /// A2: documents that hold what nobody has sent.
    pub(super) different: usize,
    /// A2: documents that hold an older content than the newest.
    pub(super) overwritten: usize,
    /// A3: commits that covered what had not ended, or went back.
    pub(super) commits_too_far: usize,
    /// A6: dead letters that need not be.
    pub(super) stray_letters: usize,
    /// Writes of what was written before.
    pub(super) repetitions: u64,
    /// A5: from the end of the last fault until all that had been acknowledged by then was committed.
    pub(super) recovery_seconds: f64,
    /// A4: the most resident memory that a process had.
    pub(super) peak_resident_bytes: u64,
}

impl Report {
    /// Prints it, and keeps it in `target/chaos`.
    pub(super) fn tell(&self) {
        let Self { scenario, seed, seconds, faults, events, lost, doubled, different, overwritten, .. } =
            self;
        let stray_letters = self.stray_letters;
        println!(
            "{scenario}: {events} events and {faults} faults in {seconds:.0} s; lost {lost}, doubled {doubled}, \
             different {different}, overwritten {overwritten}, stray dead letters {stray_letters}; {} written again, recovered in {:.1} s, {:.0} MB \
             (STREAMPROC_SEED={seed})",
            self.repetitions,
            self.recovery_seconds,
            self.peak_resident_bytes as f64 / 1e6
        );
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../chaos");
        std::fs::create_dir_all(&folder).expect("a folder in target");
        let text = serde_json::to_string_pretty(self).expect("JSON");
        std::fs::write(folder.join(format!("{scenario}.json")), text).expect("write to target/chaos");
    }

    /// What the promises do not allow.
    pub(super) fn breaches(&self) -> usize {
        self.lost
            + self.doubled
            + self.different
            + self.overwritten
            + self.commits_too_far
            + self.stray_letters
    }
}
