//! `cargo chaos`: a mixed load over HTTP on a real host that is killed with SIGKILL over and over.
//! What the host acknowledged is written down here, outside of it; in the end each acknowledgement
//! is held against what became of it, and `dormouse check` looks at the store.

use std::collections::BTreeSet;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use dormouse_tests::{Client, HostProcess};
use serde_json::{Value, json};

const USAGE: &str =
    "usage: cargo chaos [--seconds 180] [--kill-every 2] [--seed 1] (times in seconds, such as 0.2)";

/// Longest that the last host may take to end what was begun.
const DRAIN_LIMIT: Duration = Duration::from_secs(300);

/// Between two requests of one kind.
const PAUSE: Duration = Duration::from_millis(40);

/// Calls: workflow, input, where in the output to look, and what must be there.
const CALLS: [(&str, &str, &str, &str); 4] = [
    ("echo", r#"{"text":"hello"}"#, "/text", r#""hello""#),
    ("counter", r#"{"times":3,"ms":300}"#, "/count", "3"),
    ("map-checksum", r#"{"n":100,"sleep_ms":2500}"#, "/checksum", "495000"),
    ("parent", r#"{"children":3,"sleep_ms":400}"#, "", "6"),
];

#[derive(Default)]
struct Ledger {
    sent: [u64; 3],
    /// The kind of call, and the run.
    calls: Vec<(usize, String)>,
    /// The number in the payload, and the runs that the answer listed.
    events: Vec<(u64, Value)>,
    scheduled: Vec<(u64, String)>,
}

/// What the load and the killer share.
struct Field {
    client: Mutex<Client>,
    ledger: Mutex<Ledger>,
    over: AtomicBool,
    seed: u64,
}

impl Field {
    fn client(&self) -> Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self, entry: impl FnOnce(&mut Ledger)) {
        entry(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Sends until there is an answer, however many hosts that takes.
    fn post(&self, kind: usize, path: &str, body: &Value) -> Value {
        loop {
            self.write(|ledger| ledger.sent[kind] += 1);
            match self.client().try_post(path, body) {
                Some(answer) if matches!(answer.status, 200..=202) => return answer.body,
                Some(answer) => assert_eq!(answer.status, 503, "{path} was refused: {:#}", answer.body),
                None => {}
            }
            thread::sleep(PAUSE);
        }
    }

    fn each(&self, load: impl Fn(u64)) {
        for number in 0.. {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            load(number);
            thread::sleep(PAUSE);
        }
    }

    fn call(&self, kind: usize, number: u64) {
        let (workflow, input, ..) = CALLS[kind];
        let body = json!({ "input": parsed(input), "idempotencyKey": format!("{}-{number}", self.seed) });
        let run = self.post(0, &format!("/workflows/{workflow}/runs"), &body);
        self.write(|ledger| ledger.calls.push((kind, text(&run["id"]))));
    }

    fn event(&self, number: u64) {
        let key = format!("{}-{number}", self.seed);
        let body = json!({ "key": "triggered:plain", "payload": number, "idempotencyKey": key });
        let answer = self.post(1, "/events", &body);
        self.write(|ledger| ledger.events.push((number, answer["runs"].clone())));
    }

    /// Schedules have no idempotency key: what was not answered may be there more than once, but
    /// each of them fires once.
    fn schedule(&self, number: u64) {
        let at = dormouse::Clock::system().now().after(Duration::from_millis(number % 4000));
        let body = json!({ "triggerAt": at.to_string(), "input": number });
        let row = self.post(2, "/workflows/echo/scheduled", &body);
        self.write(|ledger| ledger.scheduled.push((number, text(&row["id"]))));
    }
}

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What was found to be wrong.
#[derive(Default)]
struct Verdict(Vec<String>);

impl Verdict {
    fn check(&mut self, is_right: bool, wrong: impl FnOnce() -> String) {
        if !is_right {
            self.0.push(wrong());
        }
    }

    /// A run has completed once, with this output.
    fn completed_once(&mut self, host: &Client, id: &str, pointer: &str, output: &Value) {
        let run = host.run(id);
        let is_right = run["status"] == "completed" && run["output"].pointer(pointer) == Some(output);
        self.check(is_right, || format!("run {id} is not what it should be: {run}"));
        let history = host.list(&format!("/runs/{id}/history?limit=200"));
        let is_end =
            |row: &&Value| ["completed", "failed", "cancelled"].iter().any(|end| row["runStatus"] == *end);
        let ends = history.iter().filter(is_end).count();
        self.check(ends == 1, || format!("run {id} has {ends} ends"));
    }
}

/// What is to be done, and with which numbers.
struct Plan {
    time: Duration,
    kill_every: Duration,
    seed: u64,
}

impl Plan {
    /// `None` of arguments that say nothing.
    fn parse(arguments: &[String]) -> Option<Self> {
        let known = |argument: &String| ["--seconds", "--kill-every", "--seed"].contains(&argument.as_str());
        if !arguments.iter().step_by(2).all(known) {
            return None;
        }
        let time = |name, default| {
            let seconds: f64 = value(arguments, name, default)?;
            Duration::try_from_secs_f64(seconds).ok()
        };
        let plan = Self {
            time: time("--seconds", 180.0)?,
            kill_every: time("--kill-every", 2.0)?,
            seed: value(arguments, "--seed", 1)?,
        };
        (!plan.kill_every.is_zero()).then_some(plan)
    }
}

fn value<T: std::str::FromStr>(arguments: &[String], name: &str, default: T) -> Option<T> {
    let Some(at) = arguments.iter().position(|argument| argument == name) else { return Some(default) };
    arguments.get(at + 1)?.parse().ok()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The host, its compiler and its check are this program as other processes.
    if matches!(arguments.first().map(String::as_str), Some("serve" | "compile" | "check")) {
        return dormouse::cli::main();
    }
    let Some(plan) = Plan::parse(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match chaos(&plan) {
        Ok(wrong) if wrong.is_empty() => {
            println!("verdict: nothing lost, nothing twice");
            ExitCode::SUCCESS
        }
        Ok(wrong) => {
            wrong.iter().for_each(|wrong| println!("WRONG: {wrong}"));
            println!("verdict: {} violations", wrong.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn chaos(plan: &Plan) -> anyhow::Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let binary = std::env::current_exe()?.to_string_lossy().into_owned();
    let mut host = HostProcess::start(&binary, folder.path());
    host.deploy("dormouse-programs");
    for name in ["all", "skip"] {
        let cron = json!({ "expression": "* * * * * *", "catchUp": name, "metadata": { "cron": name } });
        drop(host.put(&format!("/workflows/echo/crons/{name}"), &cron).expect(201));
    }
    let field = Field {
        client: Mutex::new(host.clone()),
        ledger: Mutex::default(),
        over: AtomicBool::new(false),
        seed: plan.seed,
    };
    let mut kills = 0;
    let host = thread::scope(|scope| {
        for kind in 0..CALLS.len() {
            let field = &field;
            scope.spawn(move || field.each(|number| field.call(kind, number)));
        }
        scope.spawn(|| field.each(|number| field.event(number)));
        scope.spawn(|| field.each(|number| field.schedule(number)));
        let began = Instant::now();
        while began.elapsed() < plan.time {
            thread::sleep(plan.kill_every);
            host.kill();
            kills += 1;
            host = HostProcess::start(&binary, folder.path());
            *field.client.lock().unwrap_or_else(PoisonError::into_inner) = host.clone();
        }
        field.over.store(true, Ordering::Relaxed);
        host
    });
    for cron in host.list("/crons") {
        drop(host.patch(&format!("/crons/{}", text(&cron["id"])), &json!({ "enabled": false })).expect(200));
    }
    let ledger = field.ledger.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut verdict = Verdict::default();
    drain(&host, &mut verdict);
    let fired = verify(&host, &ledger, &mut verdict);
    println!("killed {kills} times in {:?}, seed {}\n", plan.time, plan.seed);
    println!("{:12} {:>10} {:>14}", "what", "requests", "acknowledged");
    let rows = [ledger.calls.len(), ledger.events.len(), ledger.scheduled.len()];
    for ((name, sent), acknowledged) in ["calls", "events", "schedules"].iter().zip(ledger.sent).zip(rows) {
        println!("{name:12} {sent:>10} {acknowledged:>14}");
    }
    println!("{:12} {:>10} {fired:>14}\n", "cron times", "");
    verdict.check(host.stop().success(), || "the last host did not stop in order".to_owned());
    let check = Command::new(&binary).arg("check").arg("--data").arg(folder.path()).output()?;
    let said = String::from_utf8_lossy(&[check.stdout, check.stderr].concat()).into_owned();
    println!("dormouse check: {}", said.trim());
    verdict.check(check.status.success(), || "`dormouse check` is not clean, or there is none".to_owned());
    Ok(verdict.0)
}

/// Waits until nothing is left to do.
fn drain(host: &Client, verdict: &mut Verdict) {
    let began = Instant::now();
    let open =
        ["/runs?status=queued", "/runs?status=running", "/runs?status=sleeping", "/scheduled?status=pending"];
    let left = || open.iter().find(|path| host.get(path).expect(200)["rows"] != json!([]));
    while let Some(path) = left() {
        if began.elapsed() > DRAIN_LIMIT {
            return verdict
                .check(false, || format!("after {DRAIN_LIMIT:?} there is still something in {path}"));
        }
        thread::sleep(PAUSE);
    }
    let run = host.post("/workflows/echo/runs?wait=10000", &json!({ "metadata": { "probe": "slot" } }));
    verdict.check(run.status == 200, || format!("nothing runs any more: {:#}", run.body));
    // Of a slot that leaked, the host would still say that a step runs in it.
    for name in ["dormouse_live_instances", "dormouse_queue_depth", "dormouse_sleepers"] {
        let left = host.metric(name);
        verdict.check(left == 0.0, || format!("nothing is left to do, and {name} is {left}"));
    }
}

/// Holds the ledger against the host; gives how many times of crons there were.
fn verify(host: &Client, ledger: &Ledger, verdict: &mut Verdict) -> usize {
    let mut ids = BTreeSet::new();
    for (kind, id) in &ledger.calls {
        let (workflow, _, pointer, output) = CALLS[*kind];
        verdict.check(ids.insert(id), || format!("two calls were answered with run {id}"));
        verdict.completed_once(host, id, pointer, &parsed(output));
        if workflow == "parent" {
            let children = host.list(&format!("/runs?parent={id}&limit=200")).len();
            verdict.check(children == 3, || format!("run {id} has {children} children"));
        }
    }
    let calls = host.list("/runs?trigger=call&limit=200");
    let calls = calls.iter().filter(|run| run["metadata"]["probe"] != "slot").count();
    verdict.check(calls == ids.len(), || format!("{} calls gave {calls} runs", ids.len()));
    for (payload, runs) in &ledger.events {
        let id = text(&runs[0]["id"]);
        verdict.check(runs.as_array().is_some_and(|runs| runs.len() == 1), || {
            format!("event {payload}: {runs}")
        });
        verdict.completed_once(host, &id, "", &json!(payload));
    }
    let started = host.list("/runs?trigger=event&limit=200").len();
    verdict.check(started == ledger.events.len(), || format!("events started {started} runs"));
    for (input, id) in &ledger.scheduled {
        let row = host.get(&format!("/scheduled/{id}")).expect(200);
        verdict.check(row["status"] == "fired", || format!("a schedule was lost: {row}"));
        verdict.completed_once(host, &text(&row["runId"]), "", &json!(input));
    }
    let fired = host.list("/runs?trigger=scheduled&limit=200");
    let unique: BTreeSet<_> = fired.iter().map(|run| text(&run["trigger"]["id"])).collect();
    verdict.check(unique.len() == fired.len(), || "a schedule fired twice".to_owned());
    let mut times = 0;
    for name in ["all", "skip"] {
        let runs = host.list(&format!("/runs?trigger=cron&metadata=cron:{name}&limit=200"));
        let nominal: BTreeSet<_> = runs.iter().map(|run| text(&run["trigger"]["scheduledAt"])).collect();
        verdict.check(nominal.len() == runs.len(), || format!("cron {name} fired a time twice"));
        let seconds: Vec<_> = nominal.iter().filter_map(|time| second(time)).collect();
        let is_next = |pair: &[u64]| pair[1] == (pair[0] + 1) % 86_400;
        // Sorted as text, a run over midnight is in order as well.
        let misses = name == "all" && !seconds.windows(2).all(is_next);
        verdict.check(!misses, || format!("cron {name} missed a time"));
        times += nominal.len();
    }
    times
}

/// The second of the day of a time.
fn second(time: &str) -> Option<u64> {
    let clock = time.split_once('T')?.1.split_once('.')?.0;
    clock.split(':').try_fold(0, |sum, part| Some(sum * 60 + part.parse::<u64>().ok()?))
}
