//! The OpenAPI document, put together from the handlers and their types.

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{OpenApi, Ref, RefOr, Response, content::ContentBuilder};
use utoipa::{Modify, PartialSchema, ToSchema};

use super::error::Errors;

/// Serves the text of the document.
pub(super) async fn serve_document(text: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], text)
}

/// Adds the body of errors to every operation: all of them answer alike when they refuse.
pub(super) struct WithErrors;

impl Modify for WithErrors {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        components.schemas.insert(Errors::name().into_owned(), Errors::schema());
        let mut schemas = Vec::new();
        Errors::schemas(&mut schemas);
        components.schemas.extend(schemas);
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Errors::name()))).build();
        let mut response = Response::new("It is refused; the code says why.");
        response.content.insert("application/json".to_owned(), content);
        for operation in document.paths.paths.values_mut().flat_map(operations) {
            operation.responses.responses.insert("default".to_owned(), RefOr::T(response.clone()));
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().flatten()
}
