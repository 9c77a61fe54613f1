//! Whether a value fits: a walk through schema and value that stops at the first thing that is wrong.

use serde_json::{Map, Value};

use super::budget::{Budget, Fault};
use super::equal::{all_different, equal};
use super::node::{Items, Keyword, Node, NodeId, Properties};
use super::number::Number;

/// A check that goes on.
pub(super) struct Check<'a> {
    pub(super) nodes: &'a [Node],
    pub(super) budget: Budget,
}

impl<'a> Check<'a> {
    pub(super) const fn new(nodes: &'a [Node], budget: Budget) -> Self {
        Self { nodes, budget }
    }

    /// Whether a value fits the schema as a whole.
    pub(super) fn fits(&mut self, value: &Value) -> Result<bool, Fault> {
        self.holds(0, value)
    }

    /// Whether a value fits a schema.
    pub(super) fn holds(&mut self, schema: NodeId, value: &Value) -> Result<bool, Fault> {
        self.budget.enter()?;
        for keyword in &self.nodes[schema].0 {
            if !self.keyword(keyword, value)? {
                self.budget.leave();
                return Ok(false);
            }
        }
        self.budget.leave();
        Ok(true)
    }

    /// Whether a value satisfies a keyword.
    pub(super) fn keyword(&mut self, keyword: &Keyword, value: &Value) -> Result<bool, Fault> {
        match (keyword, value) {
            (Keyword::Never, _) => Ok(false),
            (Keyword::Type(types), value) => Ok(types.contain(value)),
            (Keyword::Const(expected), value) => equal(expected, value, &mut self.budget),
            (Keyword::Enum(expected), value) => {
                self.any(expected, |check, expected| equal(expected, value, &mut check.budget))
            }
            (Keyword::Ref(schema), value) => self.holds(*schema, value),
            (Keyword::AllOf(schemas), value) => {
                Ok(!self.any(schemas, |check, schema| check.holds(*schema, value).map(|holds| !holds))?)
            }
            (Keyword::AnyOf(schemas), value) => {
                self.any(schemas, |check, schema| check.holds(*schema, value))
            }
            (Keyword::OneOf(schemas), value) => Ok(self.count_up_to_two(schemas, value)? == 1),
            (Keyword::Not(schema), value) => self.holds(*schema, value).map(|holds| !holds),
            (Keyword::If { condition, then, otherwise }, value) => {
                let branch = if self.holds(*condition, value)? { then } else { otherwise };
                branch.map_or(Ok(true), |schema| self.holds(schema, value))
            }
            (_, Value::Number(number)) => Ok(self.number(keyword, Number::of(number))),
            (_, Value::String(text)) => self.text(keyword, text),
            (_, Value::Array(items)) => self.array(keyword, value, items),
            (_, Value::Object(members)) => self.object(keyword, value, members),
            (_, Value::Null | Value::Bool(_)) => Ok(true),
        }
    }

