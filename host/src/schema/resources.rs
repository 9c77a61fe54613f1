//! What references lead to. A schema with an `$id` is a resource of its own: references within it start
//! from there. All resources are parts of one document, for nothing is ever fetched.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;

/// The resources of a document; the document itself comes first.
pub(super) struct Resources<'a> {
    resources: Vec<Resource<'a>>,
    /// The resource around each object, by the address of the object.
    around: HashMap<*const Value, usize>,
}

struct Resource<'a> {
    root: &'a Value,
    id: Option<&'a str>,
    anchors: HashMap<&'a str, &'a Value>,
}

impl<'a> Resources<'a> {
    pub(super) fn of(document: &'a Value) -> Self {
        let root = Resource { root: document, id: id(document), anchors: HashMap::new() };
        let mut resources = Self { resources: vec![root], around: HashMap::new() };
        let mut open = vec![(document, 0)];
        while let Some((value, around)) = open.pop() {
            match value {
                Value::Object(members) => {
                    let resource = resources.enter(value, around);
                    open.extend(members.values().map(|member| (member, resource)));
                }
                Value::Array(items) => open.extend(items.iter().map(|item| (item, around))),
                _ => {}
            }
        }
        resources
    }

    /// The resource that an object belongs to, which begins one if it has an `$id`.
    fn enter(&mut self, object: &'a Value, around: usize) -> usize {
        let is_document = std::ptr::eq(object, self.resources[0].root);
        let resource = match id(object) {
            Some(id) if !is_document => {
                self.resources.push(Resource { root: object, id: Some(id), anchors: HashMap::new() });
                self.resources.len() - 1
            }
            _ => around,
        };
        if let Some(name) = object.get("$anchor").and_then(Value::as_str) {
            self.resources[resource].anchors.insert(name, object);
        }
        self.around.insert(object, resource);
        resource
    }

    /// The resource around a schema.
    pub(super) fn around(&self, schema: &Value) -> usize {
        self.around.get(&std::ptr::from_ref(schema)).copied().unwrap_or(0)
    }

    /// The schema that a reference within a resource leads to; the error says how to mend it.
    pub(super) fn resolve(&self, reference: &str, from: usize) -> Result<&'a Value, String> {
        let (uri, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let resource = match uri {
            "" => &self.resources[from],
            uri => self.resources.iter().find(|resource| resource.id == Some(uri)).ok_or_else(|| {
                format!(
                    "`{reference}` refers to another document, and none is ever fetched: put it under `$defs`, \
                     and refer to it as in `#/$defs/name`"
                )
            })?,
        };
        let fragment = percent_decoded(fragment);
        let found = match fragment.as_ref() {
            "" => Some(resource.root),
            pointer if pointer.starts_with('/') => resource.root.pointer(pointer),
            anchor => resource.anchors.get(anchor).copied(),
        };
        found.ok_or_else(|| format!("`{reference}` leads nowhere in it"))
    }
}

/// The name of a resource, as references write it.
fn id(schema: &Value) -> Option<&str> {
    schema.get("$id").and_then(Value::as_str).map(|id| id.trim_end_matches('#'))
}

/// The fragment of a reference is part of a URI.
fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if first == b'%' => {
                decoded.push(byte);
                rest = &behind[2..];
            }
            _ => {
                decoded.push(first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned().into()
}
