//! How a task fails, and how the author says that trying again is useless.

use std::error::Error as StdError;
use std::fmt;

use serde::Serialize;

use crate::bindings::dormouse::workflow::types::{HostErrorCode, TaskError};
use crate::child::RunError;

/// What a task and most functions of a [`Context`](crate::Context) return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an attempt failed.
///
/// `?` makes one of any [`std::error::Error`], and the task is tried again as often as its
/// `retries` allow. [`Error::fatal`] and [`Fatal::fatal`] make errors after which it is not.
///
/// ```
/// use dormouse_sdk::prelude::*;
///
/// fn price(text: &str) -> Result<u32> {
///     let price: u32 = text.parse().fatal()?;
///     if price == 0 {
///         return Err(Error::fatal("nothing is free"));
///     }
///     Ok(price)
/// }
/// # assert!(!price("x").unwrap_err().is_retryable());
/// ```
// It is no `std::error::Error` itself: `From` could not be written for all of those otherwise.
pub struct Error(Box<Inner>);

struct Inner {
    message: String,
    retryable: bool,
    /// JSON text. (A `Value` would bring its code into every module.)
    details: Option<String>,
}

impl Error {
    /// An error after which the task is tried again.
    pub fn new(message: impl fmt::Display) -> Self {
        Self(Box::new(Inner { message: message.to_string(), retryable: true, details: None }))
    }

    /// An error after which the task is not tried again, whatever its `retries`.
    pub fn fatal(message: impl fmt::Display) -> Self {
        Self::new(message).into_fatal()
    }

    /// The same error, after which the task is not tried again.
    #[must_use]
    pub fn into_fatal(mut self) -> Self {
        self.0.retryable = false;
        self
    }

    /// Adds something that a program can read: it is shown as `error.details` of the run. A value
    /// that cannot be written as JSON is left out.
    #[must_use]
    pub fn with_details(mut self, details: impl Serialize) -> Self {
        self.0.details = serde_json::to_string(&details).ok();
        self
    }

    /// One sentence for people, with all causes.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether another attempt may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// What [`Self::with_details`] added, as JSON text.
    #[must_use]
    pub fn details(&self) -> Option<&str> {
        self.0.details.as_deref()
    }

    fn from_std(error: &(dyn StdError + 'static)) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        let details = match error.downcast_ref() {
            Some(RunError::Failed { details, .. }) => details.clone(),
            _ => None,
        };
        Self(Box::new(Inner { message, retryable: true, details }))
    }

    pub(crate) fn into_task_error(self) -> TaskError {
        let Inner { message, retryable, details } = *self.0;
        TaskError { message, retryable, details }
    }
}

/// The message holds the whole chain of causes, as the host stores one text. The details of a
/// child run's error stay with it.
impl<E: StdError + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self::from_std(&error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.0.retryable { "Error" } else { "Error(fatal)" };
        write!(f, "{kind}: {}", self.0.message)
    }
}

/// Marks the error of a `Result` as one after which the task is not tried again.
pub trait Fatal<T> {
    /// The same result with an error that is not retried.
    ///
    /// # Errors
    ///
    /// Those of the result itself.
    fn fatal(self) -> Result<T>;
}

impl<T, E: Into<Error>> Fatal<T> for std::result::Result<T, E> {
    fn fatal(self) -> Result<T> {
        self.map_err(|error| error.into().into_fatal())
    }
}

/// Why the host did not take what a task asked of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The input or payload cannot be written as JSON.
    #[error("cannot write it as JSON")]
    Encode(#[from] serde_json::Error),
    /// The host refused it. The message says how to mend it.
    #[error("{message}")]
    Refused {
        /// Why, for programs.
        reason: Refusal,
        /// Why, for people.
        message: String,
    },
}

/// Why the host refused a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// An argument is malformed or out of its range.
    InvalidArgument,
    /// No workflow of that name has a current version.
    UnknownWorkflow,
    /// The input does not fit the schema that the workflow declares.
    InvalidInput,
    /// A limit of this step is used up; a [`checkpoint`](crate::Context::checkpoint) begins a new one.
    LimitExceeded,
    /// The operator has not granted this to the module.
    NotGranted,
}

impl From<crate::bindings::dormouse::workflow::types::HostError> for CallError {
    fn from(error: crate::bindings::dormouse::workflow::types::HostError) -> Self {
        let reason = match error.code {
            HostErrorCode::InvalidArgument => Refusal::InvalidArgument,
            HostErrorCode::UnknownWorkflow => Refusal::UnknownWorkflow,
            HostErrorCode::InvalidInput => Refusal::InvalidInput,
            HostErrorCode::LimitExceeded => Refusal::LimitExceeded,
            HostErrorCode::NotGranted => Refusal::NotGranted,
        };
        Self::Refused { reason, message: error.message }
    }
}

/// JSON that a task was handed does not fit the type that it asked for.
#[derive(Debug, thiserror::Error)]
#[error("{what} does not fit its type")]
pub struct DecodeError {
    what: String,
    #[source]
    source: serde_json::Error,
}

impl DecodeError {
    /// Reads JSON; `what` names it in the error.
    pub(crate) fn decode<T: serde::de::DeserializeOwned>(
        json: &str,
        what: impl FnOnce() -> String,
    ) -> Result<T, Self> {
        serde_json::from_str(json).map_err(|source| Self { what: what(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_retried_unless_they_are_marked_fatal() {
        let parse = || "x".parse::<u32>();
        assert!(Error::from(parse().unwrap_err()).is_retryable());
        assert!(!parse().fatal().unwrap_err().is_retryable());
        assert!(!Error::fatal("no").into_task_error().retryable);
    }

    #[test]
    fn the_message_tells_the_whole_chain_of_causes() {
        let error = DecodeError::decode::<u8>("true", || "the input".to_owned()).unwrap_err();
        let message = Error::from(error).message().to_owned();
        assert!(message.starts_with("the input does not fit its type: invalid type: boolean"), "{message}");
    }

    #[test]
    fn details_of_a_failed_child_are_passed_on() {
        let details = Some(r#"{"sku":7}"#.to_owned());
        let child = RunError::Failed { message: "sold out".to_owned(), retryable: false, details };
        assert_eq!(Error::from(child).into_task_error().details.as_deref(), Some(r#"{"sku":7}"#));
    }
}
