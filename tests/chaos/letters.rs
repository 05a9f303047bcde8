//! Bad events in the stream, and a dead-letter topic that does not take them.

use std::time::Duration;

use crate::scenario::length;
use crate::stage::flow::{Fate, Mix};
use crate::stage::{SOON, held};
use crate::world::Plan;

/// One event in a hundred is none, of several kinds: just these become dead letters, each once, and nobody waits.
#[test]
fn poison() {
    let plan = Plan::new("poison").of_good_events();
    let world = Plan { mix: Mix { bad: 0.01, ..plan.mix }, ..plan }.begin();
    std::thread::sleep(length(Duration::from_secs(8)));
    for process in &world.processes {
        assert_eq!(held::conditions(process), Ok(Vec::new()), "a bad event holds nobody");
    }
    let acknowledged = world.acknowledged();
    let report = world.end();
    let bad = acknowledged.lock().values().flatten().filter(|sent| sent.fate == Fate::Bad).count();
    assert!(bad > report.events / 200, "{bad} of {} events are bad", report.events);
    assert_eq!(report.letters, bad, "{report:#?}");
}

/// The dead-letter topic takes nothing for a while, and a process is killed meanwhile. No commit passes
/// a bad event before its letter is acknowledged: the watch sees to that. Letters come whole, or not at all.
#[test]
fn letters_unavailable() {
    let mut world = Plan::new("letters_unavailable").set("dead_letter", "oversize = \"pause\"").begin();
    std::thread::sleep(Duration::from_secs(1));
    world.stage.set_largest_letter(100);
    world.faults += 1;
    let topic = world.stage.dead_letters.clone();
    for process in &world.processes {
        held::wait_for(process, "dead_letters_unavailable", &[&topic], SOON);
    }
    let which = world.any();
    world.kill(which);
    std::thread::sleep(length(Duration::from_secs(5)));
    world.stage.set_largest_letter(1 << 20);
    world.is_calm();
    for process in &world.processes {
        held::wait_until_ready(process, SOON);
    }
    world.end();
}
