//! A container that takes not everything, or is not the one that the configuration means.

use std::time::Duration;

use crate::scenario::length;
use crate::stage::flow::Mix;
use crate::stage::held;
use crate::stage::{Layout, SOON};
use crate::world::Plan;

/// The device whose logical partition is full.
const FULL: usize = 7;

/// One device's logical partition has no room. All of its events become dead letters with that reason, also when they
/// come in batches and when a process is killed over them; of the other devices not one does.
#[test]
fn full_key() {
    let plan = Plan::new("full_key");
    let mut world = Plan { mix: Mix { devices: 300, full: Some(FULL), ..plan.mix }, ..plan }.begin();
    let until = length(Duration::from_secs(8));
    while world.age() < until {
        world.pass(Duration::from_secs(4));
        let which = world.any();
        world.kill(which);
        world.wait_until_shared();
    }
    let full = world.acknowledged().lock().values().flatten().filter(|sent| sent.device == FULL).count();
    let report = world.end();
    assert!(full > 10 && report.letters >= full, "{full} events for a full partition: {report:#?}");
}

/// Somebody makes the container again with another partition key, and then as it should be. Meanwhile nothing
/// is stored, committed or a dead letter.
#[test]
fn key_changed() {
    let layout = Layout { unique_keys: vec!["/serial".into()], ..Layout::default() };
    let mut world = Plan { layout, ..Plan::new("key_changed").of_good_events() }.begin();
    std::thread::sleep(Duration::from_secs(2));
    world.stage.delete_container();
    world.forget_what_was_stored();
    for process in &world.processes {
        held::wait_for(process, "container_missing", &["cosmos.container"], SOON);
    }
    world.stage.create_container_with(&["/type".into()]);
    world.faults += 1;
    for process in &world.processes {
        held::wait_for(process, "partition_key_mismatch", &["/type", "/deviceId"], SOON);
    }
    let before = world.committed();
    std::thread::sleep(length(Duration::from_secs(5)));
    assert_eq!(world.committed(), before, "nothing is committed meanwhile");
    assert!(world.stage.documents().is_empty(), "nothing is stored in the wrong container");
    world.stage.delete_container();
    world.stage.create_container();
    world.is_calm();
    world.wait_until_ready();
    let report = world.end();
    assert_eq!(report.letters, 0, "{report:#?}");
}
