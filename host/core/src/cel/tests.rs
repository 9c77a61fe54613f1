use proptest::prelude::*;

use super::*;
use crate::workflow::{Json, Metadata};

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
        ("input.customer.name.matches(input.items[0])", "must be written out as a string"),
        ("matches(key, 'a' + key)", "must be written out as a string"),
        ("key.matches('(')", "cannot be read"),
        ("key.matches('(a)\\\\1')", "cannot be read"),
        ("key.matches('\\\\pL{0,40}b')", "is too large: use fewer and shorter repetitions"),
        (&format!("key.matches('{}')", "a".repeat(257)), "at most 256 are allowed: shorten them"),
        ("contains(key, 'a')", "call it as in `input.name.contains"),
        ("key.size(1) == 1", "call it as in `size(input.x)`"),
        (&"(".repeat(100), "nested more than 32 deep"),
        ("Point{x: 1} == input", "there is no type `Point`"),
        ("key == b'a'", "write a string"),
        (&"!".repeat(5000), "it has 5000 bytes, and at most 4096 are allowed"),
        (&format!("input{}", ".a".repeat(100)), "nested more than 64 deep"),
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

fn of(input: &str) -> Subject {
    Subject::of_run(&Json::trusted(input), &Metadata::default())
}

fn list(elements: usize, element: &str) -> Subject {
    of(&format!("{{\"l\":[{}]}}", vec![element; elements].join(",")))
}

