use proptest::prelude::*;

use super::*;

fn subject() -> Subject {
    let input =
        r#"{"total": 150, "price": 1.5, "customer": {"name": "ann", "vip": true}, "items": ["a", "b"]}"#;
    let metadata = Metadata::new([("region".to_owned(), "eu".to_owned())]);
    Subject::of_event("order:created", &Json::trusted(input), &metadata)
}

fn holds(text: &str) -> Result<bool, String> {
    let predicate = Predicate::compile(text).map_err(|error| error.to_string())?;
    predicate.holds(&subject()).map_err(|error| error.to_string())
}

fn key(text: &str) -> Result<String, String> {
    let expression = KeyExpression::compile(text).map_err(|error| error.to_string())?;
    expression.evaluate(&subject()).map_err(|error| error.to_string())
}

#[test]
fn a_filter_sees_input_metadata_and_key() {
    for (text, expected) in [
        ("input.total > 100", true),
        ("input.total > 100.5", true),
        ("input.price == 1.5", true),
        ("input.total >= 151", false),
        ("input.total * 2 - 400 == -100", true),
        ("input.customer.name == 'ann' && metadata.region == \"eu\"", true),
        ("key == 'order:created'", true),
        ("key.startsWith('order:') && !key.endsWith('paid')", true),
        ("input.customer.name.contains('nn')", true),
        ("input.customer.name.matches('^a.*n$')", true),
        ("metadata['region'] in ['us', 'eu']", true),
        ("has(input.discount)", false),
        ("has(input.discount) && input.discount > 5", false),
        ("input.customer.vip ? input.total > 1 : false", true),
        ("size(input.items) == 2", true),
        ("input.items.exists(item, item == 'b')", true),
        ("input.items.all(item, item == 'b')", false),
        ("true", true),
    ] {
        assert_eq!(holds(text), Ok(expected), "{text}");
    }
}

#[test]
fn a_key_is_a_text_a_number_or_a_bool() {
    for (text, expected) in [
        ("input.customer.name", "ann"),
        ("input.total", "150"),
        ("input.price", "1.5"),
        ("input.customer.vip", "true"),
        ("metadata.region + '/' + input.customer.name", "eu/ann"),
        ("'all'", "all"),
        ("string(input.total) + '!'", "150!"),
    ] {
        assert_eq!(key(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_no_expression_is_refused_with_what_is_wrong() {
    for (text, problem) in [
        ("", "line 1"),
        ("input.total >", "line 1, column"),
        ("input.total > 1 &&\n )", "line 2, column"),
        ("total > 100", "it names `total`, but there are only `input`, `metadata`, `key`"),
        ("input.total > limit", "it names `limit`"),
        ("input.items.exists(item, other == 'b')", "it names `other`"),
        ("now() > 3", "there is no function `now`; there are `size`"),
        ("input.customer.name.upper() == 'ANN'", "there is no function `upper`"),
        ("input.a.all(x, input.b.all(y, x == y))", "cannot stand within another one"),
        (&"!".repeat(5000), "it has 5000 bytes, and at most 4096 are allowed"),
        (&format!("input{}", ".a".repeat(100)), "nested more than 64 deep"),
        (&format!("input.total == 1{}", " + 1".repeat(100)), "more than 8 additions"),
    ] {
        let error = holds(text).unwrap_err();
        assert!(error.contains(problem), "{text}: {error}");
    }
    assert!(key("key").unwrap_err().contains("it names `key`, but there are only `input`, `metadata`"));
}

#[test]
fn what_has_no_value_is_an_error_that_says_why() {
    for (text, problem) in [
        ("input.discount > 5", "`input.discount > 5` has no value: there is no `discount`"),
        ("input.total", "it is an int, not a bool"),
        ("input.total > 'x'", "has no value"),
        ("input.total / 0 == 1", "has no value"),
    ] {
        let error = holds(text).unwrap_err();
        assert!(error.contains(problem), "{text}: {error}");
    }
    let error = key("input.items").unwrap_err();
    assert!(error.contains("it is a list, not a string"), "{error}");
}

#[test]
fn what_an_expression_can_cost_is_bounded() {
    let large = format!("[{}1]", "1,".repeat(MACRO_INPUT_BYTES_MAX / 2));
    let subject = Subject::of_run(&Json::trusted(&large), &Metadata::default());
    let error = Predicate::compile("input.all(n, n == 1)").unwrap().holds(&subject).unwrap_err();
    assert!(error.to_string().contains("take at most 16384"), "{error}");
    assert_eq!(Predicate::compile("size(input) > 3").unwrap().holds(&subject), Ok(true));

    let long = format!("{{\"name\": \"{}\"}}", "x".repeat(300));
    let subject = Subject::of_run(&Json::trusted(&long), &Metadata::default());
    let error = KeyExpression::compile("input.name").unwrap().evaluate(&subject).unwrap_err();
    assert!(error.to_string().contains("it has 300 bytes, and at most 256 are allowed"), "{error}");
}

/// On a stack as small as that of any thread of the host.
#[test]
fn the_longest_expressions_are_read_or_refused_but_never_crash() {
    let texts = [
        "!", "-", "(", "[", "{", "input.", "input[", "a ? ", "1 + ", "1 && ", "1 || ", "x in ", "f(", ".a",
        "[0]",
    ];
    for text in texts {
        for (front, back) in [("", ""), ("input", ""), ("", "true")] {
            let text = text.repeat((EXPRESSION_BYTES_MAX - 10) / text.len());
            let text = format!("{front}{text}{back}");
            let run = move || drop(holds(&text));
            let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap();
            assert!(thread.join().is_ok());
        }
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-z0-9 .,:?!(){}\\[\\]'\"<>=&|+*/%\\\\-]{0,60}") {
        drop(holds(&text));
    }

    #[test]
    fn no_sequence_of_words_makes_it_panic(words in proptest::collection::vec(proptest::sample::select(vec![
        "input", ".", "a", "(", ")", "[", "]", "{", "}", "'x'", "1", "2.5", "+", "-", "==", "&&", "?", ":", ",", "all",
        "map", "has", "in", "!", "x", "size", "matches", "9223372036854775807", "%", "/", "0",
    ]), 0..14)) {
        drop(holds(&words.join(" ")));
    }
}
