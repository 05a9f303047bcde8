//! The rules once more, slowly and plainly: the whole event in memory, `serde_json` for the grammar,
//! chrono for the calendar. [`check`] compares what `decode` makes of an event with it.
//!
//! It stands alone, but for the names that its parent imports, so that the fuzz target can use it too.

use chrono::{DateTime, Datelike, Utc};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::config::{EpochUnit, Event, Precision, Ttl};
use super::key::KeyPart;
use super::transform::{Decoded, Rules, decode};

/// Configurations that use the rules in different ways.
pub fn configurations() -> Vec<Event> {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let sample = Event::default();
    vec![
        sample.clone(),
        Event {
            id: "id".into(),
            partition_key: names(&["/device/id", "createdAt"]),
            timestamps: names(&["createdAt", "seenAt"]),
            timestamp_precision: Precision::Nanos,
            epoch_unit: EpochUnit::Seconds,
            enqueued_at: String::new(),
            ttl: Ttl::Refuse,
            ..sample.clone()
        },
        Event {
            partition_key: names(&["id", "device/site/name", "device/id"]),
            timestamps: names(&[]),
            processed_at: String::new(),
            ..sample.clone()
        },
        Event {
            id: "value".into(),
            partition_key: names(&["value", "a \n"]),
            timestamp_precision: Precision::Micros,
            epoch_unit: EpochUnit::Nanos,
            enqueued_at: "é\\".into(),
            ..sample
        },
    ]
}

/// What should become of an event.
enum Verdict {
    Stored(Stored),
    /// One of these reasons.
    Bad(&'static [&'static str]),
    /// The model does not know: arithmetic beyond its numbers.
    Unknown,
}

struct Stored {
    id: String,
    key: Vec<Value>,
    /// Names and values as they should stand in the body, between the id and the added fields.
    members: Vec<(String, String)>,
    system_fields: u32,
}

/// Why there is no such document; or `None` when the model does not know.
type Refusal = Option<&'static [&'static str]>;

/// Decodes an event and says how the outcome differs from what it should be.
pub fn check(
    event: &Event,
    value: &[u8],
    enqueued_millis: Option<i64>,
    processed_nanos: i128,
) -> Result<(), String> {
    let rules = Rules::compile(event).map_err(|error| error.to_string())?;
    let decoded = decode(&rules, Some(value), enqueued_millis, &rules.stamp(processed_nanos));
    let shown = String::from_utf8_lossy(value);
    let expected = match verdict(event, value) {
        Verdict::Unknown => return Ok(()),
        Verdict::Bad(reasons) => {
            return match decoded {
                Err(bad) if !reasons.contains(&bad.reason.as_str()) => {
                    Err(format!("{shown}: {bad}, instead of {reasons:?}"))
                }
                Err(bad) if bad.detail.chars().count() > 250 || bad.detail.contains(char::is_control) => {
                    Err(format!("{shown}: the detail is no short line: {bad:?}"))
                }
                Err(_) => Ok(()),
                Ok(decoded) => Err(format!("{shown}: {decoded:?}, instead of {reasons:?}")),
            };
        }
        Verdict::Stored(stored) => stored,
    };
    let document = match decoded {
        Ok(Decoded::Document(document)) => document,
        other => return Err(format!("{shown}: {other:?}, instead of a document")),
    };
    let mut body = Vec::new();
    document.write_body(value, &mut body);
    let body_len = document.body_len();
    let body = String::from_utf8(body).map_err(|error| format!("{shown}: the body is not UTF-8: {error}"))?;
    let members = members(&body).ok_or_else(|| format!("{shown}: the body is no JSON object: {body}"))?;

    let mut added = vec![("id".to_owned(), Value::from(expected.id.clone()))];
    let enqueued = enqueued_millis.map(|millis| i128::from(millis) * 1_000_000);
    for (name, nanos) in [(&event.enqueued_at, enqueued), (&event.processed_at, Some(processed_nanos))] {
        if !name.is_empty() {
            let text = nanos.and_then(|nanos| stored_form(nanos, digits(event)));
            added.push((name.clone(), text.map_or(Value::Null, Value::from)));
        }
    }
    let first_added = members.len().checked_sub(added.len() - 1).ok_or("fields are missing")?;
    let is_added = |at: usize| at == 0 || at >= first_added;
    let (written, kept): (Vec<_>, Vec<_>) =
        members.into_iter().enumerate().partition(|(at, _)| is_added(*at));
    let written: Vec<_> = written
        .into_iter()
        .map(|(_, (name, value))| {
            (unescaped(&name).unwrap_or_default(), serde_json::from_str(&value).unwrap_or_default())
        })
        .collect();
    let kept: Vec<_> = kept.into_iter().map(|(_, member)| member).collect();
    let key: Vec<Value> = document
        .key
        .0
        .iter()
        .map(|part| match part {
            KeyPart::String(string) => Value::from(&**string),
            KeyPart::Number(number) => Value::from(*number),
            KeyPart::Bool(value) => Value::from(*value),
            KeyPart::Null => Value::Null,
        })
        .collect();
    let same = body.len() == body_len
        && *document.id.0 == *expected.id
        && key == expected.key
        && document.removed_system_fields() == expected.system_fields
        && written == added
        && kept == expected.members;
    if same {
        return Ok(());
    }
    Err(format!(
        "{shown}\n became {body}\n ({body_len} bytes said, {document:?})\n instead of {added:?}, {:?}, key {:?}, {} system fields",
        expected.members, expected.key, expected.system_fields
    ))
}

