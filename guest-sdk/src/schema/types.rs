//! The types that describe themselves without `#[data]`. They say what schemars says of them.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::{Describe, Schema};
use crate::{EventId, RunId, ScheduledId, Timestamp};

macro_rules! plain {
    ($($type:ty: $kind:literal $limits:literal;)+) => {
        $(
            impl Describe for $type {
                fn describe(schema: &mut Schema) {
                    schema.plain($kind, $limits);
                }
            }
        )+
    };
}

plain! {
    (): "null" "";
    bool: "boolean" "";
    i8: "integer" r#","format":"int8","minimum":-128,"maximum":127"#;
    i16: "integer" r#","format":"int16","minimum":-32768,"maximum":32767"#;
    i32: "integer" r#","format":"int32""#;
    i64: "integer" r#","format":"int64""#;
    isize: "integer" r#","format":"int""#;
    u8: "integer" r#","format":"uint8","minimum":0,"maximum":255"#;
    u16: "integer" r#","format":"uint16","minimum":0,"maximum":65535"#;
    u32: "integer" r#","format":"uint32","minimum":0"#;
    u64: "integer" r#","format":"uint64","minimum":0"#;
    usize: "integer" r#","format":"uint","minimum":0"#;
    f32: "number" r#","format":"float""#;
    f64: "number" r#","format":"double""#;
    char: "string" r#","minLength":1,"maxLength":1"#;
    String: "string" "";
    Timestamp: "string" r#","format":"date-time""#;
    RunId: "string" r#","format":"uuid""#;
    EventId: "string" r#","format":"uuid""#;
    ScheduledId: "string" r#","format":"uuid""#;
}

impl Describe for Value {
    fn describe(schema: &mut Schema) {
        schema.anything();
    }
}

impl<T: Describe> Describe for Option<T> {
    const OPTIONAL: bool = true;

    fn describe(schema: &mut Schema) {
        schema.nullable(T::describe);
    }
}

impl<T: Describe> Describe for Box<T> {
    const OPTIONAL: bool = T::OPTIONAL;

    fn describe(schema: &mut Schema) {
        T::describe(schema);
    }
}

impl<T: Describe> Describe for Vec<T> {
    fn describe(schema: &mut Schema) {
        schema.container("array", r#","items":"#, T::describe);
    }
}

macro_rules! map {
    ($($map:ident)+) => {
        $(
            impl<T: Describe> Describe for $map<String, T> {
                fn describe(schema: &mut Schema) {
                    schema.container("object", r#","additionalProperties":"#, T::describe);
                }
            }
        )+
    };
}

map!(BTreeMap HashMap);
