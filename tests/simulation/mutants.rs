//! The simulation is tested: it finds each defect that can be put into the program.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use streamproc::core::mutant::{Mutant, choose_here};

use super::run::run;

/// Within so many seeds each defect is found.
const SEEDS: u64 = 400;

/// After how many seeds the simulation finds a defect, and which rule is broken.
fn found_after(mutant: Mutant) -> Option<(u64, String)> {
    choose_here(Some(mutant));
    let found = (0..SEEDS).find_map(|seed| {
        let broken = run(seed, false).broken?;
        Some((seed + 1, format!("{}: {}", broken.rule, broken.what)))
    });
    choose_here(None);
    found
}

#[test]
fn each_defect_is_found_within_some_hundred_worlds() {
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(mutant) = Mutant::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            match found_after(*mutant) {
                Some((seeds, what)) => println!("{mutant:?}: found after {seeds} worlds; {what}"),
                None => missed.lock().unwrap().push(*mutant),
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "not found within {SEEDS} worlds: {missed:?}");
}
