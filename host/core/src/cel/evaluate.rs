//! The evaluation of an expression: a walk through its tree that pays for every step.

use std::cmp::Ordering;
use std::sync::Arc;

use super::budget::Budget;
use super::error::{Fault, shortened};
use super::functions;
use super::node::{Arithmetic, Fold, FoldKind, Node, Order, Variable};
use super::value::{Value, text_bytes};

/// What one evaluation has at hand.
pub(super) struct Evaluation<'a> {
    /// The value of a variable, or why it has none.
    variables: &'a dyn Fn(Variable) -> Result<Value, Fault>,
    /// The variables of the macros around the place that is evaluated, outermost first.
    locals: Vec<Value>,
    budget: Budget,
}

impl<'a> Evaluation<'a> {
    pub(super) const fn new(variables: &'a dyn Fn(Variable) -> Result<Value, Fault>) -> Self {
        Self { variables, locals: Vec::new(), budget: Budget::new() }
    }

    /// How many steps have been taken.
    #[cfg(test)]
    pub(super) const fn steps_taken(&self) -> u32 {
        self.budget.steps_taken()
    }

    pub(super) fn value(&mut self, node: &Node) -> Result<Value, Fault> {
        self.budget.take_steps(1)?;
        match node {
            Node::Literal(value) => Ok(value.clone()),
            Node::Variable(variable) => (self.variables)(*variable),
            Node::Local(local) => Ok(self.locals[*local].clone()),
            Node::Select { operand, field, is_test } => self.select(operand, field, *is_test),
            Node::Index(container, index) => self.index(container, index),
            Node::Not(operand) => self.truth(operand, "!").map(|truth| Value::Bool(!truth)),
            Node::Negate(operand) => functions::negate(&self.value(operand)?),
            Node::And(left, right) => self.logical("&&", false, left, right),
            Node::Or(left, right) => self.logical("||", true, left, right),
            Node::Conditional(parts) => {
                let [condition, yes, no] = parts.as_ref();
                if self.truth(condition, "?:")? { self.value(yes) } else { self.value(no) }
            }
            Node::Equal(left, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                left.equals(&right, &mut self.budget).map(Value::Bool)
            }
            Node::Compare(order, left, right) => self.compare(*order, left, right),
            Node::Arithmetic(operator, left, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                match operator {
                    Arithmetic::Add => functions::add(&left, &right, &mut self.budget),
                    operator => functions::arithmetic(*operator, &left, &right),
                }
            }
            Node::In(element, container) => self.contained(element, container),
            Node::Call(function, arguments) => {
                let arguments = self.values(arguments)?;
                functions::call(*function, &arguments, &mut self.budget)
            }
            Node::Matches(text, pattern) => match self.value(text)? {
                Value::Text(text) => {
                    self.budget.take_steps(pattern.steps(&text))?;
                    Ok(Value::Bool(pattern.is_match(&text)))
                }
                other => Fault::no_value(format!("`matches` takes a string, not {}", other.kind())),
            },
            Node::List(parts) => self.values(parts).map(|list| Value::List(Arc::new(list))),
            Node::Map(pairs) => self.map(pairs),
            Node::Fold(fold) => self.fold(fold),
        }
    }

    fn values(&mut self, nodes: &[Node]) -> Result<Vec<Value>, Fault> {
        self.budget.take_bytes(size_of_val(nodes))?;
        nodes.iter().map(|node| self.value(node)).collect()
    }

    fn truth(&mut self, node: &Node, operator: &str) -> Result<bool, Fault> {
        match self.value(node)? {
            Value::Bool(truth) => Ok(truth),
            other => Fault::no_value(format!("`{operator}` takes a bool, not {}", other.kind())),
        }
    }

    /// `&&` and `||`: where one side is `decisive`, it does not matter that the other has no value.
    fn logical(&mut self, operator: &str, decisive: bool, left: &Node, right: &Node) -> Result<Value, Fault> {
        let left = match self.truth(left, operator) {
            Ok(truth) if truth == decisive => return Ok(Value::Bool(decisive)),
            Err(fatal @ (Fault::OutOfSteps | Fault::OutOfBytes)) => return Err(fatal),
            left => left,
        };
        let right = self.truth(right, operator)?;
        if right == decisive { Ok(Value::Bool(decisive)) } else { left.map(|_| Value::Bool(right)) }
    }

    fn select(&mut self, operand: &Node, field: &Value, is_test: bool) -> Result<Value, Fault> {
        let Value::Map(map) = self.value(operand)? else {
            return Fault::no_value(format!("there is no `{}`, for it would lie in no map", name(field)));
        };
        match map.find(field, &mut self.budget)? {
            found if is_test => Ok(Value::Bool(found.is_some())),
            Some(value) => Ok(value.clone()),
            None => Fault::no_value(format!("there is no `{}`", name(field))),
        }
    }

