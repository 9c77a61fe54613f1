//! Which of the two ways the schema of a type is written: by itself if it can, else by schemars.
//!
//! This is specialisation by way of method lookup: in `(&Probe::<T>::new()).pick()` the compiler
//! finds the method of [`PickPlain`] first, which is there for types that describe themselves, and
//! the one of [`PickSchemars`], which is there for all, only after taking another reference.

use std::marker::PhantomData;

use schemars::JsonSchema;

use super::{Describe, Fields, Schema};

/// Stands for a type.
#[derive(Debug)]
pub struct Probe<T>(PhantomData<T>);

impl<T> Probe<T> {
    /// Stands for `T`.
    #[expect(clippy::new_without_default, reason = "only the macros make one")]
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

/// The way of a type that describes itself.
#[derive(Debug)]
pub struct Plain;

/// The way of any other type.
#[derive(Debug)]
pub struct Schemars;

/// Picks `Plain`.
pub trait PickPlain {
    /// The way to take.
    fn pick(&self) -> Plain {
        Plain
    }
}

impl<T: Describe> PickPlain for Probe<T> {}

/// Picks `Schemars`.
pub trait PickSchemars {
    /// The way to take.
    fn pick(&self) -> Schemars {
        Schemars
    }
}

impl<T> PickSchemars for &Probe<T> {}

impl Plain {
    /// The schema of a type as a document of its own.
    #[must_use]
    pub fn document<T: Describe>(self) -> String {
        Schema::document(T::describe)
    }

    /// A field of that type.
    pub fn field<T: Describe>(
        self,
        fields: &mut Fields<'_>,
        name: &str,
        description: &'static str,
        option: bool,
    ) {
        fields.field(name, description, option || T::OPTIONAL, T::describe);
    }
}

impl Schemars {
    /// The schema of a type as a document of its own.
    #[must_use]
    pub fn document<T: JsonSchema>(self) -> String {
        text(schemars::schema_for!(T))
    }

    /// A field of that type. `option` says whether it may be left out.
    pub fn field<T: JsonSchema>(
        self,
        fields: &mut Fields<'_>,
        name: &str,
        description: &'static str,
        option: bool,
    ) {
        fields.field(name, description, option, |schema| {
            // References inside start from the nearest `$id`, so the document stays as it is.
            let mut inner = schemars::schema_for!(T);
            inner.insert("$id".to_owned(), format!("urn:dormouse:{}", schema.text.len()).into());
            let description = std::mem::take(&mut schema.description);
            if !description.is_empty() {
                schema.push(r#"{"description":"#);
                schema.push(description);
                schema.push(r#","allOf":["#);
            }
            schema.push(&text(inner));
            schema.push(if description.is_empty() { "" } else { "]}" });
        });
    }
}

fn text(schema: schemars::Schema) -> String {
    // A `Schema` writes itself with its keys in a pleasant order, and a `Value` displays itself
    // in two styles: either takes four kilobytes of code more.
    serde_json::to_string(&serde_json::Value::from(schema)).unwrap_or_default()
}
