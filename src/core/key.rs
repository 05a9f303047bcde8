//! What names a document in Cosmos DB: its partition key and its id.

use smallvec::SmallVec;

/// One value of a partition key.
#[derive(Clone, Debug)]
pub enum KeyPart {
    /// A string of at most 2,048 bytes.
    String(Box<str>),
    /// A finite number; Cosmos DB keeps numbers as doubles.
    Number(f64),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

/// Numbers are equal when they are the same double, bit for bit; there are no NaNs in JSON.
impl PartialEq for KeyPart {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a.to_bits() == b.to_bits(),
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Null, Self::Null) => true,
            _ => false,
        }
    }
}

impl Eq for KeyPart {}

impl std::hash::Hash for KeyPart {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::String(s) => s.hash(state),
            Self::Number(n) => n.to_bits().hash(state),
            Self::Bool(b) => b.hash(state),
            Self::Null => {}
        }
    }
}

/// The values of a document at the container's partition key paths, one to three of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PartitionKey(pub SmallVec<[KeyPart; 1]>);

/// A document's id: 1 to 1,023 bytes without `/ \ ? #`. Made by the transform alone, which has
/// checked that.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DocumentId(pub Box<str>);
