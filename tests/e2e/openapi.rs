//! The OpenAPI document: valid by a judge that is not ours, and true of every answer.

use std::collections::BTreeSet;

use dormouse_tests::{Answer, TestHost};
use serde_json::{Map, Value, json};

/// What the document says, and what of it was tried.
struct Contract {
    host: TestHost,
    document: Value,
    /// Methods and paths that answered as documented.
    tried: BTreeSet<(String, String)>,
}

impl Contract {
    fn new() -> Self {
        let host = TestHost::with(&["dormouse-programs", "declared-cron", "event-trigger"]);
        let mut document = host.get("//openapi.json").expect(200);
        let parts = parts(&document["components"]);
        close(&mut document["components"], &parts);
        Self { host, document, tried: BTreeSet::new() }
    }

    /// Calls an operation, whose path is completed with these parameters (and a query after the
    /// last of them), and checks the body sent and the answer against the document.
    #[track_caller]
    fn call(&mut self, method: &str, path: &str, parameters: &[&str], body: &Value) -> Answer {
        let operation = &self.document["paths"][path][method];
        assert!(operation.is_object(), "{method} {path} is not in the document");
        if let Some(content) = operation["requestBody"]["content"].get("application/json") {
            self.check(&content["schema"], body, &format!("body of {method} {path}"));
        }
        let answer = self.send(method, path, parameters, body);
        let responses = &operation["responses"];
        let response = responses.get(answer.status.to_string()).unwrap_or(&responses["default"]);
        match response["content"].get("application/json") {
            Some(content) => {
                let what = format!("{} of {method} {path}", answer.status);
                self.check(&content["schema"], &answer.body, &what);
            }
            None => assert_eq!(answer.body, Value::Null, "{} of {method} {path} has a body", answer.status),
        }
        if answer.status < 300 {
            self.tried.insert((method.to_owned(), path.to_owned()));
        }
        answer
    }

    #[track_caller]
    fn send(&self, method: &str, path: &str, parameters: &[&str], body: &Value) -> Answer {
        let mut parameters = parameters.iter();
        let mut url = String::new();
        for part in path.split_inclusive('}') {
            let (text, name) = part.split_once('{').unwrap_or((part, ""));
            url.push_str(text);
            if !name.is_empty() {
                url.push_str(parameters.next().expect("a value for each parameter"));
            }
        }
        parameters.for_each(|query| url.push_str(query));
        let url = url.strip_prefix("/api/v1").map_or_else(|| format!("/{url}"), str::to_owned);
        match method {
            "get" => self.host.get(&url),
            "delete" => self.host.delete(&url),
            "put" => self.host.put(&url, body),
            "patch" => self.host.patch(&url, body),
            _ => self.host.post(&url, body),
        }
    }

    #[track_caller]
    fn check(&self, schema: &Value, value: &Value, what: &str) {
        let mut schema = schema.clone();
        schema["components"] = self.document["components"].clone();
        let options = jsonschema::draft202012::options().should_validate_formats(true);
        let validator = options.build(&schema).expect("it is a schema");
        let problems: Vec<_> = validator
            .iter_errors(value)
            .map(|error| format!("at {}: {error}", error.instance_path()))
            .collect();
        assert!(problems.is_empty(), "{what}: {problems:#?}\n{value:#}");
    }
}

/// Forbids what an object's schema does not name, so that no field goes undocumented. Parts of
/// another schema name only their share of its fields and stay open.
fn close(schema: &mut Value, parts: &BTreeSet<String>) {
    let Value::Object(members) = schema else { return };
    for (name, member) in members.iter_mut() {
        match member {
            Value::Array(schemas) if name == "oneOf" => schemas.iter_mut().for_each(|s| close(s, parts)),
            Value::Object(_) if name == "items" => close(member, parts),
            Value::Object(named) if ["properties", "schemas"].contains(&name.as_str()) => {
                let whole = named.iter_mut().filter(|(name, _)| !parts.contains(*name));
                whole.for_each(|(_, schema)| close(schema, parts));
            }
            _ => {}
        }
    }
    let names_fields = members.contains_key("properties") || members.contains_key("allOf");
    if names_fields && !members.contains_key("additionalProperties") {
        members.insert("unevaluatedProperties".to_owned(), json!(false));
    }
}

