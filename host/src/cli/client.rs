//! Talks to a host over HTTP.

use std::fmt;
use std::io::{BufReader, Read};

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ureq::http::{Method, Request, Response, StatusCode};
use ureq::{Agent, Body, SendBody};

use super::event_stream::EventStream;

/// A host.
pub(super) struct Client {
    agent: Agent,
    server: String,
    token: Option<String>,
}

/// The code with which a host refuses that is about to stop.
const STOPPING: &str = "stopping";

/// The JSON text of an answer.
pub(super) struct Answer(String);

/// Why the host refused.
#[derive(Debug, Deserialize)]
pub(super) struct Refusal {
    errors: Vec<Problem>,
}

#[derive(Debug, Deserialize)]
struct Problem {
    code: String,
    field: Option<String>,
    description: String,
}

impl std::error::Error for Refusal {}

/// `description (code, field)`, a line for each problem.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Problem { code, field, description }) in self.errors.iter().enumerate() {
            let line_break = if i == 0 { "" } else { "\n" };
            match field {
                Some(field) => write!(f, "{line_break}{description} ({code}, {field})")?,
                None => write!(f, "{line_break}{description} ({code})")?,
            }
        }
        Ok(())
    }
}

impl Client {
    pub(super) fn new(server: &str, token: Option<String>) -> Self {
        // Refusals have a body that says more than their status.
        let agent = Agent::config_builder().http_status_as_error(false).build().new_agent();
        Self { agent, server: server.trim_end_matches('/').to_owned(), token }
    }

    pub(super) fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.call(Method::GET, path, None, SendBody::none())
    }

    /// Asks for what a query names.
    pub(super) fn list(&self, path: &str, query: &impl Serialize) -> anyhow::Result<Answer> {
        let query = serde_html_form::to_string(query).context("cannot write the query")?;
        self.get(&format!("{path}?{query}"))
    }

    pub(super) fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.call(Method::DELETE, path, None, SendBody::none()).map(|_| ())
    }

    /// Asks for something to be done that needs no words.
    pub(super) fn post_empty(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, &serde_json::json!({}))
    }

    pub(super) fn send(&self, method: Method, path: &str, body: &impl Serialize) -> anyhow::Result<Answer> {
        let body = serde_json::to_vec(body).context("cannot write the body")?;
        self.call(
            method,
            path,
            Some("application/json"),
            SendBody::from_owned_reader(std::io::Cursor::new(body)),
        )
    }

    /// Sends a component of so many bytes.
    pub(super) fn upload(&self, mut bytes: impl Read, length: u64) -> anyhow::Result<Answer> {
        let request = self
            .request(Method::POST, "/modules")
            .header("Content-Type", "application/wasm")
            .header("Content-Length", length);
        let response = self.agent.run(request.body(SendBody::from_reader(&mut bytes))?);
        self.answer(response)
    }

    /// Follows a run behind an event that was seen. `None` when there is nothing more.
    pub(super) fn stream(
        &self,
        path: &str,
        last_event_id: Option<&str>,
    ) -> anyhow::Result<Option<EventStream>> {
        let mut request = self.request(Method::GET, path);
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = self.agent.run(request.body(())?).map_err(|error| self.unreachable(error))?;
        match response.status() {
            StatusCode::OK => {
                let reader: Box<dyn Read> = Box::new(response.into_body().into_reader());
                Ok(Some(EventStream::new(BufReader::new(reader))))
            }
            StatusCode::NO_CONTENT => Ok(None),
            _ => self.answer(Ok(response)).map(|_| None),
        }
    }

    fn call(
        &self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: SendBody<'_>,
    ) -> anyhow::Result<Answer> {
        let mut request = self.request(method, path);
        if let Some(content_type) = content_type {
            request = request.header("Content-Type", content_type);
        }
        let response = self.agent.run(request.body(body)?);
        self.answer(response)
    }

    fn request(&self, method: Method, path: &str) -> ureq::http::request::Builder {
        let request = Request::builder().method(method).uri(format!("{}/api/v1{path}", self.server));
        match &self.token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    fn answer(&self, response: Result<Response<Body>, ureq::Error>) -> anyhow::Result<Answer> {
        let response = response.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        // Lists of runs with large outputs go beyond ureq's own limit of 10 MB.
        let text = response.into_body().into_with_config().limit(u64::MAX).read_to_string();
        let text = text.with_context(|| format!("the answer of {} broke off", self.server))?;
        if status.is_success() {
            return Ok(Answer(text));
        }
        match serde_json::from_str::<Refusal>(&text) {
            Ok(refusal) => Err(refusal.into()),
            Err(_) => anyhow::bail!("{} answered {status}; is it a dormouse host?", self.server),
        }
    }

    fn unreachable(&self, error: ureq::Error) -> anyhow::Error {
        let is_refused = match &error {
            ureq::Error::Io(cause) => cause.kind() == std::io::ErrorKind::ConnectionRefused,
            ureq::Error::ConnectionFailed => true,
            _ => false,
        };
        let hint = "no host listens there: start one with `dormouse serve`, or name another with --server";
        let message = match is_refused {
            true => format!("cannot reach {}: {hint}", self.server),
            false => format!("cannot talk to {}", self.server),
        };
        anyhow::Error::new(error).context(message)
    }
}

