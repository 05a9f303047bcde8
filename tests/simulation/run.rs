//! One seed, from the first event to the rest after the last fault.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::dice::Dice;
use super::fleet::Fleet;
use super::oracle::Broken;
use super::plan::Plan;
use super::trace::Trace;
use super::world::World;

/// How long after the last fault everything is committed: whoever waits longest waits for half a minute
/// until the gate of a sink is tried again.
pub(crate) const REST: Duration = Duration::from_mins(2);

/// How long after that Cosmos DB may still do what nobody waits for.
const LATEST: Duration = Duration::from_secs(30);

/// What came of a seed.
pub(crate) struct Run {
    pub(crate) broken: Option<Broken>,
    pub(crate) trace: Trace,
    /// How often things happened, by their names.
    pub(crate) tally: BTreeMap<&'static str, u64>,
    /// How long it took to come to rest.
    pub(crate) rested_after: Duration,
}

/// Runs a seed. Everything in it happens on this thread, in virtual time.
pub(crate) fn run(seed: u64, is_traced: bool) -> Run {
    // The sink's pauses are jittered from here.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without input or output needs nothing");
    runtime.block_on(async {
        let dice = Dice::new(seed);
        let plan = Plan::draw(&dice);
        let world = World::new(plan, dice, is_traced);
        world.trace.note(|| format!("seed {seed}: {}", world.plan));
        let mut rested_after = Duration::ZERO;
        tokio::select! {
            biased;
            () = world.until(|state| state.oracle.broken().is_some()) => {}
            after = lives(&world) => rested_after = after,
        }
        let state = world.lock();
        Run {
            broken: state.oracle.broken().cloned(),
            trace: world.trace.clone(),
            tally: state.oracle.tally().clone(),
            rested_after,
        }
    })
}

async fn lives(world: &World) -> Duration {
    tokio::spawn(world.clone().watch_members());
    tokio::spawn(world.clone().operate());
    let fleet = Fleet::start(world);
    fleet.live_through_it().await;
    let quiet_at = Instant::now();
    let rests = timeout(REST, until(world, |world| world.lock().kafka.lagging().is_empty())).await;
    let rested_after = quiet_at.elapsed();
    if rests.is_err() {
        let mut guard = world.lock();
        let state = &mut *guard;
        let (lagging, holds) = (state.kafka.lagging(), &state.holds);
        let what = format!("after {REST:?} these lag: {lagging:?}; held: {holds:?}");
        state.oracle.breaks("A5", || what);
        return rested_after;
    }
    let _ = timeout(LATEST, until(world, |world| world.lock().cosmos.under_way == 0)).await;
    world.trace.note(|| "everything is at rest".to_owned());
    let conditions = fleet.conditions();
    let mut guard = world.lock();
    let state = &mut *guard;
    if !conditions.is_empty() {
        state.oracle.breaks("A7", || format!("{conditions:?}"));
    }
    state.oracle.looks_at_the_end(&state.events, |name| state.cosmos.document(name));
    rested_after
}

async fn until(world: &World, is_so: impl Fn(&World) -> bool) {
    while !is_so(world) {
        sleep(Duration::from_millis(250)).await;
    }
}
