//! What a module declares, checked against the ranges that `wit/` states.

use std::collections::HashSet;
use std::str::FromStr;
use std::time::Duration;

use dormouse_core::id::{CronName, TaskIndex, TaskName, WorkflowName};
use dormouse_core::workflow::{
    Backoff, CatchUp, Concurrency, ConcurrencyStrategy, CronSpec, DeclaredCron, EventSubscription, Json,
    Metadata, Overlap, Priority, RateLimit, RateLimitKey, Task, Workflow,
};

use super::bindings::definitions as wit;
use super::budget::{duration, json, metadata};
use super::convert::{expression, key_pattern};
use super::refusal::Refusal;

const WORKFLOWS_MAX: usize = 64;
const TASKS_MAX: usize = 64;
const CRONS_MAX: usize = 64;
const EVENTS_MAX: usize = 64;
const CONCURRENCY_MAX: usize = 4;
const RATE_LIMITS_MAX: usize = 16;
const CONDITIONS_MAX: usize = 16;
const DESCRIPTION_BYTES_MAX: usize = 16 << 10;
/// Longest expression and time zone of a cron.
const CRON_BYTES_MAX: usize = 256;
const RETRIES_MAX: u32 = 1000;
const EXECUTION_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
const EXECUTION_TIMEOUT_MILLIS_MAX: u64 = 86_400_000;
const UNITS_MAX: u32 = 1_000_000;
const LIMIT_MAX: u32 = 1_000_000_000;
/// One page of WebAssembly.
const MEMORY_BYTES_MIN: u64 = 65_536;

/// Workflows that are what they should be.
pub(super) struct Checked {
    pub(super) workflows: Vec<Workflow>,
    pub(super) warnings: Vec<String>,
}

/// What is wrong, with the path of the field.
struct Problem {
    field: String,
    problem: String,
}

type Checks<T> = Result<T, Problem>;

/// Checks everything that a module declares. A task may ask for so much memory at most.
pub(super) fn check(declared: Vec<wit::Workflow>, memory_bytes_max: u64) -> Result<Checked, Refusal> {
    workflows(declared, memory_bytes_max)
        .map_err(|Problem { field, problem }| Refusal::InvalidDefinition { field, problem })
}

fn workflows(declared: Vec<wit::Workflow>, memory_bytes_max: u64) -> Checks<Checked> {
    count("workflows", declared.len(), 1, WORKFLOWS_MAX)?;
    let names = names("workflows", declared.iter().map(|workflow| workflow.name.as_str()))?;
    let mut warnings = Vec::new();
    let mut workflows = Vec::new();
    for (name, declared) in names.into_iter().zip(declared) {
        warnings.extend(warn(&declared));
        let at = format!("workflow `{name}`");
        let workflow = workflow(name, declared, memory_bytes_max).map_err(|problem| problem.within(&at))?;
        meaning(&workflow).map_err(|problem| problem.within(&at))?;
        workflows.push(workflow);
    }
    Ok(Checked { workflows, warnings })
}

/// CALL SITE: checks of meaning rather than range (cron expressions and zones, key patterns, JSON
/// schemas, CEL) belong here.
fn meaning(_workflow: &Workflow) -> Checks<()> {
    Ok(())
}

fn workflow(name: WorkflowName, declared: wit::Workflow, memory_bytes_max: u64) -> Checks<Workflow> {
    count("tasks", declared.tasks.len(), 1, TASKS_MAX)?;
    let task_names: Vec<TaskName> = names("tasks", declared.tasks.iter().map(|task| task.name.as_str()))?;
    let mut tasks = Vec::new();
    for (name, task) in task_names.iter().zip(declared.tasks) {
        let at = format!("task `{name}`");
        tasks.push(self::task(name, task, &task_names, memory_bytes_max).map_err(|p| p.within(&at))?);
    }
    acyclic(&tasks)?;
    let on_failure = declared.on_failure.as_deref().map(|name| on_failure(name, &tasks)).transpose()?;

    count("crons", declared.crons.len(), 0, CRONS_MAX)?;
    let cron_names: Vec<CronName> = names("crons", declared.crons.iter().map(|cron| cron.name.as_str()))?;
    let mut crons = Vec::new();
    for (name, declared) in cron_names.into_iter().zip(declared.crons) {
        let at = format!("cron `{name}`");
        crons.push(DeclaredCron { name, spec: cron(declared).map_err(|problem| problem.within(&at))? });
    }
    count("events", declared.events.len(), 0, EVENTS_MAX)?;
    Ok(Workflow {
        name,
        description: description(declared.description)?,
        crons,
        events: declared.events.into_iter().map(subscription).collect::<Checks<_>>()?,
        tasks,
        on_failure,
        input_schema: optional_json("input-schema", declared.input_schema)?,
        output_schema: optional_json("output-schema", declared.output_schema)?,
        concurrency: all("concurrency", CONCURRENCY_MAX, declared.concurrency, concurrency)?,
        default_priority: priority("default-priority", declared.default_priority)?.unwrap_or_default(),
    })
}

