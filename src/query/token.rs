//! The words of a query, as far as it takes to see what kind of query it is.
//!
//! Strings stand in single or double quotes with backslash escapes; comments are `-- to the end of
//! the line` and `/* between */`. That is Cosmos DB's SQL. What cannot be cut into words is the
//! store's to refuse, with its own message.

use std::ops::Range;

/// One word, string or sign of a query, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    pub(super) at: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or a name.
    Word,
    /// A string in quotes.
    String,
    /// A number, a parameter, or one character of anything else.
    Other,
}

impl Token<'_> {
    /// Whether this is the keyword, in any case.
    pub(super) fn is_word(&self, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    pub(super) fn is(&self, sign: &str) -> bool {
        self.kind == Kind::Other && self.text == sign
    }
}

/// Cuts a query into words; none when a string or a comment has no end.
pub(super) fn tokens(sql: &str) -> Option<Vec<Token<'_>>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = sql[at..].chars().next() {
        let rest = &sql[at..];
        let (kind, length) = if first.is_whitespace() {
            (None, first.len_utf8())
        } else if rest.starts_with("--") {
            (None, rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            (None, rest.find("*/")? + 2)
        } else if first == '\'' || first == '"' {
            (Some(Kind::String), quoted(rest, first)?)
        } else if first.is_alphabetic() || first == '_' {
            (Some(Kind::Word), run(rest, |c| c.is_alphanumeric() || c == '_'))
        } else if first.is_ascii_digit() || first == '@' {
            (Some(Kind::Other), run(rest, |c| c.is_alphanumeric() || "_@.".contains(c)))
        } else {
            (Some(Kind::Other), first.len_utf8())
        };
        if let Some(kind) = kind {
            tokens.push(Token { kind, text: &rest[..length], at: at..at + length });
        }
        at += length;
    }
    Some(tokens)
}

/// How long the string is that begins here.
fn quoted(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return Some(at + c.len_utf8()),
            _ => {}
        }
    }
    None
}

fn run(rest: &str, belongs: impl Fn(char) -> bool) -> usize {
    rest.find(|c| !belongs(c)).unwrap_or(rest.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(sql: &str) -> Vec<&str> {
        tokens(sql).unwrap().into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn words_strings_numbers_and_signs_are_told_apart() {
        assert_eq!(
            texts("SELECT c.a FROM c WHERE c['b'] >= 1.5e3 AND @p"),
            [
                "SELECT", "c", ".", "a", "FROM", "c", "WHERE", "c", "[", "'b'", "]", ">", "=", "1.5e3",
                "AND", "@p"
            ]
        );
    }

    #[test]
    fn a_keyword_in_a_string_or_comment_is_none() {
        assert_eq!(
            texts("'GROUP BY' \"it's\" /* GROUP BY */ -- COUNT(1)\n x"),
            ["'GROUP BY'", "\"it's\"", "x"]
        );
        assert_eq!(texts(r"'it\'s' y"), [r"'it\'s'", "y"]);
    }

    #[test]
    fn what_has_no_end_is_not_cut() {
        assert_eq!(tokens("SELECT 'a"), None);
        assert_eq!(tokens(r"'a\'"), None);
        assert_eq!(tokens("SELECT /* a"), None);
    }

    proptest! {
        /// Whatever is typed: tokens stand in order, apart, where they say, and nothing panics.
        #[test]
        fn every_token_stands_where_it_says(sql in "[a-cA-C'\"\\\\ .,()*/@0-9\n-]{0,40}|.{0,20}") {
            let mut end = 0;
            for token in tokens(&sql).unwrap_or_default() {
                prop_assert!(token.at.start >= end && !token.text.is_empty());
                prop_assert_eq!(&sql[token.at.clone()], token.text);
                end = token.at.end;
            }
        }
    }
}
