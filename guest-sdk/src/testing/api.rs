//! The HTTP API of a host. No answer is hidden: every status comes back as it is.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// A client of a host's HTTP API, for what has no function of its own here.
#[derive(Debug, Clone)]
pub struct Api {
    url: String,
    agent: ureq::Agent,
}

/// An answer of the API.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; `null` when there is none.
    pub body: Value,
}

impl Answer {
    /// The body of an answer with this status.
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

    /// The body, of any answer that is no error.
    #[track_caller]
    pub(super) fn read<T: DeserializeOwned>(self, what: &str) -> T {
        assert!(self.status < 400, "{what}: {}", self.problem());
        match serde_json::from_value(self.body.clone()) {
            Ok(value) => value,
            Err(error) => panic!("{what}: {error} in {:#}", self.body),
        }
    }

    /// What the host says is wrong.
    fn problem(&self) -> String {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        let texts: Vec<_> = errors.iter().filter_map(|error| error["description"].as_str()).collect();
        if texts.is_empty() { format!("{} {:#}", self.status, self.body) } else { texts.join("; ") }
    }
}

impl Api {
    /// A client of the host at this URL, such as `http://127.0.0.1:7666`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(120)))
            .max_idle_connections_per_host(64);
        Self { url: url.into(), agent: config.build().new_agent() }
    }

    /// Where the host is, such as `http://127.0.0.1:7666`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `GET` of a path below `/api/v1`, such as `/runs`.
    #[must_use]
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        answer(self.agent.get(self.at(path)).call())
    }

    /// `DELETE` of a path below `/api/v1`.
    #[track_caller]
    pub fn delete(&self, path: &str) -> Answer {
        answer(self.agent.delete(self.at(path)).call())
    }

    /// `POST` with a JSON body.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_bytes(path, "application/json", body.to_string().as_bytes())
    }

    /// `PUT` with a JSON body.
    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> Answer {
        answer(self.agent.put(self.at(path)).content_type("application/json").send(body.to_string()))
    }

    /// `PATCH` with a JSON body.
    #[track_caller]
    pub fn patch(&self, path: &str, body: &Value) -> Answer {
        answer(self.agent.patch(self.at(path)).content_type("application/json").send(body.to_string()))
    }

    /// `POST` with a body of any kind.
    #[track_caller]
    pub fn post_bytes(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        answer(self.agent.post(self.at(path)).content_type(content_type).send(body))
    }

    /// `POST` to a host that may go away at any moment: `None` when it did so before it answered.
    #[must_use]
    pub fn try_post(&self, path: &str, body: &Value) -> Option<Answer> {
        let request = self.agent.post(self.at(path)).content_type("application/json");
        read(request.send(body.to_string())).ok()
    }

    /// The lines of a run's stream of server-sent events, from behind an event id on, until it ends or
    /// breaks off.
    ///
    /// # Panics
    ///
    /// When the host does not answer with a stream.
    #[track_caller]
    pub fn stream(&self, run: &str, last_event_id: Option<&str>) -> impl Iterator<Item = String> + use<> {
        let mut request = self.agent.get(self.at(&format!("/runs/{run}/stream")));
        if let Some(last) = last_event_id {
            request = request.header("Last-Event-ID", last);
        }
        match request.call() {
            Ok(response) if response.status() == 200 => {
                BufReader::new(response.into_body().into_reader()).lines().map_while(Result::ok)
            }
            other => panic!("{:#}", answer(other).body),
        }
    }

    /// All rows of a list, page by page.
    ///
    /// # Panics
    ///
    /// When the host does not answer with a list.
    #[must_use]
    #[track_caller]
    pub fn list(&self, path: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut next = path.to_owned();
        let separator = if path.contains('?') { '&' } else { '?' };
        loop {
            let page = self.get(&next).expect(200);
            let Some(found) = page["rows"].as_array() else { panic!("`{path}` is no list: {page:#}") };
            rows.extend(found.iter().cloned());
            match &page["nextCursor"] {
                Value::String(cursor) => next = format!("{path}{separator}cursor={cursor}"),
                _ => return rows,
            }
        }
    }

    /// A path that begins with two slashes is not below `/api/v1`.
    fn at(&self, path: &str) -> String {
        match path.strip_prefix("//") {
            Some(rooted) => format!("{}/{rooted}", self.url),
            None => format!("{}/api/v1{path}", self.url),
        }
    }
}

#[track_caller]
fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    match read(response) {
        Ok(answer) => answer,
        Err(error) => panic!("the host does not answer: {error}"),
    }
}

fn read(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, ureq::Error> {
    let mut response = response?;
    let status = response.status().as_u16();
    let text = response.body_mut().with_config().limit(64 << 20).read_to_string()?;
    let body = match serde_json::from_str(&text) {
        Ok(body) => body,
        Err(_) if text.is_empty() => Value::Null,
        Err(_) => Value::String(text),
    };
    Ok(Answer { status, body })
}
