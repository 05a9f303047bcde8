//! Many seeds, on all cores; and what is said about one that fails.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::run::{Run, run};

/// How much of a trace is shown of a seed that fails.
const LAST_LINES: usize = 60;

/// What came of many seeds.
#[derive(Default)]
pub(crate) struct Sum {
    tally: BTreeMap<&'static str, u64>,
    longest_rest: Duration,
}

impl Sum {
    fn add(&mut self, run: &Run) {
        for (what, count) in &run.tally {
            *self.tally.entry(what).or_default() += count;
        }
        self.longest_rest = self.longest_rest.max(run.rested_after);
    }

    /// How often something happened, by its name.
    pub(crate) fn count(&self, what: &str) -> u64 {
        self.tally.get(what).copied().unwrap_or_default()
    }

    fn say(&self) -> String {
        let mut text = String::new();
        for (what, count) in &self.tally {
            let _ = writeln!(text, "{count:>10}  {what}");
        }
        let _ = writeln!(text, "at rest {:?} after the last fault, at the latest", self.longest_rest);
        text
    }
}

/// Says in which world the simulation itself broke down.
struct SaidOfPanic(u64);

impl Drop for SaidOfPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("that was in seed {}", self.0);
        }
    }
}

/// Runs them all, one thread a core. Fails with the first that is found to break a rule.
pub(crate) fn run_all(seeds: Range<u64>) -> Sum {
    let begun = Instant::now();
    let (next, is_over) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let (sum, failed) = (Mutex::new(Sum::default()), Mutex::new(None));
    let work = || {
        while !is_over.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let _said = SaidOfPanic(seed);
            let done = run(seed, false);
            if done.broken.is_some() {
                is_over.store(true, Ordering::Relaxed);
                failed.lock().unwrap().get_or_insert(seed);
            }
            sum.lock().unwrap().add(&done);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    if let Some(seed) = failed.into_inner().unwrap() {
        panic!("{}", explain(seed, LAST_LINES));
    }
    let sum = sum.into_inner().unwrap();
    let (count, took) = (seeds.end - seeds.start, begun.elapsed());
    println!("seeds {} to {}, {count} worlds, in {took:.1?} on {threads} cores:", seeds.start, seeds.end - 1);
    println!("{}", sum.say());
    sum
}

/// Runs a seed once more and tells what happened in it, up to so many lines.
pub(crate) fn explain(seed: u64, lines: usize) -> String {
    let Run { broken, trace, tally, rested_after } = run(seed, true);
    let trace = trace.lines();
    let mut text = format!("seed {seed}: ");
    let _ = match broken {
        Some(broken) => writeln!(text, "rule {} is broken: {}", broken.rule, broken.what),
        None => writeln!(text, "all rules hold; at rest {rested_after:?} after the last fault; {tally:?}"),
    };
    let from = trace.len().saturating_sub(lines);
    let _ = writeln!(text, "the last of {} lines of what happened:", trace.len());
    for line in &trace[from..] {
        let _ = writeln!(text, "{line}");
    }
    let _ = writeln!(
        text,
        "all of it: STREAMPROC_SEED={seed} cargo test --test simulation one_world -- --nocapture"
    );
    text
}

/// Which seeds to run: `STREAMPROC_SEEDS` is how many, or from where to where (`20000..30000`).
pub(crate) fn asked_for(otherwise: u64) -> Range<u64> {
    let Ok(text) = std::env::var("STREAMPROC_SEEDS") else { return 0..otherwise };
    let number =
        |text: &str| text.trim().parse::<u64>().expect("STREAMPROC_SEEDS: a number, or two like 5..9");
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 0..number(&text),
    }
}
