//! Text of strangers where people read it, on a terminal, in the log, on a page: what a device, a broker or
//! a server said must not begin a line of its own, move the cursor, change colours, or turn the order of
//! letters around.

use std::borrow::Cow;

/// The text, with control characters and those of bidirectional writing as Rust escapes them
/// (`\u{1b}`, `\n`).
pub fn text(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c.escape_debug().to_string())
}

/// The same of JSON, which stays the same value: such characters stand only in its strings, for
/// line breaks are gone.
pub fn json(document: &str) -> Cow<'_, str> {
    // All of them are of Unicode's first plane.
    escaped(document, |c| format!("\\u{:04x}", u32::from(c)))
}

fn escaped(text: &str, escape: impl Fn(char) -> String) -> Cow<'_, str> {
    if !text.contains(moves) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if moves(c) { out.push_str(&escape(c)) } else { out.push(c) }
    }
    out.into()
}

/// Whether a terminal does something else than to draw it.
fn moves(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: [(&str, &str); 5] = [
        ("device 7, é, 見, 👩‍🚀", "device 7, é, 見, 👩‍🚀"),
        ("\u{1b}[2J", r"\u{1b}[2J"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\u{9b}1m\u{7f}", r"\u{9b}1m\u{7f}"),
        ("\u{202e}desrever\u{2066}", r"\u{202e}desrever\u{2066}"),
    ];

    #[test]
    fn what_moves_the_terminal_is_escaped_and_nothing_else() {
        for (sent, seen) in SENT {
            assert_eq!(text(sent), seen);
        }
    }

    #[test]
    fn json_is_the_same_value_afterwards() {
        for (sent, _) in SENT {
            // As the store writes it: what JSON does not make it escape stands there as it is.
            let document = serde_json::json!({ "id": sent }).to_string();
            let seen = json(&document);
            assert!(!seen.contains(['\u{7f}', '\u{9b}', '\u{202e}', '\u{2066}']), "{seen:?}");
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&seen).ok(),
                serde_json::from_str(&document).ok()
            );
        }
    }
}
