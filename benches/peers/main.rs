//! The job that this service replaces, side by side with it: the same backlog, the same endpoint, the same
//! machine.
//!
//!     make bench-peers                           three runs of each, some minutes
//!     make bench-peers ARGS="--quick"            to see it run: too short for a JVM to get warm
//!     make bench-peers ARGS="--only Spark"       those whose names contain this
//!
//! The job is open-source Spark Structured Streaming with Microsoft's Java SDK (`spark/`): a stand-in for the
//! sample's job, which runs on Databricks and writes by Microsoft's Cosmos DB connector for Spark. Prints a
//! table and writes `target/bench/peers.json`.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, missing_docs)]

mod job;
mod run;
mod same;
#[path = "../stage/mod.rs"]
mod stage;
mod summary;
#[path = "../../tests/support/mod.rs"]
mod support;

use clap::Parser;
use serde_json::json;

use job::Job;
use run::{Peer, measure};
use same::Documents;
use stage::{Events, Stage, large_batches};
use summary::Summary;

/// Against which the others are held.
const OURS: &str = "streamproc, defaults";

#[derive(Parser)]
struct Arguments {
    /// Only those whose names contain this.
    #[arg(long)]
    only: Option<String>,
    /// How many events there are before any of them starts.
    #[arg(long, default_value_t = 400_000)]
    events: u64,
    /// How often each runs, one after the other in turn.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Of the container: the SDK of Spark's job makes its requests by them.
    #[arg(long, default_value_t = 16)]
    physical_partitions: u32,
    /// One run over a quarter of the events, to see it run: too short for a JVM to get warm.
    #[arg(long)]
    quick: bool,
    /// What cargo gives every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What runs, by its name in the table.
fn peers() -> Vec<(&'static str, Peer)> {
    vec![
        (OURS, Peer::Streamproc(Vec::new())),
        ("streamproc, large batches", Peer::Streamproc(large_batches())),
        // As in the sample, where a setting for it is there and nothing reads it.
        ("Spark, no limit a trigger", Peer::Spark { max_offsets_per_trigger: None }),
        // What the sample sets for 10,000 events a second.
        ("Spark, 100,000 a trigger", Peer::Spark { max_offsets_per_trigger: Some(100_000) }),
    ]
}

fn main() {
    let mut arguments = Arguments::parse();
    if arguments.quick {
        (arguments.events, arguments.runs) = (arguments.events / 4, 1);
    }
    let mut peers = peers();
    if let Some(word) = &arguments.only {
        peers.retain(|(name, _)| name.contains(word.as_str()));
    }
    let job = peers.iter().any(|(_, peer)| matches!(peer, Peer::Spark { .. })).then(Job::compile);
    let mut stage = Stage::new();
    let events = Events::default();
    let topic = stage.filled(events, arguments.events);
    let mut summaries: Vec<_> = peers.iter().map(|(name, _)| Summary::new(name)).collect();
    let mut documents: Option<Documents> = None;
    for number in 1..=arguments.runs {
        for ((name, peer), summary) in peers.iter().zip(&mut summaries) {
            eprintln!("{name}, run {number} of {} ...", arguments.runs);
            let endpoint = run::endpoint(arguments.physical_partitions);
            let started = peer.start(&stage, &topic, &endpoint, job.as_ref());
            summary.add(measure(&started, &endpoint, arguments.events));
            match &documents {
                None => documents = Some(Documents::written_to(&endpoint)),
                Some(documents) => documents.compare(&endpoint, name),
            }
        }
    }
    println!("{}", summary::table(&summaries, OURS));
    stage::keep(
        "peers.json",
        &json!({
            "events": arguments.events,
            "topic_partitions": events.partitions,
            "physical_partitions": arguments.physical_partitions,
            "peers": summaries,
        }),
    );
}
