//! The grammar of a number, and whether a double can hold it.

use super::error::{Error, Expected, Problem};
use super::words::digits_end;

/// The largest power of ten below which every number is a finite double (the largest is about 1.8e308).
const SAFE_POWER: i64 = 308;

/// Where the number that begins at `start`, with a minus or a digit, ends.
pub(super) fn number_end(text: &[u8], start: usize) -> Result<usize, Error> {
    let whole = start + usize::from(text.get(start) == Some(&b'-'));
    let mut at = match text.get(whole) {
        Some(b'0') => whole + 1,
        Some(b'1'..=b'9') => digits_end(text, whole + 1),
        _ => return Err(no_digit(whole)),
    };
    // The number is less than ten to this power.
    let mut power = (at - whole) as i64;
    if text.get(at) == Some(&b'.') {
        at = some_digits(text, at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        let sign = text.get(at + 1);
        let exponent = at + 1 + usize::from(matches!(sign, Some(b'+' | b'-')));
        at = some_digits(text, exponent)?;
        if sign != Some(&b'-') {
            power = power.saturating_add(value_of(text.get(exponent..at).unwrap_or_default()));
        }
    }
    // Rare: so large that only the exact value tells. `0e999` is zero, and fine.
    if power > SAFE_POWER && !is_finite(text.get(start..at).unwrap_or_default()) {
        return Err(Error::new(start, Problem::NumberOutOfRange));
    }
    Ok(at)
}

fn some_digits(text: &[u8], at: usize) -> Result<usize, Error> {
    let end = digits_end(text, at);
    if end == at { Err(no_digit(at)) } else { Ok(end) }
}

fn no_digit(at: usize) -> Error {
    Error::new(at, Problem::Syntax(Expected::Digit))
}

fn value_of(digits: &[u8]) -> i64 {
    digits.iter().fold(0_i64, |value, digit| {
        value.saturating_mul(10).saturating_add(i64::from(digit.wrapping_sub(b'0')))
    })
}

fn is_finite(number: &[u8]) -> bool {
    std::str::from_utf8(number).ok().and_then(|number| number.parse::<f64>().ok()).is_some_and(f64::is_finite)
}
