//! Drives the real router in process: what it refuses before the host is asked, and whether the
//! OpenAPI document says what there is.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, Response, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tower::ServiceExt;
use utoipa::OpenApi;

use super::extract::BODY_BYTES_MAX;
use super::router::{Document, ROUTES, router};
use super::serve;
use super::state::{Api, Stopping};
use crate::clock::Clock;
use crate::engine::Host;
use crate::runtime::{Compiler, Runtime, RuntimeConfig};
use crate::store::Store;

const ID: &str = "01920b5e-7b1c-7d3e-8f00-000000000001";

/// A host without modules. Its folder is gone, which an open store does not mind.
fn host() -> Host {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::system();
    let store = Store::open(&folder.path().join("store"), 1 << 20, clock.now()).expect("a store");
    let config = RuntimeConfig {
        cache_dir: folder.path().join("cache"),
        compiler: Compiler::Here,
        slots: 1,
        memory_bytes_max: 2 << 20,
        guest_threads: 1,
    };
    let runtime = Runtime::new(config, clock.clone()).expect("a runtime");
    Host::start(store, runtime, clock, 1, None).expect("a host")
}

fn app() -> Router {
    let (_, stopping) = Stopping::channel();
    router(Api::new(host(), stopping, [].into()))
}

async fn send(request: Request<Body>) -> Response<Body> {
    app().oneshot(request).await.expect("a router cannot fail")
}

async fn body(response: Response<Body>) -> Value {
    let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body that is there");
    serde_json::from_slice(&bytes).unwrap_or(Value::Null)
}

fn request(method: &str, path: &str, content_type: Option<&str>, body: impl Into<Body>) -> Request<Body> {
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
    let mut request = Request::builder().method(method).uri(path);
    if let Some(content_type) = content_type {
        request = request.header("Content-Type", content_type);
    }
    request.body(body.into()).expect("a request")
}

