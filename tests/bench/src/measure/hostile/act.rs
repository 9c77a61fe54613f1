//! What a load does to a host, as data, and how it is done.

use std::time::Duration;

use anyhow::Result;
use hyper::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::module;
use crate::client::{Client, Offered};

/// Most runs or events of one request.
const BULK: usize = 1_000;

/// How often a count is looked at while it changes.
const COUNT_INTERVAL: Duration = Duration::from_millis(20);

/// One thing that is done to a host.
pub(super) enum Act {
    /// Uploads the test programs together with workflows that are declared by this JSON.
    Declare(Value),
    /// Uploads a module that has nothing to do with the test programs but their code.
    Upload(fn(&[u8]) -> Vec<u8>),
    /// Starts so many runs with the same input.
    Start {
        workflow: &'static str,
        input: Value,
        times: usize,
    },
    /// Starts a run and waits for its end.
    Call {
        workflow: &'static str,
        input: Value,
    },
    /// Pushes events; `{n}` in the key stands for the number of each.
    Push {
        key: &'static str,
        payload: Value,
        times: usize,
    },
    /// Sends a request so many times; it may be refused.
    Send {
        method: Method,
        path: String,
        body: Value,
        times: usize,
    },
    /// Waits until at least so many runs of a workflow have a status.
    Until {
        workflow: &'static str,
        status: &'static str,
        count: usize,
    },
    /// Waits until no run of a workflow has a status.
    UntilNone {
        workflow: &'static str,
        status: &'static str,
    },
    Sleep(Duration),
}

/// How it ended.
pub(super) enum Done {
    /// With what the host said to the last request that it refused.
    All(String),
    /// The host refused a module, and the rest was left out.
    Refused(String),
}

/// Does one thing after the other.
///
/// # Errors
///
/// When the host does not answer, or refuses what nobody could call hostile.
pub(super) async fn perform(client: &mut Client, guest: &[u8], acts: &[Act]) -> Result<Done> {
    let mut note = String::new();
    for act in acts {
        match act {
            Act::Declare(workflows) => {
                if let Offered::Refused(why) = client.offer(module::declare(guest, workflows)?).await? {
                    return Ok(Done::Refused(why));
                }
            }
            Act::Upload(module) => {
                if let Offered::Refused(why) = client.offer(module(guest)).await? {
                    return Ok(Done::Refused(why));
                }
            }
            Act::Start { workflow, input, times } => start(client, workflow, input, *times).await?,
            Act::Call { workflow, input } => {
                let path = crate::client::start_path(workflow, Some(60_000));
                let answer = client.ask(Method::POST, &path, &json!({ "input": input })).await;
                note = answer.map_or_else(|error| format!("{error:#}"), |run| said(&run));
            }
            Act::Push { key, payload, times } => push(client, key, payload, *times).await?,
            Act::Send { method, path, body, times } => {
                for _ in 0..*times {
                    let answer = client.ask(method.clone(), path, body).await;
                    note = answer.map_or_else(|error| format!("{error:#}"), |_| String::new());
                }
            }
            Act::Until { workflow, status, count } => {
                while client.count(workflow, status).await? < *count as u64 {
                    sleep(COUNT_INTERVAL).await;
                }
            }
            Act::UntilNone { workflow, status } => {
                while client.count(workflow, status).await? > 0 {
                    sleep(COUNT_INTERVAL).await;
                }
            }
            Act::Sleep(duration) => sleep(*duration).await,
        }
    }
    Ok(Done::All(note))
}

/// What became of a run, in a few words.
fn said(run: &Value) -> String {
    let status = run["status"].as_str().unwrap_or_default();
    let error = run["error"]["message"].as_str().unwrap_or_default();
    if error.is_empty() { format!("the run is {status}") } else { format!("the run is {status}: {error}") }
}

async fn start(client: &mut Client, workflow: &str, input: &Value, times: usize) -> Result<()> {
    for count in portions(times) {
        let runs = vec![json!({ "input": input }); count];
        let path = format!("/api/v1/workflows/{workflow}/runs/bulk");
        client.ask(Method::POST, &path, &json!({ "runs": runs })).await?;
    }
    Ok(())
}

async fn push(client: &mut Client, key: &str, payload: &Value, times: usize) -> Result<()> {
    let mut pushed = 0;
    for count in portions(times) {
        let event = |n: usize| json!({"key": key.replace("{n}", &n.to_string()), "payload": payload});
        let events: Vec<_> = (pushed..pushed + count).map(event).collect();
        client.ask(Method::POST, "/api/v1/events/bulk", &json!({ "events": events })).await?;
        pushed += count;
    }
    Ok(())
}

/// Sizes of the requests that make up so many rows.
fn portions(times: usize) -> impl Iterator<Item = usize> {
    (0..times).step_by(BULK).map(move |done| BULK.min(times - done))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_add_up_and_none_is_too_large() {
        for (times, expected) in [(0, vec![]), (1, vec![1]), (1000, vec![1000]), (2001, vec![1000, 1000, 1])]
        {
            assert_eq!(portions(times).collect::<Vec<_>>(), expected);
        }
    }
}
