//! From the text of an expression to what the evaluation walks through. Whatever can be known to be
//! wrong without an input is refused here: names, functions, how they are called, patterns.

use std::sync::Arc;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::parser::Parser;

use super::node::{Arithmetic, Fold, FoldKind, Function, Node, Order, Variable};
use super::value::Value;
use crate::pattern::Pattern;

/// Longest expression, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 4096;

/// Deepest nesting of an expression. A chain such as `input.a.b` counts as nested, too.
const DEPTH_MAX: usize = 64;

/// Deepest nesting of parentheses and the like, which the parser goes through by recursion.
const PARSER_DEPTH_MAX: u16 = 32;

/// Longest text of all patterns of one expression, in bytes: they are compiled whenever the expression
/// is, and some classes of characters take long.
const PATTERN_BYTES_MAX: usize = 256;

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

/// What expressions can go through lists and maps with; `has` is for fields.
const MACROS: &[&str] = &["has", "all", "exists", "exists_one", "map", "filter"];

/// Reads an expression over these variables. The error says what is wrong with it, and where.
pub(super) fn compile(text: &str, variables: &[Variable]) -> Result<Node, String> {
    if text.len() > EXPRESSION_BYTES_MAX {
        return Err(format!("it has {} bytes, and at most {EXPRESSION_BYTES_MAX} are allowed", text.len()));
    }
    let parsed = Parser::new().max_recursion_depth(PARSER_DEPTH_MAX).parse(text).map_err(|errors| {
        errors.errors.first().map_or_else(
            || "it cannot be read".to_owned(),
            // The parser wraps this one in its own debugging text.
            |error| match error.msg.contains("Recursion limit") {
                true => format!("it is nested more than {PARSER_DEPTH_MAX} deep"),
                false => format!("line {}, column {}: {}", error.pos.0, error.pos.1, error.msg),
            },
        )
    })?;
    Compiler { variables, locals: Vec::new(), patterns: Vec::new() }.node(&parsed, 0)
}

type Compiled<T = Node> = Result<T, String>;

struct Compiler<'a> {
    variables: &'a [Variable],
    /// The variables of the macros around the place that is looked at, outermost first.
    locals: Vec<&'a str>,
    /// The patterns so far, each once.
    patterns: Vec<(String, Arc<Pattern>)>,
}

impl<'a> Compiler<'a> {
    fn node(&mut self, parsed: &'a IdedExpr, depth: usize) -> Compiled {
        if depth > DEPTH_MAX {
            return Err(format!("it is nested more than {DEPTH_MAX} deep"));
        }
        let depth = depth + 1;
        match &parsed.expr {
            Expr::Unspecified => Err("a part of it is missing".to_owned()),
            Expr::Literal(literal) => value(literal).map(Node::Literal),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => Ok(Node::Select {
                operand: self.boxed(&select.operand, depth)?,
                field: Value::text(&select.field),
                is_test: select.test,
            }),
            Expr::Call(call) => self.call(call, depth),
            Expr::List(list) if list.optional_indices.is_empty() => {
                self.nodes(&list.elements, depth).map(Node::List)
            }
            Expr::Map(map) => map
                .entries
                .iter()
                .map(|entry| match &entry.expr {
                    EntryExpr::MapEntry(entry) if !entry.optional => {
                        Ok((self.node(&entry.key, depth)?, self.node(&entry.value, depth)?))
                    }
                    _ => Err("it has optional entries, which are not supported".to_owned()),
                })
                .collect::<Compiled<_>>()
                .map(Node::Map),
            Expr::List(_) => Err("it has optional elements, which are not supported".to_owned()),
            Expr::Struct(message) => {
                Err(format!("there is no type `{}`: write a map, as in `{{\"a\": 1}}`", message.type_name))
            }
            Expr::Comprehension(comprehension) => self.fold(comprehension, depth),
        }
    }

    fn boxed(&mut self, parsed: &'a IdedExpr, depth: usize) -> Compiled<Box<Node>> {
        self.node(parsed, depth).map(Box::new)
    }

    fn nodes(&mut self, parsed: &'a [IdedExpr], depth: usize) -> Compiled<Vec<Node>> {
        parsed.iter().map(|part| self.node(part, depth)).collect()
    }

    fn variable(&self, name: &str) -> Compiled {
        if let Some(local) = self.locals.iter().rposition(|local| *local == name) {
            return Ok(Node::Local(local));
        }
        let variable = self.variables.iter().find(|variable| variable.name() == name);
        variable.copied().map(Node::Variable).ok_or_else(|| {
            let names: Vec<_> = self.variables.iter().map(|variable| variable.name()).collect();
            format!("it names `{name}`, but there are only `{}`", names.join("`, `"))
        })
    }

