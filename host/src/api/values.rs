//! JSON forms of the core's words that several resources share.

use std::collections::BTreeMap;

use dormouse_core::bounds::JSON_BYTES_MAX;
use dormouse_core::run::{Status, TaskError as CoreTaskError};
use dormouse_core::time::Timestamp;
use dormouse_core::workflow::{Json, Metadata as CoreMetadata, Priority as CorePriority};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use super::error::{ApiError, Result};
use super::text::string_schema;

/// A point in time: written in UTC with milliseconds, read with any offset.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time(pub(super) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = chrono::DateTime::parse_from_rfc3339(&text).map_err(|error| {
            D::Error::custom(format!(
                "`{text}` is not an RFC 3339 time such as 2030-01-31T09:00:00Z: {error}"
            ))
        })?;
        Ok(Self(Timestamp::from_chrono(time.to_utc())))
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        string_schema(Some("date-time"), None)
    }
}

impl ToSchema for Time {}

/// Any JSON that [`Json::parse`] takes, kept as the text that came: no number loses a digit and no
/// member its place.
#[derive(Debug, Clone)]
pub(super) struct JsonValue(Json);

impl JsonValue {
    /// The text, unless it is too long for a single value.
    pub(super) fn bounded(self, field: &str) -> Result<Json> {
        if self.0.as_str().len() <= JSON_BYTES_MAX {
            return Ok(self.0);
        }
        let description = format!("`{field}` may have at most {JSON_BYTES_MAX} bytes of JSON");
        Err(ApiError::too_large("value_too_large", description).about(field))
    }
}

/// The text of an optional value, of which `null` is one.
pub(super) fn bounded(value: Option<JsonValue>, field: &str) -> Result<Option<Json>> {
    value.map(|value| value.bounded(field)).transpose()
}

impl From<Json> for JsonValue {
    fn from(json: Json) -> Self {
        Self(json)
    }
}

impl Serialize for JsonValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        // Checks the text once more, for serde knows no other way to pass it on as it is.
        serde_json::from_str::<&RawValue>(self.0.as_str()).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Json::parse(raw.get()).map(Self).map_err(D::Error::custom)
    }
}

impl PartialSchema for JsonValue {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::AnyValue)
            .description(Some(
                "Any JSON, at most 1 MiB and 128 levels deep, its numbers in the range of a double.",
            ))
            .into()
    }
}

impl ToSchema for JsonValue {}

/// For fields of [`JsonValue`] that may be absent: a `null` that was sent is a value.
pub(super) fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<JsonValue>, D::Error> {
    JsonValue::deserialize(deserializer).map(Some)
}

/// Pairs of name and value, as an object.
#[derive(Debug, Clone, Default)]
pub(super) struct Metadata(pub(super) CoreMetadata);

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let pairs = BTreeMap::<String, String>::deserialize(deserializer)?;
        CoreMetadata::parse(pairs).map(Self).map_err(D::Error::custom)
    }
}

impl PartialSchema for Metadata {
    fn schema() -> RefOr<Schema> {
        BTreeMap::<String, String>::schema()
    }
}

impl ToSchema for Metadata {}

/// Who goes first: 1 to 3.
#[derive(Debug, Clone, Copy)]
pub(super) struct Priority(pub(super) CorePriority);

impl Serialize for Priority {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.0.number())
    }
}

impl<'de> Deserialize<'de> for Priority {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        let priority = u8::try_from(number).ok().and_then(CorePriority::new);
        priority.map(Self).ok_or_else(|| D::Error::custom(format!("priorities go from 1 to 3, not {number}")))
    }
}

impl PartialSchema for Priority {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Integer))
            .minimum(Some(1))
            .maximum(Some(3))
            .description(Some("From 1 (the last to go) to 3 (first)."))
            .into()
    }
}

impl ToSchema for Priority {}

/// How far a run or a task run has come. Only task runs are skipped.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Status)]
pub(super) enum StatusWord {
    Queued,
    Running,
    Sleeping,
    Completed,
    Failed,
    Cancelled,
    Skipped,
}

impl From<Status> for StatusWord {
    fn from(status: Status) -> Self {
        match status {
            Status::Queued => Self::Queued,
            Status::Running => Self::Running,
            Status::Sleeping => Self::Sleeping,
            Status::Completed => Self::Completed,
            Status::Failed => Self::Failed,
            Status::Cancelled => Self::Cancelled,
            Status::Skipped => Self::Skipped,
        }
    }
}

impl From<StatusWord> for Status {
    fn from(word: StatusWord) -> Self {
        match word {
            StatusWord::Queued => Self::Queued,
            StatusWord::Running => Self::Running,
            StatusWord::Sleeping => Self::Sleeping,
            StatusWord::Completed => Self::Completed,
            StatusWord::Failed => Self::Failed,
            StatusWord::Cancelled => Self::Cancelled,
            StatusWord::Skipped => Self::Skipped,
        }
    }
}

/// Why a task or a run failed, in the guest's words.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskError {
    message: String,
    /// Anything that a program could use.
    details: Option<JsonValue>,
}

impl From<&CoreTaskError> for TaskError {
    fn from(error: &CoreTaskError) -> Self {
        Self { message: error.message.clone(), details: error.details.clone().map(JsonValue::from) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Serialize)]
    struct Body {
        #[serde(default, deserialize_with = "present")]
        input: Option<JsonValue>,
    }

    fn input(body: &str) -> Option<JsonValue> {
        serde_json::from_str::<Body>(body).expect("a body").input
    }

    #[test]
    fn json_goes_through_without_losing_a_digit_or_moving_a_member() {
        let body = r#"{"input":{"b": 12345678901234567890123, "a": 1.10, "b": [ ]}}"#;
        assert_eq!(serde_json::to_string(&Body { input: input(body) }).expect("JSON"), body);
    }

    #[test]
    fn a_null_that_was_sent_is_a_value() {
        assert!(input("{}").is_none());
        assert!(input(r#"{"input":null}"#).is_some());
    }

    /// Texts that filters and schemas cannot read were once kept as they came.
    #[test]
    fn json_that_nobody_can_read_is_refused() {
        let deep = format!("{}{}", "[".repeat(129), "]".repeat(129));
        for (value, problem) in [
            (r#"{"n":5,"c":1e400}"#, "range of a double"),
            (r#""\ud800""#, "in pairs only"),
            (&deep, "more than 128"),
        ] {
            let error = serde_json::from_str::<Body>(&format!("{{\"input\":{value}}}")).err();
            let error = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(problem), "{value}: {error}");
        }
    }

    #[test]
    fn times_are_read_with_any_offset() {
        let time: Time = serde_json::from_str(r#""2030-01-31T10:00:00.5+01:00""#).expect("a time");
        assert_eq!(serde_json::to_string(&time).expect("JSON"), r#""2030-01-31T09:00:00.500Z""#);
    }

    #[test]
    fn metadata_beyond_its_limits_is_refused() {
        let object = |pairs: usize, value: &str| {
            let pairs = (0..pairs).map(|i| format!("\"{i}\":\"{value}\""));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        };
        assert!(serde_json::from_str::<Metadata>(&object(64, "v")).is_ok());
        assert!(serde_json::from_str::<Metadata>(&object(65, "v")).is_err());
        assert!(serde_json::from_str::<Metadata>(&object(1, &"v".repeat(1025))).is_err());
        assert!(serde_json::from_str::<Metadata>(r#"{"": "v"}"#).is_err());
    }
}
