//! Eight bytes at a time: where a run of plain characters or of digits ends.
//!
//! The tricks are those of "Bit Twiddling Hacks" (Sean Eron Anderson, "Determine if a word has a
//! byte less than n"). A borrow or carry may mark a byte wrongly, but only one *after* a byte that is
//! marked rightly, and only the first mark is ever used.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

const QUOTE: u64 = 0x22;
const BACKSLASH: u64 = 0x5c;
const ZERO: u64 = 0x30;

/// The first byte at or after `at` that does not simply stand for itself inside a JSON string: a
/// quotation mark, a backslash or a control character. The text's length if there is none.
pub(super) fn plain_end(text: &[u8], mut at: usize) -> usize {
    while let Some(word) = word(text, at) {
        let backslash = bytes_below(word ^ (ONES * BACKSLASH), 1);
        // With this bit turned over, a quotation mark comes to stand at the end of the control characters.
        let quote_or_control = bytes_below(word ^ (ONES * (QUOTE ^ 0x20)), 0x21);
        let stops = backslash | quote_or_control;
        if stops != 0 {
            return at + first_mark(stops);
        }
        at += 8;
    }
    byte_by_byte(text, at, |byte| byte != b'"' && byte != b'\\' && byte >= 0x20)
}

/// The first byte at or after `at` that is not an ASCII digit. The text's length if there is none.
pub(super) fn digits_end(text: &[u8], mut at: usize) -> usize {
    while let Some(word) = word(text, at) {
        let values = word ^ (ONES * ZERO);
        let others = (values.wrapping_add(ONES * (0x80 - 10)) | values) & HIGH_BITS;
        if others != 0 {
            return at + first_mark(others);
        }
        at += 8;
    }
    byte_by_byte(text, at, |byte| byte.is_ascii_digit())
}

#[inline]
fn word(text: &[u8], at: usize) -> Option<u64> {
    text.get(at..)?.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes))
}

/// Marks the bytes below `limit`, which is at most 0x80.
#[inline]
fn bytes_below(word: u64, limit: u64) -> u64 {
    word.wrapping_sub(ONES * limit) & !word & HIGH_BITS
}

#[inline]
fn first_mark(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}

fn byte_by_byte(text: &[u8], at: usize, goes_on: impl Fn(u8) -> bool) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| !goes_on(*byte)).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte value at every place of a word, among neighbours that could carry or borrow into it.
    fn every_byte_at_every_place(check: impl Fn(&[u8])) {
        for filler in [b'0', b'9', b'a', b' ', 0x7f, 0x80, 0xff] {
            for byte in 0..=255 {
                for place in 0..19 {
                    let mut text = [filler; 19];
                    text[place] = byte;
                    check(&text);
                }
            }
        }
    }

    #[test]
    fn a_run_of_plain_characters_ends_where_a_byte_by_byte_search_says() {
        every_byte_at_every_place(|text| {
            for from in 0..=text.len() {
                let slow = byte_by_byte(text, from, |byte| !matches!(byte, b'"' | b'\\' | 0..0x20));
                assert_eq!(plain_end(text, from), slow, "{text:?} from {from}");
            }
        });
    }

    #[test]
    fn a_run_of_digits_ends_where_a_byte_by_byte_search_says() {
        every_byte_at_every_place(|text| {
            for from in 0..=text.len() {
                let slow = byte_by_byte(text, from, |byte| byte.wrapping_sub(b'0') < 10);
                assert_eq!(digits_end(text, from), slow, "{text:?} from {from}");
            }
        });
    }
}
