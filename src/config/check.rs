//! The limits of the values, each with its reason: a table, which `docs/configuration.md` shows.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use url::{Host, Url};

use super::error::{ConfigError, Problem};
use super::layer::Layers;
use super::{Config, secret};

/// One limit of one value.
#[derive(Clone, Copy)]
pub struct Limit {
    /// The key.
    pub key: &'static str,
    /// What its value must be, and why.
    pub expected: &'static str,
    /// What to do.
    action: &'static str,
    /// The kind of the error.
    problem: Problem,
    /// What is wrong with the value, or nothing.
    broken: fn(&Config) -> Option<String>,
}

const fn limit(
    key: &'static str,
    expected: &'static str,
    action: &'static str,
    broken: fn(&Config) -> Option<String>,
) -> Limit {
    Limit { key, expected, action, problem: Problem::NotAllowed, broken }
}

/// A limit that another key sets.
const fn against(limit: Limit) -> Limit {
    Limit { problem: Problem::Contradiction, ..limit }
}

const SMALLEST_BUDGET: u64 = 8 << 20;
/// A fortieth of it, the queue of a single Kafka client, has to stay below the 2 GiB that librdkafka can
/// be told.
pub const LARGEST_BUDGET: u64 = 64 << 30;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// The table.
pub const LIMITS: &[Limit] = &[
    limit("name", "a name: it tells pipelines apart in the log", "give it a name", |c| empty(&c.name)),
    limit(
        "config_version",
        "1, the only version there is",
        "take a streamproc that reads this version",
        |c| (c.config_version != 1).then(|| c.config_version.to_string()),
    ),
    limit(
        "kafka.bootstrap_servers",
        "host:port of one or more brokers, separated by commas",
        "write it as in \"broker-1:9092,broker-2:9092\"",
        |c| servers(&c.kafka.bootstrap_servers),
    ),
    limit("kafka.topics", "at least one topic", "name the topic to read", |c| {
        c.kafka.topics.is_empty().then(|| "[]".into())
    }),
    limit("kafka.topics", "each topic once", "remove the repetition", |c| repeated(&c.kafka.topics)),
    limit("kafka.topics", TOPIC_NAME, "mend the name", |c| c.kafka.topics.iter().find_map(|t| bad_topic(t))),
    limit("kafka.group_id", "a name: the group's offsets are stored under it", "give it a name", |c| {
        empty(&c.kafka.group_id)
    }),
    limit(
        "kafka.workers",
        "1 to 64: each is a Kafka client with threads and buffers of its own",
        "choose a number between 1 and 64; more partitions at once take more processes",
        |c| outside(c.kafka.workers, 1, 64),
    ),
    limit(
        "kafka.session_timeout",
        "6s, the least that brokers take by default, to 5m",
        "choose a duration between 6s and 5m",
        |c| outside_time(c.kafka.session_timeout.0, 6 * SECOND, 5 * MINUTE),
    ),
    limit("trigger.max_events_per_trigger", "1 to 1000000", "choose a number between 1 and 1000000", |c| {
        outside(c.trigger.max_events_per_trigger, 1, 1_000_000)
    }),
    limit("trigger.interval", "1ms to 1h", "choose a duration between 1ms and 1h", |c| {
        outside_time(c.trigger.interval.0, Duration::from_millis(1), 60 * MINUTE)
    }),
    limit(
        "trigger.max_bytes",
        "8MiB to 64GiB: with less, a few large records would stop the stream; of more, one Kafka client could not take its part",
        "choose a size between 8MiB and 64GiB",
        |c| {
            (!(SMALLEST_BUDGET..=LARGEST_BUDGET).contains(&c.trigger.max_bytes.0))
                .then(|| c.trigger.max_bytes.to_string())
        },
    ),
    limit("event.id", "the name of a field: without an id there is no document", "name the field", |c| {
        empty(&c.event.id)
    }),
    limit(
        "event.partition_key",
        "one to three paths: that is what a container has",
        "list the container's partition key paths, in its order",
        |c| outside(c.event.partition_key.len(), 1, 3),
    ),
    limit("event.partition_key", "paths that are not empty", "name the field", |c| {
        any_empty(&c.event.partition_key)
    }),
    limit("event.timestamps", "names of fields that are not empty", "name the field", |c| {
        any_empty(&c.event.timestamps)
    }),
    limit(
        "cosmos.endpoint",
        "https://ACCOUNT.documents.azure.com:443/; http only for localhost, 127.0.0.1 or [::1], the sandbox",
        "copy the URI from the account's overview page, without key, path or query",
        |c| bad_endpoint(&c.cosmos.endpoint),
    ),
    limit(
        "cosmos.regions",
        "at least one region of the account, nearest first",
        "name the region, as in [\"West Europe\"]",
        |c| c.cosmos.regions.is_empty().then(|| "[]".into()).or_else(|| any_empty(&c.cosmos.regions)),
    ),
    limit("cosmos.regions", "each region once", "remove the repetition", |c| repeated(&c.cosmos.regions)),
    limit("cosmos.database", RESOURCE_NAME, "mend the name", |c| bad_resource(&c.cosmos.database)),
    limit("cosmos.container", RESOURCE_NAME, "mend the name", |c| bad_resource(&c.cosmos.container)),
    limit("cosmos.request_timeout", "1s to 5m", "choose a duration between 1s and 5m", |c| {
        outside_time(c.cosmos.request_timeout.0, SECOND, 5 * MINUTE)
    }),
    limit("dead_letter.topic", TOPIC_NAME, "mend the name", |c| bad_topic(&c.dead_letter.topic)),
    against(limit(
        "dead_letter.topic",
        "none of kafka.topics: a dead letter would be read again and again",
        "name a topic of its own",
        |c| {
            c.kafka
                .topics
                .contains(&c.dead_letter.topic)
                .then(|| format!("{:?}, which is among kafka.topics", c.dead_letter.topic))
        },
    )),
    limit("dead_letter.max_fraction", "0 to 1", "choose a number between 0 and 1", |c| {
        let fraction = c.dead_letter.max_fraction;
        (!(0.0..=1.0).contains(&fraction)).then(|| fraction.to_string())
    }),
    limit(
        "shutdown.timeout",
        "1s to 10m, and below the pod's grace period",
        "choose a duration between 1s and 10m",
        |c| outside_time(c.shutdown.timeout.0, SECOND, 10 * MINUTE),
    ),
    limit(
        "admin.listen",
        "an address and a port, as in \"0.0.0.0:9090\" or \"[::]:9090\"",
        "write the address as numbers, with a port",
        |c| c.admin.listen.parse::<SocketAddr>().is_err().then(|| quoted(&c.admin.listen)),
    ),
];

