//! What is measured.

use std::time::Duration;

use crate::stage::{Events, Setting, large_batches};

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
}

impl Case {
    fn backlog(name: &str, events: u64) -> Self {
        Self {
            name: name.to_owned(),
            load: Load::Backlog { events },
            events: Events::default(),
            settings: vec![("kafka", "workers = 1".to_owned())],
            latency: Duration::ZERO,
            floor: false,
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
}

fn interval(interval: &str) -> Vec<Setting> {
    vec![("trigger", format!("interval = {interval:?}"))]
}
