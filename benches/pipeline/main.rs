//! From a real Kafka through the service, as the process that users run, into an endpoint that answers at
//! once: what an event costs.
//!
//!     cargo bench --bench pipeline              every case, some minutes
//!     cargo bench --bench pipeline -- --quick   a tenth of the events
//!     cargo bench --bench pipeline -- backlog   the cases whose names contain this
//!
//! The cases of ten minutes run only when they are asked for. Prints a table and writes `target/bench/pipeline.json`. CPU is that of the service alone; the broker and
//! the endpoint take theirs of the same cores.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, missing_docs)]

mod cases;
mod floor;
mod run;
#[path = "../stage/mod.rs"]
mod stage;
mod start_up;
#[path = "../../tests/support/mod.rs"]
mod support;
mod throttled;

use std::collections::BTreeMap;

use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};

use cases::Case;
use run::{Measured, measure};
use stage::Stage;

#[derive(Parser)]
struct Arguments {
    /// Only the cases whose names contain this.
    only: Option<String>,
    /// A tenth of the events, and of the time.
    #[arg(long)]
    quick: bool,
    /// What cargo gives every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    if floor::is_asked_for() {
        return floor::main();
    }
    let arguments = Arguments::parse();
    let mut stage = Stage::new();
    let mut all: BTreeMap<String, Measured> = BTreeMap::new();
    let is_wanted = |name: &str| arguments.only.as_ref().is_none_or(|word| name.contains(word.as_str()));
    let unasked = |case: &Case| arguments.only.is_none() && case.is_long();
    let cases = Case::all(if arguments.quick { 10 } else { 1 }).into_iter();
    for case in cases.filter(|case| is_wanted(&case.name) && !unasked(case)) {
        eprintln!("{} ...", case.name);
        let measured = measure(&mut stage, &case);
        println!("{}", table([(&case.name, &measured)].into_iter()));
        all.insert(case.name, measured);
    }
    if !all.is_empty() {
        println!("\n{}", table(all.iter()));
        stage::keep("pipeline.json", &all);
    }
    if is_wanted("throttled") {
        let measured = throttled::measure(&stage, if arguments.quick { 15 } else { 60 });
        println!("\n{}", throttled::table(&measured));
        stage::keep("throttled.json", &measured);
    }
    if is_wanted("start-up") {
        let measured = start_up::measure();
        for one in &measured {
            let millis: Vec<_> = one.first_stored_millis.iter().map(u64::to_string).collect();
            println!(
                "start-up, group.initial.rebalance.delay.ms = {}: first event stored after {} ms",
                one.rebalance_delay_millis,
                millis.join(", ")
            );
        }
        stage::keep("start-up.json", &measured);
    }
}

fn table<'a>(measured: impl Iterator<Item = (&'a String, &'a Measured)>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header([
        "case",
        "events",
        "events/s",
        "us CPU/event",
        "÷ floor",
        "docs/request",
        "peak MB",
        "p50 ms",
        "p99 ms",
    ]);
    for (name, one) in measured {
        let optional = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        table.add_row([
            name.clone(),
            one.events.to_string(),
            format!("{:.0}", one.events_per_second),
            format!("{:.2}", one.cpu_micros_per_event),
            optional(one.over_floor, 2),
            format!("{:.1}", one.documents_per_request),
            format!("{:.0}", one.peak_resident_bytes as f64 / 1e6),
            optional(one.p50_millis, 0),
            optional(one.p99_millis, 0),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
