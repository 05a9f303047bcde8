//! One partition that gets nowhere costs the others next to nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use streamproc::sandbox::{Effect, Fault};

use crate::scenario::length;
use crate::stage::SOON;
use crate::support::wait;
use crate::world::{Plan, World};

/// The device whose requests hang.
const SLOW: usize = 0;

/// How far the partitions have come, but for one: what was sent, and what is committed.
fn progress(world: &World, but: i32) -> (i64, i64) {
    let sum = |offsets: BTreeMap<i32, i64>| {
        offsets.iter().filter(|(partition, _)| **partition != but).map(|(_, offset)| offset).sum()
    };
    (sum(world.acknowledged().ends()), sum(world.committed()))
}

/// Each request of one device takes longer than it may. Its partition stands still, and the others keep nineteen
/// twentieths of their pace.
#[test]
fn slow_partition() {
    let mut world =
        Plan::new("slow_partition").set("cosmos", "request_timeout = \"5s\"").of_good_events().begin();
    let slow = wait::until(SOON, "an event of the slow device", || {
        let acknowledged = world.acknowledged();
        let partitions = acknowledged.lock();
        let of_slow = |(partition, sent): (&i32, &Vec<_>)| has_slow(sent).then_some(*partition);
        partitions.iter().find_map(of_slow)
    });
    world.stage.cosmos().faults().add(Fault {
        partition_key: Some(format!("device-{SLOW}")),
        ..Fault::new(Effect::Hang(Duration::from_secs(8)))
    });
    world.faults += 1;
    wait::until(SOON, "the others to have caught up", || {
        let (sent, committed) = progress(&world, slow);
        (sent - committed < 600).then_some(())
    });
    let (begun_sent, begun) = progress(&world, slow);
    let held_at = world.committed()[&slow];
    std::thread::sleep(length(Duration::from_secs(10)));
    let (sent, committed) = progress(&world, slow);
    let (sent, committed) = (sent - begun_sent, committed - begun);
    assert!(committed * 20 >= sent * 19, "of {sent} events of the others {committed} are done");
    let of_slow = world.committed()[&slow] - held_at;
    assert!(
        of_slow * 10 < sent,
        "the slow partition has come on by {of_slow}, the others by {sent}: it is not slow"
    );
    world.stage.cosmos().faults().clear();
    world.is_calm();
    world.end();
}

fn has_slow(sent: &[crate::stage::flow::Sent]) -> bool {
    sent.iter().any(|sent| sent.device == SLOW)
}
