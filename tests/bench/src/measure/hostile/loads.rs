//! The loads, by name.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::Load;
use super::act::Act;
use super::module::{self, PREFIX};
use super::schemas::{
    COMPILING, COMPILING_KEY, COPYING, COPYING_KEY, compiling_often, doubling, listed, numbers,
    one_of_numbers, one_of_patterns, one_of_texts, text_or_null,
};
use crate::Bench;
use crate::clock::now_ms;
use crate::programs::{self, ABOUT, COUNTER, ECHO, ENDLESS_LOOP, EVENT_WAITER, LOG_FLOOD, SCRIPT};

/// The workflow that a load declares, and another one.
const DECLARED: &str = "declared-w";
const OTHER: &str = "declared-v";

/// The key of the events that start a declared workflow.
const KEY: &str = "declared:go";

const A_DAY_MS: u64 = 86_400_000;

/// Most waits, spawns and pushes of a task.
const TASK_MAX: usize = 10_000;

/// Events that a look-back may look at.
const EVENTS: usize = 100_000;

/// Waits that each look back over all of them.
const LOOKS: usize = 10;

/// Schedules that are pending when a workflow is deleted.
const SCHEDULES: usize = 100_000;

/// Runs of one request, and children of each.
const BULK: usize = 1_000;
const CHILDREN_EACH: usize = 20;

/// Tasks that spawn as many of the called workflow as they may.
const SPAWNERS: usize = 10;

/// Runs that live when their workflow gets another cron.
const LIVE: usize = 20_000;

/// Workflows that the test programs can declare besides their own, and subscriptions that each of them can have.
const WORKFLOWS: usize = 20;
const SUBSCRIPTIONS: usize = 64;

/// Children of a run, and of each of these.
const TREE_EACH: usize = 100;

/// Tasks that do the same at the same time.
const TASKS: usize = 50;

/// Runs of a script that spawns as many large runs as a step may, and how many these are.
const LARGE_SCRIPTS: usize = 20;
const LARGE_EACH: usize = 15;

/// Requests where one alone is too quick to be felt.
const REQUESTS: usize = 100;

/// Crons that fire each second, and how long the host was down.
const CRONS: usize = 100;
const DOWN: Duration = Duration::from_secs(1_000);

/// How long a cron that fires each second is left to do its harm.
const CRON_WATCHED: Duration = Duration::from_secs(3);

/// The ways in which an input comes to a workflow.
const WAYS: [Way; 4] = [Way::Call, Way::Cron, Way::Event, Way::Spawn];

#[derive(Clone, Copy)]
enum Way {
    Call,
    Cron,
    Event,
    Spawn,
}

/// All loads, in the sizes of the benchmark.
pub(super) fn all(bench: &Bench) -> Vec<Load> {
    let mut loads = vec![
        look_back("look-back over a pattern", "look:{n}", "look:*", bench),
        look_back("look-back over a key", "look", "look", bench),
        push_against("10,000 filters on one key, a push", "order", Some("input.order == \"{n}\""), bench),
        push_against("10,000 patterns, a push", "order:{n}:*", None, bench),
    ];
    loads.push(wake_all(bench));
    loads.extend(schemas());
    loads.extend(filters());
    loads.extend([
        end_with_waiters(bench),
        cancel_with_children("cancel a parent of 10,000 sleeping children", COUNTER, bench),
        cancel_with_children("cancel a parent of 10,000 ended children", ABOUT, bench),
        delete_with_schedules("delete a workflow with 100,000 schedules", DECLARED, bench),
        delete_with_schedules("delete a workflow beside 100,000 schedules", OTHER, bench),
        cron_over_live_runs(bench),
        drop_waits(bench),
        spawn_in_bulk(bench),
        spawn_of_the_called(bench),
        spawn_and_push(bench),
        start_subscribers("an event of 16 KB for 1,280 subscriptions", 16 << 10),
        cancel_tree(bench),
        displace(bench),
        open_waits(bench),
        endless_loops(),
        replay_large(bench),
        log_lines("a step that logs empty lines without end", json!({"line_bytes": 0})),
        log_lines("a step that prints empty lines without end", json!({"line_bytes": 0, "print": true})),
        catch_up(bench),
        crons_that_never_fire(),
        pause_and_resume(),
        upload("upload of a module that takes long to compile", module::slow_to_compile),
        upload("upload of 60 MB", module::large),
    ]);
    loads
}