fn verdict(event: &Event, value: &[u8]) -> Verdict {
    match store(event, value) {
        Ok(stored) => Verdict::Stored(stored),
        Err(Some(reasons)) => Verdict::Bad(reasons),
        Err(None) => Verdict::Unknown,
    }
}

fn store(event: &Event, value: &[u8]) -> Result<Stored, Refusal> {
    let text = std::str::from_utf8(value).map_err(|_| Some(&["invalid_utf8"][..]))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        // What is met first may lie before the place where the grammar is broken.
        return Err(Some(&["invalid_json", "too_deep", "number_out_of_range"]));
    }
    if let Some(limit) = first_limit(text) {
        return Err(Some(limit));
    }
    let members = members(text).ok_or(Some(&["not_an_object"][..]))?;
    if has_duplicate(event, &members) {
        return Err(Some(&["duplicate_field"]));
    }
    let id = match named(&members, &event.id) {
        None => return Err(Some(&["missing_id"])),
        Some(raw) => id(raw).ok_or(Some(&["invalid_id"][..]))?,
    };
    let mut key = Vec::new();
    for path in &event.partition_key {
        let segments: Vec<_> = path.trim_start_matches('/').split('/').collect();
        key.push(key_part(event, &segments, &members, &id)?);
    }
    if event.ttl == Ttl::Refuse && named(&members, "ttl").is_some() {
        return Err(Some(&["ttl"]));
    }
    let mut kept = Vec::new();
    let mut system_fields = 0;
    for (raw_name, raw) in &members {
        let name = unescaped(raw_name);
        let is = |other: &str| name.as_deref() == Some(other);
        if ["_rid", "_self", "_etag", "_ts", "_attachments", "_lsn"].into_iter().any(is) {
            system_fields += 1;
        } else if is("id") || [&event.enqueued_at, &event.processed_at].iter().any(|n| !n.is_empty() && is(n))
        {
            // Left out.
        } else if event.timestamps.iter().any(|name| is(name)) {
            let text = timestamp(event, raw)?.map_or("null".to_owned(), |text| format!("\"{text}\""));
            kept.push((raw_name.clone(), text));
        } else {
            kept.push((raw_name.clone(), raw.clone()));
        }
    }
    Ok(Stored { id, key, members: kept, system_fields })
}