    fn any<T>(
        &mut self,
        items: &[T],
        mut test: impl FnMut(&mut Self, &T) -> Result<bool, Fault>,
    ) -> Result<bool, Fault> {
        for item in items {
            if test(self, item)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many of the schemas a value fits; 2 stands for more.
    pub(super) fn count_up_to_two(&mut self, schemas: &[NodeId], value: &Value) -> Result<usize, Fault> {
        let mut count = 0;
        for schema in schemas {
            count += usize::from(self.holds(*schema, value)?);
            if count == 2 {
                break;
            }
        }
        Ok(count)
    }

    fn number(&self, keyword: &Keyword, number: Number) -> bool {
        match keyword {
            Keyword::Minimum(limit) => number.compare(*limit).is_ge(),
            Keyword::Maximum(limit) => number.compare(*limit).is_le(),
            Keyword::ExclusiveMinimum(limit) => number.compare(*limit).is_gt(),
            Keyword::ExclusiveMaximum(limit) => number.compare(*limit).is_lt(),
            Keyword::MultipleOf(divisor) => number.is_multiple_of(*divisor),
            _ => true,
        }
    }

    fn text(&mut self, keyword: &Keyword, text: &str) -> Result<bool, Fault> {
        match keyword {
            Keyword::MinLength(min) => self.characters(text).map(|length| length >= *min),
            Keyword::MaxLength(max) => self.characters(text).map(|length| length <= *max),
            Keyword::Pattern(pattern, _) => {
                self.budget.take(pattern.steps(text))?;
                Ok(pattern.is_match(text))
            }
            _ => Ok(true),
        }
    }

    fn characters(&mut self, text: &str) -> Result<u64, Fault> {
        self.budget.take_text(text.len())?;
        Ok(text.chars().count() as u64)
    }

    fn array(&mut self, keyword: &Keyword, value: &Value, items: &[Value]) -> Result<bool, Fault> {
        match keyword {
            Keyword::MinItems(min) => Ok(items.len() as u64 >= *min),
            Keyword::MaxItems(max) => Ok(items.len() as u64 <= *max),
            Keyword::UniqueItems => all_different(items, &mut self.budget),
            Keyword::Items(Items { prefix, rest }) => {
                for (index, item) in items.iter().enumerate() {
                    let Some(schema) = prefix.get(index).or(rest.as_ref()) else { break };
                    if !self.holds(*schema, item)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Keyword::Contains { schema, min, max } => {
                let mut count = 0;
                for item in items {
                    count += u64::from(self.holds(*schema, item)?);
                    // More than enough is known to be so only where there is a limit.
                    if max.map_or(count >= *min, |max| count > max) {
                        break;
                    }
                }
                Ok(count >= *min && max.is_none_or(|max| count <= max))
            }
            Keyword::UnevaluatedItems { of, schema } => {
                let evaluated = self.evaluated(*of, value)?;
                for (index, item) in items.iter().enumerate() {
                    if !evaluated.has_item(index) && !self.holds(*schema, item)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            _ => Ok(true),
        }
    }

    fn object(
        &mut self,
        keyword: &Keyword,
        value: &Value,
        members: &Map<String, Value>,
    ) -> Result<bool, Fault> {
        match keyword {
            Keyword::MinProperties(min) => Ok(members.len() as u64 >= *min),
            Keyword::MaxProperties(max) => Ok(members.len() as u64 <= *max),
            Keyword::Required(names) => {
                self.budget.take(names.len())?;
                Ok(names.iter().all(|name| members.contains_key(name)))
            }
            Keyword::DependentRequired(dependencies) => {
                self.budget.take(dependencies.values().map(Vec::len).sum())?;
                let mut needed = dependencies
                    .iter()
                    .filter(|(name, _)| members.contains_key(*name))
                    .flat_map(|(_, names)| names);
                Ok(needed.all(|name| members.contains_key(name)))
            }
            Keyword::Properties(properties) => self.properties(properties, members),
            Keyword::PropertyNames(schema) => {
                for name in members.keys() {
                    if !self.holds(*schema, &Value::from(name.as_str()))? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Keyword::DependentSchemas(dependencies) => {
                for (name, schema) in dependencies {
                    self.budget.take(1)?;
                    if members.contains_key(name) && !self.holds(*schema, value)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Keyword::UnevaluatedProperties { of, schema } => {
                let evaluated = self.evaluated(*of, value)?;
                for (name, member) in members {
                    if !evaluated.has_property(name) && !self.holds(*schema, member)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            _ => Ok(true),
        }
    }

    fn properties(&mut self, properties: &Properties, members: &Map<String, Value>) -> Result<bool, Fault> {
        for (name, member) in members {
            for schema in self.schemas_of(properties, name)? {
                if !self.holds(schema, member)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The schemas that a member must fit.
    pub(super) fn schemas_of(&mut self, properties: &Properties, name: &str) -> Result<Vec<NodeId>, Fault> {
        self.budget.take(1)?;
        self.budget.take_text(name.len())?;
        let mut schemas: Vec<NodeId> = properties.named.get(name).copied().into_iter().collect();
        for (pattern, schema) in &properties.patterns {
            self.budget.take(1 + pattern.steps(name))?;
            if pattern.is_match(name) {
                schemas.push(*schema);
            }
        }
        if schemas.is_empty() {
            schemas.extend(properties.additional);
        }
        Ok(schemas)
    }
}