/// What the name of a topic has to be.
pub const TOPIC_NAME: &str =
    "a topic's name: letters, digits, dot, underscore and hyphen, at most 249 (Kafka's rule)";
/// What the name of a database or a container has to be.
pub const RESOURCE_NAME: &str = "a name of at most 255 characters without / \\ ? # (Cosmos DB's rule)";

/// Every limit that is broken.
pub(super) fn check(config: &Config, layers: &Layers) -> Vec<ConfigError> {
    LIMITS
        .iter()
        .filter(|limit| !layers.spoilt.iter().any(|key| key == limit.key))
        .filter_map(|limit| {
            let found = (limit.broken)(config)?;
            Some(layers.error(limit.problem, limit.key, found, limit.expected, limit.action))
        })
        .collect()
}

/// The host of an endpoint that the SDK takes for its emulator: there alone it speaks plain HTTP.
pub fn is_loopback(endpoint: &str) -> bool {
    let Ok(url) = Url::parse(endpoint) else { return false };
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address == std::net::Ipv4Addr::LOCALHOST,
        Some(Host::Ipv6(address)) => address == std::net::Ipv6Addr::LOCALHOST,
        None => false,
    }
}

fn quoted(value: &str) -> String {
    secret::show("", true, value)
}

fn empty(value: &str) -> Option<String> {
    value.trim().is_empty().then(|| quoted(value))
}

