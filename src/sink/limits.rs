//! How many requests, and how many bytes of bodies, may be in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Requests in flight in the whole process. Microsoft's client opens HTTP/2 connections by the
/// number of processors and queues beyond about 64 requests on two of them.
const REQUESTS: usize = 64;

/// The fewest requests that one Kafka partition may have in flight.
const FEWEST_OF_PARTITION: usize = 8;

/// Bodies are counted in units of this many bytes.
const UNIT: usize = 1 << 10;

/// The limits of the process.
#[derive(Debug)]
pub(super) struct Limits {
    requests: Semaphore,
    bodies: Semaphore,
    body_units: usize,
    assigned: Arc<AtomicUsize>,
}

/// The limit of one micro-batch.
#[derive(Debug)]
pub(super) struct BatchLimit(Semaphore);

/// The right to have a request in flight, given back when dropped.
pub(super) struct Permit<'a> {
    _of_batch: SemaphorePermit<'a>,
    _request: SemaphorePermit<'a>,
    _body: SemaphorePermit<'a>,
}

impl Limits {
    /// `body_bytes` may be in flight together; `assigned` is how many partitions the process owns.
    pub(super) fn new(body_bytes: usize, assigned: Arc<AtomicUsize>) -> Self {
        let body_units = (body_bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Self { requests: Semaphore::new(REQUESTS), bodies: Semaphore::new(body_units), body_units, assigned }
    }

    /// A partition may have twice its even share in flight: one alone is not held back, and one that
    /// hangs leaves room for the others.
    pub(super) fn of_batch(&self) -> BatchLimit {
        let assigned = self.assigned.load(Ordering::Relaxed).max(1);
        BatchLimit(Semaphore::new((2 * REQUESTS / assigned).clamp(FEWEST_OF_PARTITION, REQUESTS)))
    }

    /// Waits until a request with a body of so many bytes may go out. A body larger than everything
    /// goes when it is alone.
    pub(super) async fn permit<'a>(&'a self, batch: &'a BatchLimit, body: usize) -> Permit<'a> {
        let units = body.div_ceil(UNIT).clamp(1, self.body_units);
        let (of_batch, request, body) = (
            acquire(&batch.0, 1).await,
            acquire(&self.requests, 1).await,
            acquire(&self.bodies, u32::try_from(units).unwrap_or(u32::MAX)).await,
        );
        Permit { _of_batch: of_batch, _request: request, _body: body }
    }
}

async fn acquire(semaphore: &Semaphore, permits: u32) -> SemaphorePermit<'_> {
    match semaphore.acquire_many(permits).await {
        Ok(permit) => permit,
        // These semaphores are never closed.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_partition_cannot_take_all_requests_when_there_are_others() {
        let limits = Limits::new(1 << 20, Arc::new(AtomicUsize::new(8)));
        let batch = limits.of_batch();
        let mut permits = Vec::new();
        while let Some(permit) = limits.permit(&batch, 1).now_or_never() {
            permits.push(permit);
        }
        assert_eq!(permits.len(), 16);
        let other = limits.of_batch();
        assert!(limits.permit(&other, 1).now_or_never().is_some());
    }

    #[tokio::test]
    async fn bodies_in_flight_are_bounded_and_a_giant_goes_alone() {
        let limits = Limits::new(1 << 20, Arc::new(AtomicUsize::new(1)));
        let batch = limits.of_batch();
        let giant = limits.permit(&batch, 5 << 20).now_or_never();
        assert!(giant.is_some());
        assert!(limits.permit(&batch, 1).now_or_never().is_none());
        drop(giant);
        assert!(limits.permit(&batch, 1).now_or_never().is_some());
    }
}
