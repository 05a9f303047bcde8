//! Timestamps: what an event may write, and the one form in which they are stored.
//!
//! | the event has                                                     | stored                        |
//! |-------------------------------------------------------------------|-------------------------------|
//! | RFC 3339: `2019-05-16T19:16:40.1239+02:00`                        | `2019-05-16T17:16:40.123Z`    |
//! | the same with one space, or `t`, for the `T`; `z` for `Z`         | the same                      |
//! | the same without an offset: `2019-05-16T17:16:40`                 | taken as UTC                  |
//! | a leap second, `2016-12-31T23:59:60.5Z`                           | `2017-01-01T00:00:00.500Z`    |
//! | any number, counted in `event.epoch_unit` since 1970: `1.5e12`    | `2017-07-14T02:40:00.000Z`    |
//! | `null`                                                            | `null`                        |
//! | anything else, or a year outside 0000 to 9999 in UTC              | nothing: `invalid_timestamp`  |
//!
//! What is finer than `event.timestamp_precision` is cut off towards the past, before 1970 too, so
//! that later moments never sort before earlier ones.
//!
//! A leap second is taken where one can be: at 23:59:60 UTC on the last day of a month (RFC 3339,
//! section 5.7). It is stored as the second that follows, its fraction kept: that is what POSIX time
//! makes of it, the result can be read by everyone (most parsers refuse `:60`), and it sorts after
//! every fraction of 23:59:59.

mod epoch;
mod moment;
mod rfc3339;

use super::bad_event::{BadEvent, Described};
use crate::core::json::Kind;
use crate::core::reason::Reason;
use moment::Moment;
pub(super) use moment::TimestampText;

/// How timestamps are read and written.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimestampRules {
    /// Digits after the second: 3, 6 or 9.
    pub(super) fraction_digits: usize,
    /// The power of ten that turns a number of an event into nanoseconds: 9, 6, 3 or 0.
    pub(super) epoch_power: i64,
}

impl TimestampRules {
    /// The form in which a field's value is stored; nothing for `null`, which stays.
    pub(super) fn rewrite(self, name: &str, kind: Kind<'_>) -> Result<Option<TimestampText>, BadEvent> {
        let moment = match kind {
            Kind::Null => return Ok(None),
            Kind::String(text) => match text.unescape() {
                Ok(text) => rfc3339::parse(text.as_bytes()),
                Err(_) => Err("no RFC 3339 timestamp"),
            },
            Kind::Number(number) => {
                epoch::nanos(number, self.epoch_power).and_then(Moment::from_unix_nanos).ok_or(OUTSIDE)
            }
            Kind::Bool(_) | Kind::Object | Kind::Array => Err("neither a string nor a number nor null"),
        };
        match moment {
            Ok(moment) => Ok(Some(moment.text(self.fraction_digits))),
            Err(problem) => {
                let detail = format!("{name:?} is {}: {problem}", Described(kind));
                Err(BadEvent::new(Reason::InvalidTimestamp, detail))
            }
        }
    }

    /// The stored form of a Kafka timestamp.
    pub(super) fn of_unix_millis(self, millis: i64) -> Option<TimestampText> {
        let nanos = millis.rem_euclid(1000) as u32 * 1_000_000;
        Moment::from_unix(millis.div_euclid(1000), nanos).map(|moment| moment.text(self.fraction_digits))
    }
}

const OUTSIDE: &str = "outside the years 0000 to 9999 in UTC";

/// The time of processing, in the form in which it is stored. Made by [`Rules::stamp`](super::Rules::stamp).
#[derive(Clone, Debug)]
pub struct Stamp(Option<TimestampText>);

impl Stamp {
    pub(super) fn at(unix_nanos: i128, rules: TimestampRules) -> Self {
        Self(Moment::from_unix_nanos(unix_nanos).map(|moment| moment.text(rules.fraction_digits)))
    }

    pub(super) fn write_quoted(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Some(text) => text.write_quoted(out),
            None => out.extend_from_slice(b"null"),
        }
    }
}
