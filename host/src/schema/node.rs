//! What a schema is compiled to: nodes in a list, which refer to each other by index, so that schemas
//! that refer to themselves need no pointers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dormouse_core::pattern::Pattern;
use serde_json::Value;

use super::number::Number;

/// The place of a schema in the list.
pub(super) type NodeId = usize;

/// A schema: everything that a value must satisfy, what is quick to check first.
#[derive(Debug, Default)]
pub(super) struct Node(pub(super) Vec<Keyword>);

#[derive(Debug)]
pub(super) enum Keyword {
    /// The schema `false`.
    Never,
    Type(Types),
    Const(Value),
    Enum(Vec<Value>),
    Minimum(Number),
    Maximum(Number),
    ExclusiveMinimum(Number),
    ExclusiveMaximum(Number),
    MultipleOf(Number),
    MinLength(u64),
    MaxLength(u64),
    MinItems(u64),
    MaxItems(u64),
    MinProperties(u64),
    MaxProperties(u64),
    Required(Vec<String>),
    DependentRequired(BTreeMap<String, Vec<String>>),
    Pattern(Arc<Pattern>, String),
    UniqueItems,
    Properties(Properties),
    PropertyNames(NodeId),
    Items(Items),
    Contains {
        schema: NodeId,
        min: u64,
        max: Option<u64>,
    },
    Ref(NodeId),
    AllOf(Vec<NodeId>),
    AnyOf(Vec<NodeId>),
    OneOf(Vec<NodeId>),
    Not(NodeId),
    If {
        condition: NodeId,
        then: Option<NodeId>,
        otherwise: Option<NodeId>,
    },
    DependentSchemas(BTreeMap<String, NodeId>),
    /// These two look at all other keywords of their schema, which is named here.
    UnevaluatedProperties {
        of: NodeId,
        schema: NodeId,
    },
    UnevaluatedItems {
        of: NodeId,
        schema: NodeId,
    },
}

/// `properties`, `patternProperties` and `additionalProperties` of one schema.
#[derive(Debug, Default)]
pub(super) struct Properties {
    pub(super) named: BTreeMap<String, NodeId>,
    pub(super) patterns: Vec<(Arc<Pattern>, NodeId)>,
    pub(super) additional: Option<NodeId>,
}

/// `prefixItems` and `items` of one schema.
#[derive(Debug, Default)]
pub(super) struct Items {
    pub(super) prefix: Vec<NodeId>,
    pub(super) rest: Option<NodeId>,
}

/// Which types a value may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Types(pub(super) BTreeSet<&'static str>);

impl Types {
    pub(super) const ALL: [&'static str; 7] =
        ["array", "boolean", "integer", "null", "number", "object", "string"];

    pub(super) fn contain(&self, value: &Value) -> bool {
        let name = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) => {
                return self.0.contains("number")
                    || (self.0.contains("integer") && Number::of(number).is_integer());
            }
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        self.0.contains(name)
    }
}
