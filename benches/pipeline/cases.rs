//! What is measured.

use std::time::Duration;

/// How many fields of `complexData` make an event of about so many bytes.
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
}

impl Case {
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
}
