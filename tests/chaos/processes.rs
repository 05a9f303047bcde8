//! Processes of the service are killed, rolled, frozen, and come and go.

use std::time::{Duration, Instant};

use rand::Rng;
use streamproc::sandbox::{Effect, Fault};

use crate::scenario::{is_soak, length};
use crate::stage::flow::Mix;
use crate::stage::{SOON, members};
use crate::support::wait;
use crate::world::{Plan, World};

/// Long enough for a frozen process to be given up: the session timeout of the stage is 6 s.
const SESSION: Duration = Duration::from_secs(20);

/// In the short form, and mostly in a soak, nobody waits until the group has missed the heartbeats of who was killed.
fn hurry(world: &mut World) {
    if !is_soak() || world.random.random_bool(0.7) {
        world.stage.cluster.expel_all(&world.stage.group);
    }
}

#[test]
fn kill_nine() {
    let mut world = Plan::new("kill_nine").begin();
    let until = length(Duration::from_secs(14));
    while world.age() < until {
        // Some of them while it starts or joins.
        if world.random.random_bool(0.7) {
            world.wait_until_shared();
        }
        world.pass(Duration::from_secs(2));
        let which = world.any();
        world.kill(which);
        hurry(&mut world);
    }
    world.end();
}

#[test]
fn rolling_restart() {
    let mut world = Plan { processes: 3, ..Plan::new("rolling_restart").of_good_events() }.begin();
    let until = length(Duration::from_secs(12));
    while world.age() < until {
        for which in 0..world.processes.len() {
            world.roll(which);
            world.is_calm();
            world.wait_until_shared();
        }
    }
    let report = world.end();
    assert_eq!(report.repetitions, 0, "who is told to end leaves nothing undone: {report:#?}");
}

/// An id has one content here. What a write in flight can still overwrite when there are several is measured by
/// itself (docs/reliability.md).
#[test]
fn zombie() {
    let mut world = Plan::new("zombie").of_good_events().begin();
    let until = length(Duration::from_secs(1));
    loop {
        let which = world.any();
        world.freeze(which, true);
        let others = world.partitions;
        wait::until(SESSION * 3, "the others to have taken over", || {
            let owned = |(at, service)| if at == which { 0 } else { members::owned(service) };
            (world.processes.iter().enumerate().map(owned).sum::<usize>() == others).then_some(())
        });
        world.freeze(which, false);
        world.is_calm();
        world.wait_until_shared();
        if world.age() >= until {
            break;
        }
    }
    world.end();
}

#[test]
fn come_and_go() {
    let mut world = Plan::new("come_and_go").begin();
    let until = length(Duration::from_secs(16));
    while world.age() < until {
        world.add();
        std::thread::sleep(Duration::from_secs(2));
        world.leave();
    }
    world.end();
}

/// After a kill every partition of the dead one has stored a new event within 20 s, with the default settings.
#[test]
fn failover() {
    let mut world = Plan::new("failover").set("kafka", "session_timeout = \"12s\"").begin();
    let topic = world.stage.topic.clone();
    // Which they are stands in /metrics a moment after how many.
    let lost = wait::until(SOON, "the partitions of the one to be killed", || {
        let (lost, owned) = (members::partitions(&world.processes[1]), members::owned(&world.processes[1]));
        (lost.len() == owned && owned >= world.partitions / 2 - 1).then_some(lost)
    });
    world.lose();
    world.is_calm();
    let killed = Instant::now();
    let end = |partition: &i32| (*partition, world.stage.cluster.watermarks(&topic, *partition).1);
    let ends: Vec<_> = lost.iter().map(end).collect();
    wait::until_ok(Duration::from_secs(20), "an event of after the kill of each partition", || {
        let committed = world.stage.cluster.committed(&world.stage.group, &topic);
        let behind: Vec<_> = ends
            .iter()
            .filter(|(partition, end)| committed.get(partition).is_none_or(|at| at <= end))
            .collect();
        if behind.is_empty() { Ok(()) } else { Err(format!("{behind:?}, and {committed:?}")) }
    });
    println!("{} partitions taken over within {:.1} s", lost.len(), killed.elapsed().as_secs_f64());
    world.end();
}

/// What `docs/reliability.md` allows: a process that is given up while its writes hang may have an older content land on
/// a newer one. How often is counted here, with many updates and every write of the frozen one in flight; everything
/// else holds.
#[test]
fn zombie_with_updates() {
    let plan = Plan::new("zombie_with_updates").set("cosmos", "request_timeout = \"30s\"");
    let plan = Plan { mix: Mix { updates: 0.4, ..Mix::plain(60, 600) }, ..plan };
    let mut world = plan.begin();
    let hang = Duration::from_secs(14);
    let until = length(Duration::from_secs(1));
    loop {
        let which = world.any();
        let until_frozen = Some(Instant::now() + Duration::from_millis(500));
        world.stage.cosmos().faults().add(Fault { until: until_frozen, ..Fault::new(Effect::Hang(hang)) });
        std::thread::sleep(Duration::from_millis(500));
        world.freeze(which, true);
        std::thread::sleep(hang);
        world.freeze(which, false);
        world.wait_until_shared();
        if world.age() >= until {
            break;
        }
    }
    let (report, examples) = world.judged();
    println!(
        "{} of {} documents hold an older content than the newest",
        report.overwritten, report.documents
    );
    assert_eq!(report.breaches(), report.overwritten, "{report:#?}\n{examples}");
}
