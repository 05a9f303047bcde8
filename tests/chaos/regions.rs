//! Cosmos DB moves what it holds, under the stream.

use std::collections::VecDeque;
use std::time::Duration;

use crate::scenario::length;
use crate::stage::{Layout, block_on_runtime};
use crate::world::Plan;

/// How many physical partitions the container begins with.
const AT_FIRST: u32 = 4;

/// How often they are split: each once, and one of the halves.
const SPLITS: u32 = 5;

/// The container outgrows its physical partitions, which are split one after the other. While one is, Cosmos DB takes no
/// writes in it, and afterwards the client knows it by a name that is no more.
#[test]
fn partition_split() {
    let plan = Plan::new("partition_split");
    let plan = Plan { layout: Layout { physical_partitions: AT_FIRST, ..plan.layout }, ..plan };
    let mut world = plan.begin();
    let cosmos = world.stage.cosmos();
    let (database, container) = (cosmos.database().to_owned(), cosmos.containers()[0].name.clone());
    let store = cosmos.store();
    let mut partitions: VecDeque<u32> = (0..AT_FIRST).collect();
    let between = length(Duration::from_secs(10)) / SPLITS;
    for _ in 0..SPLITS {
        let whole = partitions.pop_front().expect("one is left");
        let middle =
            store.midpoint_split_epk(&database, &container, whole).expect("a partition of the container");
        let lock = Duration::from_millis(500);
        let halves =
            block_on_runtime(store.split_partition_and_wait(&database, &container, whole, middle, lock));
        partitions.extend(halves.expect("it is split"));
        world.faults += 1;
        world.pass(between);
    }
    world.is_calm();
    world.end();
}