    fn index(&mut self, container: &Node, index: &Node) -> Result<Value, Fault> {
        let (container, index) = (self.value(container)?, self.value(index)?);
        let found = match &container {
            Value::List(list) => functions::position(&index).and_then(|position| list.get(position).cloned()),
            Value::Map(map) if index.is_key() => map.find(&index, &mut self.budget)?.cloned(),
            _ => None,
        };
        found.map_or_else(
            || Fault::no_value(format!("there is no `{}` in {}", name(&index), container.kind())),
            Ok,
        )
    }

    fn compare(&mut self, order: Order, left: &Node, right: &Node) -> Result<Value, Fault> {
        let (left, right) = (self.value(left)?, self.value(right)?);
        let Some(found) = left.compare(&right, &mut self.budget)? else {
            return Fault::no_value(format!("{} and {} have no order", left.kind(), right.kind()));
        };
        Ok(Value::Bool(match order {
            Order::Less => found == Ordering::Less,
            Order::LessOrEqual => found != Ordering::Greater,
            Order::Greater => found == Ordering::Greater,
            Order::GreaterOrEqual => found != Ordering::Less,
        }))
    }

    fn contained(&mut self, element: &Node, container: &Node) -> Result<Value, Fault> {
        let (element, container) = (self.value(element)?, self.value(container)?);
        match &container {
            Value::List(list) => {
                for item in list.iter() {
                    if item.equals(&element, &mut self.budget)? {
                        return Ok(Value::Bool(true));
                    }
                }
                Ok(Value::Bool(false))
            }
            Value::Map(map) if element.is_key() => {
                Ok(Value::Bool(map.find(&element, &mut self.budget)?.is_some()))
            }
            _ => Fault::no_value(format!("`in` takes a list or a map, not {}", container.kind())),
        }
    }

    fn map(&mut self, nodes: &[(Node, Node)]) -> Result<Value, Fault> {
        self.budget.take_bytes(size_of_val(nodes))?;
        let mut pairs = Vec::with_capacity(nodes.len());
        for (key, value) in nodes {
            let key = self.value(key)?;
            if !key.is_key() || matches!(key, Value::Double(_)) {
                return Fault::no_value(format!("{} cannot be the key of a map", key.kind()));
            }
            // Sorting compares every key with some others.
            self.budget.take_text(text_bytes(&key) * nodes.len())?;
            pairs.push((key, self.value(value)?));
        }
        match Value::map(pairs) {
            Value::Map(map) if map.len() < nodes.len() => Fault::no_value("a map has two values for one key"),
            map => Ok(map),
        }
    }

    fn fold(&mut self, fold: &Fold) -> Result<Value, Fault> {
        let range = self.value(&fold.range)?;
        let local = self.locals.len();
        self.locals.push(Value::Null);
        let folded = match &range {
            Value::List(list) => self.fold_over(list.iter(), local, &fold.kind),
            Value::Map(map) => self.fold_over(map.keys(), local, &fold.kind),
            other => Fault::no_value(format!("a macro goes through a list or a map, not {}", other.kind())),
        };
        self.locals.truncate(local);
        folded
    }

    fn fold_over<'v>(
        &mut self,
        items: impl Iterator<Item = &'v Value>,
        local: usize,
        kind: &FoldKind,
    ) -> Result<Value, Fault> {
        let items = items.cloned();
        match kind {
            FoldKind::All(body) => self.decide(items, local, false, body),
            FoldKind::Exists(body) => self.decide(items, local, true, body),
            FoldKind::ExistsOne(body) => {
                let mut count = 0_usize;
                for item in items {
                    self.locals[local] = item;
                    count += usize::from(self.truth(body, "exists_one")?);
                }
                Ok(Value::Bool(count == 1))
            }
            FoldKind::Map { filter, item: body } => {
                let mut list = Vec::new();
                for item in items {
                    self.locals[local] = item;
                    if let Some(filter) = filter
                        && !self.truth(filter, "filter")?
                    {
                        continue;
                    }
                    self.budget.take_bytes(size_of::<Value>())?;
                    list.push(self.value(body)?);
                }
                Ok(Value::List(Arc::new(list)))
            }
        }
    }

    /// `all` and `exists`: the first element for which the body is `decisive` ends it. Elements for which
    /// it has no value matter only where there is none.
    fn decide(
        &mut self,
        items: impl Iterator<Item = Value>,
        local: usize,
        decisive: bool,
        body: &Node,
    ) -> Result<Value, Fault> {
        let mut problem = None;
        for item in items {
            self.locals[local] = item;
            match self.truth(body, if decisive { "exists" } else { "all" }) {
                Ok(truth) if truth == decisive => return Ok(Value::Bool(decisive)),
                Ok(_) => {}
                Err(fault @ Fault::NoValue(_)) => problem = Some(fault),
                Err(fatal) => return Err(fatal),
            }
        }
        problem.map_or(Ok(Value::Bool(!decisive)), Err)
    }
}

/// A field or an index, as far as a message can hold it.
fn name(value: &Value) -> String {
    match value {
        Value::Text(text) => shortened(text),
        other => functions::text_of(other).unwrap_or_else(|| other.kind().to_owned()),
    }
}
