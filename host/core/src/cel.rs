//! Expressions of the Common Expression Language (CEL) that modules bring along: filters of events
//! and keys of limits. They see `input` and `metadata`, and filters see `key` as well.
//!
//! The parser and the interpreter are the `cel` crate's. Expressions come from guests, so what they
//! can cost is bounded here: by the length and the depth of the text, by one level of macros such
//! as `all` and `map`, by the number of additions, and by the size of the input of those that have
//! macros. What is left takes time in proportion to the size of the input.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::objects::{Key, Map};
use cel::parser::Parser;
use cel::{Context, Env, ExecutionError, Value};

use crate::workflow::{Json, Metadata};

/// Longest expression, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 4096;

/// Deepest nesting of an expression. A chain such as `input.a.b` counts as nested, too.
const DEPTH_MAX: usize = 64;

/// Most additions: each may double a text.
const ADDITIONS_MAX: usize = 8;

/// Largest input of an expression that goes through lists with `all`, `map` and the like.
const MACRO_INPUT_BYTES_MAX: usize = 16 * 1024;

/// Longest key, in bytes.
pub const LIMIT_KEY_BYTES_MAX: usize = 256;

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{expression}` is no valid CEL expression: {problem}")]
pub struct InvalidExpression {
    expression: String,
    problem: String,
}

/// Why an expression has no value for some input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{expression}` has no value: {problem}")]
pub struct EvaluationError {
    expression: String,
    problem: String,
}

/// A condition over `input`, `metadata` and `key`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Predicate(Arc<Expression>);

/// A text over `input` and `metadata`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct KeyExpression(Arc<Expression>);

/// What an expression is about, parsed once for all expressions that look at it.
#[derive(Debug, Clone)]
pub struct Subject {
    input: Value,
    input_bytes: usize,
    metadata: Value,
    key: Value,
}

impl Subject {
    /// What a run is about.
    #[must_use]
    pub fn of_run(input: &Json, metadata: &Metadata) -> Self {
        Self::of_event("", input, metadata)
    }

    /// What an event is about.
    #[must_use]
    pub fn of_event(key: &str, payload: &Json, metadata: &Metadata) -> Self {
        let input = serde_json::from_str::<serde_json::Value>(payload.as_str());
        let metadata: BTreeMap<&str, &str> = metadata.iter().collect();
        Self {
            // A `Json` is JSON, so there is always a value.
            input: input.map_or(Value::Null, value),
            input_bytes: payload.as_str().len(),
            metadata: cel::to_value(metadata).unwrap_or(Value::Null),
            key: Value::String(Arc::new(key.to_owned())),
        }
    }
}

impl Predicate {
    /// Reads a condition.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it, and where.
    pub fn compile(text: &str) -> Result<Self, InvalidExpression> {
        Expression::compile(text, &["input", "metadata", "key"]).map(|expression| Self(Arc::new(expression)))
    }

    /// Whether it holds.
    ///
    /// # Errors
    ///
    /// When it has no value, as of a field that is not there, or one that is not a `bool`.
    pub fn holds(&self, subject: &Subject) -> Result<bool, EvaluationError> {
        match self.0.evaluate(subject)? {
            Value::Bool(holds) => Ok(holds),
            other => Err(self.0.error(format!("it is {}, not a bool", a(&other)))),
        }
    }
}

/// Checks a condition of a task, which sees the outputs of its parents as well.
///
/// # Errors
///
/// Says what is wrong with it, and where.
pub fn check_condition(text: &str) -> Result<(), InvalidExpression> {
    Expression::compile(text, &["input", "metadata", "parents"]).map(drop)
}

impl KeyExpression {
    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it, and where.
    pub fn compile(text: &str) -> Result<Self, InvalidExpression> {
        Expression::compile(text, &["input", "metadata"]).map(|expression| Self(Arc::new(expression)))
    }

    /// The key: a string as it is, a number or a `bool` as text.
    ///
    /// # Errors
    ///
    /// When it has no value, as of a field that is not there, one of another type, or one longer
    /// than [`LIMIT_KEY_BYTES_MAX`].
    pub fn evaluate(&self, subject: &Subject) -> Result<String, EvaluationError> {
        let key = match self.0.evaluate(subject)? {
            Value::String(text) => text.as_ref().clone(),
            Value::Int(number) => number.to_string(),
            Value::UInt(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            other => return Err(self.0.error(format!("it is {}, not a string", a(&other)))),
        };
        match key.len() {
            0..=LIMIT_KEY_BYTES_MAX => Ok(key),
            bytes => {
                let text = format!("it has {bytes} bytes, and at most {LIMIT_KEY_BYTES_MAX} are allowed");
                Err(self.0.error(text))
            }
        }
    }
}

/// A parsed expression whose cost is bounded.
#[derive(Debug)]
struct Expression {
    text: String,
    root: IdedExpr,
    has_macros: bool,
}

impl Expression {
    fn compile(text: &str, variables: &[&str]) -> Result<Self, InvalidExpression> {
        let invalid = |problem: String| InvalidExpression { expression: shortened(text), problem };
        if text.len() > EXPRESSION_BYTES_MAX {
            let bytes = text.len();
            return Err(invalid(format!(
                "it has {bytes} bytes, and at most {EXPRESSION_BYTES_MAX} are allowed"
            )));
        }
        let parser = Parser::new().max_recursion_depth(32);
        let root = parser.parse(text).map_err(|errors| {
            let first = errors.errors.first();
            invalid(first.map_or_else(
                || "it cannot be read".to_owned(),
                |error| format!("line {}, column {}: {}", error.pos.0, error.pos.1, error.msg),
            ))
        })?;
        let mut survey = Survey { variables, locals: Vec::new(), additions: 0, has_macros: false };
        survey.visit(&root, 0).map_err(invalid)?;
        let has_macros = survey.has_macros;
        Ok(Self { text: text.to_owned(), root, has_macros })
    }

