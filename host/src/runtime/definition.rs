//! What a module declares, out of its WIT form into that of the core, which then checks it.

use std::str::FromStr;
use std::time::Duration;

use dormouse_core::bounds::MEMORY_BYTES_MIN;
use dormouse_core::id::{InvalidName, TaskIndex, TaskName};
use dormouse_core::validate::{Problem, ProblemCode, validate_module};
use dormouse_core::workflow::{
    Backoff, CatchUp, Concurrency, ConcurrencyStrategy, CronSpec, DeclaredCron, EventSubscription, Json,
    Metadata, Overlap, Priority, RateLimit, RateLimitKey, Task, Workflow,
};

use super::bindings::definitions as wit;
use super::budget::json;
use super::refusal::Refusal;
use crate::schema::Schema;

const EXECUTION_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// Workflows that are what they should be.
pub(super) struct Checked {
    pub(super) workflows: Vec<Workflow>,
    pub(super) warnings: Vec<String>,
}

/// Checks everything that a module declares. A task may ask for so much memory at most.
pub(super) fn check(declared: Vec<wit::Workflow>, memory_bytes_max: u64) -> Result<Checked, Refusal> {
    let invalid = |problems| Refusal::InvalidDefinition { problems };
    let warnings = declared.iter().flat_map(warn).collect();
    let workflows = each("workflows", declared, workflow).map_err(|problem| invalid(vec![problem]))?;
    let mut problems = validate_module(&workflows);
    problems.extend(workflows.iter().enumerate().flat_map(|(i, workflow)| check_schema(i, workflow)));
    problems.extend(workflows.iter().enumerate().flat_map(|(i, w)| check_memory(i, w, memory_bytes_max)));
    if problems.is_empty() { Ok(Checked { workflows, warnings }) } else { Err(invalid(problems)) }
}

/// What the core cannot check: it knows no JSON.
fn check_schema(index: usize, workflow: &Workflow) -> Option<Problem> {
    let problem = Schema::compile(workflow.input_schema.as_ref()?).err()?;
    let message = format!("it is not a JSON schema: {problem}");
    Some(malformed(format!("workflows[{index}].inputSchema"), message))
}

/// What the core cannot check: it does not know how much this host allows.
fn check_memory(index: usize, workflow: &Workflow, max: u64) -> Vec<Problem> {
    let outside = |(_, task): &(usize, &Task)| {
        task.memory_bytes_max.is_some_and(|bytes| !(MEMORY_BYTES_MIN..=max).contains(&bytes))
    };
    let problem = |(task, _): (usize, &Task)| Problem {
        field: format!("workflows[{index}].tasks[{task}].memoryBytesMax"),
        code: ProblemCode::OutOfRange,
        message: format!("this host allows from {MEMORY_BYTES_MIN} to {max} bytes"),
    };
    workflow.tasks.iter().enumerate().filter(outside).map(problem).collect()
}

type Converted<T> = Result<T, Problem>;

fn workflow(at: &str, declared: wit::Workflow) -> Converted<Workflow> {
    let names = each(&format!("{at}.tasks"), declared.tasks.iter().map(|task| &task.name), |at, name| {
        parsed::<TaskName>(&format!("{at}.name"), name)
    })?;
    let on_failure = declared.on_failure.map(|name| position(&format!("{at}.onFailure"), &names, &name));
    Ok(Workflow {
        name: parsed(&format!("{at}.name"), &declared.name)?,
        description: declared.description,
        crons: each(&format!("{at}.crons"), declared.crons, cron)?,
        events: declared.events.into_iter().map(subscription).collect(),
        tasks: each(&format!("{at}.tasks"), declared.tasks, |at, declared| task(at, declared, &names))?,
        on_failure: on_failure.transpose()?,
        input_schema: optional_json(&format!("{at}.inputSchema"), declared.input_schema)?,
        output_schema: optional_json(&format!("{at}.outputSchema"), declared.output_schema)?,
        concurrency: declared.concurrency.into_iter().map(concurrency).collect(),
        default_priority: priority(&format!("{at}.defaultPriority"), declared.default_priority)?
            .unwrap_or_default(),
    })
}

