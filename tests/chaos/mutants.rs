//! The oracle itself is tested: each defect of `src/core/mutant.rs` has to be found, each in a situation in which
//! it matters. [`Mutant::IgnoresDoubts`] is left to simulations: what librdkafka does after it could not read something
//! is not to be relied on (docs/adr/0007), and a broken batch that it fetches again and again harms nobody.
//!
//! These tests are for the build that has the defects: `cargo test --features mutants --test chaos mutants`.

use std::time::Duration;

use streamproc::core::mutant::Mutant;
use streamproc::sandbox::{Effect, Fault};

use crate::scenario::Report;
use crate::stage::SOON;
use crate::stage::flow::Mix;
use crate::stage::members;
use crate::support::wait;
use crate::world::{Plan, World};

/// Few devices, whose events meet in micro-batches of a second.
fn crowded(name: &'static str) -> Plan {
    let plan = Plan::new(name).set("trigger", "interval = \"1s\"");
    Plan { processes: 1, mix: Mix { devices: 6, per_second: 300, ..plan.mix }, ..plan }
}

/// What the oracle has to find: by how much the rules are broken that the defect breaks.
type Breach = fn(&Report) -> usize;

/// A1: something is lost.
const LOST: Breach = |report| report.lost;

/// A2: an older content, or none that was sent.
const OLD: Breach = |report| report.overwritten + report.different;

/// A3: a commit went too far, or back.
const TOO_FAR: Breach = |report| report.commits_too_far;

/// Plays a situation with a defect in the service; the oracle has to find what it does.
#[track_caller]
fn assert_caught(mutant: Mutant, breach: Breach, plan: Plan, situation: impl FnOnce(&mut World)) {
    let mut world = Plan { mutant: Some(mutant), ..plan }.begin();
    situation(&mut world);
    world.stage.cosmos().faults().clear();
    let (report, found) = world.judged();
    assert!(breach(&report) > 0, "{mutant:?} was not found: {report:#?}");
    println!("{mutant:?}: {found}");
}

/// Something goes wrong with all writes of a device, or with all, for so long.
fn sicken(world: &mut World, device: Option<usize>, effect: Effect, length: Duration) {
    let partition_key = device.map(|device| format!("device-{device}"));
    world.stage.cosmos().faults().add(Fault { partition_key, ..Fault::new(effect) });
    world.faults += 1;
    std::thread::sleep(length);
    world.stage.cosmos().faults().clear();
}

const SHORT: Duration = Duration::from_secs(4);

#[test]
fn commits_before_writes() {
    assert_caught(Mutant::CommitsBeforeWrites, TOO_FAR, Plan::new("commits_before_writes"), |world| {
        sicken(world, None, Effect::Hang(SHORT), SHORT);
    });
}

#[test]
fn commits_past_gaps() {
    assert_caught(Mutant::CommitsPastGaps, TOO_FAR, Plan::new("commits_past_gaps"), |world| {
        sicken(world, Some(0), Effect::Hang(SHORT), SHORT);
    });
}

#[test]
fn ignores_epochs() {
    assert_caught(
        Mutant::IgnoresEpochs,
        TOO_FAR,
        Plan::new("ignores_epochs").of_one_content_each(),
        |world| {
            for _ in 0..2 {
                world.freeze(0, true);
                let partitions = world.partitions;
                wait::until(SOON, "the other to have taken over", || {
                    (members::owned(&world.processes[1]) == partitions).then_some(())
                });
                world.freeze(0, false);
                std::thread::sleep(SHORT);
            }
        },
    );
}

#[test]
fn drops_throttled() {
    let effect = Effect::Answer { status: 429, substatus: 3200, retry_after: None, after_work: false };
    assert_caught(Mutant::DropsThrottled, LOST, Plan::new("drops_throttled"), |world| {
        sicken(world, None, effect, SHORT / 2);
    });
}

#[test]
fn trusts_letters_unacknowledged() {
    let plan = Plan::new("trusts_letters_unacknowledged");
    assert_caught(Mutant::TrustsLettersUnacknowledged, LOST, plan, |world| {
        // Not even a letter without its value.
        world.stage.set_largest_letter(100);
        std::thread::sleep(SHORT);
        world.stage.set_largest_letter(1 << 20);
    });
}

#[test]
fn ignores_refused_operations() {
    let plan = crowded("ignores_refused_operations");
    let plan = Plan { mix: Mix { refused: 0.05, ..plan.mix }, ..plan };
    assert_caught(Mutant::IgnoresRefusedOperations, LOST, plan, |_| std::thread::sleep(SHORT));
}

#[test]
fn loses_the_tail() {
    assert_caught(Mutant::LosesTheTail, LOST, crowded("loses_the_tail"), |world| {
        std::thread::sleep(SHORT);
        world.roll(0);
    });
}

#[test]
fn older_wins() {
    let plan = crowded("older_wins");
    let plan = Plan { mix: Mix { updates: 0.3, ..plan.mix }, ..plan };
    assert_caught(Mutant::OlderWins, OLD, plan, |_| std::thread::sleep(SHORT));
}

#[test]
fn forgets_superseded() {
    let plan = crowded("forgets_superseded");
    let plan = Plan { mix: Mix { refused: 0.05, ..plan.mix }, ..plan };
    assert_caught(Mutant::ForgetsSuperseded, LOST, plan, |_| std::thread::sleep(SHORT));
}

#[test]
fn trusts_timeouts() {
    let effect = Effect::Answer { status: 408, substatus: 0, retry_after: None, after_work: false };
    assert_caught(Mutant::TrustsTimeouts, LOST, Plan::new("trusts_timeouts"), |world| {
        sicken(world, None, effect, SHORT / 2);
    });
}

/// For each partition that has events, an offset in the middle of what is not committed; the service rests.
fn middles(world: &World) -> Vec<(i32, i64)> {
    let (cluster, topic) = (world.stage.cluster, &world.stage.topic);
    let committed = cluster.committed(&world.stage.group, topic);
    let middle = |(partition, at): (i32, i64)| {
        wait::until(SOON, "some events", || {
            let (_, high) = cluster.watermarks(topic, partition);
            (high >= at + 20).then_some((partition, at + 10))
        })
    };
    committed.into_iter().filter(|(_, at)| *at > 0).map(middle).collect()
}

#[test]
fn jumps_silently() {
    assert_caught(Mutant::JumpsSilently, LOST, crowded("jumps_silently"), |world| {
        std::thread::sleep(SHORT / 2);
        world.rest(0, |world| {
            for (partition, middle) in middles(world) {
                world.stage.cluster.delete_records(&world.stage.topic, partition, middle);
            }
        });
    });
}
