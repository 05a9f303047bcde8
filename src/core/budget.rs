//! The byte budget: what the records of all partitions may take in this process.
//!
//! Half of the budget is divided evenly among the assigned partitions, so that each can always go
//! on; the other half is first come, first served, so that a busy partition can fill large batches
//! while others are idle. A partition over its limit is held back alone. A record larger than the
//! limit is let in when its partition holds nothing else: it has to pass somehow.
//!
//! Invariant: as long as nobody takes more than [`Budget::room`] says, the sum over all partitions
//! stays within the total, except for such single records.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::kafka::TopicPartition;

/// The budget of a process, shared by its workers.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Mutex<Accounts>>);

#[derive(Debug)]
struct Accounts {
    total: usize,
    used: HashMap<TopicPartition, Account>,
    assigned: usize,
    sum: usize,
}

#[derive(Debug, Default)]
struct Account {
    used: usize,
    /// Workers that own it: for a moment two do, when one has lost it and not noticed yet.
    owners: usize,
}

/// How much a partition may hold, and how much it does, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Its share, and what the others have left of the common half.
    pub limit: usize,
    /// What it holds: the micro-batch being written and the one that fills.
    pub used: usize,
}

/// Bytes taken from the budget; they go back when this is dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    partition: TopicPartition,
    bytes: usize,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(total: usize) -> Self {
        let accounts = Accounts { total, used: HashMap::new(), assigned: 0, sum: 0 };
        Self(Arc::new(Mutex::new(accounts)))
    }

    /// The partition is now one of a worker's: it gets a share.
    pub fn assign(&self, partition: &TopicPartition) {
        let mut accounts = self.lock();
        let account = accounts.used.entry(partition.clone()).or_default();
        account.owners += 1;
        if account.owners == 1 {
            accounts.assigned += 1;
        }
    }

    /// The partition is no longer that worker's. What its batches in flight hold stays counted until they end.
    pub fn unassign(&self, partition: &TopicPartition) {
        let mut accounts = self.lock();
        let Some(account) = accounts.used.get_mut(partition) else { return };
        account.owners = account.owners.saturating_sub(1);
        if account.owners == 0 {
            accounts.assigned = accounts.assigned.saturating_sub(1);
        }
        accounts.forget_if_idle(partition);
    }

    /// How much the partition may hold at present, and how much it does.
    pub fn room(&self, partition: &TopicPartition) -> Room {
        let accounts = self.lock();
        let used = accounts.used.get(partition).map_or(0, |account| account.used);
        Room { limit: accounts.limit(partition), used }
    }

    /// An empty charge for a partition.
    pub fn open(&self, partition: &TopicPartition) -> Charge {
        Charge { budget: self.clone(), partition: partition.clone(), bytes: 0 }
    }

    /// The bytes held by all partitions together.
    pub fn used(&self) -> usize {
        self.lock().sum
    }

    fn lock(&self) -> MutexGuard<'_, Accounts> {
        // The sums stay right even if a thread panicked between two of them: each is one statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    fn share(&self) -> usize {
        self.total / 2 / self.assigned.max(1)
    }

    fn limit(&self, partition: &TopicPartition) -> usize {
        let share = self.share();
        let over = |used: usize| used.saturating_sub(share);
        let taken: usize = self.used.values().map(|account| over(account.used)).sum();
        let mine = self.used.get(partition).map_or(0, |account| over(account.used));
        let by_others = taken - mine;
        share + (self.total - self.total / 2).saturating_sub(by_others)
    }

    fn forget_if_idle(&mut self, partition: &TopicPartition) {
        if self.used.get(partition).is_some_and(|account| account.used == 0 && account.owners == 0) {
            self.used.remove(partition);
        }
    }
}

impl Charge {
    /// Takes so many bytes more.
    pub fn add(&mut self, bytes: usize) {
        let mut accounts = self.budget.lock();
        accounts.used.entry(self.partition.clone()).or_default().used += bytes;
        accounts.sum += bytes;
        self.bytes += bytes;
    }

    /// An empty charge for the same partition.
    #[must_use]
    pub fn beside(&self) -> Self {
        self.budget.open(&self.partition)
    }

