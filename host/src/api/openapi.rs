//! The OpenAPI document, put together from the handlers and their types.

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{ArrayItems, Schema};
use utoipa::openapi::{OpenApi, Ref, RefOr, Response, content::ContentBuilder};
use utoipa::{Modify, PartialSchema, ToSchema};

use super::error::Errors;
use super::values::JsonValue;

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

/// Describes every answer that has no words of its own, which the format demands.
pub(super) struct WithDescriptions;

impl Modify for WithDescriptions {
    fn modify(&self, document: &mut OpenApi) {
        for operation in document.paths.paths.values_mut().flat_map(operations) {
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response
                    && response.description.is_empty()
                {
                    response.description = words(status).to_owned();
                }
            }
        }
    }
}

fn words(status: &str) -> &'static str {
    match status {
        "201" => "It is made.",
        "202" => "It is accepted.",
        "204" => "It is done, and there is nothing to show.",
        "503" => "Not now.",
        _ => "As it is.",
    }
}

/// Lets any JSON that may be absent be just that. Derived schemas say that it is either null or
/// any JSON, and since null is JSON it is never exactly one of the two.
pub(super) struct NullIsJson;

impl Modify for NullIsJson {
    fn modify(&self, document: &mut OpenApi) {
        let schemas = document.components.iter_mut().flat_map(|components| components.schemas.values_mut());
        schemas.for_each(merge_null);
    }
}

fn merge_null(schema: &mut RefOr<Schema>) {
    let RefOr::T(inner) = schema else { return };
    match inner {
        Schema::Object(object) => object.properties.values_mut().for_each(merge_null),
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                merge_null(items);
            }
        }
        Schema::AllOf(all) => all.items.iter_mut().for_each(merge_null),
        Schema::AnyOf(any) => any.items.iter_mut().for_each(merge_null),
        Schema::OneOf(one) => match one.items.iter().find(|item| is_any_json(item)).cloned() {
            Some(any_json) => *schema = any_json,
            None => one.items.iter_mut().for_each(merge_null),
        },
        // The enum may grow.
        _ => {}
    }
}

fn is_any_json(schema: &RefOr<Schema>) -> bool {
    let name = JsonValue::name();
    matches!(schema, RefOr::Ref(Ref { ref_location, .. }) if ref_location.rsplit('/').next() == Some(&*name))
}
