//! The one mapping from what went wrong to an answer: `{"errors":[{code, field?, description}]}`.

use std::any::Any;

use axum::extract::rejection::BytesRejection;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{Error, ErrorKind};
use crate::panic;

/// What every handler returns.
pub(super) type Result<T> = std::result::Result<T, ApiError>;

/// An answer that is an error.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    status: StatusCode,
    pub(super) code: &'static str,
    field: Option<String>,
    description: String,
}

/// The body of every answer that is an error.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Errors {
    pub(super) errors: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Stable, in snake case: for programs.
    #[schema(value_type = String, example = "invalid_cron")]
    code: &'static str,
    /// What of the request it is about: a path into the body such as `metadata.team`, a query or
    /// path parameter, or a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// For people; says how to mend it.
    description: String,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, description: impl Into<String>) -> Self {
        Self { status, code, field: None, description: description.into() }
    }

    /// It cannot be read.
    pub(super) fn malformed(code: &'static str, description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, description)
    }

    /// It can be read and makes no sense.
    pub(super) fn invalid(code: &'static str, field: &str, description: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, description).about(field)
    }

    pub(super) fn too_large(code: &'static str, description: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, code, description)
    }

    pub(super) fn wrong_content_type(expected: &str) -> Self {
        let description = format!("send the body with `Content-Type: {expected}`");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong_content_type", description).about("Content-Type")
    }

    pub(super) fn unavailable(code: &'static str, description: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, description)
    }

    pub(super) fn body_too_large(bytes_max: usize) -> Self {
        Self::too_large("body_too_large", format!("the body may have at most {bytes_max} bytes"))
    }

    /// A body that could not be taken in, of which at most `bytes_max` are allowed.
    pub(super) fn from_body(rejection: &BytesRejection, bytes_max: usize) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Self::body_too_large(bytes_max)
        } else {
            Self::malformed("unreadable_body", "the body did not arrive as announced; send it again")
        }
    }

    /// Names what of the request it is about.
    pub(super) fn about(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let status = match error.kind {
            ErrorKind::Malformed => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, code: error.code, field: error.field, description: error.description }
    }
}

impl From<ApiError> for Errors {
    fn from(error: ApiError) -> Self {
        let ApiError { code, field, description, .. } = error;
        Self { errors: vec![Problem { code, field, description }] }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, axum::Json(Errors::from(self))).into_response()
    }
}

/// Answers where no route leads.
pub(super) async fn unknown_route(method: Method, uri: Uri) -> ApiError {
    let description = format!("there is no {method} {}; /openapi.json lists what there is", uri.path());
    ApiError::new(StatusCode::NOT_FOUND, "unknown_route", description)
}

/// Answers where a route knows other methods. The `Allow` header lists them.
pub(super) async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    let description = format!("{} knows no {method}; the header `Allow` lists what it knows", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", description)
}

/// Answers when a handler panicked, which only a bug does.
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    tracing::error!(panic = panic::message(&*panic), "a request handler panicked");
    let description = "the host failed; its log says more";
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", description).into_response()
}