/// A task that looks back over many events of which none matches.
fn look_back(name: &str, key: &'static str, pattern: &str, bench: &Bench) -> Load {
    let payload = json!({"n": 1, "text": "x".repeat(100)});
    let waits = waits(pattern, Some("input.n == -1"), LOOKS, json!({"look_back_ms": A_DAY_MS}));
    Load::new(
        name,
        vec![Act::Push { key, payload, times: bench.size(EVENTS) }],
        vec![start_script(vec![waits], 1), until_sleeping(SCRIPT, 1)],
    )
}

/// An event that comes while one task has as many waits open as it may, and is for none of them.
fn push_against(name: &str, pattern: &str, filter: Option<&str>, bench: &Bench) -> Load {
    let waits = waits(pattern, filter, bench.size(TASK_MAX), json!({}));
    Load::new(
        name,
        vec![start_script(vec![waits], 1), until_sleeping(SCRIPT, 1)],
        vec![Act::Push { key: "order", payload: json!({"order": "none"}), times: 1 }],
    )
}

/// An event for which as many runs wait.
fn wake_all(bench: &Bench) -> Load {
    let waiters = bench.size(TASK_MAX);
    let start =
        Act::Start { workflow: EVENT_WAITER, input: programs::event_waiter("wake", "true"), times: waiters };
    Load::new(
        "an event for 10,000 runs",
        vec![start, until_sleeping(EVENT_WAITER, waiters)],
        vec![
            Act::Push { key: "wake", payload: Value::Null, times: 1 },
            Act::Until { workflow: EVENT_WAITER, status: "completed", count: waiters },
        ],
    )
}

/// Schemas that are small and cost much to check, by every way that an input takes.
fn schemas() -> Vec<Load> {
    let mut loads = Vec::new();
    for (name, schema, input) in [
        ("a schema that doubles 40 times", doubling(40), json!("a")),
        ("a schema that doubles 20 times, wrong input", doubling(20), json!(1)),
        ("8 constants, 520,000 wrong items", one_of_texts(8), numbers(1, 520_000)),
        ("text or null, 520,000 wrong items", text_or_null(), numbers(1, 520_000)),
        ("1,000 constants, 3,000 wrong items", one_of_numbers(1_000), numbers(2, 3_000)),
        ("400 patterns, 3,000 letters", one_of_patterns(400), json!("a".repeat(3_000))),
    ] {
        for way in WAYS {
            loads.push(way.load(name, &json!({ "schema": schema }), &input));
        }
    }
    let declared = json!([{"name": DECLARED, "schema": doubling(27), "cron": ["* * * * * *", "a"]}]);
    let name = "a schema that doubles 27 times, in a declared cron";
    loads.push(Load::new(name, vec![], vec![Act::Declare(declared), Act::Sleep(CRON_WATCHED)]));
    loads
}

