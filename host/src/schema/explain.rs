//! Where a value does not fit: the first few places, in words.

use std::borrow::Cow;
use std::io;

use serde_json::Value;

use super::budget::{Budget, Fault};
use super::check::Check;
use super::node::{Items, Keyword, Node, NodeId};

/// Most problems of one input that are reported.
const PROBLEMS_MAX: usize = 5;

/// Most of a value, or of the path to it, that a message shows, in bytes.
const SHOWN_BYTES_MAX: usize = 120;

/// Most values of an `enum` that a message shows.
const ENUM_SHOWN_MAX: usize = 12;

/// What is wrong with a value that does not fit, with the paths to it.
pub(super) fn explain(nodes: &[Node], value: &Value) -> String {
    let mut explanation = Explanation {
        check: Check::new(nodes, Budget::of_explanation()),
        path: Vec::new(),
        problems: Vec::new(),
    };
    // Where it takes too long or goes too deep, what has been found so far must do.
    let _ = explanation.schema(0, value);
    let mut problems = explanation.problems;
    problems.dedup();
    match problems.is_empty() {
        true => {
            "it does not fit the schema, at a place that is too deep or takes too long to find".to_owned()
        }
        false => problems.join("; "),
    }
}

enum Segment<'v> {
    Name(&'v str),
    Index(usize),
}

struct Explanation<'a, 'v> {
    check: Check<'a>,
    /// From the input to the value that is looked at.
    path: Vec<Segment<'v>>,
    problems: Vec<String>,
}

impl<'v> Explanation<'_, 'v> {
    fn is_full(&self) -> bool {
        self.problems.len() >= PROBLEMS_MAX
    }

    fn schema(&mut self, schema: NodeId, value: &'v Value) -> Result<(), Fault> {
        self.check.budget.enter_explanation()?;
        for keyword in &self.check.nodes[schema].0 {
            if self.is_full() {
                break;
            }
            self.keyword(keyword, value)?;
        }
        self.check.budget.leave_explanation();
        Ok(())
    }

    fn below(&mut self, segment: Segment<'v>, schema: NodeId, value: &'v Value) -> Result<(), Fault> {
        if self.is_full() {
            return Ok(());
        }
        self.path.push(segment);
        self.schema(schema, value)?;
        self.path.pop();
        Ok(())
    }

    fn keyword(&mut self, keyword: &Keyword, value: &'v Value) -> Result<(), Fault> {
        match (keyword, value) {
            (Keyword::Ref(schema), _) => self.schema(*schema, value)?,
            (Keyword::AllOf(schemas), _) => {
                for schema in schemas {
                    self.schema(*schema, value)?;
                }
            }
            (Keyword::If { condition, then, otherwise }, _) => {
                let branch = if self.check.holds(*condition, value)? { then } else { otherwise };
                if let Some(schema) = branch {
                    self.schema(*schema, value)?;
                }
            }
            (Keyword::DependentSchemas(dependencies), Value::Object(members)) => {
                for (_, schema) in dependencies.iter().filter(|(name, _)| members.contains_key(*name)) {
                    self.schema(*schema, value)?;
                }
            }
            (Keyword::Properties(properties), Value::Object(members)) => {
                for (name, member) in members {
                    for schema in self.check.schemas_of(properties, name)? {
                        self.below(Segment::Name(name), schema, member)?;
                    }
                }
            }
            (Keyword::UnevaluatedProperties { of, schema }, Value::Object(members)) => {
                let evaluated = self.check.evaluated(*of, value)?;
                for (name, member) in members.iter().filter(|(name, _)| !evaluated.has_property(name)) {
                    self.below(Segment::Name(name), *schema, member)?;
                }
            }
            (Keyword::Items(Items { prefix, rest }), Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let Some(schema) = prefix.get(index).or(rest.as_ref()) else { break };
                    self.below(Segment::Index(index), *schema, item)?;
                }
            }
            (Keyword::UnevaluatedItems { of, schema }, Value::Array(items)) => {
                let evaluated = self.check.evaluated(*of, value)?;
                for (index, item) in items.iter().enumerate().filter(|(index, _)| !evaluated.has_item(*index))
                {
                    self.below(Segment::Index(index), *schema, item)?;
                }
            }
            _ => {
                if !self.check.keyword(keyword, value)? {
                    self.report(&problem(keyword, value));
                }
            }
        }
        Ok(())
    }

    fn report(&mut self, problem: &str) {
        let mut path = String::new();
        for segment in &self.path {
            match segment {
                Segment::Name(name) => path += &format!("/{}", name.replace('~', "~0").replace('/', "~1")),
                Segment::Index(index) => path += &format!("/{index}"),
            }
        }
        self.problems.push(match path.as_str() {
            "" => problem.to_owned(),
            path => format!("at {}: {problem}", cut(path)),
        });
    }
}

