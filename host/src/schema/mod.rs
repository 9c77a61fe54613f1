//! JSON schemas of inputs: compiled once, checked before an input is accepted.

use dormouse_core::workflow::Json;

/// Most problems of one input that are reported.
const PROBLEMS_MAX: usize = 5;

/// A compiled JSON schema, draft 2020-12.
pub(crate) struct Schema(jsonschema::Validator);

impl Schema {
    /// Compiles it. References to other documents are errors: nothing is ever fetched.
    pub(crate) fn compile(schema: &Json) -> Result<Self, String> {
        let value = schema.value().map_err(|error| error.to_string())?;
        jsonschema::draft202012::new(&value).map(Self).map_err(|error| error.to_string())
    }

    /// Whether the input fits; otherwise where it does not.
    pub(crate) fn check(&self, input: &Json) -> Result<(), String> {
        let value = input.value().map_err(|error| error.to_string())?;
        if self.0.is_valid(&value) {
            return Ok(());
        }
        let problem = |error: jsonschema::ValidationError<'_>| match error.instance_path().as_str() {
            "" => error.to_string(),
            path => format!("at {path}: {error}"),
        };
        Err(self.0.iter_errors(&value).take(PROBLEMS_MAX).map(problem).collect::<Vec<_>>().join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_that_does_not_fit_is_told_where() {
        let schema = r#"{"type":"object","properties":{"email":{"type":"string"}},"required":["email"]}"#;
        let schema = Schema::compile(&Json::trusted(schema)).unwrap();
        assert_eq!(schema.check(&Json::trusted(r#"{"email":"a"}"#)), Ok(()));
        let wrong_type = schema.check(&Json::trusted(r#"{"email":1}"#)).unwrap_err();
        assert!(wrong_type.contains("at /email"), "{wrong_type}");
        let missing = schema.check(&Json::trusted("{}")).unwrap_err();
        assert!(missing.contains("email"), "{missing}");
    }

    #[test]
    fn a_schema_never_fetches_anything() {
        let remote = r#"{"$ref":"https://example.com/schema.json"}"#;
        assert!(Schema::compile(&Json::trusted(remote)).is_err());
    }
}
