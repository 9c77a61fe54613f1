//! Polls the one root future of a task until only waits remain, which is when a step ends.
//!
//! Between two steps nothing is on the stack: the root future, its flag and the table of waits lie
//! in the guest's memory, and that is what the host keeps.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::bindings::exports::dormouse::workflow::guest::{SettledWait, StepResult};
use crate::error::Error;
use crate::wait;

/// The future of a whole task: its output as JSON.
pub type Root = Pin<Box<dyn Future<Output = Result<String, Error>>>>;

thread_local! {
    static TASK: RefCell<Option<Task>> = const { RefCell::new(None) };
}

struct Task {
    root: Root,
    woken: Arc<Woken>,
}

/// Whether the root must be polled again. One flag does for every future inside it: combinators
/// that want to know which of theirs was woken wrap the waker in one of their own.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs the first step of a task.
pub(crate) fn start(root: Root) -> StepResult {
    step(Task { root, woken: Arc::new(Woken(AtomicBool::new(true))) })
}

/// Runs the next step, with what has settled since.
pub(crate) fn resume(settled: Vec<SettledWait>) -> StepResult {
    let Some(task) = TASK.take() else {
        return failed(Error::fatal("the host resumed a task that was never started"));
    };
    task.woken.0.store(true, Ordering::Relaxed);
    wait::settle(settled);
    step(task)
}

fn step(mut task: Task) -> StepResult {
    let waker = Waker::from(Arc::clone(&task.woken));
    let mut context = Context::from_waker(&waker);
    while task.woken.0.swap(false, Ordering::Relaxed) {
        match task.root.as_mut().poll(&mut context) {
            Poll::Ready(Ok(output)) => return StepResult::Completed(output),
            Poll::Ready(Err(error)) => return failed(error),
            Poll::Pending => {}
        }
    }
    match wait::suspend() {
        Some(suspension) => {
            TASK.set(Some(task));
            StepResult::Suspended(suspension)
        }
        None => failed(Error::fatal(
            "the task is pending but has no open wait, so nothing would ever wake it: \
             await only futures of the Dormouse SDK and combinations of them",
        )),
    }
}

fn failed(error: Error) -> StepResult {
    StepResult::Failed(error.into_task_error())
}

#[cfg(test)]
mod tests;
