//! From `[event]` of the configuration to [`Rules`]: the only place of the core that knows the
//! configuration's types.

use smallvec::SmallVec;

use super::level::{FieldNumber, LeftOut, Level};
use super::{KeySource, MAX_KEY_PARTS, RuleError, Rules, SYSTEM_FIELDS};
use crate::config::{EpochUnit, Event, Precision, Tombstone, Ttl};
use crate::core::json;
use crate::core::transform::timestamp::TimestampRules;

const ID: &str = "event.id";
const PARTITION_KEY: &str = "event.partition_key";
const TIMESTAMPS: &str = "event.timestamps";
const ENQUEUED_AT: &str = "event.enqueued_at";
const PROCESSED_AT: &str = "event.processed_at";

impl Rules {
    /// Checks and compiles the configuration.
    pub fn compile(event: &Event) -> Result<Self, RuleError> {
        let paths = event.partition_key.iter().map(|path| segments(path)).collect::<Result<Vec<_>, _>>()?;
        check_names(event)?;
        check_added_fields(event)?;
        check_timestamps(event)?;
        check_paths(event, &paths)?;

        let mut fields = Fields::default();
        fields.top("id").left_out = Some(LeftOut::Replaced);
        for name in SYSTEM_FIELDS {
            fields.top(name).left_out = Some(LeftOut::System);
        }
        for name in [&event.enqueued_at, &event.processed_at] {
            if !name.is_empty() {
                let field = fields.top(name);
                (field.once, field.left_out) = (true, Some(LeftOut::Replaced));
            }
        }
        if event.ttl == Ttl::Refuse {
            fields.top("ttl").refused = true;
        }
        let id = fields.top(&event.id);
        (id.once, id.id) = (true, true);
        for name in &event.timestamps {
            let field = fields.top(name);
            (field.once, field.timestamp) = (true, true);
        }
        let mut key = SmallVec::new();
        for (part, segments) in paths.iter().enumerate() {
            let source = match segments[..] {
                ["id"] => KeySource::DocumentId,
                [name] if event.timestamps.iter().any(|timestamp| timestamp == name) => KeySource::Timestamp,
                _ => KeySource::Field,
            };
            if source != KeySource::DocumentId {
                fields.key_part(segments, part);
            }
            key.push((format!("/{}", segments.join("/")), source));
        }
        Ok(Self {
            levels: fields.levels,
            paths: fields.paths,
            id_name: event.id.clone(),
            key,
            timestamps: TimestampRules {
                fraction_digits: match event.timestamp_precision {
                    Precision::Millis => 3,
                    Precision::Micros => 6,
                    Precision::Nanos => 9,
                },
                epoch_power: match event.epoch_unit {
                    EpochUnit::Seconds => 9,
                    EpochUnit::Millis => 6,
                    EpochUnit::Micros => 3,
                    EpochUnit::Nanos => 0,
                },
            },
            enqueued_at: member_name(&event.enqueued_at),
            processed_at: member_name(&event.processed_at),
            skip_tombstones: event.tombstone == Tombstone::Skip,
        })
    }
}

fn refuse(key: &'static str, reason: impl Into<String>) -> Result<(), RuleError> {
    Err(RuleError { key, reason: reason.into() })
}

/// `,"name":`
fn member_name(name: &str) -> Option<Box<[u8]>> {
    let mut bytes = vec![b','];
    json::write_string(name, &mut bytes);
    bytes.push(b':');
    (!name.is_empty()).then(|| bytes.into())
}

/// The names on the way that a path describes: `deviceId`, `/deviceId`, `/device/id`.
fn segments(path: &str) -> Result<Vec<&str>, RuleError> {
    let segments: Vec<_> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    let problem = if path.contains('"') {
        "a name in quotation marks is not supported in a path; name fields without '/' and '\"'"
    } else if segments.contains(&"") {
        "a path is a field's name, or names separated by '/', none of them empty"
    } else {
        return Ok(segments);
    };
    Err(RuleError { key: PARTITION_KEY, reason: format!("{path:?}: {problem}") })
}

/// What holds of a name wherever it stands.
fn check_names(event: &Event) -> Result<(), RuleError> {
    let timestamps = event.timestamps.iter().map(|name| (TIMESTAMPS, name));
    let added = [(ENQUEUED_AT, &event.enqueued_at), (PROCESSED_AT, &event.processed_at)];
    for (key, name) in timestamps.chain([(ID, &event.id)]) {
        if name.is_empty() {
            return refuse(key, "an empty name; it must name a field of the event");
        }
        if *name == event.enqueued_at || *name == event.processed_at {
            return refuse(key, format!("{name:?} is written by the service; an event's own is left out"));
        }
        if key == ID && name == "ttl" && event.ttl == Ttl::Refuse {
            return refuse(key, "\"ttl\" cannot be needed and refused (event.ttl = \"refuse\") at once");
        }
        check_not_system(key, name)?;
    }
    for (key, name) in added {
        check_not_system(key, name)?;
    }
    Ok(())
}

