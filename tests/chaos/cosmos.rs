//! Cosmos DB is away, slow, throttled, forbids, forgets, and answers lies.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::Rng;
use streamproc::sandbox::{Effect, Fault};

use crate::scenario::length;
use crate::stage::flow::Mix;
use crate::stage::held;
use crate::stage::{Layout, SOON};
use crate::support::service::Service;
use crate::support::wait;
use crate::world::{Plan, World};

fn answer(status: u16, substatus: u32) -> Effect {
    Effect::Answer { status, substatus, retry_after: None, after_work: false }
}

/// Everything fails so for a while; it is said meanwhile, and nobody leaves the group for it.
fn all_fails(world: &mut World, effect: Effect, reason: &str, length: Duration) {
    let before = rebalances_at_rest(world);
    let begun = Instant::now();
    world.stage.cosmos().faults().add(Fault::new(effect));
    world.faults += 1;
    for process in &world.processes {
        held::wait_for(process, reason, &[], SOON);
    }
    std::thread::sleep(length.saturating_sub(begun.elapsed()));
    world.stage.cosmos().faults().clear();
    world.is_calm();
    assert_eq!(rebalances(world), before, "a sick Cosmos DB moves no partition");
}

/// Their count once the group has come to rest: workers may join one after the other.
fn rebalances_at_rest(world: &World) -> BTreeMap<usize, u64> {
    let (mut last, mut since) = (rebalances(world), Instant::now());
    wait::until(SOON, "a group at rest", || {
        let now = rebalances(world);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        (since.elapsed() >= Duration::from_secs(4)).then_some(())
    });
    last
}

fn rebalances(world: &World) -> BTreeMap<usize, u64> {
    let count = |service: &Service| service.metric("streamproc_rebalances_total", &[]).unwrap_or(0.0) as u64;
    world.processes.iter().map(count).enumerate().collect()
}

/// In a soak of six minutes or more, for longer than a Kafka client may go without polling
/// (`max.poll.interval.ms`: five minutes, and no setting makes it less); in the short form, for longer than the pauses
/// between a lane's tries grow, and than the group's session.
#[test]
fn outage() {
    let plan = Plan::new("outage");
    let mix = Mix { per_second: 300, ..plan.mix };
    let mut world = Plan { recovery: Duration::from_secs(10), mix, ..plan }.begin();
    all_fails(&mut world, answer(503, 0), "server_error", length(Duration::from_secs(25)));
    world.end();
}

#[test]
fn signed_out() {
    let mut world = Plan::new("signed_out").begin();
    for (status, substatus, reason) in [(401, 0, "sign_in"), (403, 5300, "forbidden")] {
        all_fails(&mut world, answer(status, substatus), reason, length(Duration::from_secs(5)) / 2);
        world.wait_until_ready();
    }
    world.end();
}

#[test]
fn unreachable() {
    let mut world = Plan::new("unreachable").begin();
    all_fails(&mut world, Effect::DropRequest, "transport", length(Duration::from_secs(8)));
    world.end();
}

/// Requests are carried out and not answered, answered late, or answered with an error all the same; and answered
/// with every error that passes.
#[test]
fn lost_responses() {
    // A throttled answer that is a lie makes for a pace that is too slow, for a while (docs/adr/0023).
    let plan = Plan { recovery: Duration::from_mins(2), ..Plan::new("lost_responses") };
    let mut world = plan.of_one_content_each().set("cosmos", "request_timeout = \"2s\"").begin();
    let until = length(Duration::from_secs(12));
    while world.age() < until {
        let after_work = world.random.random_bool(0.5);
        let errors = [(408, 0), (410, 0), (429, 3200), (449, 0), (500, 0), (503, 0), (403, 3), (404, 1002)];
        let (status, substatus) = errors[world.random.random_range(0..errors.len())];
        let effect = match world.random.random_range(0..4) {
            0 => Effect::DropResponse,
            1 => Effect::Hang(Duration::from_millis(world.random.random_range(100..4_000))),
            2 => Effect::DropRequest,
            _ => {
                Effect::Answer { status, substatus, retry_after: Some(Duration::from_millis(20)), after_work }
            }
        };
        let times = Some(world.random.random_range(1..6));
        world.stage.cosmos().faults().add(Fault { times, ..Fault::new(effect) });
        world.faults += 1;
        world.pass(Duration::from_millis(100));
    }
    world.stage.cosmos().faults().clear();
    world.end();
}

/// A tenth of the request units that the load needs, then enough.
#[test]
fn throttled() {
    let plan = Plan {
        layout: Layout {
            throughput: Some(100_000),
            unique_keys: vec!["/serial".into()],
            ..Layout::default()
        },
        recovery: Duration::from_secs(90),
        ..Plan::new("throttled")
    };
    let mut world = plan.begin();
    let of_load = |world: &World| {
        let spent: f64 = world
            .processes
            .iter()
            .map(|service| service.metric("streamproc_request_units_total", &[]).unwrap_or(0.0))
            .sum();
        spent / world.age().as_secs_f64()
    };
    std::thread::sleep(Duration::from_secs(5));
    let needed = of_load(&world);
    assert!(needed > 100.0, "{needed} RU/s");
    world.stage.cosmos().set_throughput((needed / 10.0) as u64);
    world.faults += 1;
    std::thread::sleep(length(Duration::from_secs(10)));
    for process in &world.processes {
        let throttled = process.metric("streamproc_store_throttled_total", &[]);
        assert!(throttled.is_some_and(|requests| requests > 0.0), "{throttled:?} requests were throttled");
    }
    world.stage.cosmos().set_throughput(100_000);
    // What is provisioned is found out again within half a minute (docs/adr/0023).
    world.is_calm();
    world.end();
}

/// The container is deleted with all that is in it, and made again. What was stored before is gone by the user's
/// doing; from the first event after that on, everything is stored.
#[test]
fn container_made_again() {
    let mut world = Plan::new("container_made_again").of_good_events().begin();
    std::thread::sleep(length(Duration::from_secs(2)));
    world.stage.delete_container();
    // What is acknowledged from now on was not in it.
    world.forget_what_was_stored();
    world.faults += 1;
    for process in &world.processes {
        held::wait_for(process, "container_missing", &["cosmos.container"], SOON);
    }
    world.stage.create_container();
    world.is_calm();
    world.end();
}
