//! The names that matter in one object, found quickly among the many that do not.

use crate::core::json::Text;

/// A field that the rules name; also its place among all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FieldNumber(pub(crate) usize);

/// What a field is to the rules. It may be several things at once.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)] // Independent facts, not states.
pub(crate) struct Field {
    name: String,
    pub(crate) number: FieldNumber,
    /// It decides something, so that two of the name would be a contradiction.
    pub(crate) once: bool,
    /// Its value becomes the id.
    pub(crate) id: bool,
    /// Its value is this part of the partition key.
    pub(crate) key_part: Option<usize>,
    /// It lies on the way to a partition key, whose next name is of this level.
    pub(crate) below: Option<usize>,
    /// Its value is rewritten.
    pub(crate) timestamp: bool,
    /// It makes the event a bad one.
    pub(crate) refused: bool,
    /// It does not come into the document.
    pub(crate) left_out: Option<LeftOut>,
}

/// Why a field of the event does not come into the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftOut {
    /// The document has its own field of that name.
    Replaced,
    /// The name is Cosmos DB's own.
    System,
}

/// The names of one object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Level {
    fields: Vec<Field>,
    /// A bit for each fingerprint that a name has: most names of an event fail here.
    fingerprints: [u64; 4],
}

impl Level {
    /// What the rules say of a name.
    #[inline]
    pub(crate) fn find(&self, name: Text<'_>) -> Option<&Field> {
        let Some(plain) = name.plain() else { return self.find_escaped(name) };
        let (word, bit) = fingerprint(plain);
        if self.fingerprints[word] & bit == 0 { None } else { self.find_characters(plain) }
    }

    fn find_escaped(&self, name: Text<'_>) -> Option<&Field> {
        self.find_characters(&name.unescape().ok()?)
    }

    fn find_characters(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The field of that name, which is added if need be with the number that `number` gives.
    pub(super) fn entry(&mut self, name: &str, number: impl FnOnce() -> FieldNumber) -> &mut Field {
        let index = self.fields.iter().position(|field| field.name == name).unwrap_or_else(|| {
            let (word, bit) = fingerprint(name);
            self.fingerprints[word] |= bit;
            self.fields.push(Field {
                name: name.to_owned(),
                number: number(),
                once: false,
                id: false,
                key_part: None,
                below: None,
                timestamp: false,
                refused: false,
                left_out: None,
            });
            self.fields.len() - 1
        });
        &mut self.fields[index]
    }
}

/// One of 256 bits, by a name's length and first byte.
#[inline]
fn fingerprint(name: &str) -> (usize, u64) {
    let first = name.as_bytes().first().copied().unwrap_or_default();
    let print = (name.len() as u8).wrapping_mul(37) ^ first;
    (usize::from(print >> 6), 1 << (print & 63))
}