/// Whether an error says no more than that the host is not there, or is going: it may be back in a moment.
pub(super) fn is_absence(error: &anyhow::Error) -> bool {
    let is_going = |refusal: &Refusal| refusal.errors.iter().any(|problem| problem.code == STOPPING);
    error.is::<ureq::Error>() || error.downcast_ref().is_some_and(is_going)
}

impl Answer {
    /// The text as it came.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// What of it the caller wants to know.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_str(&self.0)
            .context("the host answered something that this client does not understand")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};

    use super::*;

    /// Answers one request with these bytes. Gives the address, and the request once it has come.
    fn host(answer: &'static str) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            // Requests of these tests end with an empty line or the word END.
            while !request.ends_with(b"\r\n\r\n") || request.starts_with(b"POST") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
                if request.ends_with(b"END") {
                    break;
                }
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap().to_lowercase()
        });
        (address, served)
    }

    #[test]
    fn an_upload_has_a_length_and_a_token() {
        let (server, served) = host("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}");
        let answer = Client::new(&server, Some("secret".to_owned())).upload(&b"wasm END"[..], 8).unwrap();
        assert_eq!(answer.text(), "{}");
        let request = served.join().unwrap();
        assert!(request.starts_with("post /api/v1/modules http/1.1"), "{request}");
        for header in ["content-length: 8", "content-type: application/wasm", "authorization: bearer secret"]
        {
            assert!(request.contains(header), "{header} in {request}");
        }
        assert!(!request.contains("chunked"), "{request}");
    }

    #[test]
    fn a_refusal_becomes_an_error() {
        let (server, served) = host(concat!(
            "HTTP/1.1 409 Conflict\r\nContent-Length: 80\r\n\r\n",
            r#"{"errors":[{"code":"cron_declared","description":"disable it instead, please"}]}"#
        ));
        let error = Client::new(&server, None).delete("/crons/1").unwrap_err();
        assert!(served.join().unwrap().starts_with("delete /api/v1/crons/1 "));
        assert_eq!(error.to_string(), "disable it instead, please (cron_declared)");
    }

    #[test]
    fn a_stream_is_read_as_it_comes() {
        let (server, served) =
            host("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nid: 5\nevent: log\ndata: {}\n\n");
        let stream = Client::new(&server, None).stream("/runs/1/stream", Some("4")).unwrap().unwrap();
        let events: Vec<_> = stream.collect::<Result<_, _>>().unwrap();
        assert_eq!(events[0].id.as_deref(), Some("5"));
        assert!(served.join().unwrap().contains("last-event-id: 4"));
    }

    #[test]
    fn a_host_that_is_not_there_comes_with_a_hint() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = Client::new(&format!("http://{port}"), None).get("/runs").err().unwrap();
        assert!(error.to_string().contains("dormouse serve"), "{error:#}");
    }

    #[test]
    fn a_refusal_reads_as_description_code_and_field() {
        let refusal: Refusal = serde_json::from_str(
            r#"{"errors":[{"code":"invalid_cron","field":"expression","description":"it never fires"},
                {"code":"internal","description":"the host failed"}]}"#,
        )
        .unwrap();
        assert_eq!(
            refusal.to_string(),
            "it never fires (invalid_cron, expression)\nthe host failed (internal)"
        );
    }
}
