//! Which members and elements the keywords of a schema have looked at: for `unevaluatedProperties` and
//! `unevaluatedItems`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::budget::Fault;
use super::check::Check;
use super::node::{Items, Keyword, NodeId};

/// What has been looked at in one object or array.
#[derive(Default)]
pub(super) struct Evaluated<'v> {
    all_properties: bool,
    properties: BTreeSet<&'v str>,
    all_items: bool,
    /// Elements before this one.
    prefix: usize,
    /// Elements that `contains` found.
    items: BTreeSet<usize>,
}

impl Evaluated<'_> {
    pub(super) fn has_property(&self, name: &str) -> bool {
        self.all_properties || self.properties.contains(name)
    }

    pub(super) fn has_item(&self, index: usize) -> bool {
        self.all_items || index < self.prefix || self.items.contains(&index)
    }
}

impl Check<'_> {
    /// What all other keywords of a schema have looked at. The value satisfies them.
    pub(super) fn evaluated<'v>(&mut self, schema: NodeId, value: &'v Value) -> Result<Evaluated<'v>, Fault> {
        let mut evaluated = Evaluated::default();
        let is_own = |keyword: &&Keyword| {
            !matches!(keyword, Keyword::UnevaluatedProperties { .. } | Keyword::UnevaluatedItems { .. })
        };
        for keyword in self.nodes[schema].0.iter().filter(is_own) {
            self.add_keyword(keyword, value, &mut evaluated)?;
        }
        Ok(evaluated)
    }

    fn add<'v>(
        &mut self,
        schema: NodeId,
        value: &'v Value,
        evaluated: &mut Evaluated<'v>,
    ) -> Result<(), Fault> {
        self.budget.enter()?;
        for keyword in &self.nodes[schema].0 {
            self.add_keyword(keyword, value, evaluated)?;
        }
        self.budget.leave();
        Ok(())
    }

    /// Adds what a schema has looked at, if the value fits it.
    fn add_if<'v>(
        &mut self,
        schema: NodeId,
        value: &'v Value,
        evaluated: &mut Evaluated<'v>,
    ) -> Result<bool, Fault> {
        let holds = self.holds(schema, value)?;
        if holds {
            self.add(schema, value, evaluated)?;
        }
        Ok(holds)
    }

    fn add_keyword<'v>(
        &mut self,
        keyword: &Keyword,
        value: &'v Value,
        evaluated: &mut Evaluated<'v>,
    ) -> Result<(), Fault> {
        match (keyword, value) {
            (Keyword::Ref(schema), _) => self.add(*schema, value, evaluated)?,
            (Keyword::AllOf(schemas), _) => {
                for schema in schemas {
                    self.add(*schema, value, evaluated)?;
                }
            }
            (Keyword::AnyOf(schemas) | Keyword::OneOf(schemas), _) => {
                for schema in schemas {
                    self.add_if(*schema, value, evaluated)?;
                }
            }
            (Keyword::If { condition, then, otherwise }, _) => {
                let holds = self.add_if(*condition, value, evaluated)?;
                if let Some(schema) = if holds { then } else { otherwise } {
                    self.add(*schema, value, evaluated)?;
                }
            }
            (Keyword::DependentSchemas(dependencies), Value::Object(members)) => {
                for (_, schema) in dependencies.iter().filter(|(name, _)| members.contains_key(*name)) {
                    self.add(*schema, value, evaluated)?;
                }
            }
            (Keyword::Properties(properties), Value::Object(members)) => {
                for name in members.keys() {
                    if !self.schemas_of(properties, name)?.is_empty() {
                        evaluated.properties.insert(name);
                    }
                }
            }
            (Keyword::UnevaluatedProperties { .. }, Value::Object(_)) => evaluated.all_properties = true,
            (Keyword::Items(Items { prefix, rest }), Value::Array(_)) => {
                evaluated.prefix = evaluated.prefix.max(prefix.len());
                evaluated.all_items |= rest.is_some();
            }
            (Keyword::Contains { schema, .. }, Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    if self.holds(*schema, item)? {
                        evaluated.items.insert(index);
                    }
                }
            }
            (Keyword::UnevaluatedItems { .. }, Value::Array(_)) => evaluated.all_items = true,
            _ => {}
        }
        Ok(())
    }
}
