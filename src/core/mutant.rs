//! Defects to choose from, so that the tests can be tested: each must be found.
//!
//! They exist in a build with the feature `mutants` alone, which no release has; in any other [`is`] is
//! constantly false. A mutant is chosen for the process (`choose`), or for one thread (`choose_here`).

/// One promise broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Offsets are committed as soon as their records are read.
    CommitsBeforeWrites = 1,
    /// A commit passes records that have not ended, up to the last one that has.
    CommitsPastGaps,
    /// What belonged to an earlier assignment, or is lost, still counts and is committed.
    IgnoresEpochs,
    /// What was throttled is taken for stored.
    DropsThrottled,
    /// A dead letter counts as kept when it is sent.
    TrustsLettersUnacknowledged,
    /// A batch of which an operation was refused is taken for stored.
    IgnoresRefusedOperations,
    /// What waits to be written when the process ends is taken for written.
    LosesTheTail,
    /// Of several versions of a document in a micro-batch the oldest is written.
    OlderWins,
    /// When the newest version is refused, the older ones are not written in its place.
    ForgetsSuperseded,
    /// A request whose outcome is not known is taken for stored.
    TrustsTimeouts,
    /// An offset that does not exist is replaced by the end of the topic.
    JumpsSilently,
    /// Nobody cares that the client could not read something, and has passed over it.
    IgnoresDoubts,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::CommitsBeforeWrites,
        Self::CommitsPastGaps,
        Self::IgnoresEpochs,
        Self::DropsThrottled,
        Self::TrustsLettersUnacknowledged,
        Self::IgnoresRefusedOperations,
        Self::LosesTheTail,
        Self::OlderWins,
        Self::ForgetsSuperseded,
        Self::TrustsTimeouts,
        Self::JumpsSilently,
        Self::IgnoresDoubts,
    ];
}

/// Whether this defect is in the program.
#[cfg(not(feature = "mutants"))]
#[inline]
pub const fn is(_: Mutant) -> bool {
    false
}

#[cfg(feature = "mutants")]
pub use chosen::{choose, choose_here, is};

#[cfg(feature = "mutants")]
mod chosen {
    use std::cell::Cell;
    use std::sync::OnceLock;

    use super::Mutant;

    static OF_PROCESS: OnceLock<Mutant> = OnceLock::new();

    thread_local! {
        static OF_THREAD: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Puts a defect in the program, until it ends. The first choice stays.
    pub fn choose(mutant: Mutant) {
        let _ = OF_PROCESS.set(mutant);
    }

    /// Puts a defect in what this thread does from now on, or takes it out again.
    pub fn choose_here(mutant: Option<Mutant>) {
        OF_THREAD.set(mutant);
    }

    /// Whether this defect is in the program.
    pub fn is(mutant: Mutant) -> bool {
        OF_PROCESS.get() == Some(&mutant) || OF_THREAD.get() == Some(mutant)
    }
}
