//! What a scenario plays in: a topic into which events flow, an embedded Cosmos DB, processes of the service as
//! members of one group, a watch over the commits, and an account of what went wrong.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use streamproc::core::mutant::Mutant;
use streamproc::sandbox::{Effect, Fault};

use crate::judge::judge;
use crate::scenario::{self, Report};
use crate::stage::flow::{Acknowledged, Fate, Flow, Mix, Sent};
use crate::stage::held;
use crate::stage::members;
use crate::stage::watch::Watch;
use crate::stage::{Layout, SOON, Stage};
use crate::support::guard::Signal;
use crate::support::kafka::{self, Cluster};
use crate::support::service::{Service, Setup};
use crate::support::wait;

/// What a process may take beside `trigger.max_bytes`, of which the default is 64 MiB.
const MEMORY: u64 = (64 + 300) << 20;

/// What a scenario begins with.
pub(super) struct Plan {
    pub(super) name: &'static str,
    pub(super) layout: Layout,
    /// How many processes of the service.
    pub(super) processes: usize,
    pub(super) mix: Mix,
    /// Lines of the configuration, with their sections.
    pub(super) settings: Vec<(&'static str, String)>,
    /// Variables of the processes' environment.
    pub(super) variables: Vec<(&'static str, String)>,
    /// The defect in the service, in a build that has defects.
    pub(super) mutant: Option<Mutant>,
    /// A5: how long after the last fault all that was acknowledged by then may take to be committed.
    pub(super) recovery: Duration,
}

impl Plan {
    /// Six partitions, two processes, 600 events a second of every kind.
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            layout: Layout { unique_keys: vec!["/serial".into()], ..Layout::default() },
            processes: 2,
            mix: Mix {
                updates: 0.05,
                repeats: 0.01,
                bad: 0.01,
                refused: 0.005,
                seed: 0,
                ..Mix::plain(scenario::devices(60), 600)
            },
            settings: Vec::new(),
            variables: Vec::new(),
            mutant: None,
            recovery: Duration::from_secs(30),
        }
    }

    /// Each id has one content, also of what the store refuses.
    pub(super) fn of_one_content_each(mut self) -> Self {
        self.mix = Mix { updates: 0.0, refused: 0.0, ..self.mix };
        self
    }

    /// Nothing but good events, each once and each with one content.
    pub(super) fn of_good_events(mut self) -> Self {
        let Mix { devices, per_second, .. } = self.mix;
        self.mix = Mix::plain(devices, per_second);
        self
    }

    pub(super) fn set(mut self, section: &'static str, line: &str) -> Self {
        self.settings.push((section, line.to_owned()));
        self
    }

    /// Begins, on the cluster that tests share.
    pub(super) fn begin(self) -> World {
        self.begin_on(kafka::shared())
    }

    /// Begins on a cluster: events flow, and the processes share the partitions.
    pub(super) fn begin_on(mut self, cluster: &'static Cluster) -> World {
        let seed = scenario::seed();
        println!("{}: STREAMPROC_SEED={seed}", self.name);
        self.mix.seed = seed;
        let layout = std::mem::take(&mut self.layout);
        let partitions = usize::try_from(layout.partitions).expect("a count");
        let stage = Stage::on(cluster, layout);
        let settings: Vec<_> =
            self.settings.iter().map(|(section, line)| (*section, line.as_str())).collect();
        let config = stage.config(&settings);
        if let Some(device) = self.mix.full {
            stage.cosmos().faults().add(is_full(device));
        }
        let flow = Flow::start_mixed(&stage, self.mix);
        let watch = Watch::start(&stage, flow.acknowledged());
        let mut world = World {
            config,
            processes: Vec::new(),
            random: StdRng::seed_from_u64(seed),
            faults: 0,
            partitions,
            peak: 0,
            begun: Instant::now(),
            calm: None,
            gone: BTreeMap::new(),
            broken: Vec::new(),
            flow,
            earlier: Acknowledged::default(),
            watch,
            stage,
            seed,
            plan: self,
        };
        for _ in 0..world.plan.processes {
            world.add();
        }
        world.wait_until_shared();
        world
    }
}

/// The world, with its processes running.
pub(super) struct World {
    // The service goes before what it stands on.
    pub(super) processes: Vec<Service>,
    pub(super) random: StdRng,
    /// How many faults there were.
    pub(super) faults: usize,
    pub(super) partitions: usize,
    pub(super) stage: Stage,
    config: String,
    peak: u64,
    begun: Instant,
    /// When the last fault was over, and what was acknowledged by then.
    calm: Option<(Instant, BTreeMap<i32, i64>)>,
    /// What lies below these offsets may be gone from the store.
    gone: BTreeMap<i32, i64>,
    /// What earlier watches have seen.
    broken: Vec<String>,
    flow: Flow,
    /// What was acknowledged in an earlier topic of the same name: good events, each with one content.
    earlier: Acknowledged,
    watch: Watch,
    seed: u64,
    plan: Plan,
}