    /// The bytes taken.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut accounts = self.budget.lock();
        if let Some(account) = accounts.used.get_mut(&self.partition) {
            account.used -= self.bytes;
        }
        accounts.sum -= self.bytes;
        accounts.forget_if_idle(&self.partition);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn partition(number: i32) -> TopicPartition {
        TopicPartition::new("t", number)
    }

    #[test]
    fn a_partition_keeps_its_share_when_a_worker_that_lost_it_says_so_late() {
        let budget = Budget::new(1_000);
        for number in 0..4 {
            budget.assign(&partition(number));
            budget.assign(&partition(number));
        }
        (0..4).for_each(|number| budget.unassign(&partition(number)));
        let mut charges = Vec::new();
        for number in 0..4 {
            let mut charge = budget.open(&partition(number));
            charge.add(budget.room(&partition(number)).limit);
            charges.push(charge);
        }
        assert_eq!(budget.used(), 1_000);
        drop(charges);
        (0..4).for_each(|number| budget.unassign(&partition(number)));
        assert!(budget.lock().used.is_empty());
    }

    #[test]
    fn a_lone_partition_may_take_everything() {
        let budget = Budget::new(1_000);
        budget.assign(&partition(0));
        assert_eq!(budget.room(&partition(0)).limit, 1_000);
        let mut charge = budget.open(&partition(0));
        charge.add(900);
        assert_eq!(budget.room(&partition(0)).limit, 1_000);
        drop(charge);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_greedy_partition_leaves_the_others_their_share() {
        let budget = Budget::new(1_000);
        (0..5).for_each(|number| budget.assign(&partition(number)));
        let mut greedy = budget.open(&partition(0));
        greedy.add(budget.room(&partition(0)).limit);
        assert_eq!(greedy.bytes(), 600);
        for number in 1..5 {
            assert_eq!(budget.room(&partition(number)).limit, 100);
        }
    }

    #[test]
    fn what_was_taken_beyond_the_limit_does_not_raise_it() {
        let budget = Budget::new(1_000);
        (0..2).for_each(|number| budget.assign(&partition(number)));
        let taken = [600, 450].into_iter().zip(0..).map(|(bytes, number)| {
            let mut charge = budget.open(&partition(number));
            charge.add(bytes);
            charge
        });
        let charges: Vec<_> = taken.collect();
        assert_eq!(budget.room(&partition(0)), Room { limit: 550, used: 600 });
        assert_eq!(budget.room(&partition(1)), Room { limit: 400, used: 450 });
        drop(charges);
        assert_eq!(budget.room(&partition(1)).limit, 750);
    }

    #[test]
    fn bytes_of_a_partition_that_left_stay_counted_until_its_batch_ends() {
        let budget = Budget::new(1_000);
        budget.assign(&partition(0));
        let mut charge = budget.open(&partition(0));
        charge.add(700);
        budget.unassign(&partition(0));
        budget.assign(&partition(1));
        assert_eq!(budget.used(), 700);
        assert_eq!(budget.room(&partition(1)).limit, 800, "share 500, and 300 of the common half are free");
        drop(charge);
        assert_eq!(budget.room(&partition(1)).limit, 1_000);
        assert_eq!(budget.0.lock().unwrap().used.len(), 1, "the partition that left is forgotten");
    }

    proptest! {
        #[test]
        fn whoever_keeps_to_the_limit_keeps_the_total(
            takes in prop::collection::vec((0..6i32, 1..400usize, any::<bool>()), 1..200)
        ) {
            let budget = Budget::new(10_000);
            (0..6).for_each(|number| budget.assign(&partition(number)));
            let mut charges: Vec<(i32, Charge)> = Vec::new();
            for (number, bytes, give_back) in takes {
                if give_back {
                    if !charges.is_empty() {
                        charges.swap_remove(bytes % charges.len());
                    }
                    continue;
                }
                let held: usize =
                    charges.iter().filter(|(of, _)| *of == number).map(|(_, charge)| charge.bytes()).sum();
                prop_assert!(budget.room(&partition(number)).limit >= 10_000 / 2 / 6, "the share is guaranteed");
                if held + bytes <= budget.room(&partition(number)).limit {
                    let mut charge = budget.open(&partition(number));
                    charge.add(bytes);
                    charges.push((number, charge));
                }
                prop_assert!(budget.used() <= 10_000);
                prop_assert_eq!(budget.used(), charges.iter().map(|(_, charge)| charge.bytes()).sum::<usize>());
            }
        }
    }
}
