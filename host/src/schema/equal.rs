//! Equality of JSON as schemas mean it: numbers by what they count, objects whatever their order.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use serde_json::Value;

use super::budget::{Budget, Fault};
use super::number::Number;

pub(super) fn equal(a: &Value, b: &Value, budget: &mut Budget) -> Result<bool, Fault> {
    budget.take(1)?;
    Ok(match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Number(a), Value::Number(b)) => Number::of(a).compare(Number::of(b)).is_eq(),
        (Value::String(a), Value::String(b)) if a.len() == b.len() => {
            budget.take_text(a.len())?;
            a == b
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (a, b) in a.iter().zip(b) {
                if !equal(a, b, budget)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => {
            for (name, a) in a {
                budget.take_text(name.len())?;
                match b.get(name) {
                    Some(b) if equal(a, b, budget)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        _ => false,
    })
}

/// Whether all are different. Equal values have equal hashes, and nobody outside can find different ones
/// that do, so hardly any two are compared.
pub(super) fn all_different(values: &[Value], budget: &mut Budget) -> Result<bool, Fault> {
    let state = RandomState::new();
    let mut hashes = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        hashes.push((hash(value, &state, budget)?, index));
    }
    budget.take(hashes.len())?;
    hashes.sort_unstable();
    for pair in hashes.windows(2) {
        if pair[0].0 == pair[1].0 && equal(&values[pair[0].1], &values[pair[1].1], budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn hash(value: &Value, state: &RandomState, budget: &mut Budget) -> Result<u64, Fault> {
    budget.take(1)?;
    let mut hasher = state.build_hasher();
    match value {
        Value::Null => 0_u8.hash(&mut hasher),
        Value::Bool(truth) => (1_u8, truth).hash(&mut hasher),
        Value::Number(number) => match Number::of(number) {
            Number::Integer(integer) => (2_u8, integer).hash(&mut hasher),
            Number::Double(double) => (3_u8, double.to_bits()).hash(&mut hasher),
        },
        Value::String(text) => {
            budget.take_text(text.len())?;
            (4_u8, text).hash(&mut hasher);
        }
        Value::Array(items) => {
            5_u8.hash(&mut hasher);
            for item in items {
                hash(item, state, budget)?.hash(&mut hasher);
            }
        }
        Value::Object(members) => {
            let mut sum = 0_u64;
            for (name, member) in members {
                budget.take_text(name.len())?;
                sum = sum.wrapping_add(state.hash_one((name, hash(member, state, budget)?)));
            }
            (6_u8, sum).hash(&mut hasher);
        }
    }
    Ok(hasher.finish())
}
