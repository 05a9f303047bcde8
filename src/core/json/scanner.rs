//! One walk over a JSON text.

use super::number::{BadNumber, number_end};
use super::text::Text;
use super::words::plain_end;
use std::ops::Range;

/// How deep objects and arrays may nest; the outermost is at depth 1.
pub const MAX_DEPTH: u32 = 128;

/// Why a text was refused, and at which byte of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The offset of the byte that was not as it should be; the text's length when it ends too early.
    pub at: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What can be wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Not JSON: what should have stood there, or what may not.
    Syntax(&'static str),
    /// An object or array begins inside [`MAX_DEPTH`] others.
    TooDeep,
    /// A number that is no finite double begins there.
    NumberOutOfRange,
}

/// A value and the bytes it takes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    /// Its bytes, without the whitespace around it.
    pub span: Range<usize>,
    /// What it is.
    pub kind: Kind<'a>,
}

/// What a value is; of an object or array nothing but that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A string.
    String(Text<'a>),
    /// A number, as it is written.
    Number(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// An object.
    Object,
    /// An array.
    Array,
}

/// The name of a member of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    /// Where its first quotation mark stands.
    pub start: usize,
    /// The name.
    pub text: Text<'a>,
}

/// Walks a text from its beginning to its end.
///
/// An object is either passed over whole, like any value, with [`value`](Self::value) or
/// [`skip`](Self::skip), or gone through: [`open_object`](Self::open_object), then
/// [`next_name`](Self::next_name) and the value that belongs to it until there is no next name.
/// [`end`](Self::end) makes sure that nothing follows. After an error the scanner is of no more use.
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
    /// A bit for each depth: whether what is open there is an object (else an array).
    objects: u128,
    /// Whether an object has just been opened, so that a name may come without a comma before it.
    opened: bool,
}

impl<'a> Scanner<'a> {
    /// A scanner that begins at byte `at` of `text`; all offsets it reports are in `text`.
    pub fn new(text: &'a str, at: usize) -> Self {
        Self { text, at, depth: 0, objects: 0, opened: false }
    }

    /// How far the scanner has come: the offset after what it last passed.
    pub fn at(&self) -> usize {
        self.at
    }

    /// If an object comes next, goes into it, to its first name. If not, stays and says so.
    pub fn open_object(&mut self) -> Result<bool, Error> {
        self.skip_whitespace();
        if self.peek() != Some(b'{') {
            return Ok(false);
        }
        self.open(true)?;
        self.opened = true;
        Ok(true)
    }

