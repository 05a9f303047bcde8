//! Waiting for a condition, with a deadline and a message that says what was seen instead.

use std::fmt::Display;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(25);

/// Looks again and again until there is something, and returns it.
///
/// # Panics
/// When `limit` has passed.
#[track_caller]
pub fn until<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    until_ok(limit, what, || look().ok_or("not yet"))
}

/// The same for a condition that can say what it sees as long as it does not hold; the last such
/// answer is in the failure message.
///
/// # Panics
/// When `limit` has passed.
#[track_caller]
pub fn until_ok<T, S: Display>(limit: Duration, what: &str, mut look: impl FnMut() -> Result<T, S>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if start.elapsed() >= limit => {
                panic!("waited {limit:?} for {what}; last seen: {seen}");
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// Runs a future to its end on this thread, inside an async runtime or outside of any.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
