//! What a group is like before we join it.

use std::time::Duration;

use rdkafka::consumer::{Consumer, ConsumerContext};

/// How long Kafka may take to tell.
const LIMIT: Duration = Duration::from_secs(2);

/// Whether a group has no members now. When that cannot be found out, it counts as having some.
pub fn is_empty<C: ConsumerContext, K: Consumer<C>>(consumer: &K, group: &str) -> bool {
    match consumer.fetch_group_list(Some(group), LIMIT) {
        Ok(list) => list.groups().iter().all(|group| group.members().is_empty()),
        Err(error) => {
            tracing::debug!(%error, group, "whether the group has members could not be found out");
            false
        }
    }
}
