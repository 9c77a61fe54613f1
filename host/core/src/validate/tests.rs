use std::time::Duration;

use super::*;
use crate::bounds::*;
use crate::id::{TaskIndex, TaskName};
use crate::workflow::{
    Backoff, CatchUp, Concurrency, ConcurrencyStrategy, CronSpec, DeclaredCron, EventSubscription, Json,
    Metadata, Overlap, Priority, RateLimit, RateLimitKey, Task, Workflow,
};

fn task(name: &str, parents: &[u8]) -> Task {
    Task {
        name: name.parse::<TaskName>().unwrap(),
        description: String::new(),
        parents: parents.iter().copied().map(TaskIndex).collect(),
        retries: 0,
        backoff: Backoff::default(),
        execution_timeout: Duration::from_secs(60),
        schedule_timeout: None,
        memory_bytes_max: None,
        concurrency: Vec::new(),
        rate_limits: Vec::new(),
        skip_if: Vec::new(),
        cancel_if: Vec::new(),
    }
}

fn cron(name: &str) -> DeclaredCron {
    let spec = CronSpec {
        expression: "0 9 * * MON-FRI".to_owned(),
        timezone: "Europe/Paris".to_owned(),
        input: Json::null(),
        metadata: Metadata::default(),
        priority: None,
        catch_up: CatchUp::Skip,
        overlap: Overlap::Allow,
    };
    DeclaredCron { name: name.parse().unwrap(), spec }
}

fn workflow(name: &str) -> Workflow {
    Workflow {
        name: name.parse().unwrap(),
        description: "Sends **mail**.".to_owned(),
        crons: vec![cron("daily"), cron("weekly")],
        events: vec![EventSubscription { key_pattern: "order:*".to_owned(), filter: None }],
        tasks: vec![task("fetch", &[]), task("send", &[0]), task("apologize", &[])],
        on_failure: Some(TaskIndex(2)),
        input_schema: None,
        output_schema: None,
        concurrency: vec![concurrency(1)],
        default_priority: Priority::DEFAULT,
    }
}

fn concurrency(max_runs: u32) -> Concurrency {
    Concurrency { key: None, max_runs, strategy: ConcurrencyStrategy::Queue }
}

fn rate(units: u32, limit: u32) -> RateLimit {
    let key = RateLimitKey::Static("mail".to_owned());
    RateLimit { key, units, limit, window: Duration::from_secs(1) }
}

/// Field and code of every problem of a module with one workflow, after a change to it.
fn problems(change: impl FnOnce(&mut Workflow)) -> Vec<(String, &'static str)> {
    let mut workflow = workflow("mailer");
    change(&mut workflow);
    let problems = validate_module(&[workflow]);
    problems.into_iter().map(|problem| (problem.field, problem.code.word())).collect()
}

#[track_caller]
fn assert_problem(field: &str, code: &'static str, change: impl FnOnce(&mut Workflow)) {
    assert_eq!(problems(change), [(format!("workflows[0].{field}"), code)]);
}

#[test]
fn a_sound_definition_has_no_problems() {
    assert_eq!(validate_module(&[workflow("a"), workflow("b")]), []);
}

#[test]
fn a_module_has_from_one_to_64_workflows_with_names_of_their_own() {
    assert_eq!(validate_module(&[])[0].field, "workflows");
    let many: Vec<_> = (0..65).map(|i| workflow(&format!("w{i}"))).collect();
    assert_eq!(validate_module(&many[..64]), []);
    assert_eq!(validate_module(&many)[0].message, "65 are too many: use 1 to 64");
    let twice = validate_module(&[workflow("a"), workflow("b"), workflow("a")]);
    assert_eq!(twice.len(), 1);
    assert_eq!((twice[0].field.as_str(), twice[0].code), ("workflows[2].name", ProblemCode::DuplicateName));
}

