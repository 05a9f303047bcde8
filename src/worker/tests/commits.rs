//! The thread that commits, and what it asks before.

use std::time::Duration;

use super::{Rig, bench, name};
use crate::core::kafka::Offset;
use crate::core::worker::{CommitNumber, CommitOutcome, Input};
use crate::source::committed::Committed;
use crate::source::context::Notice;
use crate::source::lookup;
use crate::worker::client::Client;

/// Commits an offset of partition 0 of topic `t`, over one that the group has.
fn commit(client: &Client, offset: i64, known: Option<i64>) {
    let of_first = |at| (name("t", 0), Offset(at));
    let known = known.map(of_first).into_iter().collect();
    client.commits.ask(CommitNumber::default(), vec![of_first(offset)], known);
}

impl Rig {
    fn answer(&self) -> CommitOutcome {
        match self.wait_for(|input| matches!(input, Input::Committed { .. })).pop() {
            Some(Input::Committed { answers, .. }) => answers[0].2,
            other => panic!("{other:?}"),
        }
    }

    fn committed(&self) -> Committed {
        lookup::committed(&*self.consumer, "t", 1).unwrap()[0]
    }

    /// A client that has partition 0 of topic `t`, which has ten records and of which offset 5 is committed.
    fn client_that_has_committed(&self) -> Client {
        bench::send(&self.cluster, "t", [0], 0..10);
        let mut client = self.client();
        self.wait_for_notice(|notice| matches!(notice, Notice::Assigned(_)));
        client.accept().unwrap();
        client.assign(&[(name("t", 0), Offset(0))]).unwrap();
        commit(&client, 5, None);
        assert_eq!(self.answer(), CommitOutcome::Kept);
        client
    }
}

#[test]
fn nothing_is_committed_over_an_offset_that_is_gone_or_lower_than_it_was() {
    let rig = Rig::of(["t"]);
    let client = rig.client_that_has_committed();
    for (offset, known, outcome) in [
        (9, Some(5), CommitOutcome::Kept),
        // A commit that counts as failed was kept after all.
        (10, Some(5), CommitOutcome::Kept),
        // Somebody else has begun with the topic that was made anew.
        (30, Some(20), CommitOutcome::Gone),
    ] {
        commit(&client, offset, known);
        assert_eq!(rig.answer(), outcome, "{offset} over {known:?}");
    }
    assert_eq!(rig.committed(), Committed::At(Offset(10)));
    // Kafka answers: that commits fail is over, even if there is nothing more to commit.
    rig.health.raise("commits_failing", "worker-0", "");
    let other = vec![(name("t", 1), Offset(7))];
    client.commits.ask(CommitNumber::default(), other.clone(), other);
    assert_eq!(rig.answer(), CommitOutcome::Gone);
    assert!(!rig.is_raised("commits_failing"));
    client.close();
}

#[test]
fn what_the_log_does_not_reach_is_withdrawn() {
    let rig = Rig::of(["t"]);
    let client = rig.client_that_has_committed();
    // Its topic was made anew behind the last look.
    commit(&client, 31, Some(5));
    assert_eq!(rig.answer(), CommitOutcome::Gone);
    assert_eq!(rig.committed(), Committed::Withdrawn(Offset(31)));
    assert_eq!(rig.committed().offset(), None, "nobody reads on from it");
    // Whoever begins with the topic then has something that counts again.
    commit(&client, 6, None);
    assert_eq!(rig.answer(), CommitOutcome::Kept);
    assert_eq!(rig.committed(), Committed::At(Offset(6)));
    client.close();
}

#[test]
fn what_is_given_back_while_the_group_is_asked_for_its_offset_is_not_committed() {
    let rig = Rig::of(["t"]);
    let mut client = rig.client_that_has_committed();
    rig.cluster.broker_round_trip_time(1, Duration::from_millis(500)).unwrap();
    commit(&client, 9, Some(5));
    client.unassign(&[name("t", 0)]).unwrap();
    let given_back = (rig.answer(), rig.committed());
    client.assign(&[(name("t", 0), Offset(5))]).unwrap();
    commit(&client, 6, Some(5));
    let given_again = rig.answer();
    client.close();
    assert_eq!(given_back, (CommitOutcome::TryAgain, Committed::At(Offset(5))));
    assert_eq!(given_again, CommitOutcome::Kept);
}
