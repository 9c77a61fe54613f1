//! What the host is told of a workflow that uses every option, and how functions become workflows.

use dormouse_sdk::__private::Module;
use dormouse_sdk::__private::definitions::{
    CatchUp, ConcurrencyStrategy, Overlap, RateLimitKey, Workflow as Definition,
};
use dormouse_sdk::prelude::*;
use dormouse_sdk::{Target, Workflow};

#[data]
struct UserCreated {
    email: String,
    should_skip: bool,
}

/// Welcomes a user.
///
/// Asks after three days whether all is *well*.
#[workflow(
    name = "welcome",
    on_event = "user:create",
    on_event("user:*", filter = "!input.should_skip"),
    cron(
        "0 9 * * MON-FRI",
        timezone = "Europe/Paris",
        input = r#"{"email":"ops@example.com","should_skip":false}"#,
        metadata(team = "ops"),
        priority = 2,
        catch_up(all = "2h"),
        overlap = "cancel_running"
    ),
    cron("@daily", name = "nightly", catch_up = "one"),
    cron("*/5 * * * * *"),
    retries = 3,
    backoff(initial = "500ms", factor = 1.5, max = "10m", jitter = 0),
    execution_timeout = "30s",
    schedule_timeout = "1h 30m",
    priority = 3,
    memory_max = "32MiB",
    concurrency(max_runs = 5, key = "input.email", strategy = "cancel_newest"),
    concurrency(max_runs = 100),
    rate_limit("smtp", limit = 100, window = "1m"),
    rate_limit(key = "input.email", limit = 1, window = "1s", units = 1)
)]
async fn onboarding(_ctx: Context, user: UserCreated) -> Result<Option<String>> {
    Ok((!user.should_skip).then_some(user.email))
}

#[workflow]
async fn tidy_up(_ctx: Context) {}

/// Refers to itself and to a workflow above, and fails with an error of its own.
#[workflow]
async fn recursive(ctx: Context, depth: u32) -> std::result::Result<u32, std::num::ParseIntError> {
    if let (Some(less), true) = (depth.checked_sub(1), ctx.attempt() == 0) {
        let _ = (ctx.spawn(&recursive, &less), ctx.spawn(&tidy_up, &()));
    }
    "7".parse()
}

dormouse_sdk::module![onboarding, tidy_up, recursive];

fn definition(name: &str) -> Definition {
    let found = __DormouseModule::definition().into_iter().find(|workflow| workflow.name == name);
    found.unwrap_or_else(|| panic!("no workflow is named {name}"))
}

fn json(text: Option<String>) -> Value {
    let text = text.unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text:?} is no JSON: {error}"))
}

#[test]
fn every_option_reaches_the_host() {
    let workflow = definition("welcome");
    assert_eq!(workflow.description, "Welcomes a user.\n\nAsks after three days whether all is *well*.");
    let events: Vec<_> =
        workflow.events.iter().map(|event| (event.key_pattern.as_str(), event.filter.as_deref())).collect();
    assert_eq!(events, [("user:create", None), ("user:*", Some("!input.should_skip"))]);
    assert_eq!(workflow.default_priority, Some(3));
    assert!(workflow.on_failure.is_none());

    let [keyed, all] = &workflow.concurrency[..] else { panic!("expected two limits") };
    assert_eq!((keyed.key.as_deref(), keyed.max_runs), (Some("input.email"), 5));
    assert!(
        keyed.strategy == ConcurrencyStrategy::CancelNewest && all.strategy == ConcurrencyStrategy::Queue
    );

    let [task] = &workflow.tasks[..] else { panic!("expected one task") };
    assert_eq!((task.name.as_str(), task.retries), ("welcome", Some(3)));
    assert_eq!((task.execution_timeout, task.schedule_timeout), (Some(30_000), Some(5_400_000)));
    assert_eq!(task.memory_bytes_max, Some(32 << 20));
    let backoff = task.backoff.unwrap();
    assert_eq!((backoff.initial, backoff.max), (Some(500), Some(600_000)));
    assert_eq!((backoff.factor, backoff.jitter), (Some(1.5), Some(0.0)));
    let [fixed, keyed] = &task.rate_limits[..] else { panic!("expected two rate limits") };
    assert!(matches!(&fixed.key, RateLimitKey::Static(name) if name == "smtp"));
    assert_eq!((fixed.units, fixed.limit, fixed.window), (1, 100, 60_000));
    assert!(matches!(&keyed.key, RateLimitKey::Dynamic(key) if key == "input.email"));
}