/// Filters that are small and cost much to evaluate: in a subscription, in a wait, and as the key of
/// a concurrency limit by every way that an input takes.
fn filters() -> Vec<Load> {
    let copying =
        ("a filter that copies 8,100 elements as often", COPYING.to_owned(), listed(json!(1), 8_100));
    let compiling =
        ("a filter that compiles 1,000 patterns", COMPILING.to_owned(), listed(json!("a"), 1_000));
    let often =
        ("a filter that compiles 20 times 200 patterns", compiling_often(20), listed(json!("a"), 200));
    let mut loads = Vec::new();
    for (name, filter, payload) in [&copying, &compiling, &often] {
        let push = || Act::Push { key: KEY, payload: payload.clone(), times: 1 };
        let declared = json!([{"name": DECLARED, "event": [KEY, filter]}]);
        loads.push(Load::new(format!("{name}, subscription"), vec![Act::Declare(declared)], vec![push()]));
        loads.push(Load::new(
            format!("{name}, wait"),
            vec![start_script(vec![waits("*", Some(filter), 1, json!({}))], 1), until_sleeping(SCRIPT, 1)],
            vec![push()],
        ));
    }
    for (name, key, input) in [
        ("a limit's key that copies 8,100 elements as often", COPYING_KEY, copying.2),
        ("a limit's key that compiles 1,000 patterns", COMPILING_KEY, compiling.2),
    ] {
        for way in WAYS {
            loads.push(way.load(name, &json!({ "concurrency_key": key }), &input));
        }
    }
    loads
}

impl Way {
    /// A load of a declared workflow that has something hostile, with an input that comes this way.
    fn load(self, name: &str, hostile: &Value, input: &Value) -> Load {
        let declare = |with: &[&Value]| {
            let mut workflow = json!({"name": DECLARED, "event": [KEY, null]});
            for (field, value) in with.iter().filter_map(|value| value.as_object()).flatten() {
                workflow[field.as_str()] = value.clone();
            }
            Act::Declare(json!([workflow]))
        };
        let input = input.clone();
        let (way, before, acts) = match self {
            Self::Call => ("call", vec![declare(&[hostile])], vec![Act::Call { workflow: DECLARED, input }]),
            // The cron is made before the workflow becomes hostile: later it could be refused.
            Self::Cron => {
                let path = format!("/api/v1/workflows/{DECLARED}/crons/each-second");
                let body = json!({"expression": "* * * * * *", "input": input});
                let put = Act::Send { method: Method::PUT, path, body, times: 1 };
                ("cron", vec![declare(&[]), put], vec![declare(&[hostile]), Act::Sleep(CRON_WATCHED)])
            }
            Self::Event => {
                let push = Act::Push { key: KEY, payload: input, times: 1 };
                ("event", vec![declare(&[hostile])], vec![push])
            }
            Self::Spawn => {
                let acts = json!([spawn(DECLARED, &input, 1), "join"]);
                ("spawn", vec![declare(&[hostile])], vec![Act::Call { workflow: SCRIPT, input: acts }])
            }
        };
        Load::new(format!("{name}, {way}"), before, acts)
    }
}

/// A run for which as many others wait ends.
fn end_with_waiters(bench: &Bench) -> Load {
    let waiters = bench.size(TASK_MAX);
    let mut spawn = spawn(EVENT_WAITER, &programs::event_waiter("end", "true"), 1);
    spawn["spawn"]["key"] = json!("shared");
    spawn["spawn"]["detached"] = json!(true);
    Load::new(
        "the end of a run with 10,000 waiters",
        vec![
            start_script(vec![spawn, json!("join")], waiters),
            until_sleeping(SCRIPT, waiters),
            until_sleeping(EVENT_WAITER, 1),
        ],
        vec![
            Act::Push { key: "end", payload: Value::Null, times: 1 },
            Act::Until { workflow: SCRIPT, status: "completed", count: waiters },
        ],
    )
}

