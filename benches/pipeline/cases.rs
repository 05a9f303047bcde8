//! What is measured.

use std::time::Duration;

use crate::stage::{Events, KILOBYTE, Setting, large_batches};

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
    pub events: Events,
    /// Beyond where Kafka and Cosmos DB are.
    pub settings: Vec<Setting>,
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

    fn backlog(name: &str, events: u64) -> Self {
        Self {
            name: name.to_owned(),
            load: Load::Backlog { events },
            events: Events::default(),
            settings: vec![("kafka", "workers = 1".to_owned())],
            latency: Duration::ZERO,
            floor: false,
            one_core: false,
        }
    }

    fn steady(name: &str, rate: u64, duration: Duration) -> Self {
        Self { load: Load::Steady { rate, duration }, ..Self::backlog(name, 0) }
    }

    fn set(mut self, settings: Vec<Setting>) -> Self {
        self.settings.extend(settings);
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
            Self { floor: true, ..Self::backlog("backlog, large batches", million) }.set(large_batches()),
            Self { floor: true, ..Self::backlog("backlog, defaults", million) },
            Self {
                events: Events { devices: million, ..Events::default() },
                ..Self::backlog("backlog, every event its own key", million / 5)
            },
            Self::steady("steady 1,000/s", 1_000, minute),
            Self { latency: Duration::from_millis(5), ..Self::steady("steady 1,000/s, 5 ms", 1_000, minute) }
                .set(interval("500ms")),
            Self::steady("steady 5,000/s", 5_000, minute),
            Self::steady("steady 10,000/s", 10_000, minute).set(interval("1s")),
        ]
    }

    /// One thing changed at a time, with the default configuration.
    fn scaling(fewer: u64) -> Vec<Self> {
        let usual = Events::default();
        let backlog = |what: &str, count: u64, events: Events| Self {
            events,
            ..Self::backlog(&format!("scaling, {what}"), count / fewer)
        };
        let mut cases = Vec::new();
        for workers in [1, 2] {
            for partitions in [1, 2, 4, 8, 16] {
                let what = format!("{partitions} partitions, {workers} workers");
                let case = backlog(&what, 400_000, Events { partitions, ..usual });
                cases.push(case.set(vec![("kafka", format!("workers = {workers}"))]));
            }
        }
        for (size, complex_data, count) in [
            ("0.2 KB", 0, 400_000),
            ("1 KB", KILOBYTE, 400_000),
            ("10 KB", 322, 50_000),
            ("100 KB", 3_280, 5_000),
        ] {
            cases.push(backlog(&format!("events of {size}"), count, Events { complex_data, ..usual }));
        }
        for devices in [10, 100, 1_000, 10_000, 100_000] {
            cases.push(backlog(&format!("{devices} devices"), 400_000, Events { devices, ..usual }));
        }
        for count in [200_000, 400_000, 800_000, 1_600_000] {
            cases.push(backlog(&format!("a backlog of {count}"), count, usual));
        }
        cases
    }

    /// What `trigger.interval` trades: latency for requests.
    fn intervals(fewer: u64) -> Vec<Self> {
        let duration = Duration::from_secs(20 / fewer.min(4));
        let intervals = ["20ms", "100ms", "250ms", "500ms", "1s", "2s", "5s"];
        let case = |length: &&str| {
            Self::steady(&format!("interval {length}, 2,000/s"), 2_000, duration).set(interval(length))
        };
        intervals.iter().map(case).collect()
    }

    /// Only when asked for: the load of the sample's largest tier on one processor, and three times that on
    /// two.
    fn long(fewer: u64) -> Vec<Self> {
        let duration = Duration::from_secs(600 / fewer);
        let case = |name: &str, rate| Self {
            events: Events { partitions: 16, ..Events::default() },
            ..Self::steady(name, rate, duration).set(interval("1s"))
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

fn interval(interval: &str) -> Vec<Setting> {
    vec![("trigger", format!("interval = {interval:?}"))]
}
