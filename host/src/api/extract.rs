//! Extractors that refuse with this API's error body and name the field at fault.

use std::fmt::Display;
use std::str::FromStr;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dormouse_core::bounds::MODULE_BYTES_MAX;
use futures_util::StreamExt;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_path_to_error::Segment;

use super::error::ApiError;
use super::text::Text;

/// Largest body of JSON: one value of the largest size, and room for what is around it.
pub(super) const BODY_BYTES_MAX: usize = 2 << 20;

/// Most of a body that is read only to be thrown away: twice the largest module.
const DISCARDED_BYTES_MAX: usize = 2 * MODULE_BYTES_MAX;

/// A body of JSON. An empty body stands for `{}`.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let typed = content_type(request.headers()).is_some_and(is_json);
        let body = body(request, state, BODY_BYTES_MAX).await?;
        match body.is_empty() {
            true => from_json(b"{}").map(Self),
            false if typed => from_json(&body).map(Self),
            false => Err(ApiError::wrong_content_type("application/json")),
        }
    }
}

/// The bytes of a module.
pub(super) struct Wasm(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Wasm {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if content_type(request.headers()) != Some("application/wasm") {
            discard(request).await;
            return Err(ApiError::wrong_content_type("application/wasm"));
        }
        body(request, state, MODULE_BYTES_MAX).await.map(Self)
    }
}

/// The query parameters. A parameter may be repeated where its field is a list.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        serde_path_to_error::deserialize(serde_html_form::Deserializer::from_bytes(query.as_bytes()))
            .map(Self)
            .map_err(|error| {
                let message = error.inner().to_string();
                let message = match value_of(query, error.path()) {
                    Some((name, value)) if code("parameter", &message) == "invalid_value" => {
                        format!("`{name}` cannot be `{value}`: {message}")
                    }
                    _ => message,
                };
                refused("parameter", error.path(), &message)
            })
    }
}

/// The parameter that a path leads to, since the messages of its parser do not show it.
fn value_of(query: &str, path: &serde_path_to_error::Path) -> Option<(String, String)> {
    let mut segments = path.iter();
    let Some(Segment::Map { key }) = segments.next() else { return None };
    let index = match segments.next() {
        Some(Segment::Seq { index }) => *index,
        _ => 0,
    };
    let pairs: Vec<(String, String)> = serde_html_form::from_str(query).ok()?;
    pairs.into_iter().filter(|(name, _)| name == key).nth(index)
}

/// The parameters in the path.
pub(super) struct Path<T>(pub(super) T);

/// What the parameters of a path can be read as.
pub(super) trait FromPath: Sized {
    /// Takes the names and values in the order of the path.
    fn from_path<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, ApiError>;
}

impl<T: FromPath, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let parameters = RawPathParams::from_request_parts(parts, state).await;
        let parameters = parameters.map_err(|rejection| malformed_path(rejection.body_text()))?;
        T::from_path(parameters.iter()).map(Self)
    }
}

impl<T: FromStr<Err: Display>> FromPath for Text<T> {
    fn from_path<'a>(mut parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, ApiError> {
        let (name, value) = parameters.next().unwrap_or_default();
        value.parse().map(Self).map_err(|error: T::Err| malformed_path(error.to_string()).about(name))
    }
}

impl<A: FromStr<Err: Display>, B: FromStr<Err: Display>> FromPath for (Text<A>, Text<B>) {
    fn from_path<'a>(mut parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, ApiError> {
        Ok((Text::from_path(&mut parameters)?, Text::from_path(&mut parameters)?))
    }
}

fn malformed_path(description: String) -> ApiError {
    ApiError::malformed("malformed_path", description)
}

async fn body<S: Send + Sync>(mut request: Request, state: &S, bytes_max: usize) -> Result<Bytes, ApiError> {
    if announced_length(request.headers()).is_some_and(|length| length > bytes_max) {
        discard(request).await;
        return Err(ApiError::body_too_large(bytes_max));
    }
    DefaultBodyLimit::max(bytes_max).apply(&mut request);
    let body = Bytes::from_request(request, state).await;
    body.map_err(|rejection| ApiError::from_body(&rejection, bytes_max))
}

/// Takes in a small body before the request is looked at: whoever is answered before all of it was
/// read, such as for an unknown path, finds the connection closed instead of the answer.
pub(super) async fn take_in_body(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let is_large = content_type(headers) == Some("application/wasm")
        || announced_length(headers).is_some_and(|length| length > BODY_BYTES_MAX);
    // Large ones are for the handlers, which know how much they want.
    if is_large || request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    match to_bytes(body, BODY_BYTES_MAX).await {
        Ok(bytes) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Err(_) => ApiError::body_too_large(BODY_BYTES_MAX).into_response(),
    }
}

/// Reads a body that is not wanted: most clients see no answer before they have sent all of it.
async fn discard(request: Request) {
    // This one asks before it sends.
    if request.headers().contains_key(EXPECT) {
        return;
    }
    let mut chunks = request.into_body().into_data_stream();
    let mut discarded = 0;
    while let Some(Ok(chunk)) = chunks.next().await {
        discarded += chunk.len();
        if discarded > DISCARDED_BYTES_MAX {
            return;
        }
    }
}

fn announced_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The media type of the body, without its parameters.
fn content_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    value.split(';').next().map(str::trim)
}

fn is_json(media_type: &str) -> bool {
    media_type
        .strip_prefix("application/")
        .is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // Serde would take an array for a struct, its fields in order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        serde_json::from_slice::<IgnoredAny>(body).map_err(|error| malformed_json(&error))?;
        return Err(ApiError::invalid("invalid_value", "body", "the body must be a JSON object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        if error.inner().is_data() {
            refused("field", error.path(), &error.inner().to_string())
        } else {
            malformed_json(error.inner())
        }
    })?;
    reader.end().map_err(|error| malformed_json(&error))?;
    Ok(value)
}

fn malformed_json(error: &serde_json::Error) -> ApiError {
    ApiError::malformed("malformed_json", format!("the body is not JSON: {error}"))
}

/// What serde found wrong with the shape of a request.
fn refused(what: &str, path: &serde_path_to_error::Path, message: &str) -> ApiError {
    let code = code(what, message);
    let mut field = path.to_string();
    // The path of a missing field ends at the object that lacks it.
    if code == "missing_field" {
        let name = message.split('`').nth(1).unwrap_or_default();
        field = if field == "." { name.to_owned() } else { format!("{field}.{name}") };
    }
    ApiError::invalid(code, &field, message)
}

/// Serde passes on no more than a sentence, so the kind of error is read from how its derive macro
/// begins it, and a test holds that fast.
fn code(what: &str, message: &str) -> &'static str {
    match what {
        _ if message.starts_with("missing field") => "missing_field",
        "field" if message.starts_with("unknown field") => "unknown_field",
        _ if message.starts_with("unknown field") => "unknown_parameter",
        _ => "invalid_value",
    }
}