fn cron(declared: wit::Cron) -> Checks<CronSpec> {
    let timezone = declared.timezone.unwrap_or_else(|| "UTC".to_owned());
    bytes("expression", &declared.expression, 1, CRON_BYTES_MAX)?;
    bytes("timezone", &timezone, 1, CRON_BYTES_MAX)?;
    Ok(CronSpec {
        expression: declared.expression,
        timezone,
        input: optional_json("input", declared.input)?.unwrap_or_else(Json::null),
        metadata: checked_metadata(declared.metadata)?,
        priority: priority("priority", declared.priority)?,
        catch_up: match declared.catch_up {
            None | Some(wit::CatchUp::Skip) => CatchUp::Skip,
            Some(wit::CatchUp::One) => CatchUp::One,
            Some(wit::CatchUp::All(window)) => CatchUp::All { window: millis("catch-up", window)? },
        },
        overlap: match declared.overlap {
            None | Some(wit::Overlap::Allow) => Overlap::Allow,
            Some(wit::Overlap::Skip) => Overlap::Skip,
            Some(wit::Overlap::Queue) => Overlap::Queue,
            Some(wit::Overlap::CancelRunning) => Overlap::CancelRunning,
        },
    })
}

fn subscription(declared: wit::EventSubscription) -> Checks<EventSubscription> {
    key_pattern(&declared.key_pattern).map_err(|problem| Problem::new("events", problem))?;
    declared.filter.as_deref().map_or(Ok(()), |filter| cel("events", filter))?;
    Ok(EventSubscription { key_pattern: declared.key_pattern, filter: declared.filter })
}

fn task(name: &TaskName, declared: wit::Task, names: &[TaskName], memory_bytes_max: u64) -> Checks<Task> {
    let retries = declared.retries.unwrap_or(0);
    range("retries", retries, 0, RETRIES_MAX)?;
    let memory_bytes = declared.memory_bytes_max;
    memory_bytes.map_or(Ok(()), |max| range("memory-bytes-max", max, MEMORY_BYTES_MIN, memory_bytes_max))?;
    Ok(Task {
        name: name.clone(),
        description: description(declared.description)?,
        parents: parents(&declared.parents, names)?,
        retries,
        backoff: declared.backoff.map_or_else(|| Ok(Backoff::default()), backoff)?,
        execution_timeout: execution_timeout(declared.execution_timeout)?,
        schedule_timeout: declared.schedule_timeout.map(|t| millis("schedule-timeout", t)).transpose()?,
        memory_bytes_max: memory_bytes,
        concurrency: all("concurrency", CONCURRENCY_MAX, declared.concurrency, concurrency)?,
        rate_limits: all("rate-limits", RATE_LIMITS_MAX, declared.rate_limits, rate_limit)?,
        skip_if: all("skip-if", CONDITIONS_MAX, declared.skip_if, |c| condition("skip-if", c))?,
        cancel_if: all("cancel-if", CONDITIONS_MAX, declared.cancel_if, |c| condition("cancel-if", c))?,
    })
}

fn parents(declared: &[String], names: &[TaskName]) -> Checks<Vec<TaskIndex>> {
    let mut parents = Vec::new();
    for parent in declared {
        let index = position(names, parent)
            .ok_or_else(|| Problem::new("parents", format!("`{parent}` is no task of this workflow")))?;
        if parents.contains(&index) {
            return Err(Problem::new("parents", format!("`{parent}` is named twice")));
        }
        parents.push(index);
    }
    Ok(parents)
}

/// Takes tasks away whose parents are all gone; what is left are cycles.
fn acyclic(tasks: &[Task]) -> Checks<()> {
    let mut done = HashSet::new();
    loop {
        let before = done.len();
        for (index, task) in (0..).map(TaskIndex).zip(tasks) {
            if task.parents.iter().all(|parent| done.contains(parent)) {
                done.insert(index);
            }
        }
        if done.len() == tasks.len() {
            return Ok(());
        }
        if done.len() == before {
            let left = (0..).map(TaskIndex).zip(tasks).find(|(index, _)| !done.contains(index));
            let name = left.map_or("", |(_, task)| task.name.as_str());
            return Err(Problem::new("parents", format!("task `{name}` waits for itself")));
        }
    }
}

