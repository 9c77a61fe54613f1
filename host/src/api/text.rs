//! Values that are strings in JSON, in paths and in queries: ids and names.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use dormouse_core::id::{CronId, CronName, EventId, ModuleDigest, RunId, ScheduledId, WorkflowName};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

/// A value that is written as a string in JSON, in paths and in queries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<T>(pub(super) T);

/// What the OpenAPI document says of a [`Text`].
pub(super) trait Described {
    const NAME: &'static str;
    const FORMAT: Option<&'static str> = None;
    const PATTERN: Option<&'static str> = None;
}

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(D::Error::custom)
    }
}

impl<T: Described> PartialSchema for Text<T> {
    fn schema() -> RefOr<Schema> {
        string_schema(T::FORMAT, T::PATTERN)
    }
}

impl<T: Described> ToSchema for Text<T> {
    fn name() -> Cow<'static, str> {
        T::NAME.into()
    }
}

/// The schema of a string.
pub(super) fn string_schema(format: Option<&str>, pattern: Option<&str>) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .format(format.map(|format| SchemaFormat::Custom(format.to_owned())))
        .pattern(pattern)
        .into()
}

/// Names a kind of [`Text`]: an alias, since utoipa wants schemas without type arguments.
macro_rules! texts {
    ($($alias:ident of $type:ident { $($constant:ident: $value:expr),* })*) => { $(
        pub(super) type $alias = Text<$type>;
        impl Described for $type {
            const NAME: &'static str = stringify!($type);
            $(const $constant: Option<&'static str> = Some($value);)*
        }
    )* };
}

texts! {
    RunIdText of RunId { FORMAT: "uuid" }
    EventIdText of EventId { FORMAT: "uuid" }
    CronIdText of CronId { FORMAT: "uuid" }
    ScheduledIdText of ScheduledId { FORMAT: "uuid" }
    DigestText of ModuleDigest { PATTERN: "^sha256:[0-9a-f]{64}$" }
    WorkflowNameText of WorkflowName { PATTERN: "^[a-z][a-z0-9-]{0,62}$" }
    CronNameText of CronName { PATTERN: "^[a-z0-9][a-z0-9._-]{0,62}$" }
}