/// A parent is cancelled that has as many children as a task may spawn.
fn cancel_with_children(name: &str, child: &'static str, bench: &Bench) -> Load {
    let children = bench.size(TASK_MAX);
    let input = if child == COUNTER { programs::counter(1, A_DAY_MS) } else { Value::Null };
    let status = if child == COUNTER { "sleeping" } else { "completed" };
    let script = vec![spawn(child, &input, children), json!({ "sleep": A_DAY_MS })];
    let body = json!({"filter": {"workflow": SCRIPT}});
    let cancel = Act::Send { method: Method::POST, path: "/api/v1/runs/cancel".to_owned(), body, times: 1 };
    Load::new(
        name,
        vec![
            start_script(script, 1),
            Act::Until { workflow: child, status, count: children },
            until_sleeping(SCRIPT, 1),
        ],
        vec![
            cancel,
            Act::Until { workflow: SCRIPT, status: "cancelled", count: 1 },
            Act::UntilNone { workflow: child, status: "sleeping" },
        ],
    )
}

/// A workflow is deleted while schedules are pending: its own, or those of another one.
fn delete_with_schedules(name: &str, scheduled: &str, bench: &Bench) -> Load {
    let at = now_ms() + A_DAY_MS as i64;
    let scripts = bench.size(SCHEDULES).div_ceil(TASK_MAX);
    let schedule = json!({"schedule": {"workflow": scheduled, "times": TASK_MAX, "at": at}});
    Load::new(
        name,
        vec![
            Act::Declare(json!([{ "name": DECLARED }, { "name": OTHER }])),
            start_script(vec![schedule], scripts),
            Act::Until { workflow: SCRIPT, status: "completed", count: scripts },
        ],
        vec![send(Method::DELETE, format!("/api/v1/workflows/{DECLARED}"), Value::Null, 1)],
    )
}

/// A cron is told that its runs must not overlap while many runs of the workflow live.
fn cron_over_live_runs(bench: &Bench) -> Load {
    let live = bench.size(LIVE);
    let put = |overlap| {
        let body = json!({"expression": "0 0 1 1 *", "overlap": overlap, "input": programs::counter(1, 0)});
        send(Method::PUT, format!("/api/v1/workflows/{COUNTER}/crons/yearly"), body, 1)
    };
    Load::new(
        "a cron without overlap, 20,000 live runs",
        vec![
            Act::Start { workflow: COUNTER, input: programs::counter(1, A_DAY_MS), times: live },
            until_sleeping(COUNTER, live),
            put("allow"),
        ],
        vec![put("skip")],
    )
}

/// A task opens as many waits as it may and drops all of them at once.
fn drop_waits(bench: &Bench) -> Load {
    // One less: the sleep after which they are dropped is a wait, too.
    let waits = waits("never:{n}", None, bench.size(TASK_MAX) - 1, json!({"drop_after_ms": 1_000}));
    Load::new(
        "10,000 waits, opened and a second later dropped",
        vec![],
        vec![
            start_script(vec![waits, json!({ "sleep": 1 })], 1),
            Act::Until { workflow: SCRIPT, status: "completed", count: 1 },
        ],
    )
}

/// One request starts as many runs as it may, each of which spawns.
fn spawn_in_bulk(bench: &Bench) -> Load {
    let runs = bench.size(BULK);
    Load::new(
        "a bulk of 1,000 runs that spawn 20 each",
        vec![],
        vec![
            start_script(vec![spawn(ABOUT, &Value::Null, CHILDREN_EACH)], runs),
            Act::Until { workflow: ABOUT, status: "completed", count: runs * CHILDREN_EACH },
        ],
    )
}

/// Tasks spawn as many children as they may, and these are of the workflow that is called beside them.
fn spawn_of_the_called(bench: &Bench) -> Load {
    let children = bench.size(TASK_MAX);
    Load::new(
        "10 tasks that each spawn and join 10,000 of the called workflow",
        vec![],
        vec![
            start_script(vec![spawn(ECHO, &programs::echo(), children), json!("join")], SPAWNERS),
            Act::Until { workflow: SCRIPT, status: "completed", count: SPAWNERS },
        ],
    )
}

