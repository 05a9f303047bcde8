//! From the documents of a micro-batch to lanes of requests.
//!
//! - Of several versions of one document (same partition key and id) the newest is written; the
//!   older ones are kept for the case that the store refuses the newest.
//! - Documents of one partition key are written together, in the order of their offsets, in
//!   transactional batches of at most 100 operations and 2 MB (limits of Cosmos DB).

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::lane::Lane;
use crate::core::key::{DocumentId, PartitionKey};
use crate::core::mutant::{self, Mutant};

/// The most operations in a transactional batch (a limit of Cosmos DB).
pub const MAX_OPERATIONS: usize = 100;

/// The most bytes in a transactional batch. Cosmos DB says "2 MB"; this keeps clear of either
/// reading of that.
pub const MAX_BATCH_BYTES: usize = 2_000_000;

/// What surrounds one document in the body of a batch, and the comma after it.
pub const OPERATION_PREFIX: &[u8] = br#"{"operationType":"Upsert","resourceBody":"#;
const OPERATION_EXTRA: usize = OPERATION_PREFIX.len() + 2;

/// A document to be written, as the plan sees it.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// The index of its record in the micro-batch; candidates come in ascending order.
    pub record: usize,
    /// Its partition key.
    pub key: &'a PartitionKey,
    /// Its id.
    pub id: &'a DocumentId,
    /// The length of its body in bytes.
    pub length: usize,
}

/// The newest version of a document and the older ones of the same micro-batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The index of the newest record.
    pub newest: usize,
    /// The indexes of the older ones, newest first.
    pub older: Vec<usize>,
    /// The length of the newest one's body in bytes.
    pub length: usize,
}

/// Makes the lanes of a micro-batch, in the order in which their first documents came.
pub fn lanes<'a>(candidates: impl IntoIterator<Item = Candidate<'a>>) -> Vec<Lane> {
    let candidates = candidates.into_iter();
    let mut keys: HashMap<&PartitionKey, usize> = HashMap::new();
    // As large as it gets: a map that grows hashes all that it holds again.
    let most = candidates.size_hint().1.unwrap_or_default();
    let mut places: HashMap<(usize, &DocumentId), usize> = HashMap::with_capacity(most);
    let mut lanes: Vec<Vec<Option<Versions>>> = Vec::new();
    for Candidate { record, key, id, length } in candidates {
        let lane_count = lanes.len();
        let lane_index = *keys.entry(key).or_insert(lane_count);
        if lane_index == lane_count {
            lanes.push(Vec::new());
        }
        let lane = &mut lanes[lane_index];
        let mut versions = Versions { newest: record, older: Vec::new(), length };
        match places.entry((lane_index, id)) {
            Entry::Vacant(place) => {
                place.insert(lane.len());
            }
            // The newest version takes the place of its own offset: at the end.
            Entry::Occupied(mut place) => {
                let before = std::mem::replace(place.get_mut(), lane.len());
                if let Some(before) = lane[before].take() {
                    if mutant::is(Mutant::OlderWins) {
                        versions.length = before.length;
                        versions.older.push(std::mem::replace(&mut versions.newest, before.newest));
                    } else {
                        versions.older.push(before.newest);
                    }
                    versions.older.extend(before.older);
                }
            }
        }
        lane.push(Some(versions));
    }
    lanes.into_iter().map(|lane| Lane::new(groups(lane.into_iter().flatten()))).collect()
}

/// Cuts the documents of one lane into requests.
fn groups(documents: impl Iterator<Item = Versions>) -> Vec<Vec<Versions>> {
    let mut groups: Vec<Vec<Versions>> = Vec::new();
    let mut bytes = 0;
    for versions in documents {
        let length = versions.length + OPERATION_EXTRA;
        match groups.last_mut() {
            Some(group) if group.len() < MAX_OPERATIONS && bytes + length <= MAX_BATCH_BYTES => {
                group.push(versions);
                bytes += length;
            }
            _ => {
                groups.push(vec![versions]);
                bytes = length + 2;
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use smallvec::smallvec;

    use super::*;
    use crate::core::key::KeyPart;

    fn documents(of: &[(u8, u8, usize)]) -> Vec<(PartitionKey, DocumentId, usize)> {
        of.iter()
            .map(|(key, id, length)| {
                let key = PartitionKey(smallvec![KeyPart::Number(f64::from(*key))]);
                (key, DocumentId(id.to_string().into()), *length)
            })
            .collect()
    }

    fn plan(documents: &[(PartitionKey, DocumentId, usize)]) -> Vec<Vec<Vec<Versions>>> {
        let candidates = documents.iter().enumerate().map(|(record, (key, id, length))| Candidate {
            record,
            key,
            id,
            length: *length,
        });
        lanes(candidates).into_iter().map(Lane::into_groups).collect()
    }

    #[test]
    fn the_newest_version_is_written_in_its_own_place_and_the_older_ones_are_kept() {
        let plan = plan(&documents(&[(1, 7, 10), (1, 8, 10), (1, 7, 11), (1, 7, 12)]));
        let expected = vec![
            Versions { newest: 1, older: vec![], length: 10 },
            Versions { newest: 3, older: vec![2, 0], length: 12 },
        ];
        assert_eq!(plan, [[expected]]);
    }

    #[test]
    fn the_same_id_under_another_key_is_another_document() {
        let plan = plan(&documents(&[(1, 7, 10), (2, 7, 10)]));
        assert_eq!(plan.len(), 2);
    }

    #[test]
    fn a_batch_has_at_most_a_hundred_operations() {
        let many: Vec<_> = (0..250u8).map(|id| (1, id, 10)).collect();
        let sizes: Vec<_> = plan(&documents(&many))[0].iter().map(Vec::len).collect();
        assert_eq!(sizes, [100, 100, 50]);
    }

    #[test]
    fn a_batch_stays_below_two_megabytes_and_a_larger_document_goes_alone() {
        let plan = plan(&documents(&[
            (1, 1, 900_000),
            (1, 2, 900_000),
            (1, 3, 900_000),
            (1, 4, 2_090_000),
            (1, 5, 5),
        ]));
        let sizes: Vec<_> = plan[0].iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 1, 1, 1]);
    }

    proptest! {
        /// Every record is in the plan once; the newest of each document leads; a lane's newest are in
        /// ascending order; no batch breaks a limit.
        #[test]
        fn the_plan_holds_every_record_once(
            of in prop::collection::vec((0..4u8, 0..40u8, 1..300_000usize), 0..300)
        ) {
            let documents = documents(&of);
            let mut newest: BTreeMap<(u8, u8), Vec<usize>> = BTreeMap::new();
            for (record, (key, id, _)) in of.iter().enumerate() {
                newest.entry((*key, *id)).or_default().insert(0, record);
            }
            let mut seen = 0;
            for lane in plan(&documents) {
                let mut last = None;
                for group in lane {
                    prop_assert!(group.len() <= MAX_OPERATIONS);
                    let bytes: usize = group.iter().map(|versions| versions.length + OPERATION_EXTRA).sum();
                    prop_assert!(group.len() == 1 || bytes + 2 <= MAX_BATCH_BYTES);
                    for versions in group {
                        prop_assert!(last < Some(versions.newest));
                        last = Some(versions.newest);
                        let (key, id, length) = of[versions.newest];
                        prop_assert_eq!(versions.length, length);
                        let all = newest.remove(&(key, id)).unwrap();
                        prop_assert_eq!(versions.newest, all[0]);
                        prop_assert_eq!(&versions.older, &all[1..]);
                        seen += all.len();
                    }
                }
            }
            prop_assert_eq!(seen, of.len());
        }
    }
}
