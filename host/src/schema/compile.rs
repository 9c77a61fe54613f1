//! From the text of a schema to its nodes. Schemas are compiled one after the other from a list of
//! those that are still to be, so that no depth of nesting or of references matters.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use dormouse_core::pattern::Pattern;
use dormouse_core::workflow::Json;
use serde_json::{Map, Value};

use super::node::{Items, Keyword, Node, NodeId, Properties, Types};
use super::number::Number;
use super::pattern::translated;
use super::resources::Resources;
use super::visits::check_visits;

/// Longest schema, in bytes: those of large programs have about ten thousand.
const SCHEMA_BYTES_MAX: usize = 64 << 10;

/// Most different patterns of a schema, and the longest one in bytes: each takes up to a quarter of a
/// megabyte and some milliseconds to compile.
const PATTERNS_MAX: usize = 64;
const PATTERN_BYTES_MAX: usize = 1 << 10;

/// Compiles a schema; the root comes first. The error says how to mend it.
pub(super) fn compile(schema: &Json) -> Result<Vec<Node>, String> {
    let bytes = schema.as_str().len();
    if bytes > SCHEMA_BYTES_MAX {
        return Err(format!(
            "it has {bytes} bytes, and at most {SCHEMA_BYTES_MAX} are allowed: leave descriptions and examples out"
        ));
    }
    let root = schema.value().map_err(|error| error.to_string())?;
    let mut compiler = Compiler {
        resources: Resources::of(&root),
        known: HashMap::new(),
        open: Vec::new(),
        nodes: Vec::new(),
        patterns: HashMap::new(),
    };
    compiler.schema(&root);
    while let Some((schema, node)) = compiler.open.pop() {
        compiler.nodes[node] = Node(compiler.keywords(schema, node)?);
    }
    let nodes = compiler.nodes;
    check_visits(&nodes)?;
    Ok(nodes)
}

struct Compiler<'a> {
    resources: Resources<'a>,
    /// The node of each schema, by its address: the root stays where it is meanwhile.
    known: HashMap<*const Value, NodeId>,
    /// Schemas that have a node and are not compiled.
    open: Vec<(&'a Value, NodeId)>,
    nodes: Vec<Node>,
    patterns: HashMap<&'a str, Arc<Pattern>>,
}

type Compiled<T> = Result<T, String>;

impl<'a> Compiler<'a> {
    /// The node of a schema, which is compiled later.
    fn schema(&mut self, schema: &'a Value) -> NodeId {
        *self.known.entry(schema).or_insert_with(|| {
            let node = self.nodes.len();
            self.nodes.push(Node::default());
            self.open.push((schema, node));
            node
        })
    }

    /// The keywords of a schema, what is quick to check first.
    fn keywords(&mut self, schema: &'a Value, node: NodeId) -> Compiled<Vec<Keyword>> {
        let resource = self.resources.around(schema);
        let schema = match schema {
            Value::Bool(true) => return Ok(Vec::new()),
            Value::Bool(false) => return Ok(vec![Keyword::Never]),
            Value::Object(schema) => schema,
            _ => return Err("a schema is an object, `true` or `false`".to_owned()),
        };
        refuse(schema)?;
        let mut keywords = Vec::new();
        for name in KEYWORDS {
            if let Some(value) = schema.get(*name) {
                keywords.extend(self.keyword(name, value, resource)?);
            }
        }
        self.add_items(schema, &mut keywords)?;
        self.add_properties(schema, &mut keywords)?;
        self.add_contains(schema, &mut keywords)?;
        if let Some(condition) = schema.get("if") {
            keywords.push(Keyword::If {
                condition: self.schema(condition),
                then: schema.get("then").map(|schema| self.schema(schema)),
                otherwise: schema.get("else").map(|schema| self.schema(schema)),
            });
        }
        if let Some(rest) = schema.get("unevaluatedProperties") {
            keywords.push(Keyword::UnevaluatedProperties { of: node, schema: self.schema(rest) });
        }
        if let Some(rest) = schema.get("unevaluatedItems") {
            keywords.push(Keyword::UnevaluatedItems { of: node, schema: self.schema(rest) });
        }
        Ok(keywords)
    }