/// One step spawns and pushes as much as it may, and each event starts another run.
fn spawn_and_push(bench: &Bench) -> Load {
    let times = bench.size(TASK_MAX);
    let push = json!({"push": {"key": KEY, "payload": null, "times": times}});
    Load::new(
        "a step with 10,000 spawns and 10,000 events",
        vec![Act::Declare(json!([{"name": DECLARED, "event": [KEY, null]}]))],
        vec![
            start_script(vec![spawn(ABOUT, &Value::Null, times), push], 1),
            Act::Until { workflow: ABOUT, status: "completed", count: times },
            Act::Until { workflow: DECLARED, status: "completed", count: times },
        ],
    )
}

/// An event that starts as many runs as there can be subscriptions of the test programs.
fn start_subscribers(name: &str, bytes: usize) -> Load {
    let declared = |n: usize| json!({"name": format!("{PREFIX}{n}"), "event": [KEY, null], "subscriptions": SUBSCRIPTIONS});
    let declared: Value = (0..WORKFLOWS).map(declared).collect();
    let last = "declared-19";
    let payload = json!("x".repeat(bytes));
    Load::new(
        name,
        vec![Act::Declare(declared)],
        vec![
            Act::Push { key: KEY, payload, times: 1 },
            Act::Until { workflow: last, status: "completed", count: SUBSCRIPTIONS },
        ],
    )
}

/// A run is cancelled whose children have children.
fn cancel_tree(bench: &Bench) -> Load {
    let each = bench.size(TREE_EACH);
    let child = json!([spawn(COUNTER, &programs::counter(1, A_DAY_MS), each), { "sleep": A_DAY_MS }]);
    let script = vec![spawn(SCRIPT, &child, each), json!({ "sleep": A_DAY_MS })];
    let body = json!({"filter": {"workflow": SCRIPT, "trigger": "call"}});
    let cancel = Act::Send { method: Method::POST, path: "/api/v1/runs/cancel".to_owned(), body, times: 1 };
    Load::new(
        "cancel a parent of 100 parents of 100 children",
        vec![start_script(script, 1), until_sleeping(COUNTER, each * each), until_sleeping(SCRIPT, each + 1)],
        vec![
            cancel,
            Act::UntilNone { workflow: SCRIPT, status: "sleeping" },
            Act::UntilNone { workflow: COUNTER, status: "sleeping" },
        ],
    )
}

/// A run displaces all that stand in line under its limit.
fn displace(bench: &Bench) -> Load {
    let live = bench.size(LIVE);
    let declare = |displaces: bool| {
        let declared = json!([{"name": DECLARED, "concurrency_key": "'all'", "displaces": displaces}]);
        Act::Declare(declared)
    };
    let pause = send(Method::PATCH, format!("/api/v1/workflows/{DECLARED}"), json!({"paused": true}), 1);
    let start = |times| Act::Start { workflow: DECLARED, input: Value::Null, times };
    Load::new(
        "a run that displaces 20,000 others",
        vec![declare(false), pause, start(live), declare(true)],
        vec![start(1), Act::Until { workflow: DECLARED, status: "cancelled", count: live }],
    )
}

/// Many tasks open as many waits as they may, at the same time.
fn open_waits(bench: &Bench) -> Load {
    let waits = waits("never:{n}", None, bench.size(TASK_MAX), json!({}));
    Load::new(
        "50 tasks that open 10,000 waits each",
        vec![],
        vec![start_script(vec![waits], TASKS), until_sleeping(SCRIPT, TASKS)],
    )
}

/// More tasks compute without end than there are processors.
fn endless_loops() -> Load {
    let start = Act::Start { workflow: ENDLESS_LOOP, input: Value::Null, times: TASKS };
    let until = Act::Until { workflow: ENDLESS_LOOP, status: "failed", count: TASKS };
    Load::new("50 tasks that compute without end", vec![], vec![start, until])
}

