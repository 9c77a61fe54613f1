//! Refuses schemas that hold a value against too many schemas: `anyOf` and references can double the
//! work with every line.

use super::node::{Keyword, Node, NodeId};

/// Most schemas that one value is held against, those in it apart. A schema for a large program has
/// some dozens.
const VISITS_MAX: u64 = 10_000;

/// Follows the keywords that hold the same value against another schema. What goes into the value ends
/// with the value.
pub(super) fn check_visits(nodes: &[Node]) -> Result<(), String> {
    /// How far a node has been counted.
    #[derive(Clone, Copy)]
    enum Count {
        Unknown,
        Open,
        Known(u64),
    }
    let mut counts = vec![Count::Unknown; nodes.len()];
    for start in 0..nodes.len() {
        let mut path = vec![(start, others(&nodes[start]), 0)];
        counts[start] = match counts[start] {
            Count::Unknown => Count::Open,
            _ => continue,
        };
        // Depth first, without recursion: a chain of references may be thousands long.
        while let Some((node, others_of, next)) = path.last_mut() {
            if let Some(&other) = others_of.get(*next) {
                *next += 1;
                match counts[other] {
                    Count::Known(_) => {}
                    Count::Open => {
                        return Err(
                            "it refers to itself without going into the input, so that checking would \
                                    never end"
                                .to_owned(),
                        );
                    }
                    Count::Unknown => {
                        counts[other] = Count::Open;
                        path.push((other, others(&nodes[other]), 0));
                    }
                }
                continue;
            }
            let known = |other: &NodeId| if let Count::Known(count) = counts[*other] { count } else { 0 };
            let visits = others_of.iter().map(known).fold(1, u64::saturating_add);
            if visits > VISITS_MAX {
                return Err(format!(
                    "it holds one value against more than {VISITS_MAX} schemas through `$ref`, `allOf`, `anyOf`, \
                     `oneOf` and the like: refer to each schema once"
                ));
            }
            counts[*node] = Count::Known(visits);
            path.pop();
        }
    }
    Ok(())
}

/// The schemas that the same value is held against; twice where `unevaluated…` looks at them again.
fn others(node: &Node) -> Vec<NodeId> {
    let mut others = Vec::new();
    let mut again = false;
    for keyword in &node.0 {
        match keyword {
            Keyword::Ref(schema) | Keyword::Not(schema) => others.push(*schema),
            Keyword::AllOf(schemas) | Keyword::AnyOf(schemas) | Keyword::OneOf(schemas) => {
                others.extend(schemas);
            }
            Keyword::If { condition, then, otherwise } => {
                others.push(*condition);
                others.extend(then.iter().chain(otherwise));
            }
            Keyword::DependentSchemas(dependencies) => others.extend(dependencies.values()),
            Keyword::UnevaluatedProperties { .. } | Keyword::UnevaluatedItems { .. } => again = true,
            _ => {}
        }
    }
    if again {
        others.extend_from_within(..);
    }
    others
}
