//! Whether anyone else is served while the host is under a load: a client that makes trivial calls
//! all the while. It has a thread of its own, so that it measures the host and not how busy the
//! load generator is.

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use tokio::sync::oneshot;
use tokio::time::{sleep_until, timeout};

use crate::client::Client;
use crate::programs::{self, ECHO};
use crate::report::{Row, Unit};
use crate::stats::Samples;

/// From one call to the next, unless the answer takes longer: often enough to meet any pause that
/// matters, rare enough to be no load of its own.
const INTERVAL: Duration = Duration::from_millis(10);

/// Longest that the last call may take once the load is over.
const GRACE: Duration = Duration::from_secs(10);

/// The design's target, in milliseconds.
const WORST_MILLIS_MAX: f64 = 100.0;

/// A client at work. It ends when this value is dropped.
#[derive(Debug)]
pub(crate) struct Beside {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Answers>,
}

/// What the client saw.
#[derive(Debug, Default)]
struct Answers {
    latencies: Vec<Duration>,
    /// How long the last call was waited for in vain.
    unanswered: Option<Duration>,
    /// Why the client stopped before it was told to.
    error: Option<String>,
}

impl Beside {
    /// Begins to call the host, which has the test programs.
    pub(crate) fn start(address: SocketAddr) -> Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = thread::Builder::new()
            .name("beside".to_owned())
            .spawn(move || runtime.block_on(call_until(address, stopped)))?;
        Ok(Self { stop, thread })
    }

    /// Stops calling. Gives the worst answer as a row.
    pub(crate) async fn end(self) -> Result<Row> {
        self.end_as("worst answer beside it").await
    }

    /// As [`end`](Self::end), for a row of another name.
    pub(crate) async fn end_as(self, name: impl Into<String>) -> Result<Row> {
        // Nobody hears it when the client has stopped of its own accord.
        let _stopped = self.stop.send(());
        let answers = tokio::task::spawn_blocking(|| self.thread.join()).await?;
        answers.map_err(|_| anyhow!("the client beside the load panicked"))?.row(name.into())
    }
}

impl Answers {
    fn row(self, name: String) -> Result<Row> {
        if let Some(error) = self.error {
            let why = format!("after {} calls: {error}", self.latencies.len());
            return Ok(Row::missing(name, Unit::Millis, why).at_most(WORST_MILLIS_MAX));
        }
        let answered = self.latencies.len();
        let all: Vec<_> = self.latencies.into_iter().chain(self.unanswered).collect();
        let samples = Samples::millis(&all).context("no call was made beside the load")?;
        let note = match self.unanswered {
            Some(_) => format!("the last call was never answered, {answered} before it were"),
            None => format!(
                "p50 {:.1} ms, p99 {:.1} ms, {answered} calls",
                samples.median(),
                samples.percentile(99)
            ),
        };
        Ok(Row::new(name, samples.max(), Unit::Millis).at_most(WORST_MILLIS_MAX).note(note))
    }
}

async fn call_until(address: SocketAddr, mut stopped: oneshot::Receiver<()>) -> Answers {
    let mut answers = Answers::default();
    let mut client = match Client::connect(address).await {
        Ok(client) => client,
        Err(error) => return Answers { error: Some(format!("{error:#}")), ..answers },
    };
    let input = programs::echo();
    let mut more = true;
    while more {
        let sent = Instant::now();
        let mut call = std::pin::pin!(client.complete(ECHO, &input));
        let answer = tokio::select! {
            biased;
            answer = &mut call => answer,
            _ = &mut stopped => {
                more = false;
                match timeout(GRACE, call).await {
                    Ok(answer) => answer,
                    Err(_) => return Answers { unanswered: Some(sent.elapsed()), ..answers },
                }
            }
        };
        match answer {
            Ok(_) => answers.latencies.push(sent.elapsed()),
            Err(error) => return Answers { error: Some(format!("{error:#}")), ..answers },
        }
        more = more
            && tokio::select! {
                () = sleep_until((sent + INTERVAL).into()) => true,
                _ = &mut stopped => false,
            };
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(millis: &[u64]) -> Answers {
        Answers {
            latencies: millis.iter().map(|ms| Duration::from_millis(*ms)).collect(),
            ..Answers::default()
        }
    }

    #[test]
    fn a_call_that_was_never_answered_is_the_worst() {
        let answers = Answers { unanswered: Some(Duration::from_secs(10)), ..answers(&[1, 200]) };
        let row = answers.row("worst".into()).unwrap();
        assert_eq!((row.value, row.note.contains("never answered")), (Some(10_000.0), true));
    }

    #[test]
    fn a_client_that_was_turned_away_has_no_worst_answer() {
        let row = Answers { error: Some("503".into()), ..answers(&[1]) }.row("worst".into()).unwrap();
        assert_eq!((row.value, row.note.as_str()), (None, "after 1 calls: 503"));
        assert!(answers(&[]).row("worst".into()).is_err());
    }
}
