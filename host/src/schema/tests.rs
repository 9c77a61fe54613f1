use super::*;

fn compiled(schema: &str) -> Schema {
    Schema::compile(&Json::parse(schema).unwrap()).unwrap_or_else(|error| panic!("{schema}: {error}"))
}

fn check(schema: &str, input: &str) -> Result<(), String> {
    compiled(schema).check(&Json::trusted(input))
}

fn refused(schema: &str) -> String {
    Schema::compile(&Json::parse(schema).unwrap()).err().unwrap_or_else(|| panic!("{schema} is accepted"))
}

#[test]
fn an_input_that_does_not_fit_is_told_where() {
    let schema = r#"{"type":"object","properties":{"email":{"type":"string"}},"required":["email"]}"#;
    assert_eq!(check(schema, r#"{"email":"a"}"#), Ok(()));
    assert_eq!(check(schema, r#"{"email":1}"#), Err("at /email: 1 is not of type \"string\"".to_owned()));
    assert_eq!(check(schema, "{}"), Err("\"email\" is a required property".to_owned()));
    assert_eq!(check(schema, "null"), Err("null is not of type \"object\"".to_owned()));
}

#[test]
fn a_schema_never_fetches_anything() {
    for reference in ["https://example.com/schema.json", "file:///etc/passwd", "other.json#/a"] {
        let error = refused(&format!(r#"{{"$ref":"{reference}"}}"#));
        assert!(error.contains("none is ever fetched"), "{error}");
    }
}

#[test]
fn an_input_that_cannot_be_read_is_refused() {
    for input in ["1e400", r#""\ud800""#] {
        assert!(check("true", input).is_err(), "{input}");
    }
}

/// `anyOf` and references that double the work with every line.
fn doubling(depth: usize, keyword: &str) -> String {
    let step = |i: usize| {
        let next = i + 1;
        format!(r##""d{i}":{{"{keyword}":[{{"$ref":"#/$defs/d{next}"}},{{"$ref":"#/$defs/d{next}"}}]}}"##)
    };
    let steps: Vec<_> = (0..depth).map(step).collect();
    format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d{depth}":{{"type":"string"}}}}}}"##, steps.join(","))
}

/// A schema of 3 KB held the writer for ever, and again after each restart: 2^40 visits.
#[test]
fn a_schema_that_doubles_the_work_with_every_line_is_refused_or_checked_within_the_budget() {
    for keyword in ["allOf", "anyOf", "oneOf"] {
        for depth in [4, 11] {
            assert!(check(&doubling(depth, "allOf"), "\"a\"").is_ok());
            let error = check(&doubling(depth, keyword), "1").unwrap_err();
            assert!(error.contains("1 is not"), "{error}");
        }
        for depth in [12, 20, 28, 40, 500] {
            let error = refused(&doubling(depth, keyword));
            assert!(error.contains("refer to each schema once"), "{error}");
        }
    }
}

/// The same through the elements of an input: no bound can be known at upload.
#[test]
fn a_check_that_takes_too_long_ends_with_an_error_that_says_so() {
    let schema = r##"{"$ref":"#/$defs/t","$defs":{"t":{"anyOf":[
        {"items":{"$ref":"#/$defs/t"},"minItems":1,"type":"array"},
        {"prefixItems":[{"$ref":"#/$defs/t"}],"type":"array"}]}}}"##;
    let schema = schema.replace("\"minItems\":1", "\"contains\":false,\"minItems\":1");
    let deep = format!("{}1{}", "[".repeat(60), "]".repeat(60));
    let error = check(&schema, &deep).unwrap_err();
    assert!(error.contains("more than 3000000 steps: simplify the schema"), "{error}");
}

/// A client's mistake of 1 MiB once took gigabytes, since a tree of errors was kept for each element.
#[test]
fn a_large_input_that_does_not_fit_is_told_a_few_places() {
    let consts =
        |count: usize| (0..count).map(|i| format!(r#"{{"const":"{i}"}}"#)).collect::<Vec<_>>().join(",");
    let ones = format!("[{}1]", "1,".repeat(520_000));
    for (schema, problem) in [
        (format!(r#"{{"items":{{"anyOf":[{}]}}}}"#, consts(8)), "at /0: 1 is not valid under any"),
        (
            r#"{"type":"array","items":{"anyOf":[{"type":"string"},{"type":"null"}]}}"#.to_owned(),
            "at /4: 1 is not valid under any",
        ),
        (format!(r#"{{"items":{{"anyOf":[{}]}}}}"#, consts(1000)), "at /0: 1 is not valid under any"),
    ] {
        let error = check(&schema, &ones).unwrap_err();
        assert!(error.contains(problem) && error.len() < 1000, "{error}");
    }
    assert_eq!(check(r#"{"items":{"type":"integer"}}"#, &ones), Ok(()));
    let error = check(r#"{"maxItems":3}"#, &ones).unwrap_err();
    assert!(error.contains("[1,1,1,") && error.len() < 200, "{error}");
}

#[test]
fn patterns_are_bounded() {
    let patterns: Vec<_> = (0..400).map(|i| format!(r#"{{"pattern":"a{{0,{}}}b"}}"#, 1000 + i)).collect();
    let error = refused(&format!(r#"{{"anyOf":[{}]}}"#, patterns.join(",")));
    assert!(error.contains("more than 64 different patterns: join some with `|`"), "{error}");
    let error = check(
        &format!(r#"{{"anyOf":[{}]}}"#, patterns[..60].join(",")),
        &format!("\"{}\"", "a".repeat(3000)),
    );
    assert!(error.unwrap_err().contains("steps"));
    assert!(check(r#"{"pattern":"(a+)+$"}"#, &format!("\"{}!\"", "a".repeat(1 << 19))).is_err());
    for pattern in [r"(a)\\1", "(?=a)b", "a{0,100000000}", r"\\p{L}{0,40}b"] {
        let error = refused(&format!(r#"{{"pattern":"{pattern}"}}"#));
        assert!(error.contains("the pattern `"), "{error}");
    }
}

#[test]
fn references_may_lead_anywhere_but_in_circles() {
    let chain = |length: usize, end: &str| {
        let step = |i: usize| format!(r##""d{i}":{{"$ref":"#/$defs/d{}"}}"##, i + 1);
        let steps: Vec<_> = (0..length).map(step).collect();
        format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d{length}":{end}}}}}"##, steps.join(","))
    };
    assert_eq!(check(&chain(300, r#"{"type":"string"}"#), "\"a\""), Ok(()));
    let error = check(&chain(1500, r#"{"type":"string"}"#), "\"a\"").unwrap_err();
    assert!(error.contains("make the schema or the input flatter"), "{error}");
    for length in [1, 2, 1000] {
        let error = refused(&chain(length, r##"{"$ref":"#/$defs/d0"}"##));
        assert!(error.contains("refers to itself without going into the input"), "{error}");
    }
    let list = r##"{"properties":{"next":{"$ref":"#"}},"type":"object","additionalProperties":false}"##;
    let nested = |levels: usize| format!("{}{{}}{}", r#"{"next":"#.repeat(levels), "}".repeat(levels));
    assert_eq!(check(list, &nested(127)), Ok(()));
    assert!(
        check(list, r#"{"next":{"other":1}}"#).unwrap_err().contains("at /next/other: 1 is not allowed here")
    );
    for (schema, input, expected) in [
        (
            r##"{"$id":"https://a/b","$ref":"https://a/b#/$defs/x","$defs":{"x":{"type":"null"}}}"##,
            "null",
            true,
        ),
        (r##"{"$ref":"#x","$defs":{"y":{"$anchor":"x","type":"null"}}}"##, "1", false),
        (r#"{"$ref":"urn:a","$defs":{"x":{"$id":"urn:a","type":"null"}}}"#, "1", false),
        // A schema with an `$id` brings its own definitions, as those that the SDK takes from schemars.
        (
            r##"{"$defs":{"x":true},"allOf":[{"$id":"urn:a","$ref":"#/$defs/x","$defs":{"x":{"type":"null"}}}]}"##,
            "1",
            false,
        ),
        (r##"{"$ref":"#/$defs/a~1b%25","$defs":{"a/b%":{"type":"null"}}}"##, "null", true),
    ] {
        assert_eq!(check(schema, input).is_ok(), expected, "{schema}");
    }
}

#[test]
fn what_is_no_schema_is_refused_with_what_to_write() {
    let large = format!(r#"{{"description":"{}"}}"#, "x".repeat(64 << 10));
    for (schema, problem) in [
        ("1", "a schema is an object, `true` or `false`"),
        (r#"{"type":"int"}"#, "`type` must be one or several of"),
        (r#"{"properties":{"a":{"type":["string",1]}}}"#, "`type` must be one or several of"),
        (r#"{"minimum":"1"}"#, "`minimum` must be a number"),
        (r#"{"exclusiveMinimum":true}"#, "`exclusiveMinimum` must be a number"),
        (r#"{"required":true}"#, "`required` must be a list"),
        (r#"{"items":[{}]}"#, "a list of them is `prefixItems`"),
        (r#"{"anyOf":[]}"#, "`anyOf` must be a list of at least one schema"),
        (r#"{"minLength":-1}"#, "`minLength` must be a whole number"),
        (r#"{"multipleOf":0}"#, "`multipleOf` must be a number above 0"),
        (r##"{"$ref":"#/$defs/x"}"##, "`#/$defs/x` leads nowhere"),
        (r##"{"$dynamicRef":"#x"}"##, "use `$ref`"),
        (r#"{"dependencies":{}}"#, "use `dependentRequired`"),
        (r#"{"$defs":{"a":{"$id":"https://a/b"}},"$ref":"https://a/c"}"#, "another document"),
        (r##"{"$defs":{"x":{}},"not":{"$id":"urn:a","$ref":"#/$defs/x"}}"##, "`#/$defs/x` leads nowhere"),
        (&large, "at most 65536 are allowed: leave descriptions and examples out"),
    ] {
        let error = refused(schema);
        assert!(error.contains(problem), "{schema}: {error}");
    }
    // Annotations, keywords that nobody knows, and names of members that look like keywords are fine.
    for schema in [
        r#"{"format":"email","$comment":1,"x-y":{},"deprecated":true,"$schema":"http://json-schema.org/draft-07/schema#"}"#,
        r#"{"properties":{"$id":{},"dependencies":{},"$dynamicRef":true}}"#,
        r#"{"const":{"$id":1},"default":{"$ref":1},"contentSchema":1}"#,
    ] {
        compiled(schema);
    }
}

/// On a stack as small as that of any thread of the host.
#[test]
fn the_deepest_check_fits_on_the_stack() {
    let names: Vec<_> =
        (0..100).map(|i| format!(r##""d{i}":{{"allOf":[{{"$ref":"#/$defs/d{}"}}]}}"##, i + 1)).collect();
    let end = r##""d100":{"items":{"$ref":"#/$defs/d0"},"unevaluatedItems":false}"##;
    let schema = format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{},{end}}}}}"##, names.join(","));
    let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
    // The second one ends at its first keyword, and only the search for words goes deep.
    let early = schema.replacen('{', r#"{"type":"string","#, 1);
    // In the third one, `unevaluatedItems` goes as deep as the check did.
    let steps = (0..500).map(|i| format!(r##""d{i}":{{"$ref":"#/$defs/d{}"}}"##, i + 1)).collect::<Vec<_>>();
    let steps = steps.join(",");
    let again =
        format!(r##"{{"unevaluatedItems":false,"$ref":"#/$defs/d0","$defs":{{{steps},"d500":true}}}}"##);
    for (schema, words) in
        [(schema, "within each other"), (early, "is not of type"), (again, "too deep or takes too long")]
    {
        let deep = deep.clone();
        let run = move || check(&schema, &deep).unwrap_err();
        let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap();
        let error = thread.join().unwrap();
        assert!(error.contains(words), "{error}");
    }
}

mod reference {
    //! The validator of the `jsonschema` crate is the reference.

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn instance() -> impl Strategy<Value = Value> {
        let leaf = proptest::sample::select(vec![
            json!(null),
            json!(true),
            json!(false),
            json!(0),
            json!(1),
            json!(1.0),
            json!(1.5),
            json!(-2),
            json!(3),
            json!(""),
            json!("a"),
            json!("ab"),
            json!("b1"),
            json!("ü"),
        ]);
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                proptest::collection::btree_map("[abc]", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn schema() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            proptest::sample::select(vec![
                json!(true),
                json!(false),
                json!({}),
                json!({"type": "string"}),
                json!({"type": "integer"}),
                json!({"type": ["number", "null"]}),
                json!({"type": "object"}),
                json!({"type": "array"}),
                json!({"minimum": 1}),
                json!({"maximum": 1.0}),
                json!({"exclusiveMinimum": 0}),
                json!({"exclusiveMaximum": 1.5}),
                json!({"multipleOf": 0.5}),
                json!({"multipleOf": 2}),
                json!({"minLength": 1}),
                json!({"maxLength": 1}),
                json!({"pattern": "^[a-b]\\d?$"}),
                json!({"minItems": 1}),
                json!({"maxItems": 2}),
                json!({"uniqueItems": true}),
                json!({"minProperties": 1}),
                json!({"maxProperties": 1}),
                json!({"required": ["a"]}),
                json!({"dependentRequired": {"a": ["b"]}}),
                json!({"format": "email"}),
                json!({"$ref": "#/$defs/d"}),
                json!({"$ref": "#/$defs/e"}),
                json!({"additionalProperties": {"$ref": "#/$defs/d"}}),
                json!({"items": {"$ref": "#"}}),
            ]),
            instance().prop_map(|value| json!({"const": value})),
            proptest::collection::vec(instance(), 1..4).prop_map(|values| json!({"enum": values})),
        ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            let list = proptest::collection::vec(inner.clone(), 1..4);
            let named = proptest::collection::btree_map("[abc]", inner.clone(), 1..3);
            let one = |keyword: &'static str| inner.clone().prop_map(move |schema| json!({keyword: schema}));
            prop_oneof![
                list.clone().prop_map(|list| json!({"allOf": list})),
                list.clone().prop_map(|list| json!({"anyOf": list})),
                list.clone().prop_map(|list| json!({"oneOf": list})),
                one("not"),
                one("items"),
                one("propertyNames"),
                one("additionalProperties"),
                one("unevaluatedProperties"),
                one("unevaluatedItems"),
                list.prop_map(|list| json!({"prefixItems": list})),
                named.clone().prop_map(|named| json!({"properties": named})),
                named.clone().prop_map(|named| json!({"patternProperties": named})),
                named.prop_map(|named| json!({"dependentSchemas": named})),
                (inner.clone(), 0..3_u64, 0..4_u64).prop_map(
                    |(schema, min, max)| json!({"contains": schema, "minContains": min, "maxContains": max})
                ),
                one("contains"),
                (inner.clone(), inner.clone(), inner.clone())
                    .prop_map(|(a, b, c)| json!({"if": a, "then": b, "else": c})),
                // Keywords side by side.
                proptest::collection::vec(inner, 2..5).prop_map(|parts| {
                    let parts = parts.into_iter().filter_map(|part| part.as_object().cloned());
                    Value::Object(parts.flatten().collect())
                }),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn an_input_is_accepted_exactly_if_the_reference_accepts_it(
            (root, defined, other) in (schema(), schema(), schema()),
            instances in proptest::collection::vec(instance(), 8),
        ) {
            let mut root = root;
            if let Some(root) = root.as_object_mut() {
                root.insert("$defs".to_owned(), json!({"d": defined, "e": other}));
            }
            let reference = jsonschema::draft202012::new(&root);
            let ours = Schema::compile(&Json::trusted(&root.to_string()));
            let ours = match ours {
                Ok(ours) => ours,
                // The reference takes such a reference for one that always fits.
                Err(error) if error.contains("refers to itself") || error.contains("leads nowhere") => return Ok(()),
                Err(error) => return Err(TestCaseError::fail(format!("{root}: {error}"))),
            };
            let reference = reference.unwrap();
            for instance in instances {
                let checked = ours.check(&Json::trusted(&instance.to_string()));
                let expected = reference.is_valid(&instance);
                prop_assert_eq!(checked.is_ok(), expected, "{} on {}: {:?}", root, instance, checked);
                if let Err(error) = checked {
                    prop_assert!(!error.contains("too deep or takes too long"), "{} on {}", root, instance);
                }
            }
        }
    }
}
