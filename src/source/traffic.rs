//! What came over the network, and what of it was thrown away.

use super::statistics::{PartitionStatistics, Statistics};

/// The keys and values that one client has given out, in bytes, and what it has thrown away besides because a
/// partition was paused.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    delivered: u64,
    longest_key: u64,
    thrown_away: u64,
}

impl Traffic {
    /// The client has given out a record.
    pub fn deliver(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) {
        let bytes = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len) as u64;
        self.delivered += bytes(key) + bytes(value);
        self.longest_key = self.longest_key.max(bytes(key));
    }

    /// How many bytes were thrown away beyond what this has told before: what was fetched, and neither given
    /// out nor waits in the client. The keys of what waits are not counted by the client: they are taken
    /// for as long as the longest, so that this never tells of more than there was.
    pub fn more_thrown_away(&mut self, seen: &Statistics) -> u64 {
        let partitions = || seen.partitions.values();
        let fetched: u64 = partitions().map(|partition| partition.fetched_bytes).sum();
        let waiting =
            |partition: &PartitionStatistics| partition.queued_bytes + partition.queued * self.longest_key;
        // Each tells of the queue that all share.
        let waiting = partitions().map(waiting).max().unwrap_or(0);
        let thrown_away = fetched.saturating_sub(self.delivered + waiting);
        let more = thrown_away.saturating_sub(self.thrown_away);
        self.thrown_away += more;
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::kafka::TopicPartition;

    fn seen(fetched: [u64; 2], queued: u64, queued_bytes: u64) -> Statistics {
        let partitions = fetched.into_iter().zip(0..).map(|(fetched_bytes, number)| {
            let of_it = PartitionStatistics { queued, queued_bytes, fetched_bytes, ..Default::default() };
            (TopicPartition::new("t", number), of_it)
        });
        Statistics { partitions: partitions.collect(), ..Statistics::default() }
    }

    #[test]
    fn what_was_fetched_and_neither_came_nor_waits_was_thrown_away() {
        let mut traffic = Traffic::default();
        (0..10).for_each(|_| traffic.deliver(Some(b"key"), Some(&[0; 97])));
        assert_eq!(traffic.more_thrown_away(&seen([600, 400], 0, 0)), 0);
        assert_eq!(traffic.more_thrown_away(&seen([900, 600], 5, 485)), 0, "the rest waits");
        assert_eq!(traffic.more_thrown_away(&seen([900, 600], 1, 97)), 400, "and now it does not");
        assert_eq!(traffic.more_thrown_away(&seen([900, 600], 0, 0)), 100);
        assert_eq!(traffic.more_thrown_away(&seen([900, 600], 0, 0)), 0, "told once");
        traffic.deliver(None, None);
        assert_eq!(traffic.more_thrown_away(&seen([900, 600], 0, 0)), 0);
    }
}
