//! Timestamps as RFC 3339 writes them, with the liberties that the table of the parent module names.

use chrono::NaiveDate;

use super::OUTSIDE;
use super::moment::Moment;

const FORM: &str = "no RFC 3339 timestamp";
const NO_SUCH_DATE: &str = "no such date";
const NO_SUCH_TIME: &str = "no such time of day";
const NO_LEAP_SECOND: &str = "no leap second can be there";

/// Reads a timestamp; the error says in words what is wrong with it.
pub(super) fn parse(text: &[u8]) -> Result<Moment, &'static str> {
    let (moment, rest) = text.split_first_chunk::<19>().ok_or(FORM)?;
    let [b'-', b'-', b'T' | b't' | b' ', b':', b':'] = [4, 7, 10, 13, 16].map(|at| moment[at]) else {
        return Err(FORM);
    };
    let number = |range| digits(&moment[range]).ok_or(FORM);
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let (nanos, rest) = fraction(rest)?;
    let offset_minutes = offset(rest)?;

    let date = NaiveDate::from_ymd_opt(year as i32, month, day).ok_or(NO_SUCH_DATE)?;
    if hour > 23 || minute > 59 || second > 60 {
        return Err(NO_SUCH_TIME);
    }
    // Offsets are whole minutes, so that seconds and fractions are the same in UTC.
    let minute_of_day = (hour * 60 + minute) as i32 - offset_minutes;
    let minute_utc = minute_of_day.rem_euclid(MINUTES_OF_A_DAY);
    let date_utc = match minute_of_day.div_euclid(MINUTES_OF_A_DAY) {
        0 => Some(date),
        1.. => date.succ_opt(),
        _ => date.pred_opt(),
    };
    let mut date_utc = date_utc.ok_or(OUTSIDE)?;
    let mut second_of_day = minute_utc as u32 * 60 + second;
    if second == 60 {
        date_utc = date_utc.succ_opt().ok_or(OUTSIDE)?;
        if minute_utc != MINUTES_OF_A_DAY - 1 || chrono::Datelike::day(&date_utc) != 1 {
            return Err(NO_LEAP_SECOND);
        }
        second_of_day = 0;
    }
    Moment::new(date_utc, second_of_day, nanos).ok_or(OUTSIDE)
}

const MINUTES_OF_A_DAY: i32 = 24 * 60;

fn digits(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0')))
}

/// Nanoseconds, cut off, from `.` and one or more digits, or from nothing; and what follows.
fn fraction(text: &[u8]) -> Result<(u32, &[u8]), &'static str> {
    let Some((b'.', rest)) = text.split_first() else { return Ok((0, text)) };
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return Err(FORM);
    }
    let kept = digits(&rest[..count.min(9)]).ok_or(FORM)?;
    Ok((kept * 10_u32.pow(9 - count.min(9) as u32), &rest[count..]))
}

/// Minutes ahead of UTC.
fn offset(text: &[u8]) -> Result<i32, &'static str> {
    match text {
        [] | [b'Z' | b'z'] => Ok(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = digits(&[*h1, *h2]).zip(digits(&[*m1, *m2])).ok_or(FORM)?;
            if hours > 23 || minutes > 59 {
                return Err("no such offset from UTC");
            }
            let ahead = (hours * 60 + minutes) as i32;
            Ok(if *sign == b'-' { -ahead } else { ahead })
        }
        _ => Err(FORM),
    }
}
