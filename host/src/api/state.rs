//! What the handlers share.

use axum::extract::FromRef;
use tokio::sync::watch;

use super::origin::HostNames;
use crate::engine::Host;

/// Cheap to clone: every request does.
#[derive(Clone)]
pub(super) struct Api {
    host: Host,
    stopping: Stopping,
    pub(super) names: HostNames,
}

impl Api {
    pub(super) fn new(host: Host, stopping: Stopping, names: HostNames) -> Self {
        Self { host, stopping, names }
    }
}

impl FromRef<Api> for Host {
    fn from_ref(api: &Api) -> Self {
        api.host.clone()
    }
}

impl FromRef<Api> for Stopping {
    fn from_ref(api: &Api) -> Self {
        api.stopping.clone()
    }
}

/// Tells handlers that wait that the server is about to stop and that they had better answer.
#[derive(Clone)]
pub(super) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// What announces the stop, and what hears of it.
    pub(super) fn channel() -> (watch::Sender<bool>, Self) {
        let (announce, hear) = watch::channel(false);
        (announce, Self(hear))
    }

    /// Returns once the server is to stop.
    pub(super) async fn announced(mut self) {
        // A sender that is gone stops nothing any more, and neither does it go on serving.
        let _ = self.0.wait_for(|stopping| *stopping).await;
    }
}