/// Many runs are run again whose inputs are as large as they may be.
fn replay_large(bench: &Bench) -> Load {
    let script = || vec![spawn(ABOUT, &json!("x".repeat(1_000_000)), LARGE_EACH)];
    let mut before: Vec<_> = (0..bench.size(LARGE_SCRIPTS)).map(|_| start_script(script(), 1)).collect();
    let count = before.len() * LARGE_EACH;
    before.push(Act::Until { workflow: ABOUT, status: "completed", count });
    let body = json!({"filter": {"workflow": ABOUT}});
    let replay = Act::Send { method: Method::POST, path: "/api/v1/runs/replay".to_owned(), body, times: 1 };
    Load::new(
        "300 runs with inputs of 1 MB, run again",
        before,
        vec![replay, Act::Until { workflow: ABOUT, status: "completed", count: 2 * count }],
    )
}

/// A step that logs as many lines as it may.
fn log_lines(name: &str, input: Value) -> Load {
    let start = Act::Start { workflow: LOG_FLOOD, input, times: 1 };
    Load::new(name, Vec::new(), vec![start, Act::Until { workflow: LOG_FLOOD, status: "failed", count: 1 }])
}

/// A host that was down has crons to fire for every second of it.
fn catch_up(bench: &Bench) -> Load {
    let crons = bench.size(CRONS);
    let body = json!({"expression": "* * * * * *", "catchUp": "all", "catchUpWindowMs": A_DAY_MS});
    let put = |number| {
        send(Method::PUT, format!("/api/v1/workflows/{ABOUT}/crons/second-{number}"), body.clone(), 1)
    };
    let firings = crons * DOWN.as_secs() as usize;
    Load {
        down: Some(DOWN),
        ..Load::new(
            "100 crons that catch up 1,000 firings each",
            (0..crons).map(put).collect(),
            vec![Act::Until { workflow: ABOUT, status: "completed", count: firings }],
        )
    }
}

/// Crons are refused because they never fire, which takes a search to find out.
fn crons_that_never_fire() -> Load {
    let body = json!({"expression": "0 0 30 2 *", "timezone": "Europe/Paris"});
    Load::new(
        "100 crons that never fire",
        vec![],
        vec![send(Method::PUT, format!("/api/v1/workflows/{ABOUT}/crons/never"), body, REQUESTS)],
    )
}

/// A workflow is paused again and again, beside many others whose definitions are large.
fn pause_and_resume() -> Load {
    let workflow = |number| json!({"name": format!("{PREFIX}{number}"), "schema": one_of_numbers(50)});
    let patch = |request| {
        send(Method::PATCH, format!("/api/v1/workflows/{ABOUT}"), json!({"paused": request % 2 == 0}), 1)
    };
    Load::new(
        "100 times a pause or its end, beside 20 schemas",
        vec![Act::Declare((0..20).map(workflow).collect())],
        (0..REQUESTS).map(patch).collect(),
    )
}

fn upload(name: &str, module: fn(&[u8]) -> Vec<u8>) -> Load {
    Load::new(name, vec![], vec![Act::Upload(module)])
}

fn send(method: Method, path: String, body: Value, times: usize) -> Act {
    Act::Send { method, path, body, times }
}

fn until_sleeping(workflow: &'static str, count: usize) -> Act {
    Act::Until { workflow, status: "sleeping", count }
}

/// Starts so many runs of the script that does these things.
fn start_script(script: Vec<Value>, times: usize) -> Act {
    Act::Start { workflow: SCRIPT, input: script.into(), times }
}

/// Of a script: spawns runs.
fn spawn(workflow: &str, input: &Value, times: usize) -> Value {
    json!({"spawn": {"workflow": workflow, "input": input, "times": times, "key": null}})
}

/// Of a script: opens waits for events, with what else is to be said of them.
fn waits(pattern: &str, filter: Option<&str>, times: usize, with: Value) -> Value {
    let mut waits = json!({"pattern": pattern, "filter": filter, "times": times});
    for (field, value) in with.as_object().into_iter().flatten() {
        waits[field.as_str()] = value.clone();
    }
    json!({ "wait": waits })
}
