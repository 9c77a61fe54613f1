//! Arithmetic, and the functions that expressions can call.

use std::sync::Arc;

use super::budget::Budget;
use super::error::Fault;
use super::node::{Arithmetic, Function};
use super::value::Value;

/// Calls a function with as many arguments as it takes.
pub(super) fn call(function: Function, arguments: &[Value], budget: &mut Budget) -> Result<Value, Fault> {
    match (function, arguments) {
        (Function::Min, arguments) => extreme(arguments, std::cmp::Ordering::Less, budget),
        (Function::Max, arguments) => extreme(arguments, std::cmp::Ordering::Greater, budget),
        (Function::Size, [value]) => size(value, budget),
        (Function::Contains, [Value::Text(text), Value::Text(part)]) => {
            // A search may look at each byte more than once.
            budget.take_text((text.len() + part.len()) * 4)?;
            Ok(Value::Bool(text.contains(part.as_ref())))
        }
        (Function::StartsWith, [Value::Text(text), Value::Text(part)]) => {
            budget.take_text(part.len())?;
            Ok(Value::Bool(text.starts_with(part.as_ref())))
        }
        (Function::EndsWith, [Value::Text(text), Value::Text(part)]) => {
            budget.take_text(part.len())?;
            Ok(Value::Bool(text.ends_with(part.as_ref())))
        }
        (Function::String, [value]) => string(value, budget),
        (Function::Int | Function::UInt | Function::Double | Function::Bool, [value]) => {
            convert(function, value, budget)
        }
        (_, [first, ..]) => Fault::no_value(format!("{function:?} does not take {}", first.kind())),
        (_, []) => Fault::no_value(format!("{function:?} takes a value")),
    }
}

/// The smallest or largest of the arguments, or of the elements of a single list.
fn extreme(arguments: &[Value], wanted: std::cmp::Ordering, budget: &mut Budget) -> Result<Value, Fault> {
    let values = match arguments {
        [Value::List(list)] => list,
        arguments => arguments,
    };
    let Some((mut found, rest)) = values.split_first() else { return Ok(Value::Null) };
    for value in rest {
        budget.take_steps(1)?;
        match found.compare(value, budget)? {
            Some(order) if order == wanted => {}
            Some(_) => found = value,
            None => {
                return Fault::no_value(format!("{} and {} have no order", found.kind(), value.kind()));
            }
        }
    }
    Ok(found.clone())
}

fn size(value: &Value, budget: &mut Budget) -> Result<Value, Fault> {
    let size = match value {
        Value::Text(text) => {
            budget.take_text(text.len())?;
            text.chars().count()
        }
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        other => return Fault::no_value(format!("{} has no size", other.kind())),
    };
    Ok(i64::try_from(size).map_or(Value::Null, Value::Int))
}

fn string(value: &Value, budget: &mut Budget) -> Result<Value, Fault> {
    match value {
        Value::Text(_) => Ok(value.clone()),
        other => match text_of(other) {
            Some(text) => {
                budget.take_bytes(text.len())?;
                Ok(Value::text(&text))
            }
            None => Fault::no_value(format!("{} cannot be written as a string", other.kind())),
        },
    }
}

/// A number, a `bool` or a text as text.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.as_ref().to_owned()),
        Value::Int(number) => Some(number.to_string()),
        Value::UInt(number) => Some(number.to_string()),
        Value::Double(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the language converts so, and the ranges are checked before"
)]
fn convert(function: Function, value: &Value, budget: &mut Budget) -> Result<Value, Fault> {
    /// The doubles next to the ends of the range of an integer, which cannot be converted.
    const INT_END: f64 = i64::MAX as f64;
    const UINT_END: f64 = u64::MAX as f64;
    if let Value::Text(text) = value {
        budget.take_text(text.len())?;
    }
    let converted = match (function, value) {
        (Function::Int, Value::Int(_))
        | (Function::UInt, Value::UInt(_))
        | (Function::Double, Value::Double(_))
        | (Function::Bool, Value::Bool(_)) => Some(value.clone()),
        (Function::Int, Value::UInt(number)) => i64::try_from(*number).ok().map(Value::Int),
        (Function::Int, Value::Double(number)) => {
            (*number > -INT_END && *number < INT_END).then_some(Value::Int(*number as i64))
        }
        (Function::Int, Value::Text(text)) => text.parse().ok().map(Value::Int),
        (Function::UInt, Value::Int(number)) => u64::try_from(*number).ok().map(Value::UInt),
        (Function::UInt, Value::Double(number)) => {
            (*number >= 0.0 && *number < UINT_END).then_some(Value::UInt(*number as u64))
        }
        (Function::UInt, Value::Text(text)) => text.parse().ok().map(Value::UInt),
        (Function::Double, Value::Int(number)) => Some(Value::Double(*number as f64)),
        (Function::Double, Value::UInt(number)) => Some(Value::Double(*number as f64)),
        (Function::Double, Value::Text(text)) => text.parse().ok().map(Value::Double),
        (Function::Bool, Value::Text(text)) => match text.as_ref() {
            "1" | "t" | "true" | "TRUE" | "True" => Some(Value::Bool(true)),
            "0" | "f" | "false" | "FALSE" | "False" => Some(Value::Bool(false)),
            _ => None,
        },
        _ => None,
    };
    let name = match function {
        Function::Int => "an int",
        Function::UInt => "a uint",
        Function::Double => "a double",
        _ => "a bool",
    };
    converted.map_or_else(
        || {
            Fault::no_value(format!(
                "this {} cannot be converted to {name}",
                value.kind().split_at(2).1.trim()
            ))
        },
        Ok,
    )
}

