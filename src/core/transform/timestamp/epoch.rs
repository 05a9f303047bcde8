//! Numbers as timestamps, in exact decimal arithmetic: a double would lose nanoseconds.

/// Beyond the year 9999, and before the year 0, by far; and small enough to multiply by ten.
const FAR_AWAY: i128 = 10_i128.pow(24);

/// `number`, as JSON writes one, times ten to the power of `power`, rounded towards the past to a whole number.
/// Nothing if that is too far from zero to be a date.
pub(super) fn nanos(number: &str, power: i64) -> Option<i128> {
    let (negative, number) = match number.strip_prefix('-') {
        Some(magnitude) => (true, magnitude),
        None => (false, number),
    };
    let (digits, exponent) = match number.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent_value(exponent)),
        None => (number, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));

    // Where, among all digits, the point stands once the number has been multiplied.
    let point = (whole.len() as i64).saturating_add(exponent).saturating_add(power);
    let mut value: i128 = 0;
    let mut something_left = false;
    let mut at = 0;
    for digit in whole.bytes().chain(fraction.bytes()).map(|digit| i128::from(digit - b'0')) {
        if at < point {
            value = value * 10 + digit;
            if value > FAR_AWAY {
                return None;
            }
        } else {
            something_left |= digit != 0;
        }
        at += 1;
    }
    while at < point && value != 0 {
        value *= 10;
        if value > FAR_AWAY {
            return None;
        }
        at += 1;
    }
    Some(match (negative, something_left) {
        (false, _) => value,
        (true, false) => -value,
        (true, true) => -value - 1,
    })
}

fn exponent_value(text: &str) -> i64 {
    // All that can go wrong here is that it is too large for any double, or for a date.
    text.parse().unwrap_or(if text.starts_with('-') { i64::MIN } else { i64::MAX })
}
