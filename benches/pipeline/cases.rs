//! What is measured.

use std::time::Duration;

/// How many fields of `complexData` make an event of about a kilobyte.
pub const KILOBYTE: usize = 23;

/// How events come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Load {
    /// All of them are there before the service starts.
    Backlog { events: u64 },
    /// So many a second while it runs.
    Steady { rate: u64, duration: Duration },
}

/// One run of the service.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub load: Load,
    pub devices: u64,
    pub partitions: i32,
    pub workers: usize,
    pub complex_data: usize,
    /// Lines of the configuration by section, beyond where Kafka and Cosmos DB are.
    pub settings: Vec<(&'static str, String)>,
    /// How long the endpoint takes to answer.
    pub latency: Duration,
    /// Whether what librdkafka and the requests cost at least is measured besides.
    pub floor: bool,
    /// Whether the service has to get by with one processor.
    pub one_core: bool,
}

impl Case {
    /// About how many bytes an event of [`KILOBYTE`] has.
    pub const BYTES: f64 = 915.0;

    /// The sample's events with the default configuration, while a container has too little.
    pub fn throttled(rate: u64) -> Self {
        Self::steady("throttled", rate, Duration::ZERO)
    }

    /// Events that are there when the service starts.
    pub fn start_up() -> Self {
        Self::backlog("start-up", 0)
    }

    fn backlog(name: &str, events: u64) -> Self {
        Self {
            name: name.to_owned(),
            load: Load::Backlog { events },
            devices: 1_000,
            partitions: 6,
            workers: 1,
            complex_data: KILOBYTE,
            settings: Vec::new(),
            latency: Duration::ZERO,
            floor: false,
            one_core: false,
        }
    }

    fn steady(name: &str, rate: u64, duration: Duration) -> Self {
        Self { load: Load::Steady { rate, duration }, ..Self::backlog(name, 0) }
    }

    fn set(mut self, section: &'static str, line: &str) -> Self {
        self.settings.push((section, line.to_owned()));
        self
    }

    /// Every case, each with so many times fewer events.
    pub fn all(fewer: u64) -> Vec<Self> {
        [Self::main(fewer), Self::scaling(fewer), Self::intervals(fewer), Self::long(fewer)].concat()
    }

    /// What docs/performance.md sets out to reach.
    fn main(fewer: u64) -> Vec<Self> {
        let million = 1_000_000 / fewer;
        let minute = Duration::from_secs(60 / fewer.min(4));
        vec![
            Self { floor: true, ..Self::backlog("backlog, large batches", million) }
                .set("trigger", "max_events_per_trigger = 100000")
                .set("trigger", "max_bytes = \"256MiB\""),
            Self { floor: true, ..Self::backlog("backlog, defaults", million) },
            Self { devices: million, ..Self::backlog("backlog, every event its own key", million / 5) },
            Self::steady("steady 1,000/s", 1_000, minute),
            Self { latency: Duration::from_millis(5), ..Self::steady("steady 1,000/s, 5 ms", 1_000, minute) }
                .set("trigger", "interval = \"500ms\""),
            Self::steady("steady 5,000/s", 5_000, minute),
            Self::steady("steady 10,000/s", 10_000, minute).set("trigger", "interval = \"1s\""),
        ]
    }

    /// One thing changed at a time, with the default configuration.
    fn scaling(fewer: u64) -> Vec<Self> {
        let events = 400_000 / fewer;
        let backlog = |what: &str| Self::backlog(&format!("scaling, {what}"), events);
        let mut cases = Vec::new();
        for workers in [1, 2] {
            for partitions in [1, 2, 4, 8, 16] {
                let what = format!("{partitions} partitions, {workers} workers");
                cases.push(Self { partitions, workers, ..backlog(&what) });
            }
        }
        for (size, complex_data, fewer) in
            [("0.2 KB", 0, 1), ("1 KB", KILOBYTE, 1), ("10 KB", 322, 8), ("100 KB", 3_280, 80)]
        {
            let case = backlog(&format!("events of {size}"));
            cases.push(Self { complex_data, load: Load::Backlog { events: events / fewer }, ..case });
        }
        for devices in [10, 100, 1_000, 10_000, 100_000] {
            cases.push(Self { devices, ..backlog(&format!("{devices} devices")) });
        }
        for share in [4, 2, 1] {
            let case = backlog(&format!("a backlog of {}", 4 * events / share));
            cases.push(Self { load: Load::Backlog { events: 4 * events / share }, ..case });
        }
        cases
    }

    /// What `trigger.interval` trades: latency for requests.
    fn intervals(fewer: u64) -> Vec<Self> {
        let duration = Duration::from_secs(20 / fewer.min(4));
        let intervals = ["20ms", "100ms", "250ms", "500ms", "1s", "2s", "5s"];
        let case = |interval: &&str| {
            Self::steady(&format!("interval {interval}, 2,000/s"), 2_000, duration)
                .set("trigger", &format!("interval = {interval:?}"))
        };
        intervals.iter().map(case).collect()
    }

    /// Only when asked for: the load of the sample's largest tier on one processor, and three times that on
    /// two.
    fn long(fewer: u64) -> Vec<Self> {
        let duration = Duration::from_secs(600 / fewer);
        let case = |name: &str, rate| Self {
            partitions: 16,
            ..Self::steady(name, rate, duration).set("trigger", "interval = \"1s\"")
        };
        vec![
            Self { one_core: true, ..case("ten minutes at 10,000/s on one core", 10_000) },
            case("ten minutes at 30,000/s", 30_000),
        ]
    }

    /// Whether it is left out unless asked for by name.
    pub fn is_long(&self) -> bool {
        self.name.starts_with("ten minutes")
    }
}
