//! Whether the host lives and whether it can take work. Open to everyone.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ApiError, Result};
use crate::engine::Host;

/// The host is well.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    #[schema(value_type = String, example = "ok")]
    status: &'static str,
}

const OK: Health = Health { status: "ok" };

/// Whether the server answers
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, body = Health)))]
pub(super) async fn show_health() -> Answer<Health> {
    Answer(OK)
}

/// What the host counts and times
///
/// In the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200, body = String)))]
pub(super) async fn show_metrics(State(host): State<Host>) -> Result<impl IntoResponse> {
    Ok(([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], host.metrics()?))
}

/// Whether the host can take work
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses((status = 200, body = Health), (status = 503, body = super::error::Errors))
)]
pub(super) async fn show_readiness(State(host): State<Host>) -> Result<Answer<Health>> {
    if host.is_ready() {
        return Ok(Answer(OK));
    }
    Err(ApiError::unavailable("not_ready", "the host takes no work now; its log says why"))
}