fn cron(at: &str, declared: wit::Cron) -> Converted<DeclaredCron> {
    let spec = CronSpec {
        expression: declared.expression,
        timezone: declared.timezone.unwrap_or_else(|| "UTC".to_owned()),
        input: optional_json(&format!("{at}.input"), declared.input)?.unwrap_or_else(Json::null),
        metadata: Metadata::new(declared.metadata),
        priority: priority(&format!("{at}.priority"), declared.priority)?,
        catch_up: match declared.catch_up {
            None | Some(wit::CatchUp::Skip) => CatchUp::Skip,
            Some(wit::CatchUp::One) => CatchUp::One,
            Some(wit::CatchUp::All(window)) => CatchUp::All { window: Duration::from_millis(window) },
        },
        overlap: match declared.overlap {
            None | Some(wit::Overlap::Allow) => Overlap::Allow,
            Some(wit::Overlap::Skip) => Overlap::Skip,
            Some(wit::Overlap::Queue) => Overlap::Queue,
            Some(wit::Overlap::CancelRunning) => Overlap::CancelRunning,
        },
    };
    Ok(DeclaredCron { name: parsed(&format!("{at}.name"), &declared.name)?, spec })
}

fn subscription(declared: wit::EventSubscription) -> EventSubscription {
    EventSubscription { key_pattern: declared.key_pattern, filter: declared.filter }
}

fn task(at: &str, declared: wit::Task, names: &[TaskName]) -> Converted<Task> {
    Ok(Task {
        name: parsed(&format!("{at}.name"), &declared.name)?,
        description: declared.description,
        parents: each(&format!("{at}.parents"), declared.parents, |at, name| position(at, names, &name))?,
        retries: declared.retries.unwrap_or(0),
        backoff: declared.backoff.map_or_else(Backoff::default, backoff),
        execution_timeout: declared
            .execution_timeout
            .map_or(EXECUTION_TIMEOUT_DEFAULT, Duration::from_millis),
        schedule_timeout: declared.schedule_timeout.map(Duration::from_millis),
        memory_bytes_max: declared.memory_bytes_max,
        concurrency: declared.concurrency.into_iter().map(concurrency).collect(),
        rate_limits: declared.rate_limits.into_iter().map(rate_limit).collect(),
        skip_if: declared.skip_if.into_iter().map(|condition| condition.expression).collect(),
        cancel_if: declared.cancel_if.into_iter().map(|condition| condition.expression).collect(),
    })
}

fn backoff(declared: wit::Backoff) -> Backoff {
    let default = Backoff::default();
    Backoff {
        initial: declared.initial.map_or(default.initial, Duration::from_millis),
        factor: declared.factor.unwrap_or(default.factor),
        max: declared.max.map_or(default.max, Duration::from_millis),
        jitter: declared.jitter.unwrap_or(default.jitter),
    }
}

fn concurrency(declared: wit::Concurrency) -> Concurrency {
    Concurrency {
        key: declared.key,
        max_runs: declared.max_runs,
        strategy: match declared.strategy {
            wit::ConcurrencyStrategy::Queue => ConcurrencyStrategy::Queue,
            wit::ConcurrencyStrategy::CancelRunning => ConcurrencyStrategy::CancelRunning,
            wit::ConcurrencyStrategy::CancelNewest => ConcurrencyStrategy::CancelNewest,
        },
    }
}

fn rate_limit(declared: wit::RateLimit) -> RateLimit {
    RateLimit {
        key: match declared.key {
            wit::RateLimitKey::Static(name) => RateLimitKey::Static(name),
            wit::RateLimitKey::Dynamic(expression) => RateLimitKey::Dynamic(expression),
        },
        units: declared.units,
        limit: declared.limit,
        window: Duration::from_millis(declared.window),
    }
}