/// The members of an object, names and values as they are written.
fn members(text: &str) -> Option<Vec<(String, String)>> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, String)>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                members.push((name.get().to_owned(), value.get().to_owned()));
            }
            Ok(members)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let members = deserializer.deserialize_map(Members).ok()?;
    deserializer.end().ok().map(|()| members)
}

fn unescaped(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok()
}

fn named<'m>(members: &'m [(String, String)], name: &str) -> Option<&'m str> {
    members.iter().find(|(raw, _)| unescaped(raw).as_deref() == Some(name)).map(|(_, value)| value.as_str())
}

/// The first number that is no double, or bracket that is too deep, in a valid text.
fn first_limit(text: &str) -> Option<&'static [&'static str]> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'{' | b'[' => {
                depth += 1;
                if depth > 128 {
                    return Some(&["too_deep"]);
                }
            }
            b'}' | b']' => depth -= 1,
            b'-' | b'0'..=b'9' => {
                let end =
                    text[at..].find(|c: char| !"+-.eE0123456789".contains(c)).map_or(text.len(), |n| at + n);
                if !text[at..end].parse::<f64>().is_ok_and(f64::is_finite) {
                    return Some(&["number_out_of_range"]);
                }
                at = end - 1;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

fn has_duplicate(event: &Event, members: &[(String, String)]) -> bool {
    let count = |members: &[(String, String)], name: &str| {
        members.iter().filter(|(raw, _)| unescaped(raw).as_deref() == Some(name)).count()
    };
    let added = [&event.enqueued_at, &event.processed_at];
    let top =
        event.timestamps.iter().chain([&event.id]).chain(added.into_iter().filter(|name| !name.is_empty()));
    if top.into_iter().any(|name| count(members, name) > 1) {
        return true;
    }
    event.partition_key.iter().map(|path| path.trim_start_matches('/')).filter(|path| *path != "id").any(
        |path| {
            let mut level = Some(members.to_vec());
            for name in path.split('/') {
                let Some(members) = level else { return false };
                if count(&members, name) > 1 {
                    return true;
                }
                level = named(&members, name).and_then(self::members);
            }
            false
        },
    )
}

fn id(raw: &str) -> Option<String> {
    if raw.starts_with('"') {
        let id = unescaped(raw)?;
        let is_address = id.contains(['/', '\\', '?', '#']) || id == "." || id == "..";
        return ((1..=1023).contains(&id.len()) && !is_address).then_some(id);
    }
    let integer: i128 = raw.parse().ok()?;
    (integer.abs() <= 1 << 53).then(|| integer.to_string())
}

fn key_part(
    event: &Event,
    segments: &[&str],
    members: &[(String, String)],
    id: &str,
) -> Result<Value, Refusal> {
    if segments == ["id"] {
        return Ok(Value::from(id));
    }
    let missing = Some(&["missing_partition_key"][..]);
    let invalid = Some(&["invalid_partition_key"][..]);
    let raw = named(members, segments[0]).ok_or(missing)?;
    if segments.len() > 1 {
        let below = self::members(raw).ok_or(missing)?;
        // Deeper down, nothing is an id or a timestamp.
        let nothing_special = Event { timestamps: Vec::new(), ..event.clone() };
        let below: Vec<_> = below.into_iter().collect();
        return match &segments[1..] {
            ["id"] => scalar(named(&below, "id").ok_or(missing)?).ok_or(invalid),
            rest => key_part(&nothing_special, rest, &below, id),
        };
    }
    if event.timestamps.iter().any(|name| name == segments[0]) {
        return Ok(timestamp(event, raw)?.map_or(Value::Null, Value::from));
    }
    scalar(raw).ok_or(invalid)
}

fn scalar(raw: &str) -> Option<Value> {
    match raw.as_bytes()[0] {
        b'"' => unescaped(raw).filter(|string| string.len() <= 2048).map(Value::from),
        b'{' | b'[' => None,
        b't' => Some(Value::Bool(true)),
        b'f' => Some(Value::Bool(false)),
        b'n' => Some(Value::Null),
        _ => raw.parse::<f64>().ok().map(Value::from),
    }
}

fn digits(event: &Event) -> u32 {
    match event.timestamp_precision {
        Precision::Millis => 3,
        Precision::Micros => 6,
        Precision::Nanos => 9,
    }
}

fn timestamp(event: &Event, raw: &str) -> Result<Option<String>, Refusal> {
    let invalid = Some(&["invalid_timestamp"][..]);
    let nanos = match raw.as_bytes()[0] {
        b'n' => return Ok(None),
        b'"' => unescaped(raw).and_then(|text| rfc3339(&text)).ok_or(invalid)?,
        b'-' | b'0'..=b'9' => {
            let power = match event.epoch_unit {
                EpochUnit::Seconds => 9,
                EpochUnit::Millis => 6,
                EpochUnit::Micros => 3,
                EpochUnit::Nanos => 0,
            };
            epoch(raw, power).ok_or(None::<&[&str]>)?
        }
        _ => return Err(invalid),
    };
    stored_form(nanos, digits(event)).map(Some).ok_or(invalid)
}

/// Nanoseconds since 1970, by chrono, once the form has been made the one that it knows.
fn rfc3339(text: &str) -> Option<i128> {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let rest = ["T", "t", " "]
        .iter()
        .find_map(|between| shape.strip_prefix(&format!("0000-00-00{between}00:00:00")))?;
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => {
            Some(fraction.trim_start_matches('0')).filter(|zone| zone.len() < fraction.len())?
        }
        None => rest,
    };
    if !["", "Z", "z", "+00:00", "-00:00"].contains(&zone) {
        return None;
    }
    let (moment, zone) = text.split_at(text.len() - zone.len());
    let (seconds, fraction) = moment.split_at(19);
    let leap = seconds.ends_with("60");
    let seconds = if leap { format!("{}59", &seconds[..17]) } else { seconds.to_owned() };
    let zone = if zone.is_empty() { "Z" } else { zone };
    let normal = format!("{}T{}{zone}", &seconds[..10], &seconds[11..]);
    let mut time = DateTime::parse_from_rfc3339(&normal.to_ascii_uppercase()).ok()?.with_timezone(&Utc);
    if leap {
        time += chrono::TimeDelta::seconds(1);
        if time.day() != 1 || time.timestamp().rem_euclid(86_400) != 0 {
            return None;
        }
    }
    let fraction: i128 = format!("{:0<9}", fraction.trim_start_matches('.'))[..9].parse().ok()?;
    Some(i128::from(time.timestamp()) * 1_000_000_000 + fraction)
}

