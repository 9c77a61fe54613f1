//! Filters of the form `input.order == "7"`, which an index can answer: instead of evaluating the
//! filter of each wait, the host computes the value of a path once and looks it up.

use std::fmt;

use super::budget::Budget;
use super::expression::Predicate;
use super::node::{Node, Variable};
use super::subject::Subject;
use super::value::Value;

/// Longest text of a path, in bytes: it becomes part of a key.
pub const INDEXED_PATH_BYTES_MAX: usize = 256;

/// Longest text of a value, in bytes: it becomes part of a key.
pub const INDEXED_VALUE_BYTES_MAX: usize = 256;

/// What a filter of the form `path == literal` asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Equality {
    /// Where to look.
    pub path: FieldPath,
    /// What must be there.
    pub value: IndexedValue,
}

/// A field of the input or of the metadata, such as `input["order"]["id"]`. Two paths lead to the same
/// field exactly when their texts are the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath {
    variable: Variable,
    fields: Vec<String>,
    text: String,
}

/// A string, a number or a `bool`. Two values are equal in expressions exactly when their texts are the
/// same: `5` and `5.0` have one, `"5"` has another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexedValue(String);

impl Predicate {
    /// What the filter asks for, if it is `path == literal` or `literal == path` as a whole: the literal a
    /// string, a number or a `bool`, the path one into `input` or `metadata`, both short enough for an
    /// index. Then it holds for a subject exactly when [`Subject::value_at`] gives this value there.
    #[must_use]
    pub fn equality(&self) -> Option<Equality> {
        let Node::Equal(left, right) = self.root() else { return None };
        let (path, literal) = match (left.as_ref(), right.as_ref()) {
            (path, Node::Literal(literal)) | (Node::Literal(literal), path) => (path, literal),
            _ => return None,
        };
        Some(Equality { path: FieldPath::of(path)?, value: IndexedValue::of(literal)? })
    }
}

impl Subject {
    /// The value of a field; `None` where there is none, or none that an equality could ask for.
    #[must_use]
    pub fn value_at(&self, path: &FieldPath) -> Option<IndexedValue> {
        let mut value = self.variable(path.variable).ok()?;
        // A path is short, so that the budget is never used up.
        let mut budget = Budget::new();
        for field in &path.fields {
            let Value::Map(map) = &value else { return None };
            let found = map.find(&Value::text(field), &mut budget).ok()??.clone();
            value = found;
        }
        IndexedValue::of(&value)
    }
}

impl FieldPath {
    /// Reads the text of a path back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let variables = [Variable::Input, Variable::Metadata];
        let (variable, fields) = variables
            .into_iter()
            .find_map(|variable| Some((variable, text.strip_prefix(variable.name())?)))?;
        // Each field is a JSON array of one string.
        let fields = serde_json::Deserializer::from_str(fields).into_iter::<[String; 1]>();
        let fields = fields.map(|field| field.ok().map(|[name]| name)).collect::<Option<Vec<_>>>()?;
        Self::new(variable, fields).filter(|path| path.text == text)
    }

    /// The text of the path, which is an expression as well.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn new(variable: Variable, fields: Vec<String>) -> Option<Self> {
        let mut text = variable.name().to_owned();
        for field in &fields {
            text.push('[');
            text.push_str(&serde_json::Value::from(field.as_str()).to_string());
            text.push(']');
        }
        (text.len() <= INDEXED_PATH_BYTES_MAX).then_some(Self { variable, fields, text })
    }

    fn of(node: &Node) -> Option<Self> {
        let mut fields = Vec::new();
        let mut node = node;
        loop {
            let (inner, field) = match node {
                Node::Variable(variable @ (Variable::Input | Variable::Metadata)) => {
                    fields.reverse();
                    return Self::new(*variable, fields);
                }
                Node::Select { operand, field: Value::Text(field), is_test: false } => (operand, field),
                Node::Index(container, index) => match index.as_ref() {
                    Node::Literal(Value::Text(field)) => (container, field),
                    _ => return None,
                },
                _ => return None,
            };
            fields.push(field.as_ref().to_owned());
            node = inner;
        }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl IndexedValue {
    /// The text of the value: a letter for its kind, and then what it is.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(value: &Value) -> Option<Self> {
        let text = match value {
            Value::Bool(truth) => format!("b{truth}"),
            Value::Int(number) => format!("n{number}"),
            Value::UInt(number) => format!("n{number}"),
            Value::Double(number) => double(*number)?,
            Value::Text(text) if text.len() < INDEXED_VALUE_BYTES_MAX => format!("s{text}"),
            Value::Text(_) | Value::Null | Value::List(_) | Value::Map(_) => return None,
        };
        Some(Self(text))
    }
}