/// The schemas that others are put together from.
fn parts(schema: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let inner: Vec<&Value> = match schema {
        Value::Object(members) => members.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    inner.into_iter().for_each(|schema| names.extend(parts(schema)));
    let references =
        schema["allOf"].as_array().into_iter().flatten().filter_map(|part| part["$ref"].as_str());
    names.extend(references.filter_map(|path| path.rsplit('/').next()).map(str::to_owned));
    names
}

/// The id of what an answer shows.
#[track_caller]
fn id(answer: &Answer) -> String {
    let id = answer.body.get("id").or_else(|| answer.body.pointer("/event/id"));
    id.and_then(Value::as_str).unwrap_or_else(|| panic!("it has no id: {:#}", answer.body)).to_owned()
}

#[test]
fn the_document_is_valid_by_the_rules_of_openapi_3_1() {
    use roas::validation::{Options, Validate};

    let host = TestHost::with(&[]);
    let document = host.get("//openapi.json").expect(200).to_string();
    let spec: roas::v3_1::spec::Spec = serde_json::from_str(&document).expect("it is an OpenAPI document");
    // Tags need no description of their own, and what comes over a stream is named in words only.
    if let Err(error) = spec.validate(Options::IgnoreMissingTags | Options::IgnoreUnusedSchemas, None) {
        panic!("{error}");
    }
}

#[test]
fn every_route_answers_as_the_document_says() {
    let mut contract = Contract::new();
    let none = Value::Null;
    let runs = "/api/v1/workflows/{name}/runs";

    // Runs in every status, with every kind of wait, trigger and error.
    let mut started = Vec::new();
    for (workflow, input) in [
        ("echo", json!({ "any": ["thing", 1.5, null] })),
        ("joiner", json!({ "sleep_ms": 60_000, "key": "never" })),
        ("event-waiter", json!({ "pattern": "never*", "filter": "true", "look_back_ms": 1000 })),
        ("fails", json!({ "attempts": 9, "fatal": true })),
        ("fails", json!({ "attempts": 1 })),
        ("parent", json!({ "children": 2, "sleep_ms": 60_000 })),
        ("publisher", json!({ "chunks": 3 })),
        ("map-checksum", json!({ "n": 10, "sleep_ms": 60_000 })),
    ] {
        let body = json!({ "input": input, "metadata": { "team": "a" }, "priority": 2 });
        let answer = contract.call("post", runs, &[workflow], &body);
        assert_eq!(answer.status, 202, "{:#}", answer.body);
        started.push(id(&answer));
    }
    contract.host.settle();
    let keyed = json!({ "input": 1, "idempotencyKey": "k", "idempotencyTtlMs": 1000 });
    for expected in [202, 200] {
        assert_eq!(contract.call("post", runs, &["echo"], &keyed).status, expected);
    }
    let asleep = started.last().expect("there are some").clone();
    assert_eq!(contract.call("post", "/api/v1/runs/{id}/cancel", &[&asleep], &json!({})).status, 200);
    for run in &started {
        for path in ["/api/v1/runs/{id}", "/api/v1/runs/{id}/history", "/api/v1/runs/{id}/logs"] {
            assert_eq!(contract.call("get", path, &[run], &none).status, 200);
        }
    }

    let cron = json!({
        "expression": "0 9 * * MON-FRI", "timezone": "Europe/Paris", "input": 1, "metadata": { "team": "a" },
        "priority": 3, "enabled": true, "catchUp": "all", "catchUpWindowMs": 5000, "overlap": "queue",
    });
    let path = "/api/v1/workflows/{name}/crons/{cronName}";
    assert_eq!(contract.call("put", path, &["echo", "weekdays"], &cron).status, 201);
    let mut named = cron.clone();
    named["name"] = json!("weekdays");
    let made = contract.call("post", "/api/v1/workflows/{name}/crons", &["echo"], &named);
    assert_eq!(made.status, 200);
    let made = id(&made);
    let patched = contract.call("patch", "/api/v1/crons/{id}", &[&made], &json!({ "enabled": false }));
    assert_eq!(patched.status, 200);
    assert_eq!(contract.call("post", "/api/v1/crons/{id}/trigger", &[&made], &json!({})).status, 202);
    assert_eq!(contract.call("get", "/api/v1/crons/{id}", &[&made], &none).status, 200);

    let at = json!({ "triggerAt": "2030-01-31T09:00:00+02:00", "input": 1, "metadata": { "team": "a" } });
    let scheduled: Vec<_> = (0..3)
        .map(|_| id(&contract.call("post", "/api/v1/workflows/{name}/scheduled", &["echo"], &at)))
        .collect();
    let path = "/api/v1/scheduled/{id}";
    assert_eq!(contract.call("patch", path, &[&scheduled[0]], &json!({ "priority": 3 })).status, 200);
    assert_eq!(
        contract.call("post", "/api/v1/scheduled/{id}/trigger", &[&scheduled[0]], &json!({})).status,
        202
    );
    assert_eq!(contract.call("delete", path, &[&scheduled[1]], &none).status, 204);
    for scheduled in &scheduled {
        assert_eq!(contract.call("get", path, &[scheduled], &none).status, 200);
    }

    let bulk = [
        ("/api/v1/workflows/{name}/runs/bulk", json!({ "runs": [{ "input": 1 }, { "priority": 3 }] }), 202),
        ("/api/v1/runs/cancel", json!({ "ids": [started[1], started[0]] }), 200),
        ("/api/v1/runs/replay", json!({ "filter": { "status": "failed", "trigger": "call" } }), 200),
        ("/api/v1/scheduled/bulk-update", json!({ "updates": [{ "id": scheduled[2], "priority": 3 }] }), 200),
        ("/api/v1/scheduled/bulk-delete", json!({ "ids": [scheduled[2], scheduled[2]] }), 200),
        ("/api/v1/events/bulk", json!({ "events": [{ "key": "triggered:plain" }, { "key": "*" }] }), 201),
    ];
    for (path, body, expected) in &bulk {
        let names: &[&str] = if path.contains("{name}") { &["echo"] } else { &[] };
        assert_eq!(contract.call("post", path, names, body).status, *expected, "{path}");
    }
    let path = "/api/v1/runs/{id}/replay";
    assert_eq!(contract.call("post", path, &[&started[0]], &json!({ "input": 2 })).status, 202);

    let event =
        json!({ "key": "triggered:plain", "payload": {}, "metadata": { "a": "b" }, "idempotencyKey": "e" });
    let pushed = contract.call("post", "/api/v1/events", &[], &event);
    assert_eq!(pushed.status, 201);
    assert_eq!(contract.call("get", "/api/v1/events/{id}", &[&id(&pushed)], &none).status, 200);
    contract.host.settle();

    let module = contract.host.list("/modules")[0]["digest"].as_str().expect("a digest").to_owned();
    assert_eq!(contract.call("get", "/api/v1/modules/{digest}", &[&module], &none).status, 200);
    assert_eq!(contract.call("get", "/api/v1/workflows/{name}", &["triggered"], &none).status, 200);
    let paused =
        contract.call("patch", "/api/v1/workflows/{name}", &["triggered"], &json!({ "paused": true }));
    assert_eq!(paused.status, 200);
    for list in ["modules", "workflows", "runs", "crons", "scheduled", "events"] {
        let answer = contract.call("get", &format!("/api/v1/{list}"), &["?limit=200"], &none);
        assert!(answer.body["rows"].as_array().is_some_and(|rows| !rows.is_empty()), "{list} are empty");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(contract.call("get", path, &[], &none).status, 200);
    }

    // What is deleted comes last; what is refused answers as documented, too.
    assert_eq!(contract.call("delete", "/api/v1/crons/{id}", &[&made], &none).status, 204);
    assert_eq!(contract.call("get", "/api/v1/crons/{id}", &[&made], &none).status, 404);
    assert_eq!(contract.call("get", "/api/v1/runs", &["?limit=0"], &none).status, 422);
    assert_eq!(contract.call("delete", "/api/v1/modules/{digest}", &[&module], &none).status, 409);
    let declared = contract.host.get(&format!("/modules/{module}")).expect(200);
    for workflow in declared["workflows"].as_array().expect("it has workflows") {
        let name = workflow["name"].as_str().expect("a name");
        assert_eq!(contract.call("delete", "/api/v1/workflows/{name}", &[name], &none).status, 204);
    }
    for run in contract.host.list("/runs") {
        drop(contract.host.post(&format!("/runs/{}/cancel", run["id"].as_str().expect("an id")), &json!({})));
    }
    assert_eq!(contract.call("delete", "/api/v1/modules/{digest}", &[&module], &none).status, 204);

    // These speak something else than JSON; they have tests of their own.
    let others = [("get", "/api/v1/runs/{id}/stream"), ("post", "/api/v1/modules"), ("get", "/metrics")];
    let paths = contract.document["paths"].as_object().expect("paths");
    let methods = |(path, item): (&String, &Value)| {
        let methods: Vec<_> = item.as_object().map(Map::keys).into_iter().flatten().cloned().collect();
        methods.into_iter().map(|method| (method, path.clone())).collect::<Vec<_>>()
    };
    let all = paths.iter().flat_map(methods);
    let untried: Vec<_> = all
        .filter(|(method, path)| !others.contains(&(method, path)))
        .filter(|operation| !contract.tried.contains(operation))
        .collect();
    assert_eq!(untried, []);
}

#[test]
fn an_upload_answers_as_the_document_says() {
    let contract = Contract::new();
    let responses = &contract.document["paths"]["/api/v1/modules"]["post"]["responses"];
    for (guest, status) in [("approval", 201), ("approval", 200), ("dormouse-programs", 200)] {
        let bytes = dormouse_tests::guest(guest);
        let module = contract.host.post_bytes("/modules", "application/wasm", &bytes).expect(status);
        let response = &responses[status.to_string()];
        contract.check(&response["content"]["application/json"]["schema"], &module, guest);
    }
}

#[test]
fn the_events_of_a_stream_are_what_the_document_names() {
    let contract = Contract::new();
    let run = contract.host.call("publisher", &json!({ "chunks": 2, "sleep_ms": 1000 }));
    let mut seen = BTreeSet::new();
    let mut kind = String::new();
    for line in contract.host.stream(run["id"].as_str().expect("an id"), None) {
        match line.split_once(": ") {
            Some(("event", name)) => name.clone_into(&mut kind),
            Some(("data", data)) => {
                let schema = match kind.as_str() {
                    "status" => "HistoryEntry",
                    "log" => "LogEntry",
                    _ => "Chunk",
                };
                let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
                let data = serde_json::from_str(data).expect("the data is JSON");
                contract.check(&schema, &data, &kind);
                seen.insert(kind.clone());
            }
            _ => {}
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["chunk", "status"]);
}
