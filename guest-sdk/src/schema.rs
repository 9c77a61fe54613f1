//! JSON schemas as text, written straight from what `#[data]` knows of a type.
//!
//! schemars builds a schema as a tree of maps first. That takes 26 kilobytes of code in a module,
//! which needs it once, at upload. So plain types describe themselves to a [`Schema`], which
//! appends text, and only types that are not plain go by way of schemars. Both say the same.

use std::mem::{replace, take};

mod fields;
mod pick;
#[cfg(test)]
mod tests;
mod types;

pub use fields::Fields;
pub use pick::{PickPlain, PickSchemars, Probe};

const BEGIN_DOCUMENT: &str = r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","#;

/// A type that writes its own schema. `#[data]` implements it for plain structs and enums.
pub trait Describe {
    /// Whether a field of this type may be left out.
    const OPTIONAL: bool = false;

    /// Appends the schema.
    fn describe(schema: &mut Schema);
}

/// A struct or an enum. Names are identifiers; other texts are JSON, which the macro has escaped.
#[derive(Debug)]
pub struct Named {
    /// What it is called.
    pub name: &'static str,
    /// Its doc comment as a JSON string, or nothing.
    pub description: &'static str,
    /// What it is made of.
    pub body: Body,
}

/// What a struct or an enum is made of.
#[derive(Debug)]
pub enum Body {
    /// Named fields, which the function lists.
    Struct(fn(&mut Fields<'_>)),
    /// Variants without contents, as a JSON list of their names.
    Enum(&'static str),
}

/// A schema that is being written.
#[derive(Debug, Default)]
pub struct Schema {
    text: String,
    /// Whether the document's own schema has been opened.
    begun: bool,
    /// The type that the whole document describes, if it has a name.
    root: Option<&'static str>,
    definitions: Vec<Definition>,
    /// What the next schema says beside its type: a JSON string, or nothing.
    description: &'static str,
    /// The next schema also takes `null`.
    nullable: bool,
}

#[derive(Debug)]
struct Definition {
    /// The whole path of the type, which tells types of one name apart.
    path: &'static str,
    name: &'static str,
    text: String,
}

impl Schema {
    /// The schema of a type as a document of its own.
    fn document(describe: fn(&mut Self)) -> String {
        let mut schema = Self::default();
        describe(&mut schema);
        schema.end()
    }

    /// A type that JSON has a word for, and what limits it.
    fn plain(&mut self, kind: &str, limits: &str) {
        self.begin(kind);
        self.push(limits);
        self.push("}");
    }

    /// A list or a map. `label` stands before the schema of what it contains.
    fn container(&mut self, kind: &str, label: &str, describe: fn(&mut Self)) {
        self.begin(kind);
        self.push(label);
        describe(self);
        self.push("}");
    }

    /// What `describe` says, or `null`.
    fn nullable(&mut self, describe: fn(&mut Self)) {
        self.nullable = true;
        describe(self);
        self.nullable = false;
    }

    /// Any value at all.
    fn anything(&mut self) {
        if self.begun && self.description.is_empty() {
            return self.push("true");
        }
        self.open();
        // The comma that waits for a type.
        self.text.pop();
        self.push("}");
    }

    /// A named type stands where the document begins or, once, among the definitions.
    pub fn named(&mut self, path: &'static str, named: &'static Named) {
        if !self.begun && !self.nullable {
            self.root = Some(path);
            return self.body(named, true);
        }
        self.open();
        let nullable = take(&mut self.nullable);
        self.push(if nullable { r##""anyOf":[{"$ref":"#"## } else { r##""$ref":"#"## });
        if self.root != Some(path) {
            let known = self.definitions.iter().position(|definition| definition.path == path);
            let index = known.unwrap_or_else(|| self.define(path, named));
            self.push("/$defs/");
            self.push_name_of(index);
        }
        self.push(if nullable { r#""},{"type":"null"}]}"# } else { r#""}"# });
    }

    /// Writes a definition and gives its place. It has the place before it is written, as its
    /// fields may well refer to it.
    fn define(&mut self, path: &'static str, named: &'static Named) -> usize {
        let index = self.definitions.len();
        self.definitions.push(Definition { path, name: named.name, text: String::new() });
        let outer = take(&mut self.text);
        self.body(named, false);
        self.definitions[index].text = replace(&mut self.text, outer);
        index
    }

    /// The types of one name are numbered.
    fn push_name_of(&mut self, index: usize) {
        let name = self.definitions[index].name;
        self.push(name);
        let before = self.definitions[..index].iter().filter(|other| other.name == name).count();
        if before > 0 {
            self.push(&(before + 1).to_string());
        }
    }

    fn body(&mut self, named: &'static Named, titled: bool) {
        self.description = named.description;
        self.begin(if matches!(named.body, Body::Struct(_)) { "object" } else { "string" });
        if titled {
            self.push(r#","title":""#);
            self.push(named.name);
            self.push("\"");
        }
        match named.body {
            Body::Struct(list) => fields::write(self, list),
            Body::Enum(variants) => {
                self.push(r#","enum":"#);
                self.push(variants);
            }
        }
        self.push("}");
    }

    /// `{` and the type, after what can stand in any schema.
    fn begin(&mut self, kind: &str) {
        self.open();
        // `null` takes `null` already.
        let nullable = take(&mut self.nullable) && kind != "null";
        self.push(if nullable { r#""type":[""# } else { r#""type":""# });
        self.push(kind);
        self.push(if nullable { r#"","null"]"# } else { "\"" });
    }

    /// `{` and what can stand in any schema, with a comma behind it.
    fn open(&mut self) {
        let begun = replace(&mut self.begun, true);
        self.push(if begun { "{" } else { BEGIN_DOCUMENT });
        let description = take(&mut self.description);
        if !description.is_empty() {
            self.push(r#""description":"#);
            self.push(description);
            self.push(",");
        }
    }

    fn end(mut self) -> String {
        if !self.definitions.is_empty() {
            // The last brace, of the document's own schema.
            self.text.pop();
            for index in 0..self.definitions.len() {
                self.push(if index == 0 { r#","$defs":{""# } else { ",\"" });
                self.push_name_of(index);
                self.push("\":");
                let text = take(&mut self.definitions[index].text);
                self.push(&text);
            }
            self.push("}}");
        }
        self.text
    }

    /// Not inlined, as it is called from everywhere.
    #[inline(never)]
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }
}