impl fmt::Display for IndexedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A double, as the integer that it is equal to where there is one.
fn double(number: f64) -> Option<String> {
    /// Beyond it no integer of an expression lies.
    const INTEGERS_END: f64 = u64::MAX as f64;
    if number.is_nan() {
        return None;
    }
    if number.fract() == 0.0 && number.abs() <= INTEGERS_END {
        #[expect(clippy::cast_possible_truncation, reason = "the number is whole and in range")]
        return Some(format!("n{}", number as i128));
    }
    // The shortest text that only this double has.
    Some(format!("n{number:e}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::workflow::{Json, Metadata};

    fn equality(filter: &str) -> Option<(String, String)> {
        let equality = Predicate::compile(filter).unwrap().equality()?;
        Some((equality.path.to_string(), equality.value.to_string()))
    }

    #[test]
    fn a_filter_that_compares_a_field_with_a_literal_is_an_equality() {
        for (filter, path, value) in [
            (r#"input.order == "7""#, r#"input["order"]"#, "s7"),
            (r#""7" == input.order"#, r#"input["order"]"#, "s7"),
            (r#"input["a b"].c == 5"#, r#"input["a b"]["c"]"#, "n5"),
            ("(input.a) == (5.0)", r#"input["a"]"#, "n5"),
            ("input.a == 5u", r#"input["a"]"#, "n5"),
            ("input.a == -5", r#"input["a"]"#, "n-5"),
            ("input.a == -0.0", r#"input["a"]"#, "n0"),
            ("input.a == 1.5", r#"input["a"]"#, "n1.5e0"),
            ("input.a == 1e300", r#"input["a"]"#, "n1e300"),
            ("input.a == 18446744073709551615u", r#"input["a"]"#, "n18446744073709551615"),
            ("input == true", "input", "btrue"),
            (r#"metadata["x\"y"] == 'ü'"#, r#"metadata["x\"y"]"#, "sü"),
            ("metadata.region == ''", r#"metadata["region"]"#, "s"),
        ] {
            assert_eq!(equality(filter), Some((path.to_owned(), value.to_owned())), "{filter}");
            let parsed = FieldPath::parse(path).unwrap();
            assert_eq!(Some(parsed), Predicate::compile(filter).unwrap().equality().map(|found| found.path));
        }
        let long = "x".repeat(INDEXED_VALUE_BYTES_MAX);
        for filter in [
            "input.a != 5",
            "input.a == null",
            "input.a == [1]",
            "input.a == input.b",
            "1 == 1",
            "key == 'a'",
            "input.a[0] == 1",
            "has(input.a) == true",
            "input.a == 1 && input.b == 2",
            "size(input.a) == 1",
            &format!("input.a == '{long}'"),
            &format!("input.{long} == 1"),
        ] {
            assert_eq!(equality(filter), None, "{filter}");
        }
        for text in
            ["", "key", "input.a", r#"input["a"] "#, r#"input ["a"]"#, r#"input[1]"#, r#"input["\u0061"]"#]
        {
            assert_eq!(FieldPath::parse(text), None, "{text}");
        }
    }

    /// A string, a number or a `bool`, as CEL and as JSON write it.
    fn scalar() -> impl Strategy<Value = (String, String)> {
        let near = proptest::sample::select(vec![
            0_i64,
            1,
            5,
            -5,
            (1 << 53) - 1,
            1 << 53,
            (1 << 53) + 1,
            i64::MAX,
            i64::MAX - 1,
            i64::MIN + 1,
        ]);
        fn same(text: String) -> (String, String) {
            (text.clone(), text)
        }
        prop_oneof![
            near.clone().prop_map(|number| same(number.to_string())),
            near.prop_map(|number| same(format!("{:e}", number as f64))),
            proptest::sample::select(vec!["9223372036854775808", "18446744073709551615"])
                .prop_map(|number| (format!("{number}u"), number.to_owned())),
            proptest::sample::select(vec![
                "9223372036854775808.0",
                "18446744073709551616.0",
                "1e300",
                "0.1",
                "-0.0"
            ])
            .prop_map(|number| same(number.to_owned())),
            proptest::num::f64::NORMAL.prop_map(|number| same(format!("{number:e}"))),
            any::<bool>().prop_map(|truth| same(truth.to_string())),
            "[a5ü]{0,2}".prop_map(|text| same(format!("\"{text}\""))),
            Just(same(format!("\"{}\"", "a".repeat(INDEXED_VALUE_BYTES_MAX - 1)))),
        ]
    }

    /// Any JSON around a field that may or may not be at `a.b`.
    fn payload() -> impl Strategy<Value = String> {
        let other = proptest::sample::select(vec!["null", "[]", "{}", "[5]"]).prop_map(str::to_owned);
        let field = prop_oneof![4 => scalar().prop_map(|(_, json)| json), 1 => other];
        (field, 0..6).prop_map(|(field, shape)| match shape {
            0..=2 => format!(r#"{{"a": {{"b": {field}, "c": 1}}}}"#),
            3 => format!(r#"{{"a": {{"b": 1, "b": {field}}}}}"#),
            4 => format!(r#"{{"a": {field}}}"#),
            _ => field,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn the_index_says_what_the_filter_says(
            (literal, _) in scalar(),
            payload in payload(),
            path in proptest::sample::select(vec!["input.a.b", "input['a'].b", "input.a", "input"]),
            turned in any::<bool>(),
        ) {
            let filter = if turned { format!("{literal} == {path}") } else { format!("{path} == {literal}") };
            let filter = Predicate::compile(&filter).unwrap();
            let subject = Subject::of_event("key", &Json::parse(&payload).unwrap(), &Metadata::default());
            let equality = filter.equality().expect("an equality");
            let indexed = subject.value_at(&equality.path) == Some(equality.value);
            prop_assert_eq!(filter.holds(&subject).unwrap_or(false), indexed, "{:?} on {}", filter, payload);
        }

        #[test]
        fn metadata_are_found_by_name(name in "[a-c\"\\\\]{0,2}", asked in "[a-c\"\\\\]{0,2}", value in "[ab]{0,1}") {
            let metadata = Metadata::new([(name, value)]);
            let subject = Subject::of_event("key", &Json::null(), &metadata);
            let asked = serde_json::Value::from(asked);
            let filter = Predicate::compile(&format!("metadata[{asked}] == 'a'")).unwrap();
            let equality = filter.equality().unwrap();
            let indexed = subject.value_at(&equality.path) == Some(equality.value);
            prop_assert_eq!(filter.holds(&subject).unwrap_or(false), indexed);
        }

        #[test]
        fn no_text_makes_reading_a_path_panic(text in "(input|metadata)?[\\[\\]\"a\\\\u0é ]{0,12}") {
            if let Some(path) = FieldPath::parse(&text) {
                prop_assert_eq!(path.as_str(), text);
            }
        }
    }
}