/// A number times a power of ten, rounded down; `None` when 128 bits do not suffice.
fn epoch(number: &str, power: i32) -> Option<i128> {
    let (digits, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let fraction = digits.split_once('.').map_or("", |(_, fraction)| fraction);
    let mantissa: i128 = digits.replace('.', "").parse().ok()?;
    let exponent = exponent.parse::<i32>().ok()?.checked_add(power)? - fraction.len() as i32;
    match 10_i128.checked_pow(exponent.unsigned_abs()) {
        Some(scale) if exponent >= 0 => mantissa.checked_mul(scale),
        Some(scale) => Some(mantissa.div_euclid(scale)),
        None if exponent < 0 && mantissa.checked_abs()? < 10_i128.pow(38) => {
            Some(if mantissa < 0 { -1 } else { 0 })
        }
        None => (mantissa == 0).then_some(0),
    }
}

fn stored_form(nanos: i128, digits: u32) -> Option<String> {
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    let fraction = nanos.rem_euclid(1_000_000_000) / 10_i128.pow(9 - digits);
    let time = DateTime::from_timestamp(seconds, 0).filter(|time| (0..=9999).contains(&time.year()))?;
    Some(format!("{}.{fraction:0width$}Z", time.format("%Y-%m-%dT%H:%M:%S"), width = digits as usize))
}