fn on_failure(name: &str, tasks: &[Task]) -> Checks<TaskIndex> {
    let problem = |problem: String| Problem::new("on-failure", problem);
    let found = (0..).map(TaskIndex).zip(tasks).find(|(_, task)| task.name.as_str() == name);
    let (index, task) = found.ok_or_else(|| problem(format!("`{name}` is no task of this workflow")))?;
    if !task.parents.is_empty() || tasks.iter().any(|task| task.parents.contains(&index)) {
        return Err(problem(format!("task `{name}` can neither have parents nor be one")));
    }
    if tasks.len() == 1 {
        return Err(problem("there must be another task that can fail".to_owned()));
    }
    Ok(index)
}

fn backoff(declared: wit::Backoff) -> Checks<Backoff> {
    let default = Backoff::default();
    let checked = |name, value: Option<f64>, default, min, max| {
        let value = value.unwrap_or(default);
        // Not a number lies in no range.
        if (min..=max).contains(&value) { Ok(value) } else { Err(outside(name, value, min, max)) }
    };
    Ok(Backoff {
        initial: declared.initial.map_or(Ok(default.initial), |value| millis("backoff.initial", value))?,
        factor: checked("backoff.factor", declared.factor, default.factor, 1.0, 100.0)?,
        max: declared.max.map_or(Ok(default.max), |value| millis("backoff.max", value))?,
        jitter: checked("backoff.jitter", declared.jitter, default.jitter, 0.0, 1.0)?,
    })
}

fn execution_timeout(declared: Option<u64>) -> Checks<Duration> {
    let Some(value) = declared else { return Ok(EXECUTION_TIMEOUT_DEFAULT) };
    range("execution-timeout", value, 1, EXECUTION_TIMEOUT_MILLIS_MAX)?;
    Ok(Duration::from_millis(value))
}

fn concurrency(declared: wit::Concurrency) -> Checks<Concurrency> {
    declared.key.as_deref().map_or(Ok(()), |key| cel("concurrency.key", key))?;
    range("concurrency.max-runs", declared.max_runs, 1, UNITS_MAX)?;
    Ok(Concurrency {
        key: declared.key,
        max_runs: declared.max_runs,
        strategy: match declared.strategy {
            wit::ConcurrencyStrategy::Queue => ConcurrencyStrategy::Queue,
            wit::ConcurrencyStrategy::CancelRunning => ConcurrencyStrategy::CancelRunning,
            wit::ConcurrencyStrategy::CancelNewest => ConcurrencyStrategy::CancelNewest,
        },
    })
}

fn rate_limit(declared: wit::RateLimit) -> Checks<RateLimit> {
    let (wit::RateLimitKey::Static(text) | wit::RateLimitKey::Dynamic(text)) = &declared.key;
    cel("rate-limits.key", text)?;
    range("rate-limits.units", declared.units, 1, UNITS_MAX)?;
    range("rate-limits.limit", declared.limit, 1, LIMIT_MAX)?;
    range("rate-limits.window", declared.window, 1, super::budget::DURATION_MILLIS_MAX)?;
    Ok(RateLimit {
        key: match declared.key {
            wit::RateLimitKey::Static(name) => RateLimitKey::Static(name),
            wit::RateLimitKey::Dynamic(expression) => RateLimitKey::Dynamic(expression),
        },
        units: declared.units,
        limit: declared.limit,
        window: Duration::from_millis(declared.window),
    })
}

fn condition(field: &'static str, declared: wit::Condition) -> Checks<String> {
    cel(field, &declared.expression)?;
    Ok(declared.expression)
}

/// What is declared and has no effect in this version of the host.
fn warn(workflow: &wit::Workflow) -> Vec<String> {
    let some_task = |has: fn(&wit::Task) -> bool| workflow.tasks.iter().any(has);
    let features = [
        ("concurrency", !workflow.concurrency.is_empty() || some_task(|task| !task.concurrency.is_empty())),
        ("rate-limits", some_task(|task| !task.rate_limits.is_empty())),
        ("skip-if", some_task(|task| !task.skip_if.is_empty())),
        ("cancel-if", some_task(|task| !task.cancel_if.is_empty())),
        ("on-failure", workflow.on_failure.is_some()),
        ("filter", workflow.events.iter().any(|event| event.filter.is_some())),
    ];
    let name = &workflow.name;
    let unused = features.into_iter().filter(|(_, declared)| *declared);
    unused.map(|(feature, _)| format!("workflow `{name}`: `{feature}` has no effect yet")).collect()
}

// Checks of single values.

impl Problem {
    fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    fn within(self, place: &str) -> Self {
        Self { field: format!("{place}, {}", self.field), ..self }
    }
}

/// Names that are valid and different.
fn names<'a, N>(field: &str, texts: impl Iterator<Item = &'a str>) -> Checks<Vec<N>>
where
    N: FromStr + Clone + std::hash::Hash + Eq,
    N::Err: std::fmt::Display,
{
    let mut seen = HashSet::new();
    let mut names = Vec::new();
    for text in texts {
        let name: N = text.parse().map_err(|error: N::Err| Problem::new(field, error.to_string()))?;
        if !seen.insert(name.clone()) {
            return Err(Problem::new(field, format!("`{text}` is declared twice")));
        }
        names.push(name);
    }
    Ok(names)
}