    fn evaluate(&self, subject: &Subject) -> Result<Value, EvaluationError> {
        if self.has_macros && subject.input_bytes > MACRO_INPUT_BYTES_MAX {
            let text = format!(
                "the input has {} bytes, and expressions with `all`, `map` and the like take at most {MACRO_INPUT_BYTES_MAX}",
                subject.input_bytes
            );
            return Err(self.error(text));
        }
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.add_variable_from_value("input", subject.input.clone());
        context.add_variable_from_value("metadata", subject.metadata.clone());
        context.add_variable_from_value("key", subject.key.clone());
        Value::resolve(&self.root, &context).map_err(|error| self.error(describe(&error)))
    }

    fn error(&self, problem: String) -> EvaluationError {
        EvaluationError { expression: shortened(&self.text), problem }
    }
}

/// A JSON value as expressions see it: numbers without a fraction are of the type of literals, so
/// that `input.total * 2` has a value.
fn value(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(truth) => Value::Bool(truth),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Int(number),
            (None, Some(number)) => Value::UInt(number),
            (None, None) => number.as_f64().map_or(Value::Null, Value::Float),
        },
        serde_json::Value::String(text) => Value::String(Arc::new(text)),
        serde_json::Value::Array(items) => Value::List(Arc::new(items.into_iter().map(value).collect())),
        serde_json::Value::Object(fields) => {
            // Its order shows in lists alone, and no expression may have a list as its value.
            let fields = fields.into_iter().map(|(name, field)| (Key::from(name), value(field)));
            Value::Map(Map { map: Arc::new(fields.collect()) })
        }
    }
}

/// What an expression refers to and what it can cost.
struct Survey<'a> {
    variables: &'a [&'a str],
    /// The variables of the macro around the place that is looked at.
    locals: Vec<&'a str>,
    additions: usize,
    has_macros: bool,
}

impl<'a> Survey<'a> {
    fn visit(&mut self, node: &'a IdedExpr, depth: usize) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("it is nested more than {DEPTH_MAX} deep"));
        }
        match &node.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => self.visit(&select.operand, depth + 1),
            Expr::Call(call) => {
                self.function(&call.func_name)?;
                let target = call.target.as_deref().into_iter();
                target.chain(&call.args).try_for_each(|part| self.visit(part, depth + 1))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|part| self.visit(part, depth + 1)),
            Expr::Map(map) => self.entries(map.entries.iter().map(|entry| &entry.expr), depth),
            Expr::Struct(fields) => self.entries(fields.entries.iter().map(|entry| &entry.expr), depth),
            Expr::Comprehension(comprehension) => {
                if !self.locals.is_empty() {
                    return Err("a macro such as `all` or `map` cannot stand within another one".to_owned());
                }
                self.has_macros = true;
                self.visit(&comprehension.iter_range, depth + 1)?;
                self.locals = vec![&comprehension.iter_var, &comprehension.accu_var];
                self.locals.extend(comprehension.iter_var2.as_deref());
                let parts = [
                    &comprehension.accu_init,
                    &comprehension.loop_cond,
                    &comprehension.loop_step,
                    &comprehension.result,
                ];
                let visited = parts.into_iter().try_for_each(|part| self.visit(part, depth + 1));
                self.locals.clear();
                visited
            }
        }
    }

    fn entries(
        &mut self,
        mut entries: impl Iterator<Item = &'a EntryExpr>,
        depth: usize,
    ) -> Result<(), String> {
        entries.try_for_each(|entry| match entry {
            EntryExpr::StructField(field) => self.visit(&field.value, depth + 1),
            EntryExpr::MapEntry(entry) => {
                self.visit(&entry.key, depth + 1)?;
                self.visit(&entry.value, depth + 1)
            }
        })
    }

    fn variable(&self, name: &str) -> Result<(), String> {
        if self.variables.contains(&name) || self.locals.contains(&name) {
            return Ok(());
        }
        Err(format!("it names `{name}`, but there are only `{}`", self.variables.join("`, `")))
    }

    fn function(&mut self, name: &str) -> Result<(), String> {
        if name == "_+_" {
            self.additions += 1;
        }
        if self.additions > ADDITIONS_MAX {
            return Err(format!("it has more than {ADDITIONS_MAX} additions"));
        }
        // Operators have names that no text can spell.
        let is_operator = name.contains(['_', '@', '!', '-']);
        if is_operator || FUNCTIONS.contains(&name) {
            return Ok(());
        }
        Err(format!("there is no function `{name}`; there are `{}`", FUNCTIONS.join("`, `")))
    }
}

/// What expressions can call, besides operators and macros.
const FUNCTIONS: &[&str] = &[
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "string",
    "int",
    "uint",
    "double",
    "bool",
    "min",
    "max",
];

/// The functions and macros of the language.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// The type of a value with its article.
fn a(value: &Value) -> String {
    let name = value.type_of().to_string();
    let article = if name.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {name}")
}

fn describe(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(name) => format!("there is no `{name}`"),
        ExecutionError::UndeclaredReference(name) => format!("there is no `{name}`"),
        // The others print the values, which may be large.
        other => shortened(&other.to_string()),
    }
}

/// The text, as far as a message can hold it.
fn shortened(text: &str) -> String {
    const BYTES: usize = 120;
    match text.char_indices().nth(BYTES) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