    fn keyword(&mut self, name: &str, value: &'a Value, resource: usize) -> Compiled<Option<Keyword>> {
        Ok(Some(match name {
            "type" => Keyword::Type(types(value)?),
            "const" => Keyword::Const(value.clone()),
            "enum" => Keyword::Enum(list(name, value)?.clone()),
            "minimum" => Keyword::Minimum(number(name, value)?),
            "maximum" => Keyword::Maximum(number(name, value)?),
            "exclusiveMinimum" => Keyword::ExclusiveMinimum(number(name, value)?),
            "exclusiveMaximum" => Keyword::ExclusiveMaximum(number(name, value)?),
            "multipleOf" => match number(name, value)? {
                divisor if divisor.compare(Number::Integer(0)).is_gt() => Keyword::MultipleOf(divisor),
                _ => return malformed(name, "a number above 0"),
            },
            "minLength" => Keyword::MinLength(count(name, value)?),
            "maxLength" => Keyword::MaxLength(count(name, value)?),
            "minItems" => Keyword::MinItems(count(name, value)?),
            "maxItems" => Keyword::MaxItems(count(name, value)?),
            "minProperties" => Keyword::MinProperties(count(name, value)?),
            "maxProperties" => Keyword::MaxProperties(count(name, value)?),
            "required" => Keyword::Required(names(name, value)?),
            "dependentRequired" => {
                let needed = object(name, value)?.iter();
                let needed = needed.map(|(member, value)| Ok((member.clone(), names(name, value)?)));
                Keyword::DependentRequired(needed.collect::<Compiled<_>>()?)
            }
            "pattern" => match value {
                Value::String(text) => Keyword::Pattern(self.pattern(text)?, text.clone()),
                _ => return malformed(name, "a regular expression"),
            },
            "uniqueItems" => match value {
                Value::Bool(true) => Keyword::UniqueItems,
                Value::Bool(false) => return Ok(None),
                _ => return malformed(name, "a boolean"),
            },
            "propertyNames" => Keyword::PropertyNames(self.schema(value)),
            "dependentSchemas" => Keyword::DependentSchemas(self.schemas_by_name(name, value)?),
            "$ref" => match value {
                Value::String(reference) => {
                    let schema = self.resources.resolve(reference, resource)?;
                    Keyword::Ref(self.schema(schema))
                }
                _ => return malformed(name, "a string"),
            },
            "allOf" => Keyword::AllOf(self.schemas(name, value)?),
            "anyOf" => Keyword::AnyOf(self.schemas(name, value)?),
            "oneOf" => Keyword::OneOf(self.schemas(name, value)?),
            "not" => Keyword::Not(self.schema(value)),
            // The others are compiled with those that they belong to.
            _ => return Ok(None),
        }))
    }

    fn add_items(&mut self, schema: &'a Map<String, Value>, keywords: &mut Vec<Keyword>) -> Compiled<()> {
        let prefix = schema.get("prefixItems").map(|value| self.schemas("prefixItems", value)).transpose()?;
        let rest = match schema.get("items") {
            Some(Value::Array(_)) => return malformed("items", "a schema; a list of them is `prefixItems`"),
            rest => rest.map(|rest| self.schema(rest)),
        };
        if prefix.is_some() || rest.is_some() {
            keywords.push(Keyword::Items(Items { prefix: prefix.unwrap_or_default(), rest }));
        }
        Ok(())
    }

    fn add_properties(
        &mut self,
        schema: &'a Map<String, Value>,
        keywords: &mut Vec<Keyword>,
    ) -> Compiled<()> {
        let names = ["properties", "patternProperties", "additionalProperties"];
        let [named, patterns, additional] = names.map(|name| schema.get(name));
        if named.is_none() && patterns.is_none() && additional.is_none() {
            return Ok(());
        }
        let mut properties = Properties::default();
        if let Some(named) = named {
            properties.named = self.schemas_by_name("properties", named)?;
        }
        if let Some(patterns) = patterns {
            for (pattern, schema) in object("patternProperties", patterns)? {
                properties.patterns.push((self.pattern(pattern)?, self.schema(schema)));
            }
        }
        properties.additional = additional.map(|schema| self.schema(schema));
        keywords.push(Keyword::Properties(properties));
        Ok(())
    }

