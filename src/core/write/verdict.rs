//! What Cosmos DB's answers mean, by status, substatus and what was asked.
//!
//! The first row that fits decides. `unknown` says that the write may have happened all the same;
//! repeating the same upsert is always safe. This table is the documentation and the test: the test
//! reads it from here and holds it against the code.
//!
//! | status | substatus | of        | unknown | verdict                     |
//! |--------|-----------|-----------|---------|-----------------------------|
//! | 2xx    | any       | any       | no      | stored                      |
//! | 400    | 1001      | any       | no      | pause partition_key_mismatch |
//! | 400    | >=20000   | any       | no      | pause client_error          |
//! | 400    | any       | batch     | no      | split                       |
//! | 400    | any       | operation | no      | split                       |
//! | 400    | any       | point     | no      | reject rejected_by_store    |
//! | 401    | any       | any       | no      | pause sign_in               |
//! | 403    | 1014      | batch     | no      | split                       |
//! | 403    | 1014      | operation | no      | split                       |
//! | 403    | 1014      | point     | no      | reject partition_key_full   |
//! | 403    | 3         | any       | no      | retry region                |
//! | 403    | 1008      | any       | no      | retry region                |
//! | 403    | any       | any       | no      | pause forbidden             |
//! | 404    | 1002      | any       | no      | retry region                |
//! | 404    | any       | any       | no      | pause container_missing     |
//! | 408    | any       | any       | yes     | retry timeout               |
//! | 409    | any       | batch     | no      | split                       |
//! | 409    | any       | operation | no      | split                       |
//! | 409    | any       | point     | no      | reject rejected_by_store    |
//! | 410    | any       | any       | yes     | retry moved                 |
//! | 413    | any       | batch     | no      | split                       |
//! | 413    | any       | operation | no      | split                       |
//! | 413    | any       | point     | no      | reject rejected_by_store    |
//! | 424    | any       | operation | no      | innocent                    |
//! | 429    | any       | any       | no      | throttled                   |
//! | 449    | any       | any       | no      | retry concurrent_write      |
//! | 503    | >=20000   | any       | yes     | retry transport             |
//! | 5xx    | any       | any       | yes     | retry server_error          |
//! | any    | any       | any       | yes     | pause unknown_answer        |
//!
//! Substatuses of 20000 and more are made by Microsoft's client, not by the service
//! (azure_data_cosmos_driver 1.0, `error/status_codes.rs`): a 400 of the client says nothing about
//! the document. 1001: the document's partition key differs from the header's, which here can only
//! mean that the container has other key paths than the configuration. 1014: the logical partition
//! has reached 20 GB.

#![allow(clippy::doc_markdown, reason = "the table's words are the test's words")]

use std::fmt;

use crate::core::mutant::{self, Mutant};
use crate::core::reason::Reason;

/// A status and the substatus that refines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status {
    /// The HTTP status.
    pub code: u16,
    /// Cosmos DB's substatus; 0 where there is none.
    pub substatus: u32,
}

impl Status {
    /// A status with its substatus.
    pub const fn new(code: u16, substatus: u32) -> Self {
        Self { code, substatus }
    }

    /// Whether it says that the write was done.
    pub fn is_success(self) -> bool {
        (200..300).contains(&self.code)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.code, self.substatus)
    }
}

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One document.
    Point,
    /// A whole transactional batch.
    Batch,
    /// One operation of a transactional batch.
    Operation,
}

/// What to do about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Stored,
    /// Another operation of the same batch was refused.
    Innocent,
    /// Ask again in smaller parts.
    Split,
    /// Ask the same again after a while.
    Retry(Retry),
    /// Ask the same again when the service says so, and slow down.
    Throttled,
    /// The document will never be taken.
    Reject(Reason),
    /// Nothing can be written until something is repaired: wait, say so, and try again.
    Pause(Pause),
}

/// Why the same is asked again; the `reason` label of `store_retries_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Retry {
    /// No answer in time.
    Timeout,
    /// The connection failed.
    Transport,
    /// The partition has moved or is splitting.
    Moved,
    /// Another region takes the writes now.
    Region,
    /// The service asked to do it again because of a concurrent write.
    ConcurrentWrite,
    /// The service failed.
    ServerError,
}

impl Retry {
    /// The name in the metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Transport => "transport",
            Self::Moved => "moved",
            Self::Region => "region",
            Self::ConcurrentWrite => "concurrent_write",
            Self::ServerError => "server_error",
        }
    }
}

/// Why nothing can be written; the `reason` label of `paused` and on `/readyz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pause {
    /// We are not who we say we are: wrong key, expired or missing token.
    SignIn,
    /// We are known but may not write.
    Forbidden,
    /// The database or container is not there.
    ContainerMissing,
    /// The container has other partition key paths than the configuration.
    PartitionKeyMismatch,
    /// Microsoft's client refused to send the request.
    ClientError,
    /// An answer that this table does not know.
    UnknownAnswer,
}

impl Pause {
    /// The name in the metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::Forbidden => "forbidden",
            Self::ContainerMissing => "container_missing",
            Self::PartitionKeyMismatch => "partition_key_mismatch",
            Self::ClientError => "client_error",
            Self::UnknownAnswer => "unknown_answer",
        }
    }

    /// Whether it stops every write of the container, and not only the one that was asked for.
    pub fn is_of_container(self) -> bool {
        !matches!(self, Self::ClientError | Self::UnknownAnswer)
    }
}

