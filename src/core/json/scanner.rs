//! One walk over a JSON text.

use std::ops::Range;

use super::error::{Error, Expected, Problem};
use super::number::number_end;
use super::text::Text;
use super::words::plain_end;

/// How deep objects and arrays may nest; the outermost is at depth 1.
pub const MAX_DEPTH: u32 = 128;

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
    /// Where the name that was passed last begins, with its quotation mark, and ends, with the other.
    name: (usize, usize),
    /// How many bytes of that name come before its first escape, or its end.
    name_plain: usize,
}

impl<'a> Scanner<'a> {
    /// A scanner that begins at byte `at` of `text`; all offsets it reports are in `text`.
    pub fn new(text: &'a str, at: usize) -> Self {
        Self { text, at, depth: 0, objects: 0, opened: false, name: (0, 0), name_plain: 0 }
    }

    /// How far the scanner has come: the offset after what it last passed.
    pub fn at(&self) -> usize {
        self.at
    }

    /// If an object comes next, goes into it, to its first name. If not, stays and says so.
    pub fn open_object(&mut self) -> Result<bool, Error> {
        if self.next_byte() != Some(b'{') {
            return Ok(false);
        }
        self.open(true)?;
        self.opened = true;
        Ok(true)
    }

    /// Goes past the next name of the object that was opened last, to its value. `false` at the object's
    /// end, which is passed too.
    #[inline]
    pub fn next_name(&mut self) -> Result<bool, Error> {
        let first = std::mem::take(&mut self.opened);
        match self.next_byte() {
            Some(b',') if !first => self.at += 1,
            Some(b'}') => {
                self.close();
                return Ok(false);
            }
            _ if first => {}
            _ => return Err(self.expected(Expected::CommaOrBrace)),
        }
        self.skip_name()?;
        Ok(true)
    }

    /// The name that [`next_name`](Self::next_name) went past last. (It does not return it itself: a
    /// wide return value, on its way through memory, is what the scanner would spend most time on.)
    ///
    /// # Panics
    ///
    /// Before there was a name.
    #[inline]
    pub fn name(&self) -> Name<'a> {
        let (start, end) = self.name;
        Name { start, text: Text::new(&self.text[start + 1..end - 1], self.name_plain) }
    }

    /// Passes the next value and says what and where it was.
    pub fn value(&mut self) -> Result<Value<'a>, Error> {
        let first = self.next_byte();
        let start = self.at;
        let kind = match first {
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
            None => return Err(self.expected(Expected::Value)),
        };
        Ok(Value { span: start..self.at, kind })
    }

    /// Passes the next value, whatever it is.
    #[inline]
    pub fn skip(&mut self) -> Result<(), Error> {
        match self.next_byte() {
            Some(b'{' | b'[') => self.skip_nested(),
            Some(first) => self.scalar(first),
            None => Err(self.expected(Expected::Value)),
        }
    }

    /// Passes the object or array that begins here, with all that is in it.
    fn skip_nested(&mut self) -> Result<(), Error> {
        let outside = self.depth;
        // Whether the innermost is an object. It changes seldom, and `in_object` would be asked after each value.
        let mut in_object = false;
        loop {
            // A value begins here, or what has just been opened is empty.
            match self.next_byte() {
                Some(b'{') => {
                    self.open(true)?;
                    in_object = true;
                    if self.next_byte() != Some(b'}') {
                        self.skip_name()?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.open(false)?;
                    in_object = false;
                    if self.next_byte() != Some(b']') {
                        continue;
                    }
                }
                Some(first) => self.scalar(first)?,
                None => return Err(self.expected(Expected::Value)),
            }
            // A value has ended, or something empty is about to: close all that closes here.
            loop {
                match (self.next_byte(), in_object) {
                    (Some(b','), _) => {
                        self.at += 1;
                        if in_object {
                            self.skip_name()?;
                        }
                        break;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => self.close(),
                    (_, true) => return Err(self.expected(Expected::CommaOrBrace)),
                    (_, false) => return Err(self.expected(Expected::CommaOrBracket)),
                }
                if self.depth == outside {
                    return Ok(());
                }
                in_object = self.in_object();
            }
        }
    }

    /// Makes sure that nothing but whitespace is left.
    pub fn end(&mut self) -> Result<(), Error> {
        if self.next_byte().is_some() { Err(self.expected(Expected::End)) } else { Ok(()) }
    }

    /// The next byte that is not whitespace, where the scanner then stands.
    #[inline]
    fn next_byte(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    fn expected(&self, what: Expected) -> Error {
        Error::new(self.at, Problem::Syntax(what))
    }

    fn open(&mut self, object: bool) -> Result<(), Error> {
        if self.depth == MAX_DEPTH {
            return Err(Error::new(self.at, Problem::TooDeep));
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

    fn close(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    /// Passes a name and the colon after it.
    #[inline]
    fn skip_name(&mut self) -> Result<(), Error> {
        if self.next_byte() != Some(b'"') {
            return Err(self.expected(Expected::Name));
        }
        let start = self.at;
        self.name_plain = self.skip_string()?;
        self.name = (start, self.at);
        if self.next_byte() != Some(b':') {
            return Err(self.expected(Expected::Colon));
        }
        self.at += 1;
        Ok(())
    }

    /// A value that is neither object nor array and begins with the byte `first`.
    #[inline]
    fn scalar(&mut self, first: u8) -> Result<(), Error> {
        match first {
            b'"' => self.skip_string().map(drop),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => Err(self.expected(Expected::Value)),
        }
    }

    /// A string, to be looked at.
    #[inline]
    fn string(&mut self) -> Result<Text<'a>, Error> {
        let start = self.at + 1;
        let plain = self.skip_string()?;
        Ok(Text::new(&self.text[start..self.at - 1], plain))
    }

    /// Passes a string and says how many bytes in it come before its first escape, or its end.
    #[inline]
    fn skip_string(&mut self) -> Result<usize, Error> {
        let start = self.at + 1;
        let end = plain_end(self.text.as_bytes(), start);
        self.at = end;
        if self.text.as_bytes().get(end) != Some(&b'"') {
            self.rest_of_string()?;
        }
        self.at += 1;
        Ok(end - start)
    }

    /// From the first byte of a string that does not stand for itself to its last quotation mark.
    fn rest_of_string(&mut self) -> Result<(), Error> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b'"') => return Ok(()),
                Some(b'\\') => match bytes.get(self.at + 1) {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
                    Some(b'u') if four_hex_digits(bytes, self.at + 2) => self.at += 6,
                    _ => return Err(self.expected(Expected::Escape)),
                },
                Some(_) => return Err(self.expected(Expected::NoControlCharacter)),
                None => return Err(self.expected(Expected::QuotationMark)),
            }
            self.at = plain_end(bytes, self.at);
        }
    }

    #[inline]
    fn number(&mut self) -> Result<(), Error> {
        self.at = number_end(self.text.as_bytes(), self.at)?;
        Ok(())
    }

    fn literal(&mut self, literal: &'static str) -> Result<(), Error> {
        if !self.text.as_bytes()[self.at..].starts_with(literal.as_bytes()) {
            return Err(self.expected(Expected::Value));
        }
        self.at += literal.len();
        Ok(())
    }
}

fn four_hex_digits(bytes: &[u8], at: usize) -> bool {
    bytes.get(at..at + 4).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}
