//! Runs that a task has started, and how they end.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use serde::de::DeserializeOwned;

use crate::bindings::exports::dormouse::workflow::guest::{RunOutcome, WaitCondition, WaitOutcome};
use crate::error::DecodeError;
use crate::id::RunId;
use crate::wait::Waiting;

/// A run that this task has started. Dropping it changes nothing: the run goes on.
pub struct Child<O> {
    id: RunId,
    output: PhantomData<fn() -> O>,
}

impl<O> Child<O> {
    pub(crate) fn new(id: RunId) -> Self {
        Self { id, output: PhantomData }
    }

    /// Which run it is.
    #[must_use]
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// Waits for the end of the run and gives its output.
    pub fn result(&self) -> ChildResult<O> {
        let waiting = Waiting::new(WaitCondition::Run(self.id.as_str().to_owned()));
        ChildResult { waiting, output: PhantomData }
    }
}

impl<O> Clone for Child<O> {
    fn clone(&self) -> Self {
        Self::new(self.id.clone())
    }
}

impl<O> fmt::Debug for Child<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Child").field(&self.id).finish()
    }
}

/// Made by [`Child::result`].
#[derive(Debug)]
#[must_use = "futures do nothing unless you `.await` them"]
pub struct ChildResult<O> {
    waiting: Waiting,
    output: PhantomData<fn() -> O>,
}

impl<O: DeserializeOwned> Future for ChildResult<O> {
    type Output = Result<O, RunError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match Pin::new(&mut self.waiting).poll(cx) {
            Poll::Ready(WaitOutcome::Run(outcome)) => Poll::Ready(read(outcome)),
            // The host settles a wait for a run with a run.
            Poll::Ready(_) | Poll::Pending => Poll::Pending,
        }
    }
}

fn read<O: DeserializeOwned>(outcome: RunOutcome) -> Result<O, RunError> {
    match outcome {
        RunOutcome::Completed(json) => Ok(DecodeError::decode(&json, || "the output".to_owned())?),
        RunOutcome::Failed(error) => Err(RunError::Failed {
            message: error.message,
            retryable: error.retryable,
            details: error.details,
        }),
        RunOutcome::Cancelled(reason) => Err(RunError::Cancelled { reason }),
    }
}

/// Why a child run gave no output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// It failed, after all its attempts.
    #[error("the child run failed: {message}")]
    Failed {
        /// Its error.
        message: String,
        /// Whether its last error was one that is retried.
        retryable: bool,
        /// What the error carried for programs, as JSON text.
        details: Option<String>,
    },
    /// It was cancelled.
    #[error("the child run was cancelled: {reason}")]
    Cancelled {
        /// Why.
        reason: String,
    },
    /// Its output is not what this task takes it for.
    #[error("the child run completed, but its output cannot be read")]
    Output(#[from] DecodeError),
}
