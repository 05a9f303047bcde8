//! The one pass over an event: is it valid, and where is what the configuration names?

use std::ops::Range;

use smallvec::SmallVec;

use super::rules::{Field, FieldNumber, LeftOut, Level, MAX_KEY_PARTS, Rules};
use crate::core::json::{self, Kind, Name, Scanner, Value};

/// Why nothing can be found in a text.
pub(super) enum Refused<'a> {
    /// It is not JSON, or beyond the limits.
    NotJson(json::Error),
    /// It is JSON, of this kind.
    NotAnObject(Kind<'a>),
}

impl From<json::Error> for Refused<'_> {
    fn from(error: json::Error) -> Self {
        Self::NotJson(error)
    }
}

/// What an event holds, before any of it is judged.
#[derive(Default)]
pub(super) struct Found<'a> {
    /// The value of the id field.
    pub(super) id: Option<Kind<'a>>,
    /// The values at the partition key's paths, in the order configured.
    pub(super) key_parts: [Option<Kind<'a>>; MAX_KEY_PARTS],
    /// The timestamps in the order of the event.
    pub(super) timestamps: SmallVec<[(FieldNumber, Value<'a>); 2]>,
    /// The runs of members that stay, each from the first name to the last value: all the event's
    /// members in their order, save those that are left out.
    pub(super) kept: SmallVec<[Range<usize>; 4]>,
    /// How many members were left out because their names are Cosmos DB's own.
    pub(super) system_fields: u32,
    /// Where a `ttl` stands, when that is refused.
    pub(super) ttl: Option<usize>,
    /// The first field that may stand once and stands twice, and where the second one begins.
    pub(super) duplicate: Option<(FieldNumber, usize)>,
}

/// Goes through the whole text; offsets count from its first byte, a byte order mark included.
pub(super) fn find<'a>(rules: &Rules, text: &'a str) -> Result<Found<'a>, Refused<'a>> {
    const BYTE_ORDER_MARK: char = '\u{feff}';
    let start = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { 0 };
    let mut search = Search {
        rules,
        scanner: Scanner::new(text, start),
        seen: SmallVec::from_elem(false, rules.number_of_fields()),
        found: Found::default(),
    };
    if !search.scanner.open_object()? {
        let kind = search.scanner.value()?.kind;
        search.scanner.end()?;
        return Err(Refused::NotAnObject(kind));
    }
    search.event()?;
    search.scanner.end()?;
    Ok(search.found)
}

struct Search<'r, 'a> {
    rules: &'r Rules,
    scanner: Scanner<'a>,
    /// Which fields have been met, by their numbers.
    seen: SmallVec<[bool; 32]>,
    found: Found<'a>,
}

impl<'r> Search<'r, '_> {
    /// The members of the event itself.
    fn event(&mut self) -> Result<(), json::Error> {
        let level = self.rules.top();
        let mut run: Option<Range<usize>> = None;
        while self.scanner.next_name()? {
            let name = self.scanner.name();
            let mut stays = true;
            match level.find(name.text) {
                None => self.scanner.skip()?,
                Some(field) => {
                    self.field(field, name)?;
                    stays = field.left_out.is_none();
                }
            }
            if stays {
                run.get_or_insert(name.start..name.start).end = self.scanner.at();
            } else {
                self.found.kept.extend(run.take());
            }
        }
        self.found.kept.extend(run);
        Ok(())
    }

    /// The members of an object on the way to a partition key.
    fn below(&mut self, level: &'r Level) -> Result<(), json::Error> {
        while self.scanner.next_name()? {
            let name = self.scanner.name();
            match level.find(name.text) {
                Some(field) => self.field(field, name)?,
                None => self.scanner.skip()?,
            }
        }
        Ok(())
    }

    /// A field that the rules name. Goes down as deep as the configured paths do, and no deeper.
    fn field(&mut self, field: &'r Field, name: Name<'_>) -> Result<(), json::Error> {
        let met_before = std::mem::replace(&mut self.seen[field.number.0], true);
        if met_before && field.once && self.found.duplicate.is_none() {
            self.found.duplicate = Some((field.number, name.start));
        }
        if let Some(level) = field.below {
            return if self.scanner.open_object()? {
                self.below(self.rules.level(level))
            } else {
                self.scanner.skip()
            };
        }
        let value = self.scanner.value()?;
        if field.id {
            self.found.id = Some(value.kind);
        }
        if let Some(part) = field.key_part {
            self.found.key_parts[part] = Some(value.kind);
        }
        if field.refused {
            self.found.ttl = Some(name.start);
        }
        if field.left_out == Some(LeftOut::System) {
            self.found.system_fields += 1;
        }
        if field.timestamp {
            self.found.timestamps.push((field.number, value));
        }
        Ok(())
    }
}
