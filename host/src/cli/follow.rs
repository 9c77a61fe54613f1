//! Stays with a run to its end and tells what happens to it.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::app::Outcome;
use super::client::{Answer, Client, is_absence};
use super::event_stream::StreamEvent;
use super::print::{Printer, data, indented, json, remark};

/// How long one request for the end of a run waits when its stream broke off.
const WAIT_MS: u32 = 10_000;

/// How long a host that is not there is waited for, as while it starts again, and how often it is asked.
const ABSENCE_MAX: Duration = Duration::from_secs(60);
const ABSENCE_PAUSE: Duration = Duration::from_millis(250);

/// What to tell of a run while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
    /// What its status becomes, on standard error.
    Status,
    /// Its log as well, on standard error: its output is the data.
    LogAndStatus,
    /// Its log as the data.
    LogAsData { json: bool },
}

/// What the client has to know of a run.
#[derive(Debug, Deserialize)]
pub(super) struct Run {
    pub(super) id: String,
    status: String,
    reason: Option<String>,
    output: Option<Box<RawValue>>,
    error: Option<RunError>,
}

#[derive(Debug, Deserialize)]
struct RunError {
    message: String,
}

#[derive(Deserialize)]
struct StatusChange {
    task: Option<String>,
    attempt: u32,
    status: String,
    reason: Option<String>,
}

/// A line of a run's log.
#[derive(Deserialize)]
pub(super) struct LogLine {
    at: String,
    task: Option<String>,
    level: String,
    message: String,
}

impl Run {
    fn has_ended(&self) -> bool {
        matches!(self.status.as_str(), "completed" | "failed" | "cancelled")
    }
}

/// Tells what happens to a run until it has ended; then answers with it.
pub(super) fn follow(client: &Client, id: &str, show: Show) -> anyhow::Result<Answer> {
    let (mut last_event_id, mut absent_since) = (None, None);
    loop {
        let ended = follow_once(client, id, (&mut last_event_id, &mut absent_since), show);
        match ended {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => absent_since = None,
            Err(error) if is_absence(&error) => {
                if absent_since.is_none() {
                    remark(format_args!("{error:#}; trying again, and the run goes on without"));
                }
                if absent_since.get_or_insert_with(Instant::now).elapsed() > ABSENCE_MAX {
                    return Err(error)
                        .with_context(|| format!("lost sight of run {id}, which goes on without"));
                }
                thread::sleep(ABSENCE_PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Tells what happens until the connection breaks off. Answers with a run that has ended.
fn follow_once(
    client: &Client,
    id: &str,
    (last_event_id, absent_since): (&mut Option<String>, &mut Option<Instant>),
    show: Show,
) -> anyhow::Result<Option<Answer>> {
    if let Some(events) = client.stream(&format!("/runs/{id}/stream"), last_event_id.as_deref())? {
        *absent_since = None;
        for event in events {
            // A connection that breaks off is taken up again where it ended.
            let Ok(event) = event else { break };
            tell(&event, show)?;
            if event.id.is_some() {
                *last_event_id = event.id;
            }
        }
    }
    let answer = client.get(&format!("/runs/{id}?wait={WAIT_MS}"))?;
    // What came after the stream broke off is told by the next one.
    Ok(answer.parse::<Run>()?.has_ended().then_some(answer))
}

fn tell(event: &StreamEvent, show: Show) -> anyhow::Result<()> {
    match (event.kind.as_str(), show) {
        ("status", Show::Status | Show::LogAndStatus) => {
            let change: StatusChange = serde_json::from_str(&event.data)?;
            remark(change.line());
        }
        ("log", Show::LogAndStatus) => remark(serde_json::from_str::<LogLine>(&event.data)?.line()),
        ("log", Show::LogAsData { json: true }) => json(&event.data)?,
        ("log", Show::LogAsData { json: false }) => {
            data(serde_json::from_str::<LogLine>(&event.data)?.line())?
        }
        _ => {}
    }
    Ok(())
}

impl StatusChange {
    fn line(&self) -> String {
        let what = match &self.task {
            Some(task) if self.attempt > 1 => format!("task {task} (attempt {})", self.attempt),
            Some(task) => format!("task {task}"),
            None => "run".to_owned(),
        };
        let reason = self.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        format!("{what}: {}{reason}", self.status)
    }
}

impl LogLine {
    pub(super) fn line(&self) -> String {
        let task = self.task.as_deref().unwrap_or("-");
        format!("{}  {:5}  {task}  {}", self.at, self.level, indented(&self.message))
    }
}

/// Prints the output of a run that has ended, or why there is none.
pub(super) fn print_end(printer: &Printer, answer: &Answer) -> anyhow::Result<Outcome> {
    let run: Run = answer.parse()?;
    let completed = run.status == "completed";
    if printer.is_json() {
        json(answer.text())?;
    } else if completed {
        json(run.output.as_deref().map_or("null", RawValue::get))?;
    }
    if completed {
        return Ok(Outcome::Done);
    }
    let reason = run.reason.as_deref().unwrap_or("no reason given");
    match run.error {
        Some(error) => {
            let message = indented(&error.message);
            remark(format_args!("error: run {} {} ({reason}): {message}", run.id, run.status))
        }
        None => remark(format_args!("error: run {} {} ({reason})", run.id, run.status)),
    }
    Ok(Outcome::Failed)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;

    /// Gives each of these answers on a connection of its own. Gives the address, and the first line of each request
    /// once all have come.
    fn host<const N: usize>(answers: [&'static str; N]) -> (String, thread::JoinHandle<[String; N]>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let served = thread::spawn(move || {
            answers.map(|answer| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let request = lines.next().unwrap();
                lines.take_while(|line| !line.is_empty()).for_each(drop);
                if let Some((status, body)) = answer.split_once('\n') {
                    let length = body.len();
                    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}");
                    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
                }
                request
            })
        });
        (address, served)
    }

    #[test]
    fn a_host_that_starts_again_is_waited_for() {
        let run = r#"{"id":"1","status":"completed"}"#;
        let (server, served) = host([
            // It goes without a word, is about to stop, has no more to tell, and has the run.
            "",
            "503 No\n{\"errors\":[{\"code\":\"stopping\",\"description\":\"it stops\"}]}",
            "204 No Content\n",
            "200 OK\n{\"id\":\"1\",\"status\":\"completed\"}",
        ]);
        let answer = follow(&Client::new(&server, None), "1", Show::Status).unwrap();
        assert_eq!(answer.text(), run);
        let asked = served.join().unwrap();
        assert!(asked[..3].iter().all(|request| request.contains("/runs/1/stream ")), "{asked:?}");
        assert!(asked[3].contains("/runs/1?wait="), "{asked:?}");
    }

    #[test]
    fn a_run_that_is_not_there_is_not_waited_for() {
        let (server, served) =
            host(["404 No\n{\"errors\":[{\"code\":\"unknown_run\",\"description\":\"there is none\"}]}"]);
        let error = follow(&Client::new(&server, None), "1", Show::Status).err().unwrap();
        assert_eq!(error.to_string(), "there is none (unknown_run)");
        served.join().unwrap();
    }
}