#[test]
fn crons_without_a_name_are_named_by_their_times() {
    let workflow = definition("welcome");
    let names: Vec<_> = workflow.crons.iter().map(|cron| cron.name.as_str()).collect();
    assert_eq!(names, ["0_9_x_x_mon-fri_europe..paris", "nightly", "x..5_x_x_x_x_x"]);
    let [first, nightly, third] = &workflow.crons[..] else { panic!("expected three crons") };
    assert_eq!(
        (first.expression.as_str(), first.timezone.as_deref()),
        ("0 9 * * MON-FRI", Some("Europe/Paris"))
    );
    assert_eq!(first.metadata, [("team".to_owned(), "ops".to_owned())]);
    assert_eq!(first.priority, Some(2));
    assert!(matches!(first.catch_up, Some(CatchUp::All(7_200_000))));
    assert!(first.overlap == Some(Overlap::CancelRunning));
    assert!(matches!(nightly.catch_up, Some(CatchUp::One)) && nightly.input.is_none());
    assert!(third.catch_up.is_none() && third.overlap.is_none() && third.timezone.is_none());
}

#[test]
fn types_become_schemas() {
    let workflow = definition("welcome");
    let schema = json(workflow.input_schema);
    assert_eq!(schema["properties"]["email"]["type"], "string");
    assert_eq!(schema["required"], json!(["email", "should_skip"]));
    assert_eq!(json(workflow.output_schema)["type"], json!(["string", "null"]));
    let no_input = definition("tidy-up");
    assert!(no_input.input_schema.is_none());
    assert_eq!(json(no_input.output_schema)["type"], "null");
}

#[test]
fn a_name_has_hyphens_for_underscores() {
    assert_eq!(tidy_up.name(), "tidy-up");
    assert_eq!(onboarding.name(), "welcome");
}

#[test]
fn a_workflow_without_an_input_takes_any() {
    let output = run(__DormouseModule::root("tidy-up", r#"{"not":"asked for"}"#).unwrap());
    assert_eq!(output.unwrap(), "null");
}

#[test]
fn a_workflow_runs_from_json_to_json() {
    let root = __DormouseModule::root("welcome", r#"{"email":"ann@example.com","should_skip":false}"#);
    assert_eq!(run(root.unwrap()).unwrap(), r#""ann@example.com""#);
}

#[test]
fn an_input_of_another_shape_fails_for_good() {
    let error = run(__DormouseModule::root("welcome", r#"{"email":7}"#).unwrap()).unwrap_err();
    assert!(!error.is_retryable());
    assert!(error.message().starts_with("the input does not fit its type: invalid type: integer"), "{error}");
}

#[test]
fn a_workflow_knows_the_types_of_its_function() {
    fn typed<W: Workflow<Input = I, Output = O>, I, O>(_: W) {}
    typed::<_, UserCreated, Option<String>>(onboarding);
    typed::<_, (), ()>(tidy_up);
    typed::<_, u32, u32>(recursive);
}

#[test]
fn nobody_else_is_started_under_an_unknown_name() {
    assert!(__DormouseModule::root("onboarding", "null").is_none());
}

/// Polls once, which is enough for tasks that wait for nothing.
fn run(mut root: dormouse_sdk::__private::Root) -> Result<String> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match root.as_mut().poll(&mut context) {
        std::task::Poll::Ready(result) => result,
        std::task::Poll::Pending => panic!("the task waits"),
    }
}
