//! The values of expressions: those of JSON, and maps with other keys than strings. A value is
//! shared rather than copied, so no operation takes more memory than what it makes anew.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::budget::Budget;
use super::error::Fault;

/// A value. Cloning shares what is in it.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Double(f64),
    Text(Arc<str>),
    List(Arc<Vec<Self>>),
    Map(Arc<Map>),
}

/// Pairs sorted by their keys (see [`key_order`]), each key once.
#[derive(Debug)]
pub(super) struct Map(Vec<(Value, Value)>);

impl Value {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    /// A map of pairs whose keys are `bool`s, numbers or texts. Of two with one key the later one stays.
    pub(super) fn map(mut pairs: Vec<(Self, Self)>) -> Self {
        // Stable, and from the back, so that the later one of two comes first.
        pairs.reverse();
        pairs.sort_by(|(a, _), (b, _)| key_order(a, b));
        pairs.dedup_by(|(a, _), (b, _)| key_order(a, b).is_eq());
        Self::Map(Arc::new(Map(pairs)))
    }

    /// The type, as the language names it, with its article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "a null_type",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an int",
            Self::UInt(_) => "a uint",
            Self::Double(_) => "a double",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// Whether two values are equal. Numbers are equal whatever their types when they are the same
    /// number, and values of different kinds are not equal.
    pub(super) fn equals(&self, other: &Self, budget: &mut Budget) -> Result<bool, Fault> {
        budget.take_steps(1)?;
        Ok(match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Text(a), Self::Text(b)) if a.len() == b.len() => {
                budget.take_text(a.len())?;
                a == b
            }
            (Self::List(a), Self::List(b)) if a.len() == b.len() => {
                for (a, b) in a.iter().zip(b.iter()) {
                    if !a.equals(b, budget)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Self::Map(a), Self::Map(b)) if a.len() == b.len() => {
                // Both are sorted by their keys.
                for ((a_key, a), (b_key, b)) in a.0.iter().zip(&b.0) {
                    if !a_key.equals(b_key, budget)? || !a.equals(b, budget)? {
                        return Ok(false);
                    }
                }
                true
            }
            _ => compare_numbers(self, other).is_some_and(Ordering::is_eq),
        })
    }

    /// Which of two numbers, texts or `bool`s comes first; `None` for what has no order.
    pub(super) fn compare(&self, other: &Self, budget: &mut Budget) -> Result<Option<Ordering>, Fault> {
        Ok(match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => {
                budget.take_text(a.len().min(b.len()))?;
                Some(a.cmp(b))
            }
            _ => compare_numbers(self, other),
        })
    }

    /// Whether a map can have it as a key. A double finds an integer key.
    pub(super) const fn is_key(&self) -> bool {
        matches!(self, Self::Bool(_) | Self::Int(_) | Self::UInt(_) | Self::Double(_) | Self::Text(_))
    }
}

impl Map {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Value> {
        self.0.iter().map(|(key, _)| key)
    }

    /// The value under a key, or under the same number of another type.
    pub(super) fn find(&self, key: &Value, budget: &mut Budget) -> Result<Option<&Value>, Fault> {
        // Each comparison may look at all of the key.
        let comparisons = self.len().checked_ilog2().map_or(1, |n| n as usize + 1);
        budget.take_text(text_bytes(key) * comparisons)?;
        let found = self.0.binary_search_by(|(other, _)| key_order(other, key));
        Ok(found.ok().map(|index| &self.0[index].1))
    }
}

/// How long a text is, in bytes; nothing else counts.
pub(super) fn text_bytes(value: &Value) -> usize {
    if let Value::Text(text) = value { text.len() } else { 0 }
}

/// The order of keys: `bool`s, numbers by what they count, texts.
fn key_order(a: &Value, b: &Value) -> Ordering {
    const fn rank(value: &Value) -> u8 {
        match value {
            Value::Bool(_) => 0,
            Value::Text(_) => 2,
            _ => 1,
        }
    }
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        _ => rank(a).cmp(&rank(b)).then_with(|| compare_numbers(a, b).unwrap_or(Ordering::Equal)),
    }
}

/// Compares two numbers of any types as the numbers that they are, without rounding; `None` for NaN and
/// for what is no number. So equality is transitive, and an index can rely on it.
pub(super) fn compare_numbers(a: &Value, b: &Value) -> Option<Ordering> {
    let integer = |value: &Value| match value {
        Value::Int(number) => Some(i128::from(*number)),
        Value::UInt(number) => Some(i128::from(*number)),
        _ => None,
    };
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Double(a), b) => integer(b).and_then(|b| compare_with_double(b, *a)).map(Ordering::reverse),
        (a, Value::Double(b)) => integer(a).and_then(|a| compare_with_double(a, *b)),
        (a, b) => Some(integer(a)?.cmp(&integer(b)?)),
    }
}

fn compare_with_double(integer: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    // A conversion saturates far outside the range of both types of integers.
    let whole = double.trunc();
    #[expect(clippy::cast_possible_truncation, reason = "it saturates, which leaves the order as it is")]
    let order = integer.cmp(&(whole as i128));
    order.then_with(|| whole.total_cmp(&double)).into()
}

/// Reads JSON. Numbers without a fraction are of the types of literals, so that `input.total * 2`
/// has a value.
#[derive(Clone, Copy)]
pub(super) struct ReadValue;

impl<'a> DeserializeSeed<'a> for ReadValue {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'a>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for ReadValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::UInt(number), Value::Int))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Double(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::text(text))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::List(Arc::new(list)))
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(name) = members.next_key_seed(self)? {
            pairs.push((name, members.next_value_seed(self)?));
        }
        Ok(Value::map(pairs))
    }
}
