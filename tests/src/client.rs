//! A client of the API that never hides an answer: every status comes back as it is.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use serde_json::Value;

/// Talks to one host.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    agent: ureq::Agent,
}

/// An answer of the API.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, `null` when there is none.
    pub body: Value,
}

impl Answer {
    /// The body, of an answer with this status.
    ///
    /// # Panics
    ///
    /// When the status is another one; the message shows the body.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "unexpected answer: {:#}", self.body);
        self.body
    }

    /// The first error's code and field, of an answer that is one.
    #[must_use]
    pub fn error(&self) -> (u16, &str, &str) {
        let error = &self.body["errors"][0];
        (self.status, error["code"].as_str().unwrap_or_default(), error["field"].as_str().unwrap_or_default())
    }
}

impl Client {
    /// A client of the host at `address`, such as `127.0.0.1:7666`.
    #[must_use]
    pub fn new(address: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(120)))
            .max_idle_connections_per_host(64);
        Self { base: format!("http://{address}"), agent: config.build().new_agent() }
    }

    /// Where the host is, such as `http://127.0.0.1:7666`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// `GET` of a path under `/api/v1`.
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        answer(self.agent.get(self.url(path)).call())
    }

    /// `DELETE` of a path under `/api/v1`.
    pub fn delete(&self, path: &str) -> Answer {
        answer(self.agent.delete(self.url(path)).call())
    }

    /// `POST` with a JSON body.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_text(path, "application/json", body.to_string().as_bytes())
    }

    /// `PUT` with a JSON body.
    pub fn put(&self, path: &str, body: &Value) -> Answer {
        answer(self.agent.put(self.url(path)).content_type("application/json").send(body.to_string()))
    }

    /// `PATCH` with a JSON body.
    pub fn patch(&self, path: &str, body: &Value) -> Answer {
        answer(self.agent.patch(self.url(path)).content_type("application/json").send(body.to_string()))
    }

    /// `POST` with a body of any kind.
    pub fn post_text(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        answer(self.agent.post(self.url(path)).content_type(content_type).send(body))
    }

    /// Uploads a guest by the name of its package.
    ///
    /// # Panics
    ///
    /// When the host refuses it.
    #[track_caller]
    pub fn deploy(&self, package: &str) -> Value {
        let answer = self.post_text("/modules", "application/wasm", &crate::guest(package));
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
        self.start_with(workflow, &serde_json::json!({ "input": input }))
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
    pub fn try_start(&self, workflow: &str, input: &Value) -> Option<String> {
        let body = serde_json::json!({ "input": input }).to_string();
        let request = self.agent.post(self.url(&format!("/workflows/{workflow}/runs")));
        let answer = read(request.content_type("application/json").send(body)).ok()?;
        // A host that is stopping may still say so.
        let run = if answer.status == 503 { return None } else { answer.expect(202) };
        Some(run["id"].as_str().expect("a run has an id").to_owned())
    }

    /// `POST` to a host that may die at any moment: `None` when it did so before it answered.
    #[must_use]
    pub fn try_post(&self, path: &str, body: &Value) -> Option<Answer> {
        let request = self.agent.post(self.url(path)).content_type("application/json");
        read(request.send(body.to_string())).ok()
    }

    /// All rows of a list, page by page.
    #[track_caller]
    #[must_use]
    pub fn list(&self, path: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut cursor = None;
        loop {
            let separator = if path.contains('?') { '&' } else { '?' };
            let page = match &cursor {
                None => self.get(path),
                Some(cursor) => self.get(&format!("{path}{separator}cursor={cursor}")),
            };
            let page = page.expect(200);
            rows.extend(page["rows"].as_array().expect("a list has rows").iter().cloned());
            match page["nextCursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return rows,
            }
        }
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

    /// The lines of a stream of server-sent events, from behind an event id on.
    ///
    /// # Panics
    ///
    /// When the host does not answer with a stream.
    #[track_caller]
    pub fn stream(&self, id: &str, last_event_id: Option<&str>) -> impl Iterator<Item = String> + use<> {
        let mut request = self.agent.get(self.url(&format!("/runs/{id}/stream")));
        if let Some(last) = last_event_id {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.call().expect("the host answers");
        assert_eq!(response.status().as_u16(), 200);
        BufReader::new(response.into_body().into_reader()).lines().map_while(Result::ok)
    }

    fn url(&self, path: &str) -> String {
        match path.strip_prefix("//") {
            Some(rooted) => format!("{}/{rooted}", self.base),
            None => format!("{}/api/v1{path}", self.base),
        }
    }
}

#[track_caller]
fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    read(response).expect("the host answers")
}

fn read(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, ureq::Error> {
    let mut response = response?;
    let status = response.status().as_u16();
    let text = response.body_mut().with_config().limit(64 << 20).read_to_string()?;
    let body = serde_json::from_str(&text).unwrap_or(if text.is_empty() {
        Value::Null
    } else {
        Value::String(text)
    });
    Ok(Answer { status, body })
}
