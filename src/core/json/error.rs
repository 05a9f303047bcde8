//! What can be wrong with a JSON text.

/// Why a text was refused, and at which byte of it.
///
/// It is one pointer wide: nearly every step of the scanner returns a `Result` and succeeds, and a
/// wider error would make each of them slower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<(usize, Problem)>);

impl Error {
    pub(super) fn new(at: usize, problem: Problem) -> Self {
        Self(Box::new((at, problem)))
    }

    /// The offset of the byte that was not as it should be; the text's length when it ends too early.
    pub fn at(&self) -> usize {
        self.0.0
    }

    /// What is wrong there.
    pub fn problem(&self) -> Problem {
        self.0.1
    }
}

/// What can be wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Not JSON: something else should have stood there.
    Syntax(Expected),
    /// An object or array begins inside [`MAX_DEPTH`](super::MAX_DEPTH) others.
    TooDeep,
    /// A number that is no finite double begins there.
    NumberOutOfRange,
}

/// What should have stood at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Expected {
    /// Any value.
    #[error("a value")]
    Value,
    /// The name of a member.
    #[error("a name in quotation marks")]
    Name,
    /// What separates a name from its value.
    #[error("':' after a name")]
    Colon,
    /// The next member of an object, or its end.
    #[error("',' or '}}' after a value")]
    CommaOrBrace,
    /// The next value of an array, or its end.
    #[error("',' or ']' after a value")]
    CommaOrBracket,
    /// A digit of a number.
    #[error("a digit")]
    Digit,
    /// One of JSON's escapes.
    #[error("an escape that JSON knows")]
    Escape,
    /// In a string, anything but a bare control character.
    #[error("no bare control character in a string")]
    NoControlCharacter,
    /// The end of a string.
    #[error("a quotation mark at the end of a string")]
    QuotationMark,
    /// The end of the text.
    #[error("nothing after the value")]
    End,
}
