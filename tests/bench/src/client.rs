//! A lean client of the API: one kept connection, one request at a time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Longest that an answer may take: more than the API waits for the end of a run.
const ANSWER_LIMIT: Duration = Duration::from_secs(70);

/// Longest that a request waits for the end of a run.
const WAIT_MS: u32 = 60_000;

/// Rows of a page: the most that the API gives.
const PAGE: usize = 200;

/// How often the counts of runs are looked at while they change.
const COUNT_INTERVAL: Duration = Duration::from_millis(100);

/// One connection to a host.
#[derive(Debug)]
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
}

/// A run, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) input: Value,
    pub(crate) output: Value,
    pub(crate) finished_at: Option<String>,
}

/// What became of a module that was offered.
#[derive(Debug)]
pub(crate) enum Offered {
    Taken,
    /// With the host's reason.
    Refused(String),
}

/// A transition in a run's history.
#[derive(Debug, Deserialize)]
pub(crate) struct Transition {
    pub(crate) at: String,
    pub(crate) status: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    rows: Vec<T>,
    next_cursor: Option<String>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with the sender; an error of it is also the error of the request under way.
        tokio::spawn(async { drop(connection.await) });
        Ok(Self { sender, authority: address.to_string() })
    }

    /// The body of the answer to a `GET`.
    ///
    /// # Errors
    ///
    /// When there is no answer, or one that is no success.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Bytes> {
        self.send(Method::GET, path, "application/json", Bytes::new()).await
    }

    /// The body of the answer to a `POST` of JSON; fails as [`get`](Self::get) does.
    pub(crate) async fn post(&mut self, path: &str, body: Bytes) -> Result<Bytes> {
        self.send(Method::POST, path, "application/json", body).await
    }

    /// The answer to JSON that is sent by any method; fails as [`get`](Self::get) does.
    pub(crate) async fn ask(&mut self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let answer = self.send(method, path, "application/json", body.to_string().into()).await?;
        if answer.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(&answer)?) }
    }

    /// Uploads a module.
    ///
    /// # Errors
    ///
    /// When the host refuses it.
    pub(crate) async fn upload(&mut self, module: Vec<u8>) -> Result<()> {
        match self.offer(module).await? {
            Offered::Taken => Ok(()),
            Offered::Refused(why) => bail!("the module was refused: {why}"),
        }
    }

    /// Uploads a module that the host may refuse.
    pub(crate) async fn offer(&mut self, module: Vec<u8>) -> Result<Offered> {
        let (status, body) =
            self.exchange(Method::POST, "/api/v1/modules", "application/wasm", module.into()).await?;
        if status.is_success() {
            return Ok(Offered::Taken);
        }
        ensure!(status.is_client_error(), "the upload was answered with {status}");
        let text = String::from_utf8_lossy(&body);
        let errors: Value = serde_json::from_slice(&body).unwrap_or_default();
        Ok(Offered::Refused(errors["errors"][0]["description"].as_str().unwrap_or(&text).to_owned()))
    }

    /// Starts a run and waits until it has completed.
    pub(crate) async fn complete(&mut self, workflow: &str, input: &Value) -> Result<Run> {
        let answer = self.post(&start_path(workflow, Some(WAIT_MS)), start_body(input)).await?;
        let run: Run = serde_json::from_slice(&answer)?;
        ensure!(run.status == "completed", "a run of `{workflow}` is {} in the end", run.status);
        Ok(run)
    }

    /// How many runs of a workflow have a status.
    pub(crate) async fn count(&mut self, workflow: &str, status: &str) -> Result<u64> {
        let answer = self.get(&format!("/api/v1/workflows/{workflow}")).await?;
        let workflow: Value = serde_json::from_slice(&answer)?;
        workflow["runCounts"][status].as_u64().context("a workflow has counts of its runs")
    }

    /// Returns once so many runs of a workflow have a status.
    ///
    /// # Errors
    ///
    /// After the time limit, and as soon as a run has failed.
    pub(crate) async fn counted(
        &mut self,
        workflow: &str,
        status: &str,
        wanted: usize,
        limit: Duration,
    ) -> Result<()> {
        let began = Instant::now();
        loop {
            let count = self.count(workflow, status).await?;
            if count >= wanted as u64 {
                return Ok(());
            }
            let failed = self.count(workflow, "failed").await?;
            ensure!(failed == 0, "{failed} runs of `{workflow}` have failed");
            if began.elapsed() > limit {
                bail!("after {limit:?} only {count} of {wanted} runs of `{workflow}` are {status}");
            }
            sleep(COUNT_INTERVAL).await;
        }
    }

    /// All completed runs of a workflow.
    pub(crate) async fn completed(&mut self, workflow: &str) -> Result<Vec<Run>> {
        self.list(&format!("/api/v1/runs?limit={PAGE}&workflow={workflow}&status=completed"), "cursor").await
    }

    /// The history of a run, oldest first.
    pub(crate) async fn history(&mut self, run: &str) -> Result<Vec<Transition>> {
        self.list(&format!("/api/v1/runs/{run}/history?limit={PAGE}"), "since").await
    }

    /// All rows of a list whose path ends in a query; the parameter named `cursor` asks for the
    /// next page.
    async fn list<T: serde::de::DeserializeOwned>(&mut self, path: &str, cursor: &str) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        let mut next = String::new();
        loop {
            let answer = self.get(&format!("{path}{next}")).await?;
            let page: Page<T> =
                serde_json::from_slice(&answer).with_context(|| format!("a page of {path}"))?;
            rows.extend(page.rows);
            match page.next_cursor {
                Some(value) => next = format!("&{cursor}={value}"),
                None => return Ok(rows),
            }
        }
    }

    /// The body of an answer that must be a success.
    async fn send(&mut self, method: Method, path: &str, content: &str, body: Bytes) -> Result<Bytes> {
        let (status, body) = self.exchange(method, path, content, body).await?;
        ensure!(status.is_success(), "{path} was answered with {status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        content: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes)> {
        let exchange = async {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header("host", &self.authority)
                .header("content-type", content)
                .body(Full::new(body))?;
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let status = response.status();
            Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        timeout(ANSWER_LIMIT, exchange)
            .await
            .with_context(|| format!("{path} was not answered within {ANSWER_LIMIT:?}"))?
    }
}

/// The path that starts a run and, if so, waits for its end for so many milliseconds.
pub(crate) fn start_path(workflow: &str, wait_ms: Option<u32>) -> String {
    let path = format!("/api/v1/workflows/{workflow}/runs");
    wait_ms.map_or(path.clone(), |wait_ms| format!("{path}?wait={wait_ms}"))
}

/// The body that starts a run.
pub(crate) fn start_body(input: &Value) -> Bytes {
    json!({ "input": input }).to_string().into()
}
