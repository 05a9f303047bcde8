//! A simulation of everything between Kafka and Cosmos DB: some processes of the service, each with its
//! workers (`core::worker`) and its sink, in one consumer group, on one thread, in virtual time.
//!
//! The state machine of the worker and the sink are the real ones. Simulated is what surrounds them: Kafka,
//! its group and its client; Cosmos DB, the dead-letter topic, and the thread that performs what the state
//! machine decides. A seed decides what such a world is like, what is sent in it, and what goes wrong; the
//! same seed is the same world, step by step. An oracle that knows everything watches (its rules stand in
//! `oracle.rs`).
//!
//!     cargo test --test simulation                                       # 10,000 seeds
//!     STREAMPROC_SEEDS=50000..60000 cargo test --test simulation worlds  # others
//!     STREAMPROC_SEED=17 cargo test --test simulation one_world -- --nocapture
//!
//! In a build with the feature `mutants` the simulation is tested itself: each defect of
//! `src/core/mutant.rs` has to be found (`mutants.rs`).

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod client;
mod cosmos;
mod dice;
mod events;
mod fleet;
mod group;
mod hand;
mod inbox;
mod kafka;
mod letters;
mod life;
#[cfg(feature = "mutants")]
mod mutants;
mod oracle;
mod plan;
mod process;
mod questions;
mod run;
mod seeds;
mod store;
mod trace;
mod worker;
mod world;

#[test]
fn nothing_is_lost_doubled_or_stuck_in_ten_thousand_worlds() {
    let sum = seeds::run_all(seeds::asked_for(10_000));
    // A world in which nothing happens proves nothing.
    for what in ["requests", "commits", "dead letters", "members given up", "writes that landed late"] {
        assert!(sum.count(what) > 0, "there were no {what}");
    }
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in 0..200 {
        let (first, second) = (run::run(seed, true), run::run(seed, true));
        if first.trace.hash() != second.trace.hash() {
            let (first, second) = (first.trace.lines(), second.trace.lines());
            let at = first.iter().zip(&second).position(|(a, b)| a != b);
            let of = |lines: &[String]| at.and_then(|at| lines.get(at).cloned());
            panic!("seed {seed} differs from itself: {:?} and {:?}", of(&first), of(&second));
        }
    }
}

#[test]
fn one_world() {
    if let Ok(seed) = std::env::var("STREAMPROC_SEED") {
        let seed = seed.parse().expect("STREAMPROC_SEED: a number");
        println!("{}", seeds::explain(seed, usize::MAX));
        assert!(run::run(seed, false).broken.is_none(), "seed {seed} breaks a rule");
    }
}