pub(super) fn negate(value: &Value) -> Result<Value, Fault> {
    match value {
        Value::Int(number) => {
            number.checked_neg().map_or_else(|| Fault::no_value("`-` overflows"), |n| Ok(Value::Int(n)))
        }
        Value::Double(number) => Ok(Value::Double(-number)),
        other => Fault::no_value(format!("`-` does not take {}", other.kind())),
    }
}

/// `+`: of numbers of one type, texts, and lists.
pub(super) fn add(left: &Value, right: &Value, budget: &mut Budget) -> Result<Value, Fault> {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => {
            budget.take_bytes(left.len() + right.len())?;
            Ok(Value::Text([left.as_ref(), right.as_ref()].concat().into()))
        }
        (Value::List(left), Value::List(right)) => {
            let elements = left.len() + right.len();
            budget.take_bytes(elements * size_of::<Value>())?;
            Ok(Value::List(Arc::new(left.iter().chain(right.iter()).cloned().collect())))
        }
        _ => arithmetic(Arithmetic::Add, left, right),
    }
}

/// Arithmetic on two numbers of one type.
pub(super) fn arithmetic(operator: Arithmetic, left: &Value, right: &Value) -> Result<Value, Fault> {
    let sign = match operator {
        Arithmetic::Add => "+",
        Arithmetic::Subtract => "-",
        Arithmetic::Multiply => "*",
        Arithmetic::Divide => "/",
        Arithmetic::Remainder => "%",
    };
    let divides = matches!(operator, Arithmetic::Divide | Arithmetic::Remainder);
    let result = match (left, right) {
        (Value::Int(_), Value::Int(0)) | (Value::UInt(_), Value::UInt(0)) if divides => {
            return Fault::no_value(format!("`{sign}` divides by zero"));
        }
        (Value::Int(a), Value::Int(b)) => match operator {
            Arithmetic::Add => a.checked_add(*b),
            Arithmetic::Subtract => a.checked_sub(*b),
            Arithmetic::Multiply => a.checked_mul(*b),
            Arithmetic::Divide => a.checked_div(*b),
            Arithmetic::Remainder => a.checked_rem(*b),
        }
        .map(Value::Int),
        (Value::UInt(a), Value::UInt(b)) => match operator {
            Arithmetic::Add => a.checked_add(*b),
            Arithmetic::Subtract => a.checked_sub(*b),
            Arithmetic::Multiply => a.checked_mul(*b),
            Arithmetic::Divide => a.checked_div(*b),
            Arithmetic::Remainder => a.checked_rem(*b),
        }
        .map(Value::UInt),
        (Value::Double(a), Value::Double(b)) if operator != Arithmetic::Remainder => {
            Some(Value::Double(match operator {
                Arithmetic::Add => a + b,
                Arithmetic::Subtract => a - b,
                Arithmetic::Multiply => a * b,
                _ => a / b,
            }))
        }
        (left, right) => {
            return Fault::no_value(format!(
                "`{sign}` does not take {} and {}; `int`, `uint`, `double` and `string` convert",
                left.kind(),
                right.kind()
            ));
        }
    };
    result.map_or_else(|| Fault::no_value(format!("`{sign}` overflows")), Ok)
}

/// The position in a list that a number stands for.
pub(super) fn position(index: &Value) -> Option<usize> {
    match index {
        Value::Int(number) => usize::try_from(*number).ok(),
        Value::UInt(number) => usize::try_from(*number).ok(),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number within the range of the type, which no list is as long as"
        )]
        Value::Double(number) => {
            (number.fract() == 0.0 && (0.0..4e9).contains(number)).then_some(*number as usize)
        }
        _ => None,
    }
}
