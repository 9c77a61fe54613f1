//! The fields of a struct.

use super::Schema;

/// Takes in the fields of a struct, one after the other.
#[derive(Debug)]
pub struct Fields<'a> {
    schema: &'a mut Schema,
    /// Names of the fields that must be there: JSON strings with commas between them.
    required: String,
    any: bool,
}

pub(super) fn write(schema: &mut Schema, list: fn(&mut Fields<'_>)) {
    let mut fields = Fields { schema, required: String::new(), any: false };
    list(&mut fields);
    let Fields { schema, required, any } = fields;
    schema.push(if any { "}" } else { "" });
    if !required.is_empty() {
        schema.push(r#","required":["#);
        schema.push(&required);
        schema.push("]");
    }
}

impl Fields<'_> {
    /// A field. Its name is a JSON string, its description one or nothing.
    pub(super) fn field(
        &mut self,
        name: &str,
        description: &'static str,
        optional: bool,
        describe: fn(&mut Schema),
    ) {
        self.schema.push(if self.any { "," } else { r#","properties":{"# });
        self.any = true;
        self.schema.push(name);
        self.schema.push(":");
        self.schema.description = description;
        describe(self.schema);
        if !optional {
            self.required.push_str(if self.required.is_empty() { "" } else { "," });
            self.required.push_str(name);
        }
    }
}