    /// The next name of the object that was opened last, with its value to come; `None` at its end.
    pub fn next_name(&mut self) -> Result<Option<Name<'a>>, Error> {
        self.skip_whitespace();
        let first = std::mem::take(&mut self.opened);
        match self.peek() {
            Some(b'}') => {
                self.at += 1;
                self.depth -= 1;
                return Ok(None);
            }
            Some(b',') if !first => self.at += 1,
            _ if first => {}
            _ => return Err(self.expected("',' or '}' after a value")),
        }
        self.name().map(Some)
    }

    /// Passes the next value and says what and where it was.
    pub fn value(&mut self) -> Result<Value<'a>, Error> {
        self.skip_whitespace();
        let start = self.at;
        let kind = match self.peek() {
            Some(b'"') => Kind::String(self.string()?),
            Some(first) => {
                self.skip()?;
                match first {
                    b'{' => Kind::Object,
                    b'[' => Kind::Array,
                    b'n' => Kind::Null,
                    b't' => Kind::Bool(true),
                    b'f' => Kind::Bool(false),
                    _ => Kind::Number(&self.text[start..self.at]),
                }
            }
            None => return Err(self.expected("a value")),
        };
        Ok(Value { span: start..self.at, kind })
    }

    /// Passes the next value, whatever it is.
    pub fn skip(&mut self) -> Result<(), Error> {
        let outside = self.depth;
        loop {
            self.skip_whitespace();
            // A value begins here.
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b'{') => {
                    self.open(true)?;
                    self.skip_whitespace();
                    if self.peek() != Some(b'}') {
                        self.name()?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.open(false)?;
                    self.skip_whitespace();
                    if self.peek() != Some(b']') {
                        continue;
                    }
                }
                Some(b't') => self.literal("true")?,
                Some(b'f') => self.literal("false")?,
                Some(b'n') => self.literal("null")?,
                _ => return Err(self.expected("a value")),
            }
            // A value has ended, or an empty object or array is about to: close what closes here.
            loop {
                if self.depth == outside {
                    return Ok(());
                }
                self.skip_whitespace();
                match (self.peek(), self.in_object()) {
                    (Some(b','), in_object) => {
                        self.at += 1;
                        if in_object {
                            self.name()?;
                        }
                        break;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        self.at += 1;
                        self.depth -= 1;
                    }
                    (_, true) => return Err(self.expected("',' or '}' after a value")),
                    (_, false) => return Err(self.expected("',' or ']' after a value")),
                }
            }
        }
    }

    /// Makes sure that nothing but whitespace is left.
    pub fn end(&mut self) -> Result<(), Error> {
        self.skip_whitespace();
        if self.peek().is_some() { Err(self.expected("nothing after the value")) } else { Ok(()) }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn expected(&self, what: &'static str) -> Error {
        Error { at: self.at, problem: Problem::Syntax(what) }
    }

    fn open(&mut self, object: bool) -> Result<(), Error> {
        if self.depth == MAX_DEPTH {
            return Err(Error { at: self.at, problem: Problem::TooDeep });
        }
        let bit = 1 << self.depth;
        self.objects = if object { self.objects | bit } else { self.objects & !bit };
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn in_object(&self) -> bool {
        self.objects >> (self.depth - 1) & 1 == 1
    }

    /// A name and the colon after it.
    fn name(&mut self) -> Result<Name<'a>, Error> {
        self.skip_whitespace();
        if self.peek() != Some(b'"') {
            return Err(self.expected("a name in quotation marks"));
        }
        let start = self.at;
        let text = self.string()?;
        self.skip_whitespace();
        if self.peek() != Some(b':') {
            return Err(self.expected("':' after a name"));
        }
        self.at += 1;
        Ok(Name { start, text })
    }

    fn string(&mut self) -> Result<Text<'a>, Error> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut escaped = false;
        let mut at = start;
        loop {
            at = plain_end(bytes, at);
            self.at = at;
            match bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Text::new(&self.text[start..at], escaped));
                }
                Some(b'\\') => {
                    escaped = true;
                    at += match bytes.get(at + 1) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                        Some(b'u') if four_hex_digits(bytes, at + 2) => 6,
                        _ => return Err(self.expected("an escape that JSON knows")),
                    };
                }
                Some(_) => return Err(self.expected("no bare control character in a string")),
                None => return Err(self.expected("a quotation mark at the end of a string")),
            }
        }
    }

    fn number(&mut self) -> Result<(), Error> {
        match number_end(self.text.as_bytes(), self.at) {
            Ok(end) => {
                self.at = end;
                Ok(())
            }
            Err(BadNumber::NoDigit { at }) => Err(Error { at, problem: Problem::Syntax("a digit") }),
            Err(BadNumber::OutOfRange) => Err(Error { at: self.at, problem: Problem::NumberOutOfRange }),
        }
    }

    fn literal(&mut self, literal: &'static str) -> Result<(), Error> {
        if !self.text.as_bytes()[self.at..].starts_with(literal.as_bytes()) {
            return Err(self.expected("a value"));
        }
        self.at += literal.len();
        Ok(())
    }
}

fn four_hex_digits(bytes: &[u8], at: usize) -> bool {
    bytes.get(at..at + 4).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}