/// Sends JSON and expects a refusal with this status, code and field.
async fn refused(method: &str, path: &str, json: impl Into<Body>, expected: (u16, &str, Option<&str>)) {
    let response = send(request(method, path, Some("application/json"), json)).await;
    let status = response.status().as_u16();
    let body = body(response).await;
    let error = &body["errors"][0];
    let field = error.get("field").and_then(Value::as_str);
    assert_eq!(
        (status, error["code"].as_str().unwrap_or_default(), field),
        expected,
        "{method} {path}: {body}"
    );
    assert!(error["description"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
}

#[tokio::test]
async fn a_body_that_is_wrong_is_refused_with_code_and_field() {
    let runs = "/api/v1/workflows/mail/runs";
    let crons = "/api/v1/workflows/mail/crons";
    for (method, path, body, expected) in [
        ("post", runs, "{", (400, "malformed_json", None)),
        ("post", runs, "{} {}", (400, "malformed_json", None)),
        ("post", runs, r#"{"input": nope}"#, (400, "malformed_json", None)),
        ("post", runs, "[]x", (400, "malformed_json", None)),
        ("post", runs, r#"{"input": {"n": 1e400}}"#, (422, "invalid_value", Some("input"))),
        (
            "post",
            "/api/v1/events",
            r#"{"key": "a", "payload": "\ud800"}"#,
            (422, "invalid_value", Some("payload")),
        ),
        ("post", runs, "[null]", (422, "invalid_value", Some("body"))),
        ("post", runs, "7", (422, "invalid_value", Some("body"))),
        ("post", runs, r#"{"inputs": 1}"#, (422, "unknown_field", Some("inputs"))),
        ("post", runs, r#"{"priority": 4}"#, (422, "invalid_value", Some("priority"))),
        ("post", runs, r#"{"priority": "high"}"#, (422, "invalid_value", Some("priority"))),
        ("post", runs, r#"{"metadata": {"team": 7}}"#, (422, "invalid_value", Some("metadata.team"))),
        ("post", runs, r#"{"idempotencyKey": ""}"#, (422, "invalid_idempotency", Some("idempotencyKey"))),
        ("post", runs, r#"{"idempotencyTtlMs": 5}"#, (422, "invalid_idempotency", Some("idempotencyTtlMs"))),
        (
            "post",
            runs,
            r#"{"idempotencyKey": "a", "idempotencyTtlMs": 0}"#,
            (422, "invalid_idempotency", Some("idempotencyTtlMs")),
        ),
        ("patch", "/api/v1/workflows/mail", r#"{"paused": 1}"#, (422, "invalid_value", Some("paused"))),
        ("post", crons, r#"{"expression": "@daily"}"#, (422, "missing_field", Some("name"))),
        ("post", crons, "", (422, "missing_field", Some("name"))),
        ("post", crons, r#"{"name": "A", "expression": "@daily"}"#, (422, "invalid_value", Some("name"))),
        (
            "put",
            "/api/v1/workflows/mail/crons/daily",
            r#"{"expression": "@daily", "name": "daily"}"#,
            (422, "unknown_field", Some("name")),
        ),
        (
            "put",
            "/api/v1/workflows/mail/crons/daily",
            r#"{"expression": "@daily", "catchUp": "one", "catchUpWindowMs": 5}"#,
            (422, "invalid_catch_up", Some("catchUpWindowMs")),
        ),
        (
            "post",
            "/api/v1/workflows/mail/scheduled",
            r#"{"triggerAt": "tomorrow"}"#,
            (422, "invalid_value", Some("triggerAt")),
        ),
        ("post", "/api/v1/events", r#"{"payload": 1}"#, (422, "missing_field", Some("key"))),
    ] {
        refused(method, path, body, expected).await;
    }
}

#[tokio::test]
async fn paths_and_queries_that_are_wrong_are_refused_with_code_and_field() {
    for (method, path, expected) in [
        ("get", "/api/v1/runs/7", (400, "malformed_path", Some("id"))),
        ("get", "/api/v1/modules/md5:00", (400, "malformed_path", Some("digest"))),
        ("put", "/api/v1/workflows/mail/crons/UPPER", (400, "malformed_path", Some("cronName"))),
        ("put", "/api/v1/workflows/UPPER/crons/daily", (400, "malformed_path", Some("name"))),
        ("get", "/api/v1/runs?cursor=!", (400, "invalid_cursor", Some("cursor"))),
        ("get", "/api/v1/modules?cursor=!", (400, "invalid_cursor", Some("cursor"))),
        ("get", "/api/v1/scheduled?cursor=5", (400, "invalid_cursor", Some("cursor"))),
        ("get", "/api/v1/runs?limit=0", (422, "invalid_limit", Some("limit"))),
        ("get", "/api/v1/runs?limit=201", (422, "invalid_limit", Some("limit"))),
        ("get", "/api/v1/runs?limit=many", (422, "invalid_value", Some("limit"))),
        ("get", "/api/v1/runs?limit=1&limit=2", (422, "invalid_value", Some("limit"))),
        ("get", "/api/v1/runs?state=failed", (422, "unknown_parameter", Some("state"))),
        ("get", "/api/v1/runs?status=done", (422, "invalid_value", Some("status"))),
        ("get", "/api/v1/runs?trigger=magic", (422, "invalid_value", Some("trigger"))),
        ("get", "/api/v1/runs?since=yesterday", (422, "invalid_value", Some("since"))),
        ("get", "/api/v1/runs?metadata=a:b&metadata=c", (422, "invalid_value", Some("metadata[1]"))),
        ("get", "/api/v1/crons?enabled=maybe", (422, "invalid_value", Some("enabled"))),
        ("post", "/api/v1/workflows/mail/runs?wait=60001", (422, "invalid_wait", Some("wait"))),
        ("get", "/api/v1/no-such-thing", (404, "unknown_route", None)),
        ("post", "/api/v1/runs", (405, "wrong_method", None)),
    ] {
        let body = if method == "put" { r#"{"expression": "@daily"}"# } else { "{}" };
        refused(method, path, body, expected).await;
    }
    let wait = format!("/api/v1/runs/{ID}?wait=60001");
    refused("get", &wait, "", (422, "invalid_wait", Some("wait"))).await;
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let response = send(request("post", "/api/v1/runs", None, "")).await;
    assert_eq!(response.headers()["allow"], "GET,HEAD");
}

#[tokio::test]
async fn bodies_of_another_type_are_refused() {
    for (path, content_type) in [
        ("/api/v1/events", Some("text/plain")),
        ("/api/v1/events", None),
        ("/api/v1/modules", Some("application/json")),
        ("/api/v1/modules", None),
    ] {
        let response = send(request("post", path, content_type, "{}")).await;
        assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path} {content_type:?}");
        assert_eq!(body(response).await["errors"][0]["code"], "wrong_content_type");
    }
}

#[tokio::test]
async fn bodies_and_values_that_are_too_large_are_refused() {
    let events = "/api/v1/events";
    let too_large = "x".repeat(BODY_BYTES_MAX + 1);
    refused("post", events, too_large, (413, "body_too_large", None)).await;
    let payload = format!(r#"{{"key": "a", "payload": "{}"}}"#, "x".repeat(1 << 20));
    refused("post", events, payload, (413, "value_too_large", Some("payload"))).await;
}

#[tokio::test]
async fn the_server_answers_until_it_is_told_to_stop() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(host(), listener, Vec::new(), async move {
        let _ = stopped.await;
    }));
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("a request");
    let mut status = [0; 15];
    stream.read_exact(&mut status).await.expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 200 OK");
    stop.send(()).expect("a server that runs");
    server.await.expect("a server that does not panic");
    assert!(TcpStream::connect(address).await.is_err());
}

#[test]
fn every_route_is_in_the_document_and_the_other_way_round() {
    let document = serde_json::to_value(Document::openapi()).expect("a document");
    let mut documented = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        documented
            .extend(item.as_object().expect("methods").keys().map(|method| (method.clone(), path.clone())));
    }
    let mut routes: Vec<_> =
        ROUTES.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
    documented.sort();
    routes.sort();
    assert_eq!(documented, routes);
}

#[tokio::test]
async fn every_operation_of_the_document_leads_to_a_handler() {
    let document = serde_json::to_value(Document::openapi()).expect("a document");
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            let path = path.replace(['{', '}'], "");
            let response = send(request(method, &path, None, "")).await;
            let code = body(response).await["errors"][0]["code"].clone();
            assert!(code != "unknown_route" && code != "wrong_method", "{method} {path}: {code}");
            assert!(operation["responses"]["default"].is_object(), "{method} {path} documents no errors");
        }
    }
}

#[test]
fn the_parameters_of_every_path_are_documented() {
    let document = serde_json::to_value(Document::openapi()).expect("a document");
    for (path, item) in document["paths"].as_object().expect("paths") {
        let expected: Vec<_> = path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        for (method, operation) in item.as_object().expect("methods") {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let names: Vec<_> = parameters
                .iter()
                .filter(|parameter| parameter["in"] == "path")
                .filter_map(|parameter| parameter["name"].as_str())
                .collect();
            assert_eq!(names, expected, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_document_is_served_and_all_its_references_lead_somewhere() {
    let document = body(send(request("get", "/openapi.json", None, "")).await).await;
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1.")), "{document}");
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap_or_default();
        assert!(document.pointer(pointer).is_some(), "nothing is at {pointer}");
    }
    let start = &document["paths"]["/api/v1/workflows/{name}/runs"]["post"];
    assert!(start["requestBody"]["content"]["application/json"].is_object(), "{start}");
}
