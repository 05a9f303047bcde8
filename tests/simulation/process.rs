//! A process of the service: its workers, its sink, and what they share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use streamproc::config;
use streamproc::core::budget::Budget;
use streamproc::core::transform::Rules;
use streamproc::core::worker::Input;
use streamproc::observe::health::Health;
use streamproc::observe::metrics::Metrics;
use streamproc::sink::{self, Sink};
use streamproc::source::seen::Seen;
use tokio::time::timeout;

use super::inbox::Inbox;
use super::letters::Producer;
use super::life::Life;
use super::store::Connection;
use super::worker::Worker;
use super::world::World;

/// How long a process may take beyond `shutdown.timeout` to end: its clients leave the group meanwhile.
const TO_LEAVE: Duration = Duration::from_secs(4);

thread_local! {
    /// What is the same in all worlds, and takes a while to make.
    static COMMON: (Rules, Metrics) = {
        let event = config::Event { processed_at: String::new(), ..config::Event::default() };
        (Rules::compile(&event).expect("rules"), Metrics::new().expect("metrics"))
    };
}

/// What the workers of a process share.
pub(crate) struct Shared {
    pub(crate) world: World,
    /// Processes are counted, so that one which is started anew is another.
    pub(crate) number: usize,
    /// Where it runs.
    pub(crate) place: usize,
    pub(crate) life: Life,
    pub(crate) sink: Sink<Connection, Producer>,
    /// What the sink says of itself on `/readyz`.
    pub(crate) health: Health,
    pub(crate) budget: Budget,
    /// How many partitions its workers own.
    pub(crate) assigned: Arc<AtomicUsize>,
    pub(crate) seen: Seen,
    /// The next task that writes a micro-batch breaks down.
    pub(crate) breaks_writer: AtomicBool,
    /// The client of the next worker that looks is broken for good.
    pub(crate) breaks_client: AtomicBool,
}

/// A process.
pub(crate) struct Process {
    shared: Arc<Shared>,
    inboxes: Vec<Arc<Inbox>>,
    running: Arc<AtomicUsize>,
}

impl Process {
    pub(crate) fn start(world: &World, number: usize, place: usize) -> Self {
        let life = Life::new(world.clone());
        let assigned = Arc::new(AtomicUsize::new(0));
        let (rules, metrics) = COMMON.with(Clone::clone);
        let plan = &world.plan;
        let settings = sink::Settings {
            rules,
            group: "group".to_owned(),
            body_bytes: plan.body_bytes,
            request_timeout: plan.request_timeout,
            max_fraction: 1.0,
        };
        let health = Health::new(metrics.clone());
        let connection = Connection { world: world.clone() };
        let producer = Producer { world: world.clone(), life: life.clone() };
        let sink = Sink::new(connection, producer, settings, Arc::clone(&assigned), metrics, health.clone());
        sink.set_request_unit_limit(plan.request_unit_limit);
        let shared = Arc::new(Shared {
            world: world.clone(),
            number,
            place,
            life,
            sink,
            health,
            budget: Budget::new(plan.budget),
            assigned,
            seen: Seen::default(),
            breaks_writer: AtomicBool::new(false),
            breaks_client: AtomicBool::new(false),
        });
        let workers = plan.places[place];
        let running = Arc::new(AtomicUsize::new(workers));
        let inboxes = (0..workers).map(|worker| {
            let inbox = Arc::new(Inbox::new(number, worker));
            let running_one = Worker::new(worker, Arc::clone(&shared), Arc::clone(&inbox)).run();
            let (world, running) = (world.clone(), Arc::clone(&running));
            shared.life.spawn(async move {
                running_one.await;
                world.change(|_| running.fetch_sub(1, Ordering::Relaxed));
            });
            inbox
        });
        let inboxes = inboxes.collect();
        world.trace.note(|| format!("process {number} is started in place {place}"));
        Self { shared, inboxes, running }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// It ends at this instant.
    pub(crate) fn kill(self) {
        let Shared { world, number, .. } = &*self.shared;
        world.trace.note(|| format!("process {number} is killed"));
        self.end();
    }

    /// It is told to end, and given the time that it needs.
    pub(crate) async fn drain(self) {
        let Shared { world, number, life, .. } = &*self.shared;
        world.trace.note(|| format!("process {number} is told to end"));
        self.inboxes.iter().for_each(|inbox| inbox.tell(Input::Drain));
        let limit = world.plan.worker.shutdown_timeout + TO_LEAVE;
        let ended = world.until(|_| self.running.load(Ordering::Relaxed) == 0);
        if timeout(limit, ended).await.is_err() && !life.has_been_frozen() {
            world.lock().oracle.breaks("P8", || format!("process {number} has not ended in {limit:?}"));
        }
        world.trace.note(|| format!("process {number} has ended"));
        self.end();
    }

    fn end(&self) {
        let Shared { world, number, life, .. } = &*self.shared;
        life.end();
        world.lock().holds.retain(|(process, ..), _| process != number);
    }
}
