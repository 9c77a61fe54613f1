//! What an expression is compiled to: a tree in which every name, function and pattern is known.

use std::sync::Arc;

use super::value::Value;
use crate::pattern::Pattern;

/// A part of an expression.
#[derive(Debug)]
pub(super) enum Node {
    Literal(Value),
    Variable(Variable),
    /// The variable of a macro, by how many macros are around that macro.
    Local(usize),
    /// `operand.field`, or `has(operand.field)`. The field is a text.
    Select {
        operand: Box<Self>,
        field: Value,
        is_test: bool,
    },
    Index(Box<Self>, Box<Self>),
    Not(Box<Self>),
    Negate(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    /// Condition, value if it holds, value if not.
    Conditional(Box<[Self; 3]>),
    Equal(Box<Self>, Box<Self>),
    Compare(Order, Box<Self>, Box<Self>),
    Arithmetic(Arithmetic, Box<Self>, Box<Self>),
    In(Box<Self>, Box<Self>),
    Call(Function, Vec<Self>),
    Matches(Box<Self>, Arc<Pattern>),
    List(Vec<Self>),
    Map(Vec<(Self, Self)>),
    Fold(Box<Fold>),
}

/// What an expression can look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Variable {
    Input,
    Metadata,
    Key,
    Parents,
}

impl Variable {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Metadata => "metadata",
            Self::Key => "key",
            Self::Parents => "parents",
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    String,
    Int,
    UInt,
    Double,
    Bool,
    Min,
    Max,
}

/// A macro: goes through the elements of a list or the keys of a map.
#[derive(Debug)]
pub(super) struct Fold {
    pub(super) range: Node,
    pub(super) kind: FoldKind,
}

#[derive(Debug)]
pub(super) enum FoldKind {
    All(Node),
    Exists(Node),
    ExistsOne(Node),
    /// `map`, and `filter` whose item is the element itself.
    Map {
        filter: Option<Node>,
        item: Node,
    },
}
