//! The load generator: a number of clients, each with one connection, that each send their next
//! request as soon as the last is answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hyper::body::Bytes;
use serde::Deserialize;
use tokio::task::JoinSet;

use crate::client::Client;

/// What the clients send.
pub(crate) struct Requests {
    pub(crate) path: String,
    /// Of each request, by its number from 0.
    pub(crate) body: Box<dyn Fn(usize) -> Bytes + Send + Sync>,
    /// Whether each answer must be a completed run.
    pub(crate) must_complete: bool,
    pub(crate) count: usize,
    /// No request is sent after this time, even if some are left.
    pub(crate) limit: Duration,
}

/// What the clients saw.
#[derive(Debug)]
pub(crate) struct Load {
    /// From sending each request to its answer.
    pub(crate) latencies: Vec<Duration>,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
}

impl Load {
    pub(crate) fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// Sends the requests, from this many clients at once.
///
/// # Errors
///
/// At the first request that does not succeed.
pub(crate) async fn drive(address: SocketAddr, clients: usize, requests: Requests) -> Result<Load> {
    let mut connections = Vec::with_capacity(clients);
    for _ in 0..clients {
        connections.push(Client::connect(address).await.context("the host takes no connection")?);
    }
    let requests = Arc::new(requests);
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for client in connections {
        tasks.spawn(drive_one(client, Arc::clone(&requests), Arc::clone(&next), began));
    }
    let mut latencies = Vec::new();
    while let Some(seen) = tasks.join_next().await {
        latencies.extend(seen??);
    }
    Ok(Load { latencies, elapsed: began.elapsed() })
}

/// Starts runs without waiting for them.
pub(crate) async fn start_all(
    address: SocketAddr,
    clients: usize,
    workflow: &str,
    count: usize,
    limit: Duration,
    body: impl Fn(usize) -> Bytes + Send + Sync + 'static,
) -> Result<Load> {
    let path = crate::client::start_path(workflow, None);
    let requests = Requests { path, body: Box::new(body), must_complete: false, count, limit };
    let load = drive(address, clients, requests).await?;
    let started = load.latencies.len();
    ensure!(started == count, "within {limit:?} only {started} of {count} runs of `{workflow}` were started");
    Ok(load)
}

async fn drive_one(
    mut client: Client,
    requests: Arc<Requests>,
    next: Arc<AtomicUsize>,
    began: Instant,
) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    while began.elapsed() < requests.limit {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= requests.count {
            break;
        }
        let body = (requests.body)(number);
        let sent = Instant::now();
        let answer = client.post(&requests.path, body).await?;
        latencies.push(sent.elapsed());
        if requests.must_complete {
            let run: Answer<'_> = serde_json::from_slice(&answer)?;
            ensure!(run.status == "completed", "the host answered with a run that is {}", run.status);
        }
    }
    Ok(latencies)
}

#[derive(Deserialize)]
struct Answer<'a> {
    status: &'a str,
}
