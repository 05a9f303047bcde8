//! The life of a process: it can stand still for a while, as a machine does that is starved or suspended,
//! and it can end at any instant, whatever it was about to do.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::task::AbortHandle;

use super::world::World;

/// The life of one process, and all that it does.
#[derive(Clone)]
pub(crate) struct Life {
    world: World,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    is_frozen: bool,
    has_been_frozen: bool,
    is_over: bool,
    /// Tasks that would have gone on if it were not frozen.
    held: Vec<Waker>,
    tasks: Vec<AbortHandle>,
}

/// What a process does, as long as it lives and moves.
struct Living {
    life: Life,
    task: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Life {
    pub(crate) fn new(world: World) -> Self {
        Self { world, state: Arc::default() }
    }

    /// Starts something that the process does beside all else.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let living = Living { life: self.clone(), task: Box::pin(task) };
        let handle = tokio::spawn(living).abort_handle();
        self.lock().tasks.push(handle.clone());
        handle
    }

    pub(crate) fn freeze(&self) {
        let mut state = self.lock();
        state.is_frozen = true;
        state.has_been_frozen = true;
    }

    pub(crate) fn has_been_frozen(&self) -> bool {
        self.lock().has_been_frozen
    }

    /// It goes on as if nothing had happened.
    pub(crate) fn thaw(&self) {
        let mut state = self.lock();
        state.is_frozen = false;
        state.held.drain(..).for_each(Waker::wake);
    }

    /// It is no more.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.is_over = true;
        let tasks = std::mem::take(&mut state.tasks);
        drop(state);
        tasks.iter().for_each(AbortHandle::abort);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Future for Living {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        {
            let mut state = self.life.lock();
            if state.is_over {
                return Poll::Ready(());
            }
            if state.is_frozen {
                state.held.push(context.waker().clone());
                return Poll::Pending;
            }
        }
        catch_unwind(AssertUnwindSafe(|| self.task.as_mut().poll(context))).unwrap_or_else(|panic| {
            self.life.world.lock().oracle.breaks("-", || said(panic.as_ref()));
            Poll::Ready(())
        })
    }
}

/// What was said by whatever panicked.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "something panicked".to_owned())
}
