//! What the end-to-end tests stand on: real Kafka brokers, the service as a process, a token
//! endpoint, certificates.
//!
//! Everything here is plain blocking code for plain `#[test]` functions, because a test that reads
//! from top to bottom is easier to believe. Nothing outlives the test process: see [`guard`].

// Each test binary includes this module and uses the part of it that it needs.
#![allow(dead_code, unreachable_pub, unused_imports)]

pub mod certificates;
pub mod guard;
pub mod http;
pub mod kafka;
pub mod port;
pub mod process;
pub mod proxy;
pub mod service;
pub mod tls_front;
pub mod tokens;
pub mod wait;