/// What is declared and has no effect in this version of the host.
fn warn(workflow: &wit::Workflow) -> Vec<String> {
    let some_task = |has: fn(&wit::Task) -> bool| workflow.tasks.iter().any(has);
    let features = [
        ("concurrency of tasks", some_task(|task| !task.concurrency.is_empty())),
        ("rate-limits", some_task(|task| !task.rate_limits.is_empty())),
        ("skip-if", some_task(|task| !task.skip_if.is_empty())),
        ("cancel-if", some_task(|task| !task.cancel_if.is_empty())),
        ("on-failure", workflow.on_failure.is_some()),
    ];
    let name = &workflow.name;
    let unused = features.into_iter().filter(|(_, declared)| *declared);
    unused.map(|(feature, _)| format!("workflow `{name}`: `{feature}` has no effect yet")).collect()
}

/// Converts the items of a list, each of which knows where it is.
fn each<T, U>(
    list: &str,
    items: impl IntoIterator<Item = T>,
    convert: impl Fn(&str, T) -> Converted<U>,
) -> Converted<Vec<U>> {
    items.into_iter().enumerate().map(|(i, item)| convert(&format!("{list}[{i}]"), item)).collect()
}

fn parsed<T: FromStr<Err = InvalidName>>(at: &str, text: &str) -> Converted<T> {
    text.parse().map_err(|error: InvalidName| malformed(at.to_owned(), error.to_string()))
}

fn position(at: &str, names: &[TaskName], name: &str) -> Converted<TaskIndex> {
    let found = (0..).map(TaskIndex).zip(names).find(|(_, other)| other.as_str() == name);
    let missing = || malformed(at.to_owned(), format!("`{name}` is no task of this workflow"));
    found.map(|(index, _)| index).ok_or_else(missing)
}

fn optional_json(at: &str, text: Option<String>) -> Converted<Option<Json>> {
    text.map(|text| json(&text)).transpose().map_err(|problem| malformed(at.to_owned(), problem))
}

fn priority(at: &str, number: Option<u8>) -> Converted<Option<Priority>> {
    let outside = |n| malformed(at.to_owned(), format!("{n} is not one of 1, 2, 3"));
    number.map(|n| Priority::new(n).ok_or_else(|| outside(n))).transpose()
}

