//! Every route on one page. The OpenAPI document is made of the same list.

use std::sync::LazyLock;

use axum::{Router, middleware, routing};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;

use super::openapi::{NullIsJson, WithDescriptions, WithErrors};
use super::state::Api;
use super::{
    bulk, crons, error, events, extract, health, journal, modules, openapi, origin, page, runs, scheduled,
    trace, workflows,
};

/// Makes the router and the document of one list of routes.
macro_rules! routes {
    ($($method:ident $path:literal => $module:ident::$handler:ident,)*) => {
        fn routes() -> Router<Api> {
            Router::new()$(.route($path, routing::$method($module::$handler)))*
        }

        #[derive(OpenApi)]
        #[openapi(
            info(title = "Dormouse", description = "Crons, schedules, events and durable sleep."),
            paths($($module::$handler),*),
            // Schemas that only queries have are not found by themselves.
            components(schemas(page::PairText, runs::TriggerText)),
            modifiers(&WithErrors, &WithDescriptions, &NullIsJson)
        )]
        pub(super) struct Document;

        #[cfg(test)]
        pub(super) const ROUTES: &[(&str, &str)] = &[$((stringify!($method), $path)),*];
    };
}

routes! {
    post   "/api/v1/modules" => modules::upload_module,
    get    "/api/v1/modules" => modules::list_modules,
    get    "/api/v1/modules/{digest}" => modules::show_module,
    delete "/api/v1/modules/{digest}" => modules::delete_module,

    get    "/api/v1/workflows" => workflows::list_workflows,
    get    "/api/v1/workflows/{name}" => workflows::show_workflow,
    patch  "/api/v1/workflows/{name}" => workflows::patch_workflow,
    delete "/api/v1/workflows/{name}" => workflows::delete_workflow,

    post   "/api/v1/workflows/{name}/runs" => runs::start_run,
    post   "/api/v1/workflows/{name}/runs/bulk" => bulk::start_runs,
    get    "/api/v1/runs" => runs::list_runs,
    post   "/api/v1/runs/cancel" => bulk::cancel_runs,
    post   "/api/v1/runs/replay" => bulk::replay_runs,
    get    "/api/v1/runs/{id}" => runs::show_run,
    post   "/api/v1/runs/{id}/cancel" => runs::cancel_run,
    post   "/api/v1/runs/{id}/replay" => runs::replay_run,
    get    "/api/v1/runs/{id}/history" => journal::list_history,
    get    "/api/v1/runs/{id}/logs" => journal::list_logs,
    get    "/api/v1/runs/{id}/stream" => journal::follow_run,

    put    "/api/v1/workflows/{name}/crons/{cronName}" => crons::put_cron,
    post   "/api/v1/workflows/{name}/crons" => crons::create_cron,
    get    "/api/v1/crons" => crons::list_crons,
    get    "/api/v1/crons/{id}" => crons::show_cron,
    patch  "/api/v1/crons/{id}" => crons::patch_cron,
    delete "/api/v1/crons/{id}" => crons::delete_cron,
    post   "/api/v1/crons/{id}/trigger" => crons::trigger_cron,

    post   "/api/v1/workflows/{name}/scheduled" => scheduled::schedule_run,
    get    "/api/v1/scheduled" => scheduled::list_scheduled,
    post   "/api/v1/scheduled/bulk-delete" => bulk::cancel_scheduled,
    post   "/api/v1/scheduled/bulk-update" => bulk::change_scheduled,
    get    "/api/v1/scheduled/{id}" => scheduled::show_scheduled,
    patch  "/api/v1/scheduled/{id}" => scheduled::patch_scheduled,
    delete "/api/v1/scheduled/{id}" => scheduled::delete_scheduled,
    post   "/api/v1/scheduled/{id}/trigger" => scheduled::trigger_scheduled,

    post   "/api/v1/events" => events::push_event,
    post   "/api/v1/events/bulk" => bulk::push_events,
    get    "/api/v1/events" => events::list_events,
    get    "/api/v1/events/{id}" => events::show_event,

    get    "/healthz" => health::show_health,
    get    "/readyz" => health::show_readiness,
    get    "/metrics" => health::show_metrics,
}

/// The text of the OpenAPI document.
static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| Document::openapi().to_pretty_json().unwrap_or_default());

/// The API of a host.
pub(super) fn router(api: Api) -> Router {
    let router = routes()
        .route("/openapi.json", routing::get(|| openapi::serve_document(&DOCUMENT)))
        .fallback(error::unknown_route)
        .method_not_allowed_fallback(error::wrong_method)
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(middleware::from_fn(extract::take_in_body))
        .layer(middleware::from_fn_with_state(api.names.clone(), origin::check_origin))
        .with_state(api);
    // Looked at once: with a layer every request pays, whether or not anyone reads.
    if tracing::enabled!(tracing::Level::DEBUG) {
        router.layer(middleware::from_fn(trace::log_request))
    } else {
        router
    }
}