impl World {
    /// Processes that are started from now on have these lines in their configuration, and not the plan's.
    pub(super) fn configure(&mut self, settings: &[(&str, &str)]) {
        self.config = self.stage.config(settings);
    }

    /// Ends a process in good order, and starts another one in its place with the configuration of now.
    pub(super) fn replace(&mut self, which: usize) {
        self.look_at_memory();
        members::terminate(&self.processes.remove(which));
        self.add();
        let added = self.processes.pop().expect("just added");
        self.processes.insert(which, added);
        self.faults += 1;
    }

    /// Starts another process of the service.
    pub(super) fn add(&mut self) {
        let mut setup = Setup::new(&self.config);
        for (name, value) in &self.plan.variables {
            setup = setup.variable(name, value);
        }
        if let Some(mutant) = self.plan.mutant {
            setup = setup.variable("STREAMPROC_MUTANT", &format!("{mutant:?}"));
        }
        self.processes.push(setup.start());
    }

    /// Waits until the processes share all partitions, as evenly as whole ones go.
    #[track_caller]
    pub(super) fn wait_until_shared(&self) {
        let processes: Vec<_> = self.processes.iter().collect();
        let least = self.partitions / processes.len() / 2;
        members::wait_until_shared(&processes, self.partitions, least.max(1));
    }

    /// Kills a process, and starts it again.
    pub(super) fn kill(&mut self, which: usize) {
        self.look_at_memory();
        members::kill(&self.processes[which]);
        self.start_again(which);
        self.faults += 1;
    }

    /// Ends a process in good order, and starts it again.
    pub(super) fn roll(&mut self, which: usize) {
        self.rest(which, |_| {});
    }

    /// Ends a process in good order, does something, and starts it again.
    pub(super) fn rest(&mut self, which: usize, meanwhile: impl FnOnce(&mut Self)) {
        self.look_at_memory();
        members::terminate(&self.processes[which]);
        meanwhile(self);
        self.start_again(which);
        self.faults += 1;
    }

    /// Ends all processes in good order, does something, and starts them again.
    pub(super) fn rest_all(&mut self, meanwhile: impl FnOnce(&mut Self)) {
        self.look_at_memory();
        self.processes.iter().for_each(|process| members::terminate(process));
        meanwhile(self);
        (0..self.processes.len()).for_each(|which| self.start_again(which));
        self.faults += 1;
    }

    fn start_again(&mut self, which: usize) {
        let ended = self.processes.remove(which);
        self.processes.insert(which, ended.start_again());
    }

    /// Ends the last process in good order, for good.
    pub(super) fn leave(&mut self) {
        self.look_at_memory();
        let last = self.processes.pop().expect("a process");
        members::terminate(&last);
        self.faults += 1;
    }

    /// Kills the last process, for good.
    pub(super) fn lose(&mut self) {
        self.look_at_memory();
        members::kill(&self.processes.pop().expect("a process"));
        self.faults += 1;
    }

    /// Holds a process where it is, or lets it go on.
    pub(super) fn freeze(&mut self, which: usize, frozen: bool) {
        self.processes[which].signal(if frozen { Signal::Stop } else { Signal::Continue });
        self.faults += usize::from(frozen);
    }

    /// One of the processes.
    pub(super) fn any(&mut self) -> usize {
        self.random.random_range(0..self.processes.len())
    }

    /// Lets time pass: up to so much.
    pub(super) fn pass(&mut self, most: Duration) {
        std::thread::sleep(most.mul_f64(self.random.random()));
    }

    /// How long the world has been there.
    pub(super) fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    fn look_at_memory(&mut self) {
        let alive = self.processes.iter().filter(|service| service.exited().is_none());
        self.peak = alive.map(|service| service.peak_rss_bytes()).max().unwrap_or(0).max(self.peak);
    }

    /// What was acknowledged by now may be gone from the store: its user has deleted it.
    pub(super) fn forget_what_was_stored(&mut self) {
        self.gone = self.flow.acknowledged().ends();
    }

    /// What was acknowledged so far.
    pub(super) fn acknowledged(&self) -> Acknowledged {
        self.flow.acknowledged()
    }

    /// What the group has committed.
    pub(super) fn committed(&self) -> BTreeMap<i32, i64> {
        self.stage.cluster.committed(&self.stage.group, &self.stage.topic)
    }

    /// The user has changed the group's offsets: the commits are watched anew, from the beginning.
    pub(super) fn watch_anew(&mut self) {
        self.broken.extend(self.watch.finish().broken);
        self.watch = Watch::start(&self.stage, self.flow.acknowledged());
    }