/// What an answer means.
pub fn classify(status: Status, scope: Scope) -> Verdict {
    use Scope::{Batch, Operation, Point};
    let by_client = status.substatus >= 20_000;
    let is_taken_for_stored = mutant::is(Mutant::DropsThrottled) && status.code == 429
        || mutant::is(Mutant::TrustsTimeouts) && (status.code == 408 || status.code == 503 && by_client);
    if is_taken_for_stored {
        return Verdict::Stored;
    }
    match (status.code, status.substatus, scope) {
        (200..=299, _, _) => Verdict::Stored,
        (400, 1001, _) => Verdict::Pause(Pause::PartitionKeyMismatch),
        (400, _, _) if by_client => Verdict::Pause(Pause::ClientError),
        (401, _, _) => Verdict::Pause(Pause::SignIn),
        (403, 3 | 1008, _) | (404, 1002, _) => Verdict::Retry(Retry::Region),
        (400 | 409 | 413, _, Batch | Operation) | (403, 1014, Batch | Operation) => Verdict::Split,
        (400 | 409 | 413, _, Point) => Verdict::Reject(Reason::RejectedByStore),
        (403, 1014, Point) => Verdict::Reject(Reason::PartitionKeyFull),
        (403, _, _) => Verdict::Pause(Pause::Forbidden),
        (404, _, _) => Verdict::Pause(Pause::ContainerMissing),
        (408, _, _) => Verdict::Retry(Retry::Timeout),
        (410, _, _) => Verdict::Retry(Retry::Moved),
        (424, _, Operation) => Verdict::Innocent,
        (429, _, _) => Verdict::Throttled,
        (449, _, _) => Verdict::Retry(Retry::ConcurrentWrite),
        (503, _, _) if by_client => Verdict::Retry(Retry::Transport),
        (500..=599, _, _) => Verdict::Retry(Retry::ServerError),
        _ => Verdict::Pause(Pause::UnknownAnswer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Row {
        status: String,
        substatus: String,
        scope: String,
        verdict: String,
    }

    /// The rows of the table in this module's head.
    fn rows() -> Vec<Row> {
        include_str!("verdict.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! |"))
            .skip(2)
            .map(|line| {
                let cells: Vec<String> = line.split('|').map(|cell| cell.trim().to_owned()).collect();
                let [status, substatus, scope, _, verdict, ..] = cells.as_slice() else { panic!("{line}") };
                Row {
                    status: status.clone(),
                    substatus: substatus.clone(),
                    scope: scope.clone(),
                    verdict: verdict.clone(),
                }
            })
            .collect()
    }

    impl Row {
        fn fits(&self, status: Status, scope: Scope) -> bool {
            let code = match self.status.as_str() {
                "any" => true,
                "2xx" => status.code / 100 == 2,
                "5xx" => status.code / 100 == 5,
                exact => exact == status.code.to_string(),
            };
            let substatus = match self.substatus.as_str() {
                "any" => true,
                ">=20000" => status.substatus >= 20_000,
                exact => exact == status.substatus.to_string(),
            };
            let scope = match self.scope.as_str() {
                "any" => true,
                "point" => scope == Scope::Point,
                "batch" => scope == Scope::Batch,
                "operation" => scope == Scope::Operation,
                other => panic!("{other}"),
            };
            code && substatus && scope
        }
    }

    fn say(verdict: Verdict) -> String {
        match verdict {
            Verdict::Stored => "stored".into(),
            Verdict::Innocent => "innocent".into(),
            Verdict::Split => "split".into(),
            Verdict::Throttled => "throttled".into(),
            Verdict::Retry(retry) => format!("retry {}", retry.as_str()),
            Verdict::Reject(reason) => format!("reject {reason}"),
            Verdict::Pause(pause) => format!("pause {}", pause.as_str()),
        }
    }

    #[test]
    fn the_code_does_what_the_table_says_for_every_status_there_is() {
        let rows = rows();
        assert_eq!(rows.len(), 29, "the table was read whole");
        let mut used = vec![false; rows.len()];
        let substatuses =
            [0, 3, 1000, 1001, 1002, 1003, 1008, 1013, 1014, 1024, 3092, 3200, 5300, 20_003, 20_008, 20_402];
        for code in 100..=599 {
            for substatus in substatuses {
                for scope in [Scope::Point, Scope::Batch, Scope::Operation] {
                    let status = Status::new(code, substatus);
                    let index = rows.iter().position(|row| row.fits(status, scope)).unwrap();
                    used[index] = true;
                    assert_eq!(say(classify(status, scope)), rows[index].verdict, "{status} of {scope:?}");
                }
            }
        }
        let unused: Vec<_> =
            rows.iter().zip(&used).filter(|(_, used)| !**used).map(|(row, _)| &row.status).collect();
        assert!(unused.is_empty(), "rows that never decide: {unused:?}");
    }

    #[test]
    fn nothing_but_a_refusal_of_one_document_is_ever_a_dead_letter() {
        for code in 100..=599 {
            for scope in [Scope::Batch, Scope::Operation] {
                assert!(
                    !matches!(classify(Status::new(code, 0), scope), Verdict::Reject(_)),
                    "{code} of {scope:?}"
                );
            }
        }
        for code in [401, 403, 404, 408, 410, 424, 429, 449, 500, 503] {
            assert!(!matches!(classify(Status::new(code, 0), Scope::Point), Verdict::Reject(_)), "{code}");
        }
    }
}
