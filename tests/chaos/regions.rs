//! Cosmos DB moves what it holds, under the stream.

use std::collections::VecDeque;
use std::time::Duration;

use crate::scenario::length;
use crate::stage::{Layout, SOON, block_on_runtime, held};
use crate::world::{Plan, World};

/// How many physical partitions the container begins with.
const AT_FIRST: u32 = 4;

/// How often they are split: each once, and one of the halves.
const SPLITS: u32 = 5;

/// The regions of an account that has two. The first one is nearest to the service.
pub(super) const NEAR: &str = "West Europe";
pub(super) const FAR: &str = "North Europe";

/// The container outgrows its physical partitions, which are split one after the other. While one is, Cosmos DB takes no
/// writes in it, and afterwards the client knows it by a name that is no more.
#[test]
fn partition_split() {
    let plan = Plan::new("partition_split");
    let plan = Plan { layout: Layout { physical_partitions: AT_FIRST, ..plan.layout }, ..plan };
    let mut world = plan.begin();
    let mut partitions: VecDeque<u32> = (0..AT_FIRST).collect();
    let between = length(Duration::from_secs(10)) / SPLITS;
    for _ in 0..SPLITS {
        let whole = partitions.pop_front().expect("one is left");
        partitions.extend(split(&mut world, whole).expect("a partition of the container"));
        world.pass(between);
    }
    world.is_calm();
    world.end();
}

/// Splits a physical partition and names the halves, if it is there.
pub(super) fn split(world: &mut World, whole: u32) -> Option<Vec<u32>> {
    let cosmos = world.stage.cosmos();
    let (database, container) = (cosmos.database(), &cosmos.containers()[0].name);
    let store = cosmos.store();
    let middle = store.midpoint_split_epk(database, container, whole).ok()?;
    let lock = Duration::from_millis(500);
    let halves = block_on_runtime(store.split_partition_and_wait(database, container, whole, middle, lock));
    world.faults += 1;
    Some(halves.expect("it is split"))
}

/// The write region changes: by order, by an outage, and back again. Nobody restarts the service.
///
/// The account has two regions, one of which takes the writes, at an address each; a third address is the account's own
/// and leads to the region that takes the writes. As with the real service, the region that has handed over answers
/// writes with 403/3 while the account still names it, an account that fails over names both for a while, and a region
/// that is offline is named no more and cannot be reached.
///
/// Unlike it, a write is in both regions before it is answered. That is so with strong consistency alone: with any other,
/// an outage takes what was not replicated yet, which had been acknowledged to the service, and nobody but the one who
/// has Kafka's records can tell; so no rule of the oracle could hold. And the account's name leads elsewhere at once, not
/// when caches of DNS have expired; and Microsoft or an operator decides here after seconds that a region is offline.
#[test]
fn region_failover() {
    let plan = of_two_regions(Plan::new("region_failover"));
    let mut world = Plan { recovery: Duration::from_mins(1), ..plan }.begin();
    let until = length(Duration::from_secs(8));
    loop {
        hand_over(&mut world, FAR);
        writes_without(&world, NEAR);
        hand_over(&mut world, NEAR);
        writes_without(&world, FAR);
        lose_near(&mut world);
        if world.age() >= until {
            break;
        }
    }
    world.wait_until_ready();
    world.end();
}

/// On an account that has both regions, of which the service knows.
pub(super) fn of_two_regions(plan: Plan) -> Plan {
    let layout = Layout { further_regions: vec![FAR.into()], ..plan.layout };
    Plan { layout, ..plan }.set("cosmos", &format!("regions = [{NEAR:?}, {FAR:?}]"))
}

/// An operator has another region write: it is announced, done while the account names both, and done with.
fn hand_over(world: &mut World, to: &str) {
    announced(world, to);
    world.is_calm();
    world.wait_until_caught_up(SOON);
}

/// The same, and nobody waits for what was sent meanwhile.
pub(super) fn announced(world: &mut World, to: &str) {
    let store = world.stage.cosmos().store();
    store.announce_failover(to).expect("a region of the account");
    world.pass(Duration::from_secs(1));
    store.begin_failover(to).expect("a region of the account");
    world.pass(Duration::from_secs(2));
    store.complete_failover();
    world.faults += 1;
}

/// The near region is gone at once. The account has it write for some seconds more, until it is taken offline; then it
/// comes back, and writes again.
fn lose_near(world: &mut World) {
    let store = world.stage.cosmos().store();
    reachable(world, NEAR, false);
    world.faults += 1;
    for process in &world.processes {
        held::wait_for(process, "transport", &["Connection refused"], SOON);
    }
    let before = world.committed();
    world.pass(Duration::from_secs(2));
    assert_eq!(world.committed(), before, "nobody takes writes");
    store.set_region_offline(NEAR).expect("a region of the account");
    world.wait_until_caught_up(SOON);
    world.wait_until_ready();
    reachable(world, NEAR, true);
    store.set_region_online(NEAR).expect("a region of the account");
    hand_over(world, NEAR);
    writes_without(world, FAR);
}

/// The service does not need the other region.
fn writes_without(world: &World, region: &str) {
    reachable(world, region, false);
    world.wait_until_caught_up(SOON);
    reachable(world, region, true);
}

fn reachable(world: &World, region: &str, reachable: bool) {
    world.stage.cosmos().set_reachable(region, reachable).expect("a region of the account");
}
