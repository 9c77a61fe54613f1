//! Serves the router on a listener until it is told to stop.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::router::router;
use super::state::{Api, Stopping};
use crate::engine::Host;

/// How long requests that are under way may take once the server is to stop.
const GRACE: Duration = Duration::from_secs(10);

/// How long what is not a whole request by then may take to become one.
const HALF_REQUEST_GRACE: Duration = Duration::from_millis(100);

/// Longest that the head of a request may take, and a connection may be without one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Most connections at once; others wait in the system's line.
const CONNECTIONS_MAX: usize = 10_000;

/// After a connection could not be accepted, as with no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the API, of a host that is known by these names, until `shutdown` is ready and the requests that are under
/// way are answered, for at most ten seconds. Those that wait for the end of a run or follow one are answered at once; what has not become
/// a request by then is dropped.
pub(crate) async fn serve(
    host: Host,
    listener: TcpListener,
    names: Vec<String>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let (announce_stop, stopping) = Stopping::channel();
    let router = router(Api::new(host, stopping.clone(), names.into()));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => accepted,
        };
        match accepted {
            Ok((stream, _)) => drop(connections.spawn(connection(stream, router.clone(), stopping.clone()))),
            Err(error) if is_of_peer(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    // Whoever hears of it is one of these.
    let _ = announce_stop.send(true);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(GRACE, all).await.is_err() {
        tracing::warn!("stopped with requests unanswered");
        connections.shutdown().await;
    }
}

/// Whether the peer has changed its mind.
fn is_of_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection(stream: TcpStream, router: Router, stopping: Stopping) {
    // Answers are small and complete: to hold them back for more to come only adds delay.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection goes without TCP_NODELAY");
    }
    let is_whole = IsWhole::default();
    let service = Watched { router: TowerToHyperService::new(router), is_whole: is_whole.clone() };
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // That a peer is gone is no news.
        _ = serving.as_mut() => return,
        () = stopping.announced() => serving.as_mut().graceful_shutdown(),
    }
    if timeout(HALF_REQUEST_GRACE, serving.as_mut()).await.is_err() && is_whole.get() {
        drop(serving.await);
    }
}

/// Whether the latest request of a connection has come to its end. Clones share it.
#[derive(Clone, Default)]
struct IsWhole(Arc<AtomicBool>);

impl IsWhole {
    fn set(&self, is_whole: bool) {
        self.0.store(is_whole, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The router, with an eye on whether each request is whole.
struct Watched {
    router: TowerToHyperService<Router>,
    is_whole: IsWhole,
}

impl Service<Request<Incoming>> for Watched {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <TowerToHyperService<Router> as Service<Request<Body>>>::Future;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let has_body = !request.body().is_end_stream();
        self.is_whole.set(!has_body);
        self.router.call(request.map(|body| match has_body {
            true => Body::new(WatchedBody { body, is_whole: self.is_whole.clone() }),
            false => Body::empty(),
        }))
    }
}

/// The body of a request, which is whole when nobody reads it any more.
struct WatchedBody {
    body: Incoming,
    is_whole: IsWhole,
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        self.is_whole.set(true);
    }
}