fn malformed(field: String, message: String) -> Problem {
    Problem { field, code: ProblemCode::Malformed, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: u64 = 1 << 20;

    fn task(name: &str, parents: &[&str]) -> wit::Task {
        wit::Task {
            name: name.to_owned(),
            description: String::new(),
            parents: parents.iter().map(|parent| (*parent).to_owned()).collect(),
            retries: None,
            backoff: None,
            execution_timeout: None,
            schedule_timeout: None,
            memory_bytes_max: None,
            concurrency: Vec::new(),
            rate_limits: Vec::new(),
            skip_if: Vec::new(),
            cancel_if: Vec::new(),
        }
    }

    fn cron(name: &str) -> wit::Cron {
        wit::Cron {
            name: name.to_owned(),
            expression: "@daily".to_owned(),
            timezone: None,
            input: None,
            metadata: Vec::new(),
            priority: None,
            catch_up: None,
            overlap: None,
        }
    }

    fn workflow(tasks: Vec<wit::Task>) -> wit::Workflow {
        wit::Workflow {
            name: "flow".to_owned(),
            description: String::new(),
            crons: Vec::new(),
            events: Vec::new(),
            tasks,
            on_failure: None,
            input_schema: None,
            output_schema: None,
            concurrency: Vec::new(),
            default_priority: None,
        }
    }

    /// A workflow of two tasks, one after the other, changed in one place.
    fn changed(change: impl FnOnce(&mut wit::Workflow)) -> wit::Workflow {
        let mut workflow = workflow(vec![task("first", &[]), task("second", &["first"])]);
        change(&mut workflow);
        workflow
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let declared = changed(|workflow| workflow.crons.push(cron("nightly")));
        let Checked { workflows, warnings } = check(vec![declared], MEMORY).unwrap_or_else(|e| panic!("{e}"));
        let [workflow] = workflows.as_slice() else { panic!("one workflow") };
        assert_eq!(workflow.tasks[0].execution_timeout, Duration::from_secs(60));
        assert_eq!(workflow.tasks[0].backoff, Backoff::default());
        assert_eq!(workflow.tasks[1].parents, [TaskIndex(0)]);
        assert_eq!(workflow.crons[0].spec.timezone, "UTC");
        assert_eq!(workflow.crons[0].spec.input, Json::null());
        assert!(warnings.is_empty());
    }

    #[test]
    fn every_value_out_of_range_is_named() {
        type Change = fn(&mut wit::Workflow);
        let cases: [(Change, &str); 18] = [
            (|w| w.input_schema = Some(r#"{"type":7}"#.to_owned()), "inputSchema: it is not a JSON schema"),
            (
                |w| w.crons = vec![wit::Cron { expression: "0 0 31 2 *".to_owned(), ..cron("a") }],
                "crons[0].expression: `0 0 31 2 *` never fires",
            ),
            (|w| w.name = "Flow".to_owned(), "workflows[0].name: `Flow`"),
            (|w| w.tasks.clear(), "workflows[0].tasks: 0 are too few"),
            (|w| w.tasks[1].name = "first".to_owned(), "tasks[1].name: `first` is there already"),
            (|w| w.tasks[0].parents = vec!["none".to_owned()], "tasks[0].parents[0]: `none`"),
            (
                |w| w.tasks[0].parents = vec!["second".to_owned()],
                "tasks[0].parents: `first` waits for itself",
            ),
            (|w| w.tasks[0].retries = Some(1001), "tasks[0].retries: 1001"),
            (|w| w.tasks[0].execution_timeout = Some(0), "executionTimeout: 0"),
            (|w| w.tasks[0].memory_bytes_max = Some(MEMORY + 1), "memoryBytesMax: this host allows"),
            (|w| w.tasks[0].schedule_timeout = Some(u64::MAX), "scheduleTimeout: "),
            (|w| w.on_failure = Some("second".to_owned()), "onFailure: `second`"),
            (|w| w.default_priority = Some(4), "defaultPriority: 4"),
            (|w| w.input_schema = Some("{".to_owned()), "inputSchema: it is not JSON"),
            (|w| w.description = "x".repeat(16_385), "description: 16385"),
            (|w| w.crons = vec![cron("a"), cron("a")], "crons[1].name: `a` is there already"),
            (|w| w.crons = vec![wit::Cron { priority: Some(0), ..cron("a") }], "crons[0].priority: 0"),
            (
                |w| {
                    let nan = Some(f64::NAN);
                    w.tasks[0].backoff =
                        Some(wit::Backoff { initial: None, factor: nan, max: None, jitter: None });
                },
                "backoff.factor: NaN",
            ),
        ];
        for (change, words) in cases {
            let Err(refusal) = check(vec![changed(change)], MEMORY) else { panic!("refused: {words}") };
            assert!(refusal.to_string().contains(words), "{refusal}: {words}");
        }
        let twice = vec![changed(|_| ()), changed(|_| ())];
        let Err(refusal) = check(twice, MEMORY) else { panic!("refused") };
        assert!(refusal.to_string().contains("`flow` is there already"), "{refusal}");
    }

    #[test]
    fn what_has_no_effect_yet_is_warned_of() {
        let condition = || vec![wit::Condition { expression: "true".to_owned() }];
        let declared = changed(|workflow| workflow.tasks[1].skip_if = condition());
        let Ok(Checked { warnings, .. }) = check(vec![declared], MEMORY) else { panic!("it is valid") };
        assert_eq!(warnings, ["workflow `flow`: `skip-if` has no effect yet"]);
    }
}