    fn call(&mut self, call: &'a CallExpr, depth: usize) -> Compiled {
        let name = call.func_name.as_str();
        match (&call.target, call.args.as_slice()) {
            (None, [condition, yes, no]) if name == operators::CONDITIONAL => {
                Ok(Node::Conditional(Box::new([
                    self.node(condition, depth)?,
                    self.node(yes, depth)?,
                    self.node(no, depth)?,
                ])))
            }
            (None, [left, right]) if !is_word(name) => {
                let (left, right) = (self.boxed(left, depth)?, self.boxed(right, depth)?);
                binary(name, left, right)
            }
            (None, [operand]) if name == operators::LOGICAL_NOT => self.boxed(operand, depth).map(Node::Not),
            (None, [operand]) if name == operators::NEGATE => {
                self.boxed(operand, depth).map(|operand| match *operand {
                    // A literal stays one: an index takes it as such.
                    Node::Literal(Value::Double(number)) => Node::Literal(Value::Double(-number)),
                    Node::Literal(Value::Int(number)) if number != i64::MIN => {
                        Node::Literal(Value::Int(-number))
                    }
                    operand => Node::Negate(Box::new(operand)),
                })
            }
            _ => self.function(name, call.target.as_deref(), &call.args, depth),
        }
    }

    fn function(
        &mut self,
        name: &str,
        target: Option<&'a IdedExpr>,
        arguments: &'a [IdedExpr],
        depth: usize,
    ) -> Compiled {
        if !FUNCTIONS.contains(&name) {
            return Err(format!(
                "there is no function `{name}`; there are `{}`, and the macros `{}`",
                FUNCTIONS.join("`, `"),
                MACROS.join("`, `")
            ));
        }
        let function = match (name, target, arguments) {
            ("size", None, [_]) | ("size", Some(_), []) => Function::Size,
            ("contains", Some(_), [_]) => Function::Contains,
            ("startsWith", Some(_), [_]) => Function::StartsWith,
            ("endsWith", Some(_), [_]) => Function::EndsWith,
            ("string", None, [_]) => Function::String,
            ("int", None, [_]) => Function::Int,
            ("uint", None, [_]) => Function::UInt,
            ("double", None, [_]) => Function::Double,
            ("bool", None, [_]) => Function::Bool,
            ("min", None, _) => Function::Min,
            ("max", None, _) => Function::Max,
            ("matches", None, [text, pattern]) | ("matches", Some(text), [pattern]) => {
                let pattern = self.pattern(pattern)?;
                return Ok(Node::Matches(self.boxed(text, depth)?, pattern));
            }
            ("contains" | "startsWith" | "endsWith", ..) => {
                return Err(format!("`{name}` takes one text: call it as in `input.name.{name}(\"x\")`"));
            }
            ("matches", ..) => {
                return Err(
                    "`matches` takes one pattern: call it as in `input.name.matches(\"^a\")`".to_owned()
                );
            }
            _ => return Err(format!("`{name}` takes one value: call it as in `{name}(input.x)`")),
        };
        let arguments = target.into_iter().chain(arguments);
        let arguments = arguments.map(|part| self.node(part, depth)).collect::<Compiled<_>>()?;
        Ok(Node::Call(function, arguments))
    }

    fn pattern(&mut self, parsed: &IdedExpr) -> Compiled<Arc<Pattern>> {
        let Expr::Literal(LiteralValue::String(text)) = &parsed.expr else {
            return Err("the pattern of `matches` must be written out as a string, as in \
                        `input.name.matches(\"^a\")`: it is compiled once"
                .to_owned());
        };
        let text = text.inner();
        if let Some((_, pattern)) = self.patterns.iter().find(|(known, _)| known == text) {
            return Ok(Arc::clone(pattern));
        }
        let bytes = text.len() + self.patterns.iter().map(|(known, _)| known.len()).sum::<usize>();
        if bytes > PATTERN_BYTES_MAX {
            return Err(format!(
                "its patterns have {bytes} bytes, and at most {PATTERN_BYTES_MAX} are allowed: shorten them, \
                 or use `contains`, `startsWith` and `endsWith`"
            ));
        }
        let pattern = Arc::new(Pattern::compile(text).map_err(|error| error.to_string())?);
        self.patterns.push((text.to_owned(), Arc::clone(&pattern)));
        Ok(pattern)
    }

