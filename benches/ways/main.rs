//! What a document costs on its way into Cosmos DB: by the way of the service, which hands text to the driver
//! under Microsoft's SDK, and by the SDK's own, which takes values.
//!
//!     cargo bench --bench ways                  five rounds, both ways in turn
//!     cargo bench --bench ways -- --rounds 1    a look
//!
//! Both begin with the same documents as text and write them to the endpoint of the pipeline's benchmark, which
//! answers at once. Each run is a process of its own, so that its CPU is its own. A request for one document is
//! a point, of more a transactional batch.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, missing_docs)]

#[path = "../stage/endpoint.rs"]
#[allow(dead_code, reason = "the pipeline's benchmark looks at what was written")]
mod endpoint;
mod part;
#[path = "../steps/mod.rs"]
#[allow(dead_code, reason = "the other steps are the hot path's")]
mod steps;
#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../stage/usage.rs"]
mod usage;

use std::time::Duration;

use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};

use endpoint::Endpoint;
use part::{Counted, Run, Way};
use streamproc::sandbox::PHYSICAL_PARTITIONS;

/// Documents in a request, and how many such requests make a second or two of CPU.
const SIZES: [(usize, usize); 4] = [(1, 12_000), (10, 6_000), (40, 4_000), (100, 3_000)];

#[derive(Parser)]
struct Arguments {
    /// How often each is measured.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// What cargo gives every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    if part::is_asked_for() {
        return part::main();
    }
    let arguments = Arguments::parse();
    let endpoint = Endpoint::start(Duration::ZERO, PHYSICAL_PARTITIONS).expect("an endpoint");
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header([
        "documents a request",
        "service: CPU us",
        "SDK: CPU us",
        "SDK / service",
        "service: allocations",
        "SDK: allocations",
    ]);
    for (documents, requests) in SIZES {
        let run = |way, counted, requests| Run { way, documents, requests, counted }.start(endpoint.url());
        let (mut service, mut sdk) = (Vec::new(), Vec::new());
        for _ in 0..arguments.rounds.max(1) {
            service.push(run(Way::Service, Counted::Cpu, requests));
            sdk.push(run(Way::Sdk, Counted::Cpu, requests));
        }
        let allocations = |way| run(way, Counted::Allocations, requests / 4);
        table.add_row([
            documents.to_string(),
            spread(&mut service),
            spread(&mut sdk),
            format!("{:.2}", median(&mut sdk) / median(&mut service)),
            format!("{:.1}", allocations(Way::Service)),
            format!("{:.1}", allocations(Way::Sdk)),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("a document, median (least to most) of {} rounds\n{table}", arguments.rounds.max(1));
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn spread(values: &mut [f64]) -> String {
    let median = median(values);
    format!("{median:.1} ({:.1} to {:.1})", values[0], values[values.len() - 1])
}