/// What is wrong with a value that does not satisfy a keyword.
fn problem(keyword: &Keyword, value: &Value) -> String {
    let shown_value = shown(value);
    let rest = match keyword {
        Keyword::Type(types) => {
            let names: Vec<_> = types.0.iter().map(|name| format!("\"{name}\"")).collect();
            let noun = if names.len() == 1 { "type" } else { "types" };
            format!("is not of {noun} {}", names.join(", "))
        }
        Keyword::Const(expected) => format!("is not {}", shown(expected)),
        Keyword::Enum(expected) => {
            let names: Vec<_> = expected.iter().take(ENUM_SHOWN_MAX).map(shown).collect();
            let more = if expected.len() > ENUM_SHOWN_MAX { ", …" } else { "" };
            format!("is not one of {}{more}", names.join(", "))
        }
        Keyword::Minimum(limit) => format!("is less than {limit}"),
        Keyword::Maximum(limit) => format!("is greater than {limit}"),
        Keyword::ExclusiveMinimum(limit) => format!("is not greater than {limit}"),
        Keyword::ExclusiveMaximum(limit) => format!("is not less than {limit}"),
        Keyword::MultipleOf(divisor) => format!("is not a multiple of {divisor}"),
        Keyword::MinLength(min) => format!("is shorter than {min} characters"),
        Keyword::MaxLength(max) => format!("is longer than {max} characters"),
        Keyword::MinItems(min) => format!("has fewer than {min} elements"),
        Keyword::MaxItems(max) => format!("has more than {max} elements"),
        Keyword::MinProperties(min) => format!("has fewer than {min} properties"),
        Keyword::MaxProperties(max) => format!("has more than {max} properties"),
        Keyword::Pattern(_, pattern) => format!("does not match the pattern \"{}\"", cut(pattern)),
        Keyword::UniqueItems => "has elements that are equal".to_owned(),
        Keyword::PropertyNames(_) => "has a property whose name is not allowed".to_owned(),
        Keyword::Contains { .. } => "has too few or too many elements of those it must contain".to_owned(),
        Keyword::AnyOf(_) => "is not valid under any of the schemas of `anyOf`".to_owned(),
        Keyword::OneOf(_) => "is not valid under exactly one of the schemas of `oneOf`".to_owned(),
        Keyword::Not(_) => "is valid under the schema of `not`".to_owned(),
        Keyword::DependentRequired(_) => "lacks a property that another one needs".to_owned(),
        Keyword::Required(names) => {
            let missing = names.iter().find(|name| value.get(name).is_none());
            return format!("\"{}\" is a required property", cut(missing.map_or("", String::as_str)));
        }
        _ => "is not allowed here".to_owned(),
    };
    format!("{shown_value} {rest}")
}

/// A value as JSON, as far as a message can hold it.
fn shown(value: &Value) -> String {
    let mut text = Shown(Vec::new());
    // It ends early where there is more.
    let _ = serde_json::to_writer(&mut text, value);
    cut(&String::from_utf8_lossy(&text.0)).into_owned()
}

/// A text, as far as a message can hold it.
fn cut(text: &str) -> Cow<'_, str> {
    match text.floor_char_boundary(SHOWN_BYTES_MAX) {
        end if end < text.len() => format!("{}…", &text[..end]).into(),
        _ => text.into(),
    }
}

/// Takes in a little more than is shown, so that [`cut`] knows.
struct Shown(Vec<u8>);

impl io::Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (SHOWN_BYTES_MAX + 4).saturating_sub(self.0.len());
        if room == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let taken = room.min(bytes.len());
        self.0.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