#[test]
fn crons_are_checked_by_expression_and_zone() {
    assert_problem("crons[1].expression", "invalid_cron", |w| w.crons[1].spec.expression = "* *".to_owned());
    assert_problem("crons[0].expression", "invalid_cron", |w| {
        w.crons[0].spec.expression = "0 0 31 2 *".to_owned();
    });
    assert_problem("crons[0].timezone", "invalid_timezone", |w| {
        w.crons[0].spec.timezone = "Europe/Pariss".to_owned();
    });
    assert_problem("crons[1].name", "duplicate_name", |w| w.crons[1].name = w.crons[0].name.clone());
    assert_problem("crons[0].catchUp", "out_of_range", |w| {
        w.crons[0].spec.catch_up = CatchUp::All { window: Duration::MAX };
    });
    assert_problem("crons", "invalid_count", |w| {
        w.crons = (0..65).map(|i| cron(&format!("c{i}"))).collect();
    });
    let mut both = cron("both").spec;
    (both.expression, both.timezone) = ("x".to_owned(), "y".to_owned());
    let fields: Vec<_> = validate_cron(&both).into_iter().map(|problem| problem.field).collect();
    assert_eq!(fields, ["expression", "timezone"]);
}

/// 64 workflows with 64 crons each would take minutes if none of them ever fired and all were
/// looked at.
#[test]
fn a_definition_full_of_problems_is_given_up_on() {
    let mut hopeless = workflow("hopeless");
    hopeless.crons = (0..64).map(|i| cron(&format!("c{i}"))).collect();
    for cron in &mut hopeless.crons {
        cron.spec.expression = "every day".to_owned();
    }
    let found = validate_module(&vec![hopeless; 64]).len();
    assert!((PROBLEMS_MAX..2 * PROBLEMS_MAX).contains(&found), "{found}");
}

#[test]
fn event_subscriptions_are_checked_by_pattern_and_filter() {
    assert_problem("events[0].keyPattern", "invalid_key_pattern", |w| w.events[0].key_pattern.clear());
    assert_problem("events[0].filter", "invalid_expression", |w| w.events[0].filter = Some(String::new()));
}

#[test]
fn parents_are_there_and_make_no_cycle() {
    assert_problem("tasks[1].parents", "invalid_parents", |w| w.tasks[1].parents = vec![TaskIndex(3)]);
    assert_problem("tasks[1].parents", "invalid_parents", |w| w.tasks[1].parents = vec![TaskIndex(1)]);
    assert_problem("tasks[1].parents", "invalid_parents", |w| w.tasks[1].parents = vec![TaskIndex(0); 2]);
    // `d` hangs on the cycle and is no part of it.
    let cycle = problems(|w| {
        w.on_failure = None;
        w.tasks = vec![task("a", &[2]), task("b", &[0]), task("c", &[1]), task("d", &[2])];
    });
    let fields: Vec<_> = cycle.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, [0, 1, 2].map(|i| format!("workflows[0].tasks[{i}].parents")));
    assert_eq!(
        problems(|w| {
            w.on_failure = None;
            w.tasks = vec![task("top", &[1, 2]), task("left", &[3]), task("right", &[3]), task("end", &[])];
        }),
        [],
        "a diamond is no cycle, in whatever order it is written"
    );
}

#[test]
fn the_task_for_failures_stands_alone() {
    for change in [
        (|w| w.on_failure = Some(TaskIndex(9))) as fn(&mut Workflow),
        |w| w.on_failure = Some(TaskIndex(1)),
        |w| w.on_failure = Some(TaskIndex(0)),
        |w| {
            w.tasks = vec![task("only", &[])];
            w.on_failure = Some(TaskIndex(0));
        },
    ] {
        assert_problem("onFailure", "invalid_on_failure", change);
    }
}

