//! A client of the API, with what tests do most.

use std::ops::Deref;

use dormouse_sdk::testing::Api;
use serde_json::{Value, json};

/// Talks to one host.
#[derive(Debug, Clone)]
pub struct Client(Api);

impl Deref for Client {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.0
    }
}

impl Client {
    /// A client of the host at `address`, such as `127.0.0.1:7666`.
    #[must_use]
    pub fn new(address: &str) -> Self {
        Self(Api::new(format!("http://{address}")))
    }

    /// Uploads a guest by the name of its package.
    ///
    /// # Panics
    ///
    /// When the host refuses it.
    #[track_caller]
    pub fn deploy(&self, package: &str) -> Value {
        let answer = self.post_bytes("/modules", "application/wasm", &crate::guest(package));
        assert!(matches!(answer.status, 200 | 201), "{package} was refused: {:#}", answer.body);
        answer.body
    }

    /// Starts a run and returns its id.
    ///
    /// # Panics
    ///
    /// When the host does not accept it.
    #[track_caller]
    pub fn start(&self, workflow: &str, input: &Value) -> String {
        self.start_with(workflow, &json!({ "input": input }))
    }

    /// Starts a run with more than an input and returns its id.
    ///
    /// # Panics
    ///
    /// When the host does not accept it.
    #[track_caller]
    pub fn start_with(&self, workflow: &str, body: &Value) -> String {
        let run = self.post(&format!("/workflows/{workflow}/runs"), body).expect(202);
        run["id"].as_str().expect("a run has an id").to_owned()
    }

    /// A run as it is.
    #[track_caller]
    #[must_use]
    pub fn run(&self, id: &str) -> Value {
        self.get(&format!("/runs/{id}")).expect(200)
    }

    /// A run once it has ended.
    ///
    /// # Panics
    ///
    /// When it does not end within a minute of real time.
    #[track_caller]
    #[must_use]
    pub fn ended(&self, id: &str) -> Value {
        let run = self.get(&format!("/runs/{id}?wait=60000")).expect(200);
        assert!(!run["finishedAt"].is_null(), "the run has not ended: {run:#}");
        run
    }

    /// Starts a run of a host that may die at any moment: `None` when it did so before it answered.
    ///
    /// # Panics
    ///
    /// When the host does not accept it.
    #[track_caller]
    #[must_use]
    pub fn try_start(&self, workflow: &str, input: &Value) -> Option<String> {
        let answer = self.try_post(&format!("/workflows/{workflow}/runs"), &json!({ "input": input }))?;
        // A host that is stopping may still say so.
        let run = if answer.status == 503 { return None } else { answer.expect(202) };
        Some(run["id"].as_str().expect("a run has an id").to_owned())
    }

    /// The messages of a run's log, oldest first.
    #[track_caller]
    #[must_use]
    pub fn logs(&self, id: &str) -> Vec<String> {
        let rows = self.get(&format!("/runs/{id}/logs?limit=200")).expect(200);
        let rows = rows["rows"].as_array().expect("logs have rows");
        rows.iter().map(|row| row["message"].as_str().expect("a line has a message").to_owned()).collect()
    }

    /// The value of a metric, with its labels as they are written.
    ///
    /// # Panics
    ///
    /// When there is no such metric.
    #[track_caller]
    #[must_use]
    pub fn metric(&self, name: &str) -> f64 {
        let answer = self.get("//metrics").expect(200);
        let text = answer.as_str().expect("the metrics are a text");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{text}"))
    }
}