/// Each took seconds to an hour, or gigabytes: `input.l` was copied deeply for each element, and a
/// pattern compiled for each. Nothing of it is measured here in time: the steps are what is bounded.
#[test]
fn what_an_evaluation_takes_is_bounded() {
    let matching = |times: usize| vec![r#"input.l.exists(x, x.matches("[a-z]{0,40}b"))"#; times].join(" || ");
    for (filter, subject) in [
        (matching(1), list(4000, r#""aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa""#)),
        (matching(80), list(4000, r#""a""#)),
        ("input.l.all(x, input.l.all(y, x == y))".to_owned(), list(8100, "1")),
        ("input.l.map(x, input.l) == input.l.map(x, input.l)".to_owned(), list(8100, "1")),
        ("size(input.l.map(x, x + x)) < 0".to_owned(), list(1, &format!("\"{}\"", "a".repeat(2 << 20)))),
        ("input.l[0].matches('a.*b')".to_owned(), list(1, &format!("\"{}\"", "a".repeat(1 << 20)))),
        // `||` and `exists` go on after a part that has no value, not after the end of the budget.
        ("input.l.all(x, input.l.all(y, x == y)) || true".to_owned(), list(8100, "1")),
        ("[1].exists(z, input.l.all(x, input.l.all(y, x == y)) || true)".to_owned(), list(8100, "1")),
    ] {
        let predicate = Predicate::compile(&filter).unwrap();
        let error = predicate.holds(&subject).unwrap_err();
        assert!(error.is_out_of_budget(), "{error}");
        assert!(predicate.steps(&subject) <= EVALUATION_STEPS_MAX);
    }
}

#[test]
fn what_is_shared_is_not_copied() {
    let filter = Predicate::compile("size(input.l.map(x, input.l)) < 0").unwrap();
    let subject = list(8100, "1");
    assert_eq!(filter.holds(&subject), Ok(false));
    assert!(filter.steps(&subject) < 40_000, "{}", filter.steps(&subject));
}

#[test]
fn lists_of_fifty_thousand_can_be_gone_through() {
    let filter = Predicate::compile("input.l.all(n, n == 1)").unwrap();
    assert_eq!(filter.holds(&list(49_000, "1")), Ok(true));
    assert_eq!(Predicate::compile("size(input.l) > 3").unwrap().holds(&list(500_000, "1")), Ok(true));
}

#[test]
fn a_key_that_is_too_long_is_an_error() {
    let subject = of(&format!("{{\"name\": \"{}\"}}", "x".repeat(300)));
    let error = KeyExpression::compile("input.name").unwrap().evaluate(&subject).unwrap_err();
    assert!(error.to_string().contains("it has 300 bytes, and at most 256 are allowed"), "{error}");
    assert!(!error.is_out_of_budget());
}

#[test]
fn numbers_of_all_types_are_compared_as_numbers() {
    for (text, expected) in [
        ("5 == 5.0 && 5u == 5 && 5.0 == 5u", true),
        ("5 in [5.0] && [5] == [5.0] && {1: 2u} == {1u: 2.0}", true),
        ("9007199254740993 == 9007199254740992.0", false),
        ("9007199254740993 > 9007199254740992.0", true),
        ("-1 < 18446744073709551615u && 1.5 > 1 && -1.5 < -1 && -0.5 < 0 && 0 == -0.0", true),
        ("1 < 1e300 && -1 > -1e300", true),
        ("double('NaN') == double('NaN') || 1 == double('NaN')", false),
        ("1 == '1' || true == 1 || null == 0 || [] == {}", false),
        ("{1: 'a'}[1.0] == 'a' && {1: 'a'}[1u] == 'a' && 1.0 in {1: 'a'}", true),
    ] {
        assert_eq!(holds(text), Ok(expected), "{text}");
    }
    for text in [
        "1.0 + 1 == 2.0",
        "1 < double('NaN')",
        "1 < '2'",
        "5 % 2.0 == 1",
        "{1: 1, 1u: 2} == {}",
        "{1.5: 1} == {}",
    ] {
        assert!(holds(text).is_err(), "{text}");
    }
}

#[test]
fn functions_and_macros_do_what_the_language_says() {
    for text in [
        "size('äö') == 2 && 'äö'.size() == 2 && size({'a': 1}) == 1",
        "string(1.5) == '1.5' && string(1) == '1' && string(true) == 'true' && string('a') == 'a'",
        "int('12') == 12 && int(1.9) == 1 && int(3u) == 3 && uint(3) == 3u && double('1.5') == 1.5",
        "bool('true') && !bool('0')",
        "min(1, 2.5) == 1 && max([1, 3, 2]) == 3 && max([]) == null",
        "[1, 2, 3].map(x, x * 2) == [2, 4, 6] && [1, 2, 3].map(x, x > 1, x) == [2, 3]",
        "[1, 2, 3].filter(x, x > 1) == [2, 3] && [1, 2].exists_one(x, x == 2)",
        "{'b': 1, 'a': 2}.map(k, k) == ['a', 'b'] && {'a': 1}.all(k, k == 'a')",
        "[1, 2].exists(x, [2, 3].exists(y, x == y)) && [[1], [2]].map(x, x.map(x, x + 1)) == [[2], [3]]",
        "[1, 'a'].exists(x, x > 'A') && ![1, 0].all(x, 1 / x > 1)",
        "[1] + [2] == [1, 2] && 'a' + 'b' == 'ab' && 7 % 4 == 3 && -7 / 2 == -3",
        "[1, 2][1] == 2 && [1, 2][0.0] == 1 && {'a': {'b': 1}}.a['b'] == 1",
        "has({'a': null}.a) && !has({'a': 1}.b) && 'a' in {'a': 1} && !('b' in ['a'])",
        "1 / 0 > 0 || true",
        "!(false && 1 / 0 > 0)",
        "'b' > 'a' && true > false && 'a'.matches('^a$') && matches('xay', 'a')",
    ] {
        assert_eq!(holds(text), Ok(true), "{text}");
    }
    for text in [
        "[1, 2].all(x, 1 / (x - 1) > 0)",
        "[1][1] == 1",
        "[1][-1] == 1",
        "int('x') == 1",
        "int(1e30) == 1",
        "9223372036854775807 + 1 > 0",
        "-(-9223372036854775808) > 0",
        "1 in 'a'",
        "size(1) == 1",
        "1 ? true : false",
        "has(key.a)",
    ] {
        let error = Predicate::compile(text).unwrap().holds(&subject()).unwrap_err();
        assert!(!error.is_out_of_budget(), "{error}");
    }
}

/// Such payloads were taken in once; a filter then saw `null`, and `input == null` matched.
#[test]
fn an_input_that_cannot_be_read_is_an_error_and_never_null() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for input in [r#""\ud800""#, r#"{"n":5,"c":1e400}"#, &deep] {
        let subject = Subject::of_event("key", &Json::trusted(input), &Metadata::default());
        for filter in ["input == null", "input != null", "input.n == 5"] {
            let error = Predicate::compile(filter).unwrap().holds(&subject).unwrap_err();
            assert!(error.to_string().contains("the input cannot be read"), "{error}");
        }
    }
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
    /// The interpreter of the parser's crate is the reference, where numbers are small enough for it.
    #[test]
    fn the_value_is_that_of_the_reference(text in expression()) {
        use cel::{Context, Program, Value};
        let mut context = Context::default();
        context.add_variable_from_value("input", cel::to_value(std::collections::BTreeMap::from([("n", 5_i64), ("m", -1)])).unwrap());
        let reference = Program::compile(&text).unwrap().execute(&context);
        let ours = Predicate::compile(&text).unwrap().holds(&of(r#"{"n": 5, "m": -1}"#));
        match reference {
            Ok(Value::Bool(truth)) => prop_assert_eq!(ours, Ok(truth), "{}", text),
            other => prop_assert!(ours.is_err(), "{}: {:?}, {:?}", text, other, ours),
        }
    }
}

/// Random expressions, most of which have a value. No map stands alone: the reference adds one to a list
/// as if it were the list of its keys, which the language does not know.
fn expression() -> impl Strategy<Value = String> {
    let leaf = proptest::sample::select(vec![
        "1",
        "2",
        "5",
        "5.0",
        "1.5",
        "-1",
        "3u",
        "true",
        "false",
        "null",
        "'a'",
        "'ab'",
        "''",
        "input.n",
        "input.m",
        "input.x",
        "input",
        "[1, 2, 5]",
        "['a', 'b']",
        "[]",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 24, 3, |inner| {
        let operators = vec!["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "&&", "||", "in"];
        let calls = vec![
            "size(@)",
            "string(@)",
            "int(@)",
            "uint(@)",
            "double(@)",
            "bool(@)",
            "!(@)",
            "-(@)",
            "(@).all(x, x == 1)",
            "(@).exists(x, x > 1)",
            "(@).exists_one(x, x == 1)",
            "(@).map(x, [x])",
            "(@).filter(x, x != 1)",
            "(@).contains('a')",
            "(@).startsWith('a')",
            "(@).endsWith('b')",
            "(@)[0]",
            "(@) in {'a': 1, 1: 2}",
            "{'a': 1, 1: 2}[@]",
            "{'a': 1, 1: 2}.exists(k, k == @)",
            "{'a': [@]} == {'a': [1]}",
            "(@)['a']",
            "[@]",
            "{'k': @}.k",
            "has({'k': @}.k)",
            "(@).a",
            "has((@).n)",
        ];
        prop_oneof![
            (inner.clone(), proptest::sample::select(operators), inner.clone())
                .prop_map(|(left, operator, right)| format!("({left}) {operator} ({right})")),
            (inner.clone(), proptest::sample::select(calls))
                .prop_map(|(part, call)| call.replace('@', &part)),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a}) ? ({b}) : ({c})")),
        ]
    })
}
