//! A group's offsets: what they are, what they are to become, and whether they may be set now.
//!
//! What can be decided without Kafka is decided by plain functions: [`plan`] turns wishes into moves and says
//! what each costs, [`group`] says whether the group lets itself be moved, [`checkpoint`] reads what Spark
//! has written. [`Session`] asks Kafka, commits, and reads back.
//!
//! Setting an offset loses nothing in Kafka. It changes what the service reads next: what lies before it is
//! not read (or was), what lies behind it is read (perhaps again, which stores the same documents).

pub mod checkpoint;
mod checkpoint_dir;
pub mod group;
mod names;
pub mod plan;
mod session;
mod snapshot;

pub use checkpoint_dir::{Checkpoint, CheckpointError, read};
pub use names::{Place, Renaming, place, rename, renaming};
pub use session::{Session, SessionError};
pub use snapshot::{Saved, Snapshot, SnapshotError, saved};
