//! Bad events in the stream, and a dead-letter topic that does not take them.

use std::time::Duration;

use rand::Rng;

use crate::brokers::cluster;
use crate::scenario::length;
use crate::stage::flow::{Acknowledged, Fate, Mix};
use crate::stage::{Layout, SOON, held};
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
    let bad = bad(&acknowledged);
    assert!(bad > report.events / 200, "{bad} of {} events are bad", report.events);
    assert_eq!(report.letters, bad, "{report:#?}");
}

fn bad(acknowledged: &Acknowledged) -> usize {
    acknowledged.lock().values().flatten().filter(|sent| sent.fate == Fate::Bad).count()
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
    world.wait_until_ready();
    world.end();
}

/// The dead-letter topic wants all three replicas in sync, and a broker is away for a while: Kafka refuses letters
/// (`NOT_ENOUGH_REPLICAS`), or acknowledges none; the partitions with bad events wait and say why. Just the bad events
/// become dead letters.
#[test]
fn letters_lack_replicas() {
    let cluster = cluster(3);
    let plan = Plan::new("letters_lack_replicas").of_good_events();
    let layout = Layout { dead_letter_settings: &[("min.insync.replicas", "3")], ..plan.layout };
    let mix = Mix { bad: 0.01, ..plan.mix };
    let plan = Plan { layout, mix, recovery: Duration::from_mins(1), ..plan };
    let mut world = plan.begin_on(cluster);
    std::thread::sleep(Duration::from_secs(1));
    let letters = world.stage.dead_letters.clone();
    cluster.wait_for_in_sync(&letters, 0, 3, SOON);
    let node = world.random.random_range(1..=3);
    cluster.kill(node);
    world.faults += 1;
    for process in &world.processes {
        held::wait_for(process, "dead_letters_unavailable", &[&letters], SOON);
    }
    std::thread::sleep(length(Duration::from_secs(3)));
    cluster.start_again(node);
    cluster.wait_for_in_sync(&letters, 0, 3, SOON);
    world.is_calm();
    world.wait_until_ready();
    let acknowledged = world.acknowledged();
    let report = world.end();
    let bad = bad(&acknowledged);
    assert!(bad > report.events / 200, "{bad} of {} events are bad", report.events);
    // A broker may have appended what it did not acknowledge: then the letter is there twice.
    assert!(report.letters >= bad, "{report:#?}");
}
