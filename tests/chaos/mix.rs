//! Everything at once, at random: the soak, which has three brokers of its own besides, to kill them.
//!
//! Two things let an older content of a document win over a newer one, and are said to in docs/operations.md: a
//! request whose time is over may still land, and so may those of a process that has lost its partitions without
//! knowing. So these faults come where each id has one content, and ids with several come without these faults.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;
use streamproc::sandbox::{CosmosOptions, Effect, Fault};

use crate::brokers::{cluster, lose_one_of_three};
use crate::network::STORM;
use crate::regions::{FAR, NEAR, announced, of_two_regions, split};
use crate::scenario::{devices, is_soak, length};
use crate::stage::Layout;
use crate::stage::flow::Mix;
use crate::support::proxy::{Proxy, Weather};
use crate::world::{Plan, World};

/// The longest pause between two faults.
const PAUSE: Duration = Duration::from_secs(4);

/// What is provisioned is found out again within half a minute (docs/adr/0023), and then there is a backlog.
const RECOVERY: Duration = Duration::from_secs(90);

/// Request units a second, more than the mix needs, and a part of what it needs.
const PLENTY: u64 = 1_000_000;
const SCARCE: u64 = 3_000;

#[test]
fn everything() {
    let plan = Plan::new("everything").of_one_content_each();
    let network = Arc::new(Proxy::new());
    let layout = Layout { cosmos_proxy: Some(Arc::clone(&network)), ..plan.layout };
    play(Plan { layout, ..plan }, Some(&network));
}

#[test]
fn everything_with_updates() {
    let plan = Plan::new("everything_with_updates");
    play(of_two_regions(plan), None);
}

/// With what lands late, that is with a network to Cosmos DB that may be bad; or without it, and with another region.
fn play(plan: Plan, network: Option<&Proxy>) {
    // In a soak one machine has to carry all of it: requests of several events cost it less.
    let (per_second, in_a_row) = if is_soak() { (1_200, 20) } else { (600, 1) };
    let plan = plan.set("cosmos", "request_timeout = \"3s\"").set("dead_letter", "oversize = \"pause\"");
    let layout = Layout {
        partitions: 12,
        unique_keys: vec!["/serial".into()],
        throughput: Some(PLENTY),
        ..plan.layout
    };
    let plan = Plan {
        layout,
        processes: 3,
        mix: Mix { devices: devices(200), per_second, in_a_row, ..plan.mix },
        recovery: RECOVERY,
        ..plan
    };
    let mut world = if is_soak() { plan.begin_on(cluster(3)) } else { plan.begin() };
    let until = length(Duration::from_secs(20));
    while world.age() < until {
        something(&mut world, network);
        world.pass(PAUSE);
    }
    world.stage.cosmos().faults().clear();
    world.is_calm();
    world.wait_until_caught_up(RECOVERY);
    world.wait_until_ready();
    world.end();
}

/// One fault, of any kind.
fn something(world: &mut World, network: Option<&Proxy>) {
    let is_late = network.is_some();
    match world.random.random_range(0..14) {
        0 | 1 => {
            let which = world.any();
            world.kill(which);
        }
        2 => {
            let which = world.any();
            world.roll(which);
        }
        3 => {
            world.add();
            world.pass(PAUSE);
            world.leave();
        }
        4 if is_late => {
            let which = world.any();
            world.freeze(which, true);
            // Longer than a session, or not.
            world.pass(Duration::from_secs(10));
            world.freeze(which, false);
        }
        5 => {
            // No dead letter fits any more.
            world.stage.set_largest_letter(100);
            world.faults += 1;
            world.pass(PAUSE);
            world.stage.set_largest_letter(1 << 20);
        }
        7 => {
            world.stage.cosmos().set_throughput(SCARCE);
            world.faults += 1;
            world.pass(PAUSE);
            world.stage.cosmos().set_throughput(PLENTY);
        }
        8 => {
            let whole = world.random.random_range(0..CosmosOptions::default().physical_partitions);
            split(world, whole);
        }
        9 | 10 => {
            if let Some(network) = network {
                network.turn(STORM);
                world.faults += 1;
                world.pass(PAUSE);
                world.faults += network.cut();
                network.turn(Weather::default());
            } else {
                announced(world, FAR);
                announced(world, NEAR);
            }
        }
        // A broker that dies may cost a process its partitions without its knowing.
        6 if is_late && is_soak() => lose_one_of_three(world),
        _ => sicken(world, is_late),
    }
}

/// Cosmos DB falls ill for up to three seconds.
fn sicken(world: &mut World, is_late: bool) {
    let answer = |(status, substatus)| Effect::Answer {
        status,
        substatus,
        retry_after: Some(Duration::from_millis(50)),
        after_work: false,
    };
    let answers = [(401, 0), (403, 5300), (404, 1003), (408, 0), (410, 0), (429, 3200), (449, 0), (503, 0)];
    let effect = match world.random.random_range(0..5) {
        0 => Effect::DropResponse,
        1 => Effect::DropRequest,
        2 => Effect::Hang(Duration::from_secs(if is_late { 4 } else { 1 })),
        _ => answer(answers[world.random.random_range(0..answers.len())]),
    };
    let until = Instant::now() + Duration::from_millis(world.random.random_range(200..3_000));
    world.stage.cosmos().faults().add(Fault { until: Some(until), ..Fault::new(effect) });
    world.faults += 1;
}
