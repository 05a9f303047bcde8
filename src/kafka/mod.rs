//! What every Kafka client of this process has in common: where to connect and how to sign in, what
//! is done with the library's log, and the tokens of OAUTHBEARER.

mod client_config;
mod contact;
mod context;
mod inquirer;
mod oauth;
mod repeats;
pub mod rights;
mod sign_in_files;

pub use client_config::{SetupError, base, consumer, producer};
pub use contact::{Contact, Obstacle, Reach};
pub use context::Context;
pub use inquirer::{EVENTS, Inquirer, is_embedded, reach};
pub use oauth::tokens;
pub use sign_in_files::SignInFiles;
