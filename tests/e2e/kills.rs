//! Processes end, stand still or are killed while events keep coming: nothing is lost, nothing is
//! doubled, and what is committed is stored and never goes back.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::stage::flow::{Acknowledged, Flow};
use crate::stage::members::{kill, owned, terminate, wait_until_shared};
use crate::stage::watch::Watch;
use crate::stage::{Layout, SOON, Stage, events};
use crate::support::guard::Signal;
use crate::support::wait;

/// How often a service is killed.
const KILLS: usize = 20;

/// Everything that was sent is stored once, as it was sent.
#[track_caller]
fn assert_nothing_lost_or_doubled(stage: &Stage, sent: &Acknowledged) {
    assert_eq!(stage.assert_stored_as_sent(), sent.count());
}

/// Repeats an earlier run's instants, or takes new ones.
fn seed() -> u64 {
    let given = std::env::var("STREAMPROC_TEST_SEED").ok();
    let seed = given.map_or_else(rand::random, |seed| seed.parse().expect("a number"));
    println!("STREAMPROC_TEST_SEED={seed}");
    seed
}

#[test]
fn of_two_processes_one_is_terminated_and_one_is_killed() {
    let stage = Stage::new(Layout::default());
    let flow = Flow::start(&stage, 40, 600);
    let watch = Watch::start(&stage, flow.acknowledged());
    let (first, second) = (stage.service(&[]), stage.service(&[]));
    wait_until_shared(&[&first, &second], 6, 2);
    terminate(&first);
    assert_eq!(stage.cosmos().journal().unwrap().repetitions(), 0, "it left nothing undone");
    wait_until_shared(&[&second], 6, 6);
    let first = first.start_again();
    wait_until_shared(&[&first, &second], 6, 2);
    kill(&second);
    // Kafka has to miss its heartbeats first.
    wait_until_shared(&[&first], 6, 6);
    let sent = flow.stop();
    stage.wait_until_caught_up(&first, SOON);
    let seen = watch.end();
    assert_nothing_lost_or_doubled(&stage, &sent);
    let repetitions = stage.cosmos().journal().unwrap().repetitions();
    println!("{} events, {repetitions} written again, {} looks", sent.count(), seen.looks);
}

#[test]
fn a_process_that_stood_still_too_long_settles_and_commits_nothing_of_what_others_have_taken_up() {
    let stage = Stage::new(Layout::default());
    let flow = Flow::start(&stage, 40, 600);
    let watch = Watch::start(&stage, flow.acknowledged());
    let (first, second) = (stage.service(&[]), stage.service(&[]));
    wait_until_shared(&[&first, &second], 6, 2);
    first.signal(Signal::Stop);
    wait_until_shared(&[&second], 6, 6);
    first.signal(Signal::Continue);
    wait_until_shared(&[&first, &second], 6, 2);
    let sent = flow.stop();
    stage.wait_until_caught_up(&first, SOON);
    watch.end();
    assert_nothing_lost_or_doubled(&stage, &sent);
    terminate(&first);
    terminate(&second);
}

#[test]
fn twenty_kills_at_random_instants() {
    let mut random = StdRng::seed_from_u64(seed());
    let stage = Stage::new(Layout::default());
    let flow = Flow::start(&stage, 40, 800);
    let watch = Watch::start(&stage, flow.acknowledged());
    let mut service = stage.service(&[]);
    let mut at_work = 0;
    for _ in 0..KILLS {
        // A third of them while it starts or joins.
        if random.random_ratio(2, 3) {
            wait_until_shared(&[&service], 6, 6);
        }
        std::thread::sleep(Duration::from_millis(random.random_range(0..1_200)));
        at_work += usize::from(owned(&service) > 0);
        kill(&service);
        stage.cluster.expel_all(&stage.group);
        service = service.start_again();
    }
    let sent = flow.stop();
    stage.wait_until_caught_up(&service, SOON);
    let seen = watch.end();
    assert_nothing_lost_or_doubled(&stage, &sent);
    let repetitions = stage.cosmos().journal().unwrap().repetitions();
    println!(
        "{} events, {at_work} of {KILLS} kills at work, {repetitions} written again, {} looks",
        sent.count(),
        seen.looks
    );
    assert!(at_work >= KILLS / 3, "only {at_work} of {KILLS} kills met a service at work");
    assert!(repetitions > 0, "no kill came between a write and its commit");
}

#[test]
fn a_full_backlog_is_taken_up_where_it_was_left() {
    let stage = Stage::new(Layout::default());
    let (devices, each) = (300, 200);
    let places = stage.send(&events(devices, each));
    let names = (0..each).flat_map(|number| (0..devices).map(move |device| (device, number)));
    let sent = Acknowledged::of(&places, names);
    let watch = Watch::start(&stage, sent.clone());
    let journal = stage.cosmos().journal().unwrap();
    let some_more = || {
        let before = journal.documents();
        wait::until_ok(SOON, "some thousand more events", || {
            let now = journal.documents();
            if now >= before + 8_000 { Ok(()) } else { Err(format!("{before}, then {now}")) }
        });
        assert!(journal.documents() < devices * each, "it ends in the middle");
    };
    // Small micro-batches, so that each end meets several partitions in the middle of one.
    let service = stage.service(&[("trigger", "max_events_per_trigger = 500")]);
    some_more();
    terminate(&service);
    assert_eq!(journal.repetitions(), 0, "what was written is committed when it is told to end");
    let service = service.start_again();
    some_more();
    kill(&service);
    stage.cluster.expel_all(&stage.group);
    let service = service.start_again();
    stage.wait_until_caught_up(&service, SOON);
    watch.end();
    assert_nothing_lost_or_doubled(&stage, &sent);
    println!("{} events, {} written again", sent.count(), journal.repetitions());
}
