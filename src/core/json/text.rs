//! A string as it stands in a JSON text, and the characters it means.

use std::borrow::Cow;

/// What stands between the quotation marks of a JSON string, escapes and all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    raw: &'a str,
    /// How many bytes come before the first backslash; all of them, when there is none.
    plain: usize,
}

/// A string names half of a surrogate pair without the other half: no Unicode text can hold that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("half of a surrogate pair (\\ud800 to \\udfff) without the other half")]
pub struct LoneSurrogate;

impl<'a> Text<'a> {
    /// `raw` is grammatical, as the scanner has checked, and has no backslash in its first `plain` bytes.
    #[inline]
    pub(super) fn new(raw: &'a str, plain: usize) -> Self {
        Self { raw, plain }
    }

    /// The text between the quotation marks, as it stands.
    pub fn raw(self) -> &'a str {
        self.raw
    }

    /// The characters that the string means, when there is no escape in it.
    #[inline]
    pub fn plain(self) -> Option<&'a str> {
        (self.plain == self.raw.len()).then_some(self.raw)
    }

    /// The characters that the string means; borrowed when there is no escape in it.
    pub fn unescape(self) -> Result<Cow<'a, str>, LoneSurrogate> {
        self.plain().map_or_else(|| unescape(self.raw).map(Cow::Owned), |plain| Ok(Cow::Borrowed(plain)))
    }
}

fn unescape(raw: &str) -> Result<String, LoneSurrogate> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut after = escape.chars();
        let character = match after.next() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let (character, length) = code_point(escape)?;
                after = escape[length..].chars();
                character
            }
            Some(itself) => itself,
            None => break,
        };
        out.push(character);
        rest = after.as_str();
    }
    out.push_str(rest);
    Ok(out)
}

/// The character of `uXXXX`, or of `uXXXX\uXXXX` where two halves make one, and how long that is.
fn code_point(escape: &str) -> Result<(char, usize), LoneSurrogate> {
    let first = hex(escape.get(1..5))?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, 5));
    }
    let second = hex(escape.get(5..11).and_then(|next| next.strip_prefix("\\u")))?;
    match (first, second) {
        (0xd800..0xdc00, 0xdc00..0xe000) => {
            char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)).map(|both| (both, 11))
        }
        _ => None,
    }
    .ok_or(LoneSurrogate)
}

/// The scanner has seen the digits of every `\u`; what is missing here is the other half.
fn hex(digits: Option<&str>) -> Result<u32, LoneSurrogate> {
    digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or(LoneSurrogate)
}