    /// What the parser has made of a macro: a loop over a list or a map, told by its shape.
    fn fold(&mut self, parsed: &'a ComprehensionExpr, depth: usize) -> Compiled {
        let range = self.boxed(&parsed.iter_range, depth)?;
        self.locals.push(&parsed.iter_var);
        let kind = self.fold_kind(parsed, depth);
        self.locals.pop();
        Ok(Node::Fold(Box::new(Fold { range: *range, kind: kind? })))
    }

    fn fold_kind(&mut self, parsed: &'a ComprehensionExpr, depth: usize) -> Compiled<FoldKind> {
        let step = match &parsed.loop_step.expr {
            Expr::Call(step) if parsed.iter_var2.is_none() => step,
            _ => return Err("it has a macro that is not supported".to_owned()),
        };
        match (step.func_name.as_str(), step.args.as_slice()) {
            (operators::LOGICAL_AND, [_, body]) => self.node(body, depth).map(FoldKind::All),
            (operators::LOGICAL_OR, [_, body]) => self.node(body, depth).map(FoldKind::Exists),
            (operators::ADD, [_, item]) => {
                Ok(FoldKind::Map { filter: None, item: self.appended(item, depth)? })
            }
            (operators::CONDITIONAL, [filter, IdedExpr { expr: Expr::Call(step), .. }, _]) => {
                match (&parsed.accu_init.expr, step.args.as_slice()) {
                    (Expr::List(_), [_, item]) => Ok(FoldKind::Map {
                        filter: Some(self.node(filter, depth)?),
                        item: self.appended(item, depth)?,
                    }),
                    (Expr::Literal(_), [..]) => self.node(filter, depth).map(FoldKind::ExistsOne),
                    _ => Err("it has a macro that is not supported".to_owned()),
                }
            }
            _ => Err("it has a macro that is not supported".to_owned()),
        }
    }

    /// The element that `map` and `filter` append, which the parser has put into a list.
    fn appended(&mut self, parsed: &'a IdedExpr, depth: usize) -> Compiled {
        match &parsed.expr {
            Expr::List(list) if list.elements.len() == 1 => self.node(&list.elements[0], depth),
            _ => Err("it has a macro that is not supported".to_owned()),
        }
    }
}

/// Operators have names that no text can spell.
fn is_word(name: &str) -> bool {
    !name.contains(['_', '@', '!', '-'])
}

fn binary(name: &str, left: Box<Node>, right: Box<Node>) -> Compiled {
    Ok(match name {
        operators::LOGICAL_AND => Node::And(left, right),
        operators::LOGICAL_OR => Node::Or(left, right),
        operators::EQUALS => Node::Equal(left, right),
        operators::NOT_EQUALS => Node::Not(Box::new(Node::Equal(left, right))),
        operators::LESS => Node::Compare(Order::Less, left, right),
        operators::LESS_EQUALS => Node::Compare(Order::LessOrEqual, left, right),
        operators::GREATER => Node::Compare(Order::Greater, left, right),
        operators::GREATER_EQUALS => Node::Compare(Order::GreaterOrEqual, left, right),
        operators::ADD => Node::Arithmetic(Arithmetic::Add, left, right),
        operators::SUBSTRACT => Node::Arithmetic(Arithmetic::Subtract, left, right),
        operators::MULTIPLY => Node::Arithmetic(Arithmetic::Multiply, left, right),
        operators::DIVIDE => Node::Arithmetic(Arithmetic::Divide, left, right),
        operators::MODULO => Node::Arithmetic(Arithmetic::Remainder, left, right),
        operators::IN => Node::In(left, right),
        operators::INDEX => Node::Index(left, right),
        _ => return Err(format!("there is no operator `{name}`")),
    })
}

fn value(literal: &LiteralValue) -> Result<Value, String> {
    Ok(match literal {
        LiteralValue::Null => Value::Null,
        LiteralValue::Boolean(truth) => Value::Bool(*truth.inner()),
        LiteralValue::Int(number) => Value::Int(*number.inner()),
        LiteralValue::UInt(number) => Value::UInt(*number.inner()),
        LiteralValue::Double(number) => Value::Double(*number.inner()),
        LiteralValue::String(text) => Value::Text(Arc::from(text.inner())),
        LiteralValue::Bytes(_) => {
            return Err("it has bytes, as in `b\"a\"`, which JSON does not know: write a string".to_owned());
        }
    })
}
