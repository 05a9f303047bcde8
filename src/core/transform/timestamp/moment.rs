//! A moment in UTC, and the text it is stored as.

use chrono::{Datelike, NaiveDate};

const SECONDS_OF_A_DAY: i64 = 86_400;

/// From 0001-01-01, where chrono counts from 1, to 1970-01-01.
const DAYS_TO_1970: i64 = 719_163;

/// A moment of the years 0000 to 9999 in UTC, by the Gregorian calendar, as RFC 3339 has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    date: NaiveDate,
    second_of_day: u32,
    nanos: u32,
}

impl Moment {
    /// Nothing outside the years 0000 to 9999. `second_of_day` is below 86,400, `nanos` below 10^9.
    pub(super) fn new(date: NaiveDate, second_of_day: u32, nanos: u32) -> Option<Self> {
        (0..=9999).contains(&date.year()).then_some(Self { date, second_of_day, nanos })
    }

    /// So many seconds, and nanoseconds more, after 1970.
    pub(super) fn from_unix(seconds: i64, nanos: u32) -> Option<Self> {
        let days = seconds.div_euclid(SECONDS_OF_A_DAY) + DAYS_TO_1970;
        let date = NaiveDate::from_num_days_from_ce_opt(i32::try_from(days).ok()?)?;
        Self::new(date, seconds.rem_euclid(SECONDS_OF_A_DAY) as u32, nanos)
    }

    /// So many nanoseconds after 1970.
    pub(super) fn from_unix_nanos(nanos: i128) -> Option<Self> {
        const NANOS: i128 = 1_000_000_000;
        Self::from_unix(i64::try_from(nanos.div_euclid(NANOS)).ok()?, nanos.rem_euclid(NANOS) as u32)
    }

    /// `YYYY-MM-DDTHH:MM:SS.fffZ` with so many digits (1 to 9) after the second, cut off, not rounded.
    pub(super) fn text(self, fraction_digits: usize) -> TimestampText {
        let mut bytes = *b"YYYY-MM-DDTHH:MM:SS.nnnnnnnnnZ";
        let (minute, second) = (self.second_of_day / 60, self.second_of_day % 60);
        write_digits(&mut bytes[0..4], self.date.year() as u32);
        write_digits(&mut bytes[5..7], self.date.month());
        write_digits(&mut bytes[8..10], self.date.day());
        write_digits(&mut bytes[11..13], minute / 60);
        write_digits(&mut bytes[14..16], minute % 60);
        write_digits(&mut bytes[17..19], second);
        write_digits(&mut bytes[20..23], self.nanos / 1_000_000);
        write_digits(&mut bytes[23..26], self.nanos / 1_000 % 1_000);
        write_digits(&mut bytes[26..29], self.nanos % 1_000);
        bytes[20 + fraction_digits] = b'Z';
        TimestampText { bytes, length: 21 + fraction_digits }
    }
}

fn write_digits(places: &mut [u8], mut value: u32) {
    for place in places.iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// A timestamp as it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimestampText {
    bytes: [u8; 30],
    length: usize,
}

impl TimestampText {
    /// The text, without quotation marks.
    pub(crate) fn as_str(&self) -> &str {
        // It is ASCII, made by `Moment::text` alone.
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }

    /// Appends the text as a JSON string.
    pub(crate) fn write_quoted(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        out.extend_from_slice(&self.bytes[..self.length]);
        out.push(b'"');
    }
}