fn any_empty(values: &[String]) -> Option<String> {
    values.iter().find_map(|value| empty(value))
}

fn repeated(values: &[String]) -> Option<String> {
    let mut seen = BTreeSet::new();
    values.iter().find(|value| !seen.insert(*value)).map(|value| format!("{} twice", quoted(value)))
}

fn outside(value: usize, least: usize, most: usize) -> Option<String> {
    (!(least..=most).contains(&value)).then(|| value.to_string())
}

fn outside_time(value: Duration, least: Duration, most: Duration) -> Option<String> {
    (!(least..=most).contains(&value)).then(|| humantime::format_duration(value).to_string())
}

fn bad_topic(name: &str) -> Option<String> {
    (!is_topic_name(name)).then(|| quoted(name))
}

/// Whether this is [`TOPIC_NAME`].
pub fn is_topic_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 249
        && name != "."
        && name != ".."
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn bad_resource(name: &str) -> Option<String> {
    (!is_resource_name(name)).then(|| quoted(name))
}

/// Whether this is [`RESOURCE_NAME`].
pub fn is_resource_name(name: &str) -> bool {
    !name.trim().is_empty()
        && name.chars().count() <= 255
        && !name.contains(['/', '\\', '?', '#'])
        && !name.ends_with(' ')
}

fn servers(list: &str) -> Option<String> {
    let mut count = 0;
    for server in list.split(',').map(str::trim) {
        count += 1;
        let legal = server.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains("//") && port.parse::<u16>().is_ok_and(|p| p > 0)
        });
        if !legal {
            return Some(quoted(server));
        }
    }
    (count == 0).then(|| quoted(list))
}

