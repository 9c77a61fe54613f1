//! Schemas, inputs and filters that are small and cost much.

use serde_json::{Map, Value, json};

/// A schema without recursion whose check visits the last definition `2^depth` times.
pub(super) fn doubling(depth: usize) -> Value {
    let mut definitions = Map::new();
    for level in 0..depth {
        let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
        definitions.insert(format!("d{level}"), json!({"allOf": [next, next]}));
    }
    definitions.insert(format!("d{depth}"), json!({"type": "string"}));
    json!({"$ref": "#/$defs/d0", "$defs": definitions})
}

/// A list of so many equal numbers.
pub(super) fn numbers(number: u32, count: usize) -> Value {
    vec![number; count].into()
}

/// Items that must be one of so many constants, given as texts or as numbers.
pub(super) fn one_of_texts(count: usize) -> Value {
    any_of_items((0..count).map(|number| json!({"const": number.to_string()})))
}

pub(super) fn one_of_numbers(count: usize) -> Value {
    any_of_items((0..count).map(|number| json!({"const": number + 1_000})))
}

fn any_of_items(schemas: impl Iterator<Item = Value>) -> Value {
    json!({"items": {"anyOf": schemas.collect::<Vec<_>>()}})
}

pub(super) fn text_or_null() -> Value {
    json!({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}})
}

/// Texts that must match one of so many patterns, each large once it is compiled.
pub(super) fn one_of_patterns(count: usize) -> Value {
    let patterns = (0..count).map(|number| json!({"pattern": format!("a{{0,{}}}b", 1_000 + number)}));
    json!({"anyOf": patterns.collect::<Vec<_>>()})
}

/// A filter that copies a list for each of its elements.
pub(super) const COPYING: &str = "size(input.l.map(x, input.l)) < 0";

/// A filter that compiles a pattern for each element.
pub(super) const COMPILING: &str = r#"input.l.exists(x, x.matches("\\pL{0,40}b"))"#;

/// The same filter so many times.
pub(super) fn compiling_often(times: usize) -> String {
    vec![COMPILING; times].join(" || ")
}

/// The same as keys of a concurrency limit.
pub(super) const COPYING_KEY: &str = "string(size(input.l.map(x, input.l)))";
pub(super) const COMPILING_KEY: &str = r#"string(input.l.exists(x, x.matches("\\pL{0,40}b")))"#;

/// What the filters and keys are over: a list of so many equal values.
pub(super) fn listed(value: Value, count: usize) -> Value {
    json!({"l": vec![value; count]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubling_schema_is_small() {
        let text = doubling(40).to_string();
        assert!(text.len() < 4_096, "{} bytes", text.len());
        assert_eq!(doubling(1)["$defs"]["d0"]["allOf"][1]["$ref"], "#/$defs/d1");
    }

    #[test]
    fn filters_and_inputs_keep_to_the_limits_of_the_host() {
        assert!(compiling_often(80).len() <= 4_096);
        assert!(COPYING_KEY.len() <= 256 && COMPILING_KEY.len() <= 256);
        assert!(listed(json!(1), 8_100).to_string().len() <= 16_384);
        assert!(numbers(1, 520_000).to_string().len() < (1 << 20) - 1_000);
    }
}
