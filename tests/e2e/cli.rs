//! The command line: the real binary against a real host.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::Duration;

use dormouse_tests::{TestHost, guest};
use serde_json::{Value, json};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_dormouse-under-test");

/// A host, and a folder with the compiled guests to deploy.
struct Desk {
    host: TestHost,
    folder: TempDir,
}

/// What a command came to.
struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Desk {
    fn new() -> Self {
        let host = TestHost::with(&["dormouse-programs"]);
        Self { host, folder: tempfile::tempdir().expect("there is room for a folder") }
    }

    /// Runs a command with the host as server.
    fn dormouse(&self, arguments: &[&str]) -> Outcome {
        dormouse(self.host.url(), arguments)
    }

    /// The data of a command that is done.
    #[track_caller]
    fn done(&self, arguments: &[&str]) -> String {
        let outcome = self.dormouse(arguments);
        assert_eq!(outcome.code, Some(0), "{arguments:?}: {}", outcome.stderr);
        outcome.stdout
    }

    /// The data of a command that is done, as JSON.
    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.done(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// A file with the bytes of a guest.
    fn file(&self, package: &str) -> String {
        let path = self.folder.path().join(format!("{package}.wasm"));
        fs::write(&path, guest(package)).expect("the file can be written");
        path.display().to_string()
    }
}

fn dormouse(server: &str, arguments: &[&str]) -> Outcome {
    let mut program = Command::new(PROGRAM);
    let Output { status, stdout, stderr } =
        program.args(arguments).env("DORMOUSE_SERVER", server).output().expect("it can be started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints text");
    Outcome { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

#[track_caller]
fn id(value: &Value) -> String {
    value["id"].as_str().unwrap_or_else(|| panic!("it has no id: {value:#}")).to_owned()
}

#[test]
fn modules_are_inspected_deployed_listed_and_deleted() {
    let desk = Desk::new();
    let file = desk.file("declared-cron");

    // Without a server.
    let inspected = dormouse("http://127.0.0.1:1", &["inspect", &file]);
    assert_eq!(inspected.code, Some(0), "{}", inspected.stderr);
    assert!(inspected.stdout.contains("snapshots:  yes"), "{}", inspected.stdout);
    let report = desk.json(&["inspect", &file]);
    let workflow = report["workflows"][0].as_str().expect("it declares a workflow").to_owned();

    let deployed = desk.done(&["deploy", &file]);
    assert!(deployed.contains(&format!("workflow {workflow} version 1")), "{deployed}");
    assert!(deployed.contains("cron "), "{deployed}");
    let module = desk.json(&["deploy", &file]);
    assert_eq!(module["digest"], report["digest"]);

    let digest = module["digest"].as_str().expect("it has a digest");
    assert!(desk.done(&["modules", "list"]).contains(digest));
    let refused = desk.dormouse(&["modules", "delete", digest]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("(module_current)"), "{}", refused.stderr);
    for workflow in module["workflows"].as_array().expect("it has workflows") {
        let name = workflow["name"].as_str().expect("a workflow has a name");
        desk.done(&["workflows", "delete", name]);
    }
    desk.done(&["modules", "delete", digest]);
    assert_eq!(desk.json(&["modules", "list"])["rows"].as_array().map(Vec::len), Some(1));
}

#[test]
fn files_that_cannot_be_deployed_are_refused_with_the_reason() {
    let desk = Desk::new();
    let diary = desk.folder.path().join("diary.wasm");
    fs::write(&diary, "Dear diary,").expect("the file can be written");
    let diary = diary.display().to_string();
    for (command, file, words) in [
        ("deploy", diary.as_str(), "upload the `.wasm` file"),
        ("inspect", diary.as_str(), "upload the `.wasm` file"),
        ("deploy", "no-such-file.wasm", "cannot read"),
        ("inspect", "no-such-file.wasm", "cannot read"),
    ] {
        let refused = desk.dormouse(&[command, file]);
        assert_eq!(refused.code, Some(1), "{command} {file}");
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
        assert!(refused.stderr.contains(file), "{}", refused.stderr);
        assert_eq!(refused.stdout, "");
    }
}

#[test]
fn runs_are_started_waited_for_and_followed() {
    let desk = Desk::new();
    let input = r#"{"text":"hello"}"#;
    let started = desk.json(&["run", "echo", "--input", input, "--metadata", "team:a", "--priority", "2"]);
    assert_eq!((&started["metadata"], &started["priority"]), (&json!({ "team": "a" }), &json!(2)));

    assert_eq!(desk.done(&["run", "echo", "--input", input, "--wait"]).trim(), input);
    assert_eq!(desk.json(&["run", "echo", "--wait"])["status"], "completed");
    let file = desk.folder.path().join("input.json");
    fs::write(&file, "[1, 2]").expect("the file can be written");
    let from_file = format!("@{}", file.display());
    let output: Value = serde_json::from_str(&desk.done(&["run", "echo", "--input", &from_file, "--wait"]))
        .expect("the output is JSON");
    assert_eq!(output, json!([1, 2]));

    // The log is no data: the output is.
    let followed = desk.dormouse(&["run", "blocking-sleep", "--input", r#"{"ms":1}"#, "--follow"]);
    assert_eq!((followed.code, followed.stdout.trim()), (Some(0), "null"));
    assert!(followed.stderr.contains("blocking-sleep  blocked"), "{}", followed.stderr);
    assert!(followed.stderr.contains("task blocking-sleep: completed"), "{}", followed.stderr);

    for wait in ["--wait", "--follow"] {
        let failed = desk.dormouse(&["run", "fails", "--input", r#"{"attempts":1,"fatal":true}"#, wait]);
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""), "{}", failed.stderr);
        assert!(failed.stderr.contains("failed (error): attempt 1 fails"), "{}", failed.stderr);
    }
    let refused = desk.dormouse(&["run", "counter", "--input", "7"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("(invalid_input, input)"), "{}", refused.stderr);
}

#[test]
fn runs_are_listed_shown_cancelled_and_their_logs_read() {
    let desk = Desk::new();
    let sleeper = desk.host.start("map-checksum", &json!({ "n": 10, "sleep_ms": 60_000 }));
    // Later, so that it is the newest.
    desk.host.advance(Duration::from_secs(1));
    let echo = desk.host.start("echo", &json!("hello"));
    desk.host.settle();

    let table = desk.done(&["runs", "list"]);
    assert!(table.starts_with("ID ") && table.contains(&sleeper) && table.contains(&echo), "{table}");
    let sleeping = desk.json(&["runs", "list", "--status", "sleeping"]);
    assert_eq!(sleeping["rows"].as_array().map(Vec::len), Some(1));
    assert_eq!(id(&sleeping["rows"][0]), sleeper);
    let first = desk.dormouse(&["runs", "list", "--limit", "1"]);
    let cursor = first.stderr.trim().rsplit(' ').next().expect("it says how to go on").to_owned();
    let second = desk.done(&["runs", "list", "--limit", "1", "--cursor", &cursor]);
    assert!(first.stdout.contains(&echo) && second.contains(&sleeper), "{}{second}", first.stdout);

    assert!(desk.done(&["runs", "get", &echo]).contains("output"));
    assert_eq!(desk.json(&["runs", "get", &sleeper])["status"], "sleeping");
    assert!(desk.done(&["runs", "logs", &sleeper]).contains("before"));
    let line: Value = serde_json::from_str(&desk.done(&["runs", "logs", &sleeper, "--json"])).expect("JSON");
    assert_eq!(line["message"], "before");
    assert_eq!(desk.json(&["runs", "cancel", &sleeper])["status"], "cancelled");
    assert!(desk.done(&["runs", "logs", "-f", &sleeper]).contains("before"));
    let again = desk.dormouse(&["runs", "cancel", &sleeper]);
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("(run_ended)"), "{}", again.stderr);
}

#[test]
fn runs_are_replayed_and_cancelled_one_by_one_by_ids_and_by_filter() {
    let desk = Desk::new();
    let start = |value: u64, team: &str| {
        let body = json!({ "input": value, "metadata": { "team": team } });
        desk.host.start_with("echo", &body)
    };
    let (a, b, other) = (start(1, "a"), start(2, "a"), start(3, "b"));
    desk.host.settle();
    let again = desk.json(&["runs", "replay", &a, "--input", "7"]);
    assert_eq!((&again["input"], &again["trigger"]["id"]), (&json!(7), &json!(a)));
    assert_eq!(desk.json(&["runs", "replay", &b])["input"], 2);

    let rows = desk.json(&["runs", "replay", &a, &other])["rows"].clone();
    assert_eq!((&rows[0]["id"], &rows[1]["id"]), (&json!(a), &json!(other)));
    desk.host.settle();
    let table = desk.done(&["runs", "replay", "--metadata", "team:b", "--trigger", "call"]);
    assert!(table.starts_with("ID ") && table.contains(&other) && !table.contains(&a), "{table}");
    let two_inputs = desk.dormouse(&["runs", "replay", &a, &b, "--input", "7"]);
    assert_eq!(two_inputs.code, Some(2), "{}", two_inputs.stderr);

    let sleepers: Vec<_> =
        (0..3).map(|_| desk.host.start("map-checksum", &json!({ "n": 1, "sleep_ms": 60_000 }))).collect();
    desk.host.settle();
    let some = desk.dormouse(&["runs", "cancel", &sleepers[0], &a]);
    assert_eq!(some.code, Some(1), "one has ended");
    assert!(some.stderr.contains(&format!("{a}: ")) && some.stderr.contains("run_ended"), "{}", some.stderr);
    let rest = desk.dormouse(&["runs", "cancel", "--workflow", "map-checksum", "--status", "sleeping"]);
    assert_eq!(rest.code, Some(0));
    assert!(rest.stderr.contains("2 runs, 0 refused"), "{}", rest.stderr);
    assert_eq!(
        desk.json(&["runs", "list", "--status", "cancelled"])["rows"].as_array().map(Vec::len),
        Some(3)
    );
}

#[test]
fn crons_are_set_listed_disabled_enabled_triggered_and_deleted() {
    let desk = Desk::new();
    let set = ["cron", "set", "echo", "weekdays", "0 9 * * MON-FRI", "--timezone", "Europe/Paris"];
    let cron = desk.json(&set);
    assert_eq!(
        (&cron["timezone"], &cron["nextRunAt"]),
        (&json!("Europe/Paris"), &json!("2026-01-06T08:00:00.000Z"))
    );
    let id = id(&cron);
    assert!(desk.done(&["cron", "list", "--workflow", "echo"]).contains("weekdays"));

    assert_eq!(desk.json(&["cron", "disable", &id])["nextRunAt"], Value::Null);
    assert_eq!(desk.json(&["cron", "list", "--enabled", "true"])["rows"], json!([]));
    assert_eq!(desk.json(&["cron", "enable", &id])["enabled"], true);
    let run = desk.json(&["cron", "trigger", &id]);
    assert_eq!((&run["trigger"]["kind"], &run["trigger"]["id"]), (&json!("cron"), &json!(id)));
    let never = desk.dormouse(&["cron", "set", "echo", "never", "0 0 31 2 *"]);
    assert_eq!(never.code, Some(1));
    assert!(never.stderr.contains("(invalid_cron, expression)"), "{}", never.stderr);
    desk.done(&["cron", "delete", &id]);
    assert_eq!(desk.json(&["cron", "list"])["rows"], json!([]));
}

#[test]
fn scheduled_runs_are_created_listed_updated_triggered_and_deleted() {
    let desk = Desk::new();
    let at = "2030-01-31T10:00:00+01:00";
    let scheduled = desk.json(&["schedule", "create", "echo", "--at", at, "--input", "1"]);
    assert_eq!(scheduled["triggerAt"], "2030-01-31T09:00:00.000Z");
    let first = id(&scheduled);
    let second = id(&desk.json(&["schedule", "create", "echo", "--in", "2h"]));
    assert!(desk.done(&["schedule", "list"]).contains(&first));

    let updated = desk.json(&["schedule", "update", &first, "--at", "2031-01-01T00:00:00Z"]);
    assert_eq!((&updated["triggerAt"], &updated["input"]), (&json!("2031-01-01T00:00:00.000Z"), &json!(1)));
    assert_eq!(desk.json(&["schedule", "trigger", &first])["trigger"]["id"], json!(first));
    desk.done(&["schedule", "delete", &second]);
    let statuses: Vec<_> = ["fired", "cancelled", "pending"]
        .map(|status| desk.json(&["schedule", "list", "--status", status])["rows"].as_array().map(Vec::len))
        .into();
    assert_eq!(statuses, [Some(1), Some(1), Some(0)]);
}

#[test]
fn events_are_pushed_and_listed() {
    let desk = Desk::new();
    let pushed = desk.json(&["event", "push", "triggered:plain", "--payload", r#"{"age":7}"#]);
    assert_eq!(pushed["runs"].as_array().map(Vec::len), Some(1));
    let printed = desk.done(&["event", "push", "nobody:listens"]);
    assert!(printed.contains("nobody:listens"), "{printed}");
    assert!(desk.done(&["event", "list"]).contains("triggered:plain"));
    let listed = desk.json(&["event", "list", "--key", "triggered:*"]);
    assert_eq!(listed["rows"].as_array().map(Vec::len), Some(1));
}

#[test]
fn workflows_are_listed_shown_paused_and_resumed() {
    let desk = Desk::new();
    assert!(desk.done(&["workflows", "list", "--limit", "200"]).contains("map-checksum"));
    assert!(desk.done(&["workflows", "get", "echo"]).contains("sha256:"));
    assert_eq!(desk.json(&["workflows", "pause", "echo"])["paused"], true);
    let run = desk.json(&["run", "echo"]);
    desk.host.settle();
    assert_eq!(desk.json(&["runs", "get", &id(&run)])["status"], "queued");
    assert_eq!(desk.json(&["workflows", "resume", "echo"])["paused"], false);
    assert_eq!(desk.host.ended(&id(&run))["status"], "completed");
    let unknown = desk.dormouse(&["workflows", "get", "nobody"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("(unknown_workflow)"), "{}", unknown.stderr);
}

#[test]
fn wrong_usage_is_told_apart_from_an_operation_that_failed() {
    let port =
        TcpListener::bind("127.0.0.1:0").expect("there is a port").local_addr().expect("it has a number");
    let nobody = format!("http://{port}");
    for arguments in
        [&["runs"][..], &["run"], &["run", "echo", "--input", "{"], &["fly"], &["runs", "get", "7"]]
    {
        let refused = dormouse(&nobody, arguments);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!refused.stderr.is_empty(), "{arguments:?}");
    }
    // Nobody listens at a port that was free a moment ago.
    for arguments in [&["runs", "list"][..], &["run", "echo", "--wait"], &["modules", "list", "--json"]] {
        let failed = dormouse(&nobody, arguments);
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""), "{arguments:?}");
        assert!(
            failed.stderr.contains(&nobody) && failed.stderr.contains("dormouse serve"),
            "{}",
            failed.stderr
        );
    }
    assert_eq!(dormouse(&nobody, &["--help"]).code, Some(0));
    assert_eq!(dormouse(&nobody, &["--version"]).code, Some(0));
}