fn bad_endpoint(endpoint: &str) -> Option<String> {
    let legal = Url::parse(endpoint).is_ok_and(|url| {
        let scheme = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(endpoint));
        let bare = url.username().is_empty()
            && url.password().is_none()
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none();
        scheme && bare && url.host().is_some()
    });
    (!legal).then(|| quoted(endpoint))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::config::reference::{placeholder, reference};
    use crate::config::{ByteSize, Span};

    /// The keys whose limits this change breaks.
    fn broken(change: impl FnOnce(&mut Config)) -> Vec<&'static str> {
        let mut config = placeholder();
        change(&mut config);
        LIMITS.iter().filter(|limit| (limit.broken)(&config).is_some()).map(|limit| limit.key).collect()
    }

    #[test]
    fn every_limit_is_about_a_key_that_exists() {
        assert!(LIMITS.iter().all(|limit| reference().key(limit.key).is_some()));
    }

    #[test]
    fn a_value_at_its_limit_is_taken_and_one_beyond_is_not() {
        type Set = fn(&mut Config, u64);
        let ranges: [(&str, u64, u64, Set); 7] = [
            ("kafka.workers", 1, 64, |c, v| c.kafka.workers = v as usize),
            ("kafka.session_timeout", 6_000, 300_000, |c, v| c.kafka.session_timeout = Span::from_millis(v)),
            ("trigger.max_events_per_trigger", 1, 1_000_000, |c, v| {
                c.trigger.max_events_per_trigger = v as usize;
            }),
            ("trigger.interval", 1, 3_600_000, |c, v| c.trigger.interval = Span::from_millis(v)),
            ("cosmos.request_timeout", 1_000, 300_000, |c, v| {
                c.cosmos.request_timeout = Span::from_millis(v);
            }),
            ("shutdown.timeout", 1_000, 600_000, |c, v| c.shutdown.timeout = Span::from_millis(v)),
            ("event.partition_key", 1, 3, |c, v| {
                c.event.partition_key = (0..v).map(|n| format!("/field{n}")).collect();
            }),
        ];
        for (key, least, most, set) in ranges {
            for taken in [least, most] {
                assert!(broken(|c| set(c, taken)).is_empty(), "{key} = {taken}");
            }
            for refused in [least - 1, most + 1] {
                assert_eq!(broken(|c| set(c, refused)), [key], "{key} = {refused}");
            }
        }
        assert!(broken(|c| c.trigger.max_bytes = ByteSize(8 << 20)).is_empty());
        assert!(broken(|c| c.trigger.max_bytes = ByteSize(64 << 30)).is_empty());
        for refused in [(8 << 20) - 1, (64 << 30) + 1, u64::MAX] {
            assert_eq!(broken(|c| c.trigger.max_bytes = ByteSize(refused)), ["trigger.max_bytes"]);
        }
        for (fraction, taken) in [(0.0, true), (1.0, true), (-0.1, false), (1.1, false), (f64::NAN, false)] {
            assert_eq!(broken(|c| c.dead_letter.max_fraction = fraction).is_empty(), taken, "{fraction}");
        }
    }

    #[test]
    fn texts_that_break_a_limit_are_refused() {
        type Set = fn(&mut Config, String);
        let cases: [(&str, Set, &[&str], &[&str]); 7] = [
            (
                "kafka.bootstrap_servers",
                |c, v| c.kafka.bootstrap_servers = v,
                &["a:9092", "a:1, b:65535", "[::1]:9092"],
                &["", "a", "a:", "a:0", "a:99999", "a:1,,b:2", "SSL://a:9093", ":9092"],
            ),
            (
                "kafka.topics",
                |c, v| c.kafka.topics = v.split(',').map(str::to_owned).collect(),
                &["a", "a.b-c_D9", "a,b"],
                &["^a.*", "a b", "..", "é", "a,a"],
            ),
            (
                "cosmos.endpoint",
                |c, v| c.cosmos.endpoint = v,
                &[
                    "https://a.documents.azure.com:443/",
                    "http://127.0.0.1:8081/",
                    "http://localhost:8081",
                    "http://[::1]:1",
                ],
                &[
                    "",
                    "a.documents.azure.com",
                    "http://a.documents.azure.com/",
                    "http://127.0.0.2/",
                    "https://u:p@a/",
                    "https://a/path",
                    "https://a/?q=1",
                    "ftp://a/",
                ],
            ),
            (
                "cosmos.database",
                |c, v| c.cosmos.database = v,
                &["a b", "a.b"],
                &["", " ", "a/b", "a\\b", "a?b", "a#b", "a "],
            ),
            ("dead_letter.topic", |c, v| c.dead_letter.topic = v, &["x"], &["", "placeholder", "a b"]),
            (
                "admin.listen",
                |c, v| c.admin.listen = v,
                &["0.0.0.0:9090", "[::]:0"],
                &["", "9090", ":9090", "localhost:9090"],
            ),
            ("kafka.group_id", |c, v| c.kafka.group_id = v, &["g"], &["", " "]),
        ];
        for (key, set, taken, refused) in cases {
            for value in taken {
                assert_eq!(broken(|c| set(c, (*value).to_owned())), [""; 0], "{key} = {value}");
            }
            for value in refused {
                assert_eq!(broken(|c| set(c, (*value).to_owned())).first(), Some(&key), "{key} = {value}");
            }
        }
    }

    #[test]
    fn empty_names_and_lists_are_refused() {
        assert_eq!(broken(|c| c.name = String::new()), ["name"]);
        assert_eq!(broken(|c| c.config_version = 2), ["config_version"]);
        assert_eq!(broken(|c| c.kafka.topics.clear()), ["kafka.topics"]);
        assert_eq!(broken(|c| c.event.id = String::new()), ["event.id"]);
        assert_eq!(broken(|c| c.event.partition_key = vec![String::new()]), ["event.partition_key"]);
        assert_eq!(broken(|c| c.event.timestamps = vec![" ".into()]), ["event.timestamps"]);
        assert!(broken(|c| c.event.timestamps.clear()).is_empty());
        assert_eq!(broken(|c| c.cosmos.regions.clear()), ["cosmos.regions"]);
        assert_eq!(broken(|c| c.cosmos.regions = vec!["a".into(), "a".into()]), ["cosmos.regions"]);
        assert_eq!(broken(|c| c.cosmos.container = String::new()), ["cosmos.container"]);
    }
}
