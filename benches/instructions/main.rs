//! How many instructions an event takes in each step between Kafka's buffer and the body of a request, beside the
//! counts that are committed in `baseline.json`.
//!
//!     make bench-counts                   compares; fails when a step takes over 5 % more
//!     make bench-counts ARGS=--bless      takes what is counted as the new baseline
//!
//! Two runs of one build differ by a hundredth of a percent, and only where something is hashed (`HashMap` has random
//! keys). Another compiler, C library or valgrind gives other counts for the same source, and so does a processor
//! without AVX2, for which the C library copies by other code: there the counts are shown, and judge nobody.
//!
//! `docs/adr/0020` says why it is made this way.

extern crate streamproc_core as streamproc;

mod baseline;
mod callgrind;
mod counted;
#[path = "../steps/mod.rs"]
mod steps;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use baseline::{Compared, Counts, TOLERANCE};

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.json");
const BLESS: &str = "make bench-counts ARGS=--bless";

fn main() -> ExitCode {
    let done = match std::env::args().nth(1).as_deref() {
        None => compare(),
        Some("--bless") => bless(),
        Some(callgrind::RUN_THE_STEPS) => {
            counted::run();
            Ok(ExitCode::SUCCESS)
        }
        Some(other) => Err(format!("{other}: the one argument there is is --bless").into()),
    };
    done.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

fn bless() -> Result<ExitCode, Box<dyn Error>> {
    let counts = callgrind::count(&callgrind::profiles()?)?;
    counts.write(Path::new(BASELINE))?;
    println!(
        "written to {BASELINE}; the table of docs/performance.md tells the same (cargo test --test docs)"
    );
    Ok(ExitCode::SUCCESS)
}

fn compare() -> Result<ExitCode, Box<dyn Error>> {
    let baseline = Counts::read(Path::new(BASELINE))?;
    let profiles = callgrind::profiles()?;
    let found = callgrind::count(&profiles)?;
    let compared = found
        .beside(&baseline, &counted::STEPS)
        .map_err(|missing| format!("{missing}; {BLESS} gives it one"))?;

    println!("instructions an event, of {}", found.made_by);
    println!("{:<8} {:>9} {:>9} {:>9}", "step", "baseline", "found", "change");
    for step in &compared {
        println!("{:<8} {:>9.1} {:>9.1} {:>+7.1} %", step.step, step.baseline, step.found, step.change());
    }
    if found.made_by != baseline.made_by {
        println!("NOT JUDGED: the baseline was made by {}", baseline.made_by);
        return Ok(ExitCode::SUCCESS);
    }
    let cheaper: Vec<_> = compared.iter().filter(|step| step.cheaper()).map(|step| step.step).collect();
    if !cheaper.is_empty() {
        println!("{}: over {TOLERANCE} % less than before; to keep it so, run: {BLESS}", cheaper.join(", "));
    }
    let dearer: Vec<_> = compared.iter().filter(|step| step.dearer()).collect();
    for compared in &dearer {
        let Compared { step, baseline, found } = compared;
        println!(
            "{step}: {found:.1}, {:.1} % more than the {baseline:.1} of the baseline",
            compared.change()
        );
        println!("    where they go: callgrind_annotate {}", profiles.join(step).display());
    }
    if dearer.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("If that is worth it, the commit says why, and takes the new counts by: {BLESS}");
    Ok(ExitCode::FAILURE)
}