fn check_not_system(key: &'static str, name: &str) -> Result<(), RuleError> {
    if SYSTEM_FIELDS.contains(&name) {
        return refuse(key, format!("{name:?} is a field that Cosmos DB keeps for itself"));
    }
    Ok(())
}

fn check_added_fields(event: &Event) -> Result<(), RuleError> {
    for (key, name) in [(ENQUEUED_AT, &event.enqueued_at), (PROCESSED_AT, &event.processed_at)] {
        match name.as_str() {
            "id" => return refuse(key, "\"id\" is the document's id"),
            "ttl" => return refuse(key, "\"ttl\" must be a number of seconds to Cosmos DB, not a timestamp"),
            _ => {}
        }
    }
    if event.enqueued_at == event.processed_at && !event.enqueued_at.is_empty() {
        return refuse(PROCESSED_AT, format!("{:?} is {ENQUEUED_AT} already", event.processed_at));
    }
    Ok(())
}

fn check_timestamps(event: &Event) -> Result<(), RuleError> {
    for (index, name) in event.timestamps.iter().enumerate() {
        if name == "id" || *name == event.id {
            return refuse(TIMESTAMPS, format!("{name:?} is the id, which stays as it is"));
        }
        if name == "ttl" {
            return refuse(TIMESTAMPS, "\"ttl\" must be a number of seconds to Cosmos DB, not a timestamp");
        }
        if event.timestamps[..index].contains(name) {
            return refuse(TIMESTAMPS, format!("{name:?} stands twice"));
        }
    }
    Ok(())
}

fn check_paths(event: &Event, paths: &[Vec<&str>]) -> Result<(), RuleError> {
    if !(1..=MAX_KEY_PARTS).contains(&paths.len()) {
        return refuse(PARTITION_KEY, format!("{} paths; a container has one to three", paths.len()));
    }
    for (index, path) in paths.iter().enumerate() {
        let written = &event.partition_key[index];
        let first = path[0];
        check_not_system(PARTITION_KEY, first)?;
        if first == event.processed_at || first == event.enqueued_at {
            let reason = "differs each time an event is read or sent again, \
                          so that the second time would make a second document instead of replacing the first";
            return refuse(PARTITION_KEY, format!("{written:?} {reason}"));
        }
        if first == "ttl" && event.ttl == Ttl::Refuse {
            return refuse(
                PARTITION_KEY,
                "\"ttl\" cannot be needed and refused (event.ttl = \"refuse\") at once",
            );
        }
        let is_scalar =
            first == "id" || first == event.id || event.timestamps.iter().any(|name| name == first);
        if path.len() > 1 && is_scalar {
            return refuse(PARTITION_KEY, format!("{written:?}: {first:?} is no object, it has no fields"));
        }
        for (other, other_written) in paths[..index].iter().zip(&event.partition_key) {
            if path == other {
                return refuse(PARTITION_KEY, format!("{written:?} stands twice"));
            }
            if path.starts_with(other) || other.starts_with(path) {
                let reason = "no event can have a value at both, one lies inside the other";
                return refuse(PARTITION_KEY, format!("{other_written:?} and {written:?}: {reason}"));
            }
        }
    }
    Ok(())
}

/// The fields that have been named so far, level by level.
struct Fields {
    levels: Vec<Level>,
    paths: Vec<String>,
}

impl Default for Fields {
    fn default() -> Self {
        Self { levels: vec![Level::default()], paths: Vec::new() }
    }
}

impl Fields {
    /// The field of the event of that name.
    fn top(&mut self, name: &str) -> &mut super::Field {
        self.entry(0, name, name)
    }

    fn entry(&mut self, level: usize, name: &str, path: &str) -> &mut super::Field {
        let paths = &mut self.paths;
        self.levels[level].entry(name, || {
            paths.push(path.to_owned());
            FieldNumber(paths.len() - 1)
        })
    }

    /// Lays the way to a part of the partition key.
    fn key_part(&mut self, segments: &[&str], part: usize) {
        let mut level = 0;
        let mut path = String::new();
        for (index, name) in segments.iter().enumerate() {
            if index > 0 {
                path.push('/');
            }
            path.push_str(name);
            let new_level = self.levels.len();
            let field = self.entry(level, name, &path);
            field.once = true;
            if index + 1 == segments.len() {
                field.key_part = Some(part);
            } else {
                level = *field.below.get_or_insert(new_level);
                if level == new_level {
                    self.levels.push(Level::default());
                }
            }
        }
    }
}
