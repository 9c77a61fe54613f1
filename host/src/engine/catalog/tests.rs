use dormouse_core::id::{EventId, ModuleDigest};
use dormouse_core::time::Timestamp;
use dormouse_core::workflow::{Concurrency, ConcurrencyStrategy, EventSubscription};

use super::*;
use crate::store::rows::EventRow;

/// A schema that an older host took: it goes nowhere.
const UNUSABLE: &str = r##"{"$ref": "#/$defs/none"}"##;

fn name(text: &str) -> WorkflowName {
    text.parse().unwrap()
}

fn workflow(text: &str) -> Workflow {
    Workflow {
        name: name(text),
        description: String::new(),
        crons: Vec::new(),
        events: Vec::new(),
        tasks: Vec::new(),
        on_failure: None,
        input_schema: None,
        output_schema: None,
        concurrency: Vec::new(),
        default_priority: Default::default(),
    }
}

fn subscribed(workflow: Workflow, subscriptions: &[(&str, Option<&str>)]) -> Workflow {
    let subscription = |(key_pattern, filter): &(&str, Option<&str>)| EventSubscription {
        key_pattern: (*key_pattern).to_owned(),
        filter: filter.map(str::to_owned),
    };
    Workflow { events: subscriptions.iter().map(subscription).collect(), ..workflow }
}

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

impl Catalog {
    fn put(&mut self, version: u32, definition: Workflow) {
        let name = definition.name.clone();
        let deployed = DeployedVersion::new(ModuleDigest::from_bytes([7; 32]), definition);
        self.put_version(Version(version), Arc::new(deployed));
        self.set(&name, Some(version), false);
    }

    fn set(&mut self, name: &WorkflowName, current: Option<u32>, paused: bool) {
        self.put_workflow(&WorkflowRow {
            name: name.clone(),
            current: current.map(Version),
            latest: Version(9),
            paused,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        });
    }

    /// The names of the workflows that an event with this key and this payload starts.
    fn started_by(&self, key: &str, payload: &str) -> Vec<String> {
        let event = EventRow {
            id: EventId::new(Timestamp::default(), [0; 10]),
            key: key.to_owned(),
            payload: json(payload),
            metadata: Metadata::default(),
            priority: None,
            pushed_at: Timestamp::default(),
            runs: Vec::new(),
            settled_waits: 0,
        };
        let mut matching = Matching::of(&event);
        let held = self.hold_against_subscriptions(&mut matching, None);
        held.filter_map(|(_, entry)| Some(entry?.target.workflow.to_string())).collect()
    }
}

#[test]
fn a_copy_stays_as_it_is_while_the_catalog_changes() {
    let mut catalog = Catalog::default();
    catalog.put(1, subscribed(workflow("a"), &[("paid", None), ("paid:*", None)]));
    catalog.put(1, subscribed(workflow("b"), &[("paid:*", None)]));
    let copy = catalog.clone();
    catalog.put(2, subscribed(workflow("a"), &[("sent", None)]));
    catalog.set(&name("b"), None, false);

    assert_eq!(copy.workflow(&name("a")).unwrap().target.version, Version(1));
    assert_eq!(copy.started_by("paid", "1"), ["a"]);
    assert_eq!(copy.started_by("paid:late", "1"), ["a", "b"]);
    assert!(copy.version(&name("a"), Version(2)).is_none());

    assert_eq!(catalog.workflow(&name("a")).unwrap().target.version, Version(2));
    assert!(catalog.workflow(&name("b")).is_none());
    assert!(catalog.definition(&name("b"), Version(1)).is_some(), "runs that have begun go on");
    assert!(catalog.started_by("paid", "1").is_empty() && catalog.started_by("paid:late", "1").is_empty());
    assert_eq!(catalog.started_by("sent", "1"), ["a"]);
}

#[test]
fn a_pause_compiles_nothing_and_touches_no_other_workflow() {
    let mut catalog = Catalog::default();
    for n in 0..100 {
        catalog.put(1, subscribed(workflow(&format!("w{n}")), &[("paid", Some("input.n == 1"))]));
    }
    let before = catalog.clone();
    catalog.set(&name("w7"), Some(1), true);
    for (old, new) in before.workflows().into_iter().zip(catalog.workflows()) {
        assert!(Arc::ptr_eq(&old.version, &new.version));
        assert_eq!(Arc::ptr_eq(old, new), new.target.workflow != name("w7"));
    }
    assert!(catalog.workflow(&name("w7")).unwrap().paused);
    assert_eq!(catalog.started_by("paid", r#"{"n":1}"#).len(), 100);
}

#[test]
fn workflows_and_subscribers_come_in_order_of_their_names() {
    let mut catalog = Catalog::default();
    for text in ["c", "a", "b"] {
        catalog.put(1, subscribed(workflow(text), &[("x*", None), ("xy", None), ("*y", None)]));
    }
    let names = catalog.workflows().into_iter().map(|entry| entry.target.workflow.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["a", "b", "c"]);
    // First those with that very key, and each once for each of its subscriptions.
    assert_eq!(catalog.started_by("xy", "1"), ["a", "b", "c", "a", "a", "b", "b", "c", "c"]);
    // Whoever breaks off goes on behind the place that it has come to.
    let places = |after| catalog.subscriptions.to("xy", after).map(|(place, _)| place).collect::<Vec<_>>();
    let all = places(None);
    for (count, place) in (1..).zip(&all) {
        assert_eq!(places(Some(place.clone())), all[count..]);
    }
}

#[test]
fn a_stored_schema_that_does_not_compile_any_more_refuses_every_input_and_says_what_to_do() {
    let mut catalog = Catalog::default();
    catalog.put(1, Workflow { input_schema: Some(json(UNUSABLE)), ..workflow("a") });
    let entry = catalog.workflow(&name("a")).unwrap();
    let refused = entry.check_call(&json("1"), &Metadata::default()).unwrap_err();
    assert_eq!((refused.code, refused.field.as_deref()), ("invalid_input", Some("input")));
    assert!(refused.description.contains("deploy a module with a simpler one"), "{refused}");

    catalog.put(2, Workflow { input_schema: Some(json(r#"{"type":"integer"}"#)), ..workflow("a") });
    let entry = catalog.workflow(&name("a")).unwrap();
    assert!(entry.check_input(&json("1")).is_ok() && entry.check_input(&json("true")).is_err());
}

#[test]
fn a_stored_filter_that_does_not_compile_any_more_matches_nothing() {
    let mut catalog = Catalog::default();
    catalog.put(1, subscribed(workflow("a"), &[("paid", Some("1 +")), ("sent", None)]));
    assert!(catalog.started_by("paid", "1").is_empty());
    assert_eq!(catalog.started_by("sent", "1"), ["a"]);
}

#[test]
fn a_stored_key_that_does_not_compile_any_more_puts_no_run_under_another_key() {
    let limit =
        Concurrency { key: Some("input.".to_owned()), max_runs: 1, strategy: ConcurrencyStrategy::Queue };
    let mut catalog = Catalog::default();
    catalog.put(1, Workflow { concurrency: vec![limit], ..workflow("a") });
    let entry = catalog.workflow(&name("a")).unwrap();
    let problem = entry.version.concurrency_keys(&json("1"), &Metadata::default()).unwrap_err();
    assert!(problem.contains("cannot use the concurrency key of `a`"), "{problem}");
}
