//! A line in the host's log for every request.

use std::time::Instant;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

/// Logs a request once it is answered.
pub(super) async fn log_request(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let began = Instant::now();
    let response = next.run(request).await;
    let duration_ms = began.elapsed().as_secs_f64() * 1e3;
    tracing::debug!(%method, path, status = response.status().as_u16(), duration_ms, "answered a request");
    response
}