fn position(names: &[TaskName], name: &str) -> Option<TaskIndex> {
    (0..).map(TaskIndex).zip(names).find(|(_, other)| other.as_str() == name).map(|(index, _)| index)
}

fn all<T, U>(field: &str, max: usize, items: Vec<T>, check: impl Fn(T) -> Checks<U>) -> Checks<Vec<U>> {
    count(field, items.len(), 0, max)?;
    items.into_iter().map(check).collect()
}

fn count(field: &str, count: usize, min: usize, max: usize) -> Checks<()> {
    if (min..=max).contains(&count) {
        return Ok(());
    }
    Err(Problem::new(field, format!("there are {count}; from {min} to {max} are allowed")))
}

fn range<N: PartialOrd + std::fmt::Display>(field: &str, value: N, min: N, max: N) -> Checks<()> {
    if (&min..=&max).contains(&&value) { Ok(()) } else { Err(outside(field, value, min, max)) }
}

fn outside<N: std::fmt::Display>(field: &str, value: N, min: N, max: N) -> Problem {
    Problem::new(field, format!("{value} is not from {min} to {max}"))
}

fn bytes(field: &str, text: &str, min: usize, max: usize) -> Checks<()> {
    if (min..=max).contains(&text.len()) {
        return Ok(());
    }
    Err(Problem::new(field, format!("it has {} bytes; from {min} to {max} are allowed", text.len())))
}

fn description(text: String) -> Checks<String> {
    bytes("description", &text, 0, DESCRIPTION_BYTES_MAX)?;
    Ok(text)
}

fn cel(field: &str, text: &str) -> Checks<()> {
    expression(text).map_err(|problem| Problem::new(field, problem))
}

fn millis(field: &str, value: u64) -> Checks<Duration> {
    duration(value).map_err(|problem| Problem::new(field, problem))
}

fn optional_json(field: &str, text: Option<String>) -> Checks<Option<Json>> {
    text.map(|text| json(&text)).transpose().map_err(|problem| Problem::new(field, problem))
}

fn checked_metadata(pairs: Vec<(String, String)>) -> Checks<Metadata> {
    metadata(pairs).map_err(|problem| Problem::new("metadata", problem))
}

fn priority(field: &str, number: Option<u8>) -> Checks<Option<Priority>> {
    let check = |n| Priority::new(n).ok_or_else(|| Problem::new(field, format!("{n} is not one of 1, 2, 3")));
    number.map(check).transpose()
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
        let cases: [(Change, &str); 16] = [
            (|w| w.name = "Flow".to_owned(), "workflows: `Flow`"),
            (|w| w.tasks.clear(), "tasks: there are 0"),
            (|w| w.tasks[1].name = "first".to_owned(), "tasks: `first` is declared twice"),
            (|w| w.tasks[0].parents = vec!["none".to_owned()], "task `first`, parents: `none`"),
            (|w| w.tasks[0].parents = vec!["second".to_owned()], "parents: task `first` waits for itself"),
            (|w| w.tasks[0].retries = Some(1001), "task `first`, retries: 1001"),
            (|w| w.tasks[0].execution_timeout = Some(0), "execution-timeout: 0"),
            (|w| w.tasks[0].memory_bytes_max = Some(MEMORY + 1), "memory-bytes-max: 1048577"),
            (|w| w.tasks[0].schedule_timeout = Some(u64::MAX), "schedule-timeout: "),
            (|w| w.on_failure = Some("second".to_owned()), "on-failure: task `second`"),
            (|w| w.default_priority = Some(4), "default-priority: 4"),
            (|w| w.input_schema = Some("{".to_owned()), "input-schema: it is not JSON"),
            (|w| w.description = "x".repeat(16_385), "description: it has 16385"),
            (|w| w.crons = vec![cron("a"), cron("a")], "crons: `a` is declared twice"),
            (|w| w.crons = vec![wit::Cron { priority: Some(0), ..cron("a") }], "cron `a`, priority: 0"),
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
        assert!(refusal.to_string().contains("`flow` is declared twice"), "{refusal}");
    }

    #[test]
    fn what_has_no_effect_yet_is_warned_of() {
        let condition = || vec![wit::Condition { expression: "true".to_owned() }];
        let declared = changed(|workflow| workflow.tasks[1].skip_if = condition());
        let Ok(Checked { warnings, .. }) = check(vec![declared], MEMORY) else { panic!("it is valid") };
        assert_eq!(warnings, ["workflow `flow`: `skip-if` has no effect yet"]);
    }
}
