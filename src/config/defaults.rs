//! The value of every key that is left out.

use super::{ByteSize, Span};

pub(super) fn name() -> String {
    "streamproc".into()
}
pub(super) fn config_version() -> u64 {
    1
}
pub(super) fn group_id() -> String {
    "streamproc".into()
}
pub(super) fn workers() -> usize {
    2
}
pub(super) fn session_timeout() -> Span {
    Span::from_millis(12_000)
}
pub(super) fn max_events_per_trigger() -> usize {
    10_000
}
pub(super) fn interval() -> Span {
    Span::from_millis(500)
}
pub(super) fn max_bytes() -> ByteSize {
    ByteSize(64 << 20)
}
pub(super) fn event_id() -> String {
    "eventId".into()
}
pub(super) fn partition_key() -> Vec<String> {
    vec!["deviceId".into()]
}
pub(super) fn timestamps() -> Vec<String> {
    vec!["createdAt".into()]
}
pub(super) fn enqueued_at() -> String {
    "enqueuedAt".into()
}
pub(super) fn processed_at() -> String {
    "processedAt".into()
}
pub(super) fn request_timeout() -> Span {
    Span::from_millis(25_000)
}
pub(super) fn max_fraction() -> f64 {
    0.1
}
pub(super) fn shutdown_timeout() -> Span {
    Span::from_millis(25_000)
}
pub(super) fn admin_listen() -> String {
    "0.0.0.0:9090".into()
}
pub(super) fn yes() -> bool {
    true
}