    fn add_contains(&mut self, schema: &'a Map<String, Value>, keywords: &mut Vec<Keyword>) -> Compiled<()> {
        let limit = |name| schema.get(name).map(|value| count(name, value)).transpose();
        let (min, max) = (limit("minContains")?, limit("maxContains")?);
        if let Some(contained) = schema.get("contains") {
            keywords.push(Keyword::Contains { schema: self.schema(contained), min: min.unwrap_or(1), max });
        }
        Ok(())
    }

    fn schemas(&mut self, name: &str, value: &'a Value) -> Compiled<Vec<NodeId>> {
        match list(name, value)? {
            schemas if schemas.is_empty() => malformed(name, "a list of at least one schema"),
            schemas => Ok(schemas.iter().map(|schema| self.schema(schema)).collect()),
        }
    }

    fn schemas_by_name(&mut self, name: &str, value: &'a Value) -> Compiled<BTreeMap<String, NodeId>> {
        let members = object(name, value)?;
        Ok(members.iter().map(|(name, schema)| (name.clone(), self.schema(schema))).collect())
    }

    fn pattern(&mut self, text: &'a str) -> Compiled<Arc<Pattern>> {
        if let Some(pattern) = self.patterns.get(text) {
            return Ok(Arc::clone(pattern));
        }
        if self.patterns.len() == PATTERNS_MAX {
            return Err(format!("it has more than {PATTERNS_MAX} different patterns: join some with `|`"));
        }
        if text.len() > PATTERN_BYTES_MAX {
            let bytes = text.len();
            return Err(format!("a pattern has {bytes} bytes, and at most {PATTERN_BYTES_MAX} are allowed"));
        }
        let pattern = Arc::new(Pattern::compile(&translated(text)).map_err(|error| error.to_string())?);
        self.patterns.insert(text, Arc::clone(&pattern));
        Ok(pattern)
    }
}

/// What is compiled keyword by keyword, in the order in which it is checked.
const KEYWORDS: &[&str] = &[
    "type",
    "const",
    "enum",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "dependentRequired",
    "minLength",
    "maxLength",
    "pattern",
    "$ref",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "dependentSchemas",
    "propertyNames",
    "uniqueItems",
];

/// Refuses what would change what a schema means, and is not supported.
fn refuse(schema: &Map<String, Value>) -> Compiled<()> {
    for (name, instead) in [
        ("$dynamicRef", "use `$ref`"),
        ("$recursiveRef", "use `$ref`"),
        ("dependencies", "use `dependentRequired` and `dependentSchemas`"),
        ("additionalItems", "use `prefixItems` and `items`"),
    ] {
        if schema.contains_key(name) {
            return Err(format!("`{name}` is not supported: {instead}"));
        }
    }
    Ok(())
}

fn malformed<T>(name: &str, expected: &str) -> Compiled<T> {
    Err(format!("`{name}` must be {expected}"))
}

fn types(value: &Value) -> Compiled<Types> {
    let known = |value: &Value| {
        let name = value.as_str();
        Types::ALL.into_iter().find(|known| Some(*known) == name)
    };
    let types = match value {
        Value::Array(names) if !names.is_empty() => names.iter().map(known).collect::<Option<_>>(),
        value => known(value).map(|name| [name].into()),
    };
    types
        .map(Types)
        .ok_or_else(|| format!("`type` must be one or several of \"{}\"", Types::ALL.join("\", \"")))
}

fn number(name: &str, value: &Value) -> Compiled<Number> {
    match value {
        Value::Number(number) => Ok(Number::of(number)),
        _ => malformed(name, "a number"),
    }
}

fn count(name: &str, value: &Value) -> Compiled<u64> {
    let count = match number(name, value)? {
        Number::Integer(count) => u64::try_from(count).ok(),
        Number::Double(_) => None,
    };
    count.map_or_else(|| malformed(name, "a whole number of at least 0"), Ok)
}

fn list<'a>(name: &str, value: &'a Value) -> Compiled<&'a Vec<Value>> {
    value.as_array().map_or_else(|| malformed(name, "a list"), Ok)
}

fn object<'a>(name: &str, value: &'a Value) -> Compiled<&'a Map<String, Value>> {
    value.as_object().map_or_else(|| malformed(name, "an object"), Ok)
}

fn names(name: &str, value: &Value) -> Compiled<Vec<String>> {
    let names = list(name, value)?.iter().map(|name| name.as_str().map(str::to_owned));
    names.collect::<Option<_>>().map_or_else(|| malformed(name, "a list of names"), Ok)
}
