//! The processes that run, and what befalls them and all around them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::join_all;
use streamproc::observe::health::Condition;
use tokio::time::{Instant, sleep_until};

use super::letters;
use super::plan::{Fault, Trouble};
use super::process::{Process, Shared};
use super::world::World;

/// The processes, by the places where they run.
#[derive(Clone)]
pub(crate) struct Fleet {
    world: World,
    begun: Instant,
    state: Arc<Mutex<State>>,
}

struct State {
    places: Vec<Option<Process>>,
    started: usize,
}

impl Fleet {
    /// One process in every place.
    pub(crate) fn start(world: &World) -> Self {
        let places = world.plan.places.iter().map(|_| None).collect();
        let state = Arc::new(Mutex::new(State { places, started: 0 }));
        let fleet = Self { world: world.clone(), begun: Instant::now(), state };
        (0..world.plan.places.len()).for_each(|place| fleet.start_in(place));
        fleet
    }

    /// All that the plan has for this world, up to the time when nothing goes wrong any more.
    pub(crate) async fn live_through_it(&self) {
        let plan = &self.world.plan;
        let traffic = async {
            for (at, draft) in &plan.sent {
                sleep_until(self.begun + *at).await;
                self.world.send(draft);
            }
        };
        let faults = join_all(plan.faults.iter().map(|fault| self.befalls(fault)));
        tokio::join!(traffic, faults, sleep_until(self.begun + plan.quiet_at));
        self.world.lock().kafka.repair();
        self.world.trace.note(|| "from here on nothing goes wrong".to_owned());
    }

    async fn befalls(&self, fault: &Fault) {
        sleep_until(self.begun + fault.at).await;
        self.world.trace.note(|| format!("{:?} for {:?}", fault.what, fault.lasts));
        let over = sleep_until(self.begun + (fault.at + fault.lasts).min(self.world.plan.quiet_at));
        match fault.what {
            Trouble::Kill(place) => {
                if let Some(process) = self.take(place) {
                    process.kill();
                }
                over.await;
                self.start_in(place);
            }
            Trouble::Drain(place) => {
                if let Some(process) = self.take(place) {
                    process.drain().await;
                }
                over.await;
                self.start_in(place);
            }
            Trouble::Freeze(place) => {
                let Some(shared) = self.shared(place) else { return };
                shared.life.freeze();
                over.await;
                shared.life.thaw();
            }
            Trouble::Cut(place) => {
                self.world.change(|state| state.cut.insert(place));
                over.await;
                self.world.change(|state| state.cut.remove(&place));
            }
            Trouble::BreakWriter(place) => {
                if let Some(shared) = self.shared(place) {
                    shared.breaks_writer.store(true, Ordering::Relaxed);
                }
            }
            Trouble::BreakClient(place) => {
                if let Some(shared) = self.shared(place) {
                    shared.breaks_client.store(true, Ordering::Relaxed);
                }
            }
            Trouble::CommitsFail => {
                self.world.lock().kafka.commits_fail = true;
                over.await;
                self.world.lock().kafka.commits_fail = false;
            }
            Trouble::Delete(partition, tenths) => {
                let name = &self.world.plan.partitions[partition];
                let (low, end) = {
                    let state = self.world.lock();
                    let log = state.kafka.log(name);
                    (log.low(), log.end())
                };
                self.world.delete_below(name, low + (end - low) * tenths / 10);
            }
            Trouble::Cosmos(mood) => {
                self.world.lock().cosmos.mood = mood;
                over.await;
                self.world.lock().cosmos.mood = self.world.plan.well;
            }
            Trouble::Letters(mood) => {
                self.world.change(|state| state.letters = mood);
                over.await;
                self.world.change(|state| state.letters = letters::Mood::default());
            }
        }
    }

    /// What is said to hold the stream, in any process.
    pub(crate) fn conditions(&self) -> Vec<Condition> {
        let state = self.lock();
        state.places.iter().flatten().flat_map(|process| process.shared().health.conditions()).collect()
    }

    fn start_in(&self, place: usize) {
        let mut state = self.lock();
        if state.places[place].is_none() {
            state.started += 1;
            state.places[place] = Some(Process::start(&self.world, state.started, place));
        }
    }

    fn take(&self, place: usize) -> Option<Process> {
        self.lock().places[place].take()
    }

    fn shared(&self, place: usize) -> Option<Arc<Shared>> {
        self.lock().places[place].as_ref().map(|process| Arc::clone(process.shared()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
