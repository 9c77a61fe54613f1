//! Serves the router on a listener until it is told to stop.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use super::router::router;
use super::state::{Api, Stopping};
use crate::engine::Host;

/// How long requests that are under way may take once the server is to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Serves the API, of a host that is known by these names, until `shutdown` is ready and the requests that are under way are answered, for
/// at most ten seconds. Those that wait for the end of a run or follow one are answered at once.
///
/// # Errors
///
/// When the listener fails for good.
pub(crate) async fn serve(
    host: Host,
    listener: TcpListener,
    names: Vec<String>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (announce_stop, stopping) = Stopping::channel();
    let router = router(Api::new(host, stopping.clone(), names.into()));
    // Answers are small and complete: to hold them back for more to come only adds delay.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection goes without TCP_NODELAY");
        }
    });
    let served = axum::serve(listener, router).with_graceful_shutdown(async move {
        shutdown.await;
        let _ = announce_stop.send(true);
    });
    tokio::select! {
        result = served => result,
        () = grace_is_over(stopping) => {
            tracing::warn!("stopped with requests unanswered");
            Ok(())
        }
    }
}

async fn grace_is_over(stopping: Stopping) {
    stopping.announced().await;
    tokio::time::sleep(GRACE).await;
}