#[test]
fn numbers_and_durations_keep_to_their_ranges() {
    for (field, change) in [
        ("retries", (|t| t.retries = 1001) as fn(&mut Task)),
        ("backoff.initial", |t| t.backoff.initial = Duration::MAX),
        ("backoff.factor", |t| t.backoff.factor = 0.5),
        ("backoff.factor", |t| t.backoff.factor = f64::NAN),
        ("backoff.max", |t| t.backoff.max = DURATION_MAX + Duration::from_millis(1)),
        ("backoff.jitter", |t| t.backoff.jitter = 1.01),
        ("executionTimeout", |t| t.execution_timeout = Duration::ZERO),
        ("executionTimeout", |t| t.execution_timeout = Duration::from_millis(86_400_001)),
        ("scheduleTimeout", |t| t.schedule_timeout = Some(Duration::ZERO)),
        ("memoryBytesMax", |t| t.memory_bytes_max = Some(0)),
        ("concurrency[0].maxRuns", |t| t.concurrency = vec![concurrency(0)]),
        ("concurrency[1].maxRuns", |t| t.concurrency = vec![concurrency(1), concurrency(1_000_001)]),
        ("rateLimits[0].units", |t| t.rate_limits = vec![rate(0, 1)]),
        ("rateLimits[0].units", |t| t.rate_limits = vec![rate(11, 10)]),
        ("rateLimits[0].limit", |t| t.rate_limits = vec![rate(1, 1_000_000_001)]),
        ("rateLimits[0].window", |t| {
            t.rate_limits = vec![RateLimit { window: Duration::ZERO, ..rate(1, 1) }];
        }),
    ] {
        assert_problem(&format!("tasks[0].{field}"), "out_of_range", |w| change(&mut w.tasks[0]));
    }
    assert_eq!(
        problems(|w| {
            let task = &mut w.tasks[0];
            task.retries = 1000;
            task.backoff = Backoff { initial: Duration::ZERO, factor: 100.0, max: DURATION_MAX, jitter: 1.0 };
            task.execution_timeout = Duration::from_millis(86_400_000);
            task.rate_limits = vec![rate(10, 10)];
        }),
        [],
        "bounds belong to their ranges"
    );
}

#[test]
fn texts_and_lists_are_bounded() {
    let long = |bytes: usize| "x".repeat(bytes + 1);
    assert_problem("description", "invalid_length", |w| w.description = long(DESCRIPTION_BYTES_MAX));
    assert_problem("inputSchema", "invalid_length", |w| {
        w.input_schema = Some(Json::trusted(&long(JSON_BYTES_MAX)));
    });
    assert_problem("crons[0].input", "invalid_length", |w| {
        w.crons[0].spec.input = Json::trusted(&long(JSON_BYTES_MAX));
    });
    assert_problem("concurrency", "invalid_count", |w| w.concurrency = vec![concurrency(1); 5]);
    assert_problem("tasks", "invalid_count", |w| {
        w.on_failure = None;
        w.tasks = (0..65).map(|i| task(&format!("t{i}"), &[])).collect();
    });
    assert_problem("tasks", "invalid_count", |w| {
        w.on_failure = None;
        w.tasks.clear();
    });
    assert_problem("tasks[1].name", "duplicate_name", |w| w.tasks[1].name = w.tasks[0].name.clone());
}

#[test]
fn expressions_are_compiled() {
    assert_problem("tasks[0].skipIf[0].expression", "invalid_expression", |w| {
        w.tasks[0].skip_if = vec!["key == 'x'".to_owned()];
    });
    assert_problem("tasks[0].cancelIf[0].expression", "invalid_expression", |w| {
        w.tasks[0].cancel_if = vec!["input >".to_owned()];
    });
    assert_problem("concurrency[0].key", "invalid_expression", |w| {
        w.concurrency = vec![Concurrency { key: Some("customer".to_owned()), ..concurrency(1) }];
    });
    assert_problem("events[0].filter", "invalid_expression", |w| {
        w.events = vec![EventSubscription { key_pattern: "a".to_owned(), filter: Some("now()".to_owned()) }];
    });
}

#[test]
fn metadata_of_a_cron_is_bounded_however_it_is_made() {
    let metadata = |name: usize, value: usize| Metadata::new([("n".repeat(name), "v".repeat(value))]);
    let fields = |metadata: &Metadata| {
        let spec = CronSpec { metadata: metadata.clone(), ..cron("c").spec };
        validate_cron(&spec).into_iter().map(|problem| problem.field).collect::<Vec<_>>()
    };
    assert_eq!(fields(&metadata(128, 1024)), Vec::<String>::new());
    assert_eq!(fields(&metadata(129, 1025)), ["metadata[0].name", "metadata[0].value"]);
    assert_eq!(fields(&metadata(0, 0)), ["metadata[0].name"]);
    let many = Metadata::new((0..65).map(|i| (i.to_string(), String::new())));
    assert_eq!(fields(&many), ["metadata"]);
    assert_problem("crons[0].metadata[0].name", "invalid_length", |w| {
        w.crons[0].spec.metadata = metadata(0, 0);
    });
}