    /// The topic is deleted, and made anew. What was not committed by then has gone with it. Events of other devices flow
    /// from now on, until there are more of them than there were before. Commits are watched from then on: one that was
    /// under way may land in the new topic, and be withdrawn again.
    pub(super) fn make_topic_anew(&mut self, until: impl FnOnce(&Self)) {
        self.broken.extend(self.watch.finish().broken);
        let before = self.flow.finish();
        let committed = self.committed();
        self.stage.cluster.delete_topic(&self.stage.topic);
        for (partition, sent) in &*before.lock() {
            for sent in sent {
                let is_done = committed.get(partition).is_some_and(|at| sent.offset < *at);
                let fate = if is_done { sent.fate } else { Fate::Expired };
                self.earlier.note(*partition, Sent { fate, ..*sent });
            }
        }
        let partitions = i32::try_from(self.partitions).expect("a count");
        self.stage.cluster.create_topic(&self.stage.topic, partitions, &[]);
        self.plan.mix.first_device += self.plan.mix.devices;
        self.flow = Flow::start_mixed(&self.stage, self.plan.mix);
        self.faults += 1;
        wait::until(SOON, "as many events as before", || {
            (self.flow.acknowledged().count() > before.count()).then_some(())
        });
        until(self);
        self.watch = Watch::start(&self.stage, self.flow.acknowledged());
    }

    /// Waits until all that was acknowledged by now is committed.
    #[track_caller]
    pub(super) fn wait_until_caught_up(&self, limit: Duration) {
        wait_until_committed(&self.stage, &self.processes, &self.flow.acknowledged().ends(), limit);
    }

    /// Waits until nothing holds any process.
    #[track_caller]
    pub(super) fn wait_until_ready(&self) {
        for process in &self.processes {
            held::wait_until_ready(process, SOON);
        }
    }

    /// The last fault is over.
    pub(super) fn is_calm(&mut self) {
        self.calm = Some((Instant::now(), self.flow.acknowledged().ends()));
    }

    /// Everything comes to rest, and is judged.
    ///
    /// # Panics
    /// When a promise was broken.
    #[track_caller]
    pub(super) fn end(self) -> Report {
        let (report, examples) = self.judged();
        assert_eq!(report.breaches(), 0, "{report:#?}\n{examples}");
        report
    }

    /// The same, and what was broken is told.
    pub(super) fn judged(mut self) -> (Report, String) {
        if self.calm.is_none() {
            self.is_calm();
        }
        let (calm, ends) = self.calm.take().expect("just set");
        let left = self.plan.recovery.saturating_sub(calm.elapsed());
        wait_until_committed(&self.stage, &self.processes, &ends, left);
        let recovery = calm.elapsed();
        // What has come since.
        let acknowledged = self.flow.finish();
        wait_until_committed(&self.stage, &self.processes, &acknowledged.ends(), Duration::from_mins(2));
        self.look_at_memory();
        let peak = self.peak;
        let seen = self.watch.finish();
        assert!(seen.moves > 0, "nothing was ever committed: {seen:?}");
        assert_eq!(seen.checked, acknowledged.count(), "the watch has looked for every event: {seen:?}");
        self.broken.extend(seen.broken);
        let mut report = Report {
            scenario: self.plan.name.to_owned(),
            seed: self.seed,
            faults: self.faults,
            commits_too_far: self.broken.len(),
            repetitions: self.stage.cosmos().journal().expect("stages keep a journal").repetitions(),
            recovery_seconds: recovery.as_secs_f64(),
            peak_resident_bytes: peak,
            ..Report::default()
        };
        for (partition, sent) in &*self.earlier.lock() {
            for sent in sent {
                acknowledged.note(*partition, *sent);
            }
        }
        let examples = judge(&self.stage, &acknowledged, &self.gone, &mut report);
        report.seconds = self.begun.elapsed().as_secs_f64();
        report.tell();
        assert!(peak <= MEMORY, "{peak} bytes of resident memory");
        (report, format!("{examples:#?}\n{:#?}", self.broken))
    }
}

/// The logical partition of a device is full.
fn is_full(device: usize) -> Fault {
    let effect = Effect::Answer { status: 403, substatus: 1014, retry_after: None, after_work: false };
    Fault { partition_key: Some(format!("device-{device}")), ..Fault::new(effect) }
}

#[track_caller]
fn wait_until_committed(stage: &Stage, processes: &[Service], ends: &BTreeMap<i32, i64>, limit: Duration) {
    wait::until_ok(limit, "all that was acknowledged to be committed", || {
        if let Some(ended) = processes.iter().find(|service| service.exited().is_some()) {
            panic!("a process ended:\n{}", ended.tail());
        }
        let committed = stage.cluster.committed(&stage.group, &stage.topic);
        let behind: Vec<_> = ends
            .iter()
            .filter(|(partition, end)| committed.get(*partition).is_none_or(|at| at < *end))
            .map(|(partition, end)| format!("{partition}: {:?} of {end}", committed.get(partition)))
            .collect();
        let tails = || processes.iter().map(|service| service.tail()).collect::<Vec<_>>().join("\n");
        if behind.is_empty() { Ok(()) } else { Err(format!("{behind:?}\n{}", tails())) }
    });
}
