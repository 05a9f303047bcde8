//! Which physical partition a partition key is in.
//!
//! Microsoft's client asks for the list of ranges where it needs it, and hashes keys; both are its own. Here
//! it is looked up without waiting, before each request, so the list is kept sorted.

use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use azure_data_cosmos_driver::CosmosDriver;
use azure_data_cosmos_driver::models::partition_key_range::PartitionKeyRange;
use azure_data_cosmos_driver::models::{ContainerReference, EffectivePartitionKey, FeedRange};

use super::driver_key;
use crate::core::key::PartitionKey;
use crate::store::KeyRange;

/// How old the list may be when the container throttles: a partition may have been split meanwhile.
const OLD: Duration = Duration::from_mins(5);

/// How long the list is waited for.
const WITHIN: Duration = Duration::from_secs(3);

/// The ranges of a container.
#[derive(Debug)]
pub(super) struct Ranges {
    /// Where each begins, ascending.
    begins: RwLock<Vec<(EffectivePartitionKey, KeyRange)>>,
    read: Mutex<Instant>,
}

impl Ranges {
    /// Asks for the list. Without an answer in time, everything is in one range until it is asked again.
    pub(super) async fn read(driver: &CosmosDriver, container: &ContainerReference) -> Self {
        let begins = list(driver, container, false).await.unwrap_or_default();
        Self { begins: RwLock::new(begins), read: Mutex::new(Instant::now()) }
    }

    /// In which range a key is.
    pub(super) fn of(&self, container: &ContainerReference, key: &PartitionKey) -> KeyRange {
        let begins = self.begins.read().unwrap_or_else(PoisonError::into_inner);
        if begins.len() < 2 {
            return KeyRange::default();
        }
        let Ok(key) = driver_key(key) else { return KeyRange::default() };
        let hash = FeedRange::for_partition(key, container.partition_key_definition());
        let after = begins.partition_point(|(begin, _)| begin <= hash.min_inclusive());
        begins.get(after.saturating_sub(1)).map_or_else(KeyRange::default, |(_, range)| *range)
    }

    /// Reads the list again if it is old.
    pub(super) async fn renew_if_old(&self, driver: &CosmosDriver, container: &ContainerReference) {
        {
            let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            if read.elapsed() < OLD {
                return;
            }
            *read = Instant::now();
        }
        if let Some(begins) = list(driver, container, true).await {
            *self.begins.write().unwrap_or_else(PoisonError::into_inner) = begins;
        }
    }
}

async fn list(
    driver: &CosmosDriver,
    container: &ContainerReference,
    again: bool,
) -> Option<Vec<(EffectivePartitionKey, KeyRange)>> {
    let asked = driver.resolve_all_partition_key_ranges(container, again);
    let problem = match tokio::time::timeout(WITHIN, asked).await {
        Ok(Ok(Some(ranges))) => return Some(sorted(ranges)),
        Ok(Ok(None)) => "Cosmos DB gave none".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    tracing::warn!(problem, "the container's partition key ranges could not be read; they are taken for one");
    None
}

fn sorted(ranges: Vec<PartitionKeyRange>) -> Vec<(EffectivePartitionKey, KeyRange)> {
    let mut begins: Vec<_> = ranges
        .into_iter()
        .enumerate()
        // The service numbers ranges and never uses a number again.
        .map(|(index, range)| (range.min_inclusive, KeyRange(range.id.parse().unwrap_or(index as u32))))
        .collect();
    begins.sort_by(|(one, _), (other, _)| one.cmp(other));
    begins
}
