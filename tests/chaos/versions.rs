//! Two releases in one group while one is rolled out, and back.
//!
//! There is one release so far. Until there is a second one to fetch, another configuration of the same program
//! stands in for it: one that fetches, cuts and writes differently. That two programs understand each other this
//! does not show.

use std::time::Duration;

use crate::scenario::length;
use crate::world::{Plan, World};

/// What the next release does differently.
const NEXT: [(&str, &str); 4] = [
    ("kafka", "workers = 3"),
    ("trigger", "max_events_per_trigger = 150"),
    ("trigger", "interval = \"20ms\""),
    ("trigger", "max_bytes = \"16MiB\""),
];

fn roll_out(world: &mut World, settings: &[(&str, &str)]) {
    world.configure(settings);
    for which in 0..world.processes.len() {
        world.replace(which);
        world.wait_until_shared();
    }
}

#[test]
fn rolled_out_and_back() {
    let mut world = Plan::new("rolled_out_and_back").of_good_events().begin();
    let until = length(Duration::from_secs(10));
    loop {
        roll_out(&mut world, &NEXT);
        roll_out(&mut world, &[]);
        if world.age() >= until {
            break;
        }
    }
    let report = world.end();
    assert_eq!(report.repetitions, 0, "who is told to end leaves nothing undone: {report:#?}");
}
