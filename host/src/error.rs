//! Why the host does not do what it was asked to: words for people, codes for programs.

use dormouse_core::validate::Problem;

use crate::runtime::Refusal;

/// A refusal, or a fault of the host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{description}")]
pub(crate) struct Error {
    pub(crate) kind: ErrorKind,
    /// Stable, in snake case.
    pub(crate) code: &'static str,
    /// The field of the request that it is about.
    pub(crate) field: Option<String>,
    /// Says how to mend it.
    pub(crate) description: String,
}

/// What class of answer an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// The request cannot be read.
    Malformed,
    /// What it names is not there.
    NotFound,
    /// The state of things forbids it.
    Conflict,
    /// Too many bytes.
    TooLarge,
    /// It can be read and makes no sense.
    Invalid,
    /// The host is stopping or overloaded.
    Unavailable,
    /// A fault of the host; the log has more.
    Internal,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, code: &'static str, description: impl Into<String>) -> Self {
        Self { kind, code, field: None, description: description.into() }
    }

    pub(crate) fn not_found(code: &'static str, description: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, code, description)
    }

    pub(crate) fn conflict(code: &'static str, description: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, code, description)
    }

    pub(crate) fn invalid(
        code: &'static str,
        field: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        Self { field: Some(field.into()), ..Self::new(ErrorKind::Invalid, code, description) }
    }

    /// The first of what a validation found, if it found anything.
    pub(crate) fn from_problems(problems: Vec<Problem>) -> Result<(), Self> {
        match problems.into_iter().next() {
            Some(Problem { field, code, message }) => Err(Self::invalid(code.word(), field, message)),
            None => Ok(()),
        }
    }

    pub(crate) fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = cause, "the host failed");
        Self::new(ErrorKind::Internal, "internal", "the host failed; its log says more")
    }
}

/// What each of several requests came to, in their order.
pub(crate) type Outcomes<T, E = Error> = Vec<Result<T, E>>;

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let kind = match &refusal {
            Refusal::TooLarge { .. } => ErrorKind::TooLarge,
            Refusal::NotWasm | Refusal::Malformed { .. } => ErrorKind::Malformed,
            Refusal::NoCompiler { .. } => ErrorKind::Unavailable,
            _ => ErrorKind::Invalid,
        };
        let mut description = refusal.to_string();
        let mut cause = std::error::Error::source(&refusal);
        while let Some(error) = cause {
            description.push_str(&format!(": {error}"));
            cause = error.source();
        }
        let field = match &refusal {
            Refusal::InvalidDefinition { problems } => problems.first().map(|problem| problem.field.clone()),
            _ => None,
        };
        Self { field, ..Self::new(kind, refusal.code(), description) }
    }
}
