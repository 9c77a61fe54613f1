//! Push events. Each starts the runs that subscribe to it and settles the waits that it matches; the answer
//! comes when all are held against all waits, and says how many each has settled.

use dormouse_core::bounds::IDEMPOTENCY_TTL;
use dormouse_core::event::check_key;
use dormouse_core::id::EventId;
use dormouse_core::request::Push;
use dormouse_core::workflow::{Json, Metadata, Priority};

use super::Result;
use super::bulk::{Outcomes, decide_each, handle_valid, only_outcome};
use super::idempotency::conflict;
use crate::engine::{Handled, Host, Matched, Pushed, Shard};
use crate::error::Error;
use crate::store::Read;
use crate::store::rows::{IdempotencyRow, IdempotencyScope};
use crate::triggers::Matching;

/// An event to push.
#[derive(Debug, Clone)]
pub(crate) struct PushEvent {
    pub(crate) key: String,
    pub(crate) payload: Json,
    pub(crate) metadata: Metadata,
    pub(crate) priority: Option<Priority>,
    /// Remembered for a day.
    pub(crate) idempotency_key: Option<String>,
}

/// Pushes an event.
pub(crate) async fn push_event(host: &Host, request: PushEvent) -> Result<Pushed> {
    only_outcome(push_events(host, vec![request]).await?)
}

/// Pushes many in one transaction.
pub(crate) async fn push_events(host: &Host, requests: Vec<PushEvent>) -> Result<Outcomes<Pushed>> {
    let catalog = host.catalog();
    let checked = |request: PushEvent| {
        let PushEvent { key, payload, metadata, .. } = &request;
        check_key(key).map_err(|error| Error::invalid("invalid_event_key", "key", error.to_string()))?;
        let matched = Matched::find(&catalog, &mut Matching::new(key, payload, metadata));
        Ok((request, matched))
    };
    // Filters may take a while.
    let requests = tokio::task::block_in_place(|| requests.into_iter().map(checked).collect());
    handle_valid(requests, |requests: Vec<(PushEvent, Matched)>| {
        let bytes = requests.iter().map(|(request, _)| request.payload.as_str().len()).sum();
        host.operate_with(bytes, move |shard, reply| {
            let outcomes =
                decide_each(shard, requests, |shard, (request, matched)| decide(shard, request, matched));
            shard.answer_when_matched(reply, outcomes)
        })
    })
    .await
}

/// A key that was seen before gives the event that it stood for.
pub(crate) fn decide(shard: &mut Shard, request: PushEvent, matched: Matched) -> Handled<Pushed> {
    let PushEvent { key, payload, metadata, priority, idempotency_key } = request;
    if let Some(known) = &idempotency_key
        && let Some(row) = shard.rows.idempotency(IdempotencyScope::Events, known)?
        && row.expires_at > shard.now
        && let Some(event) = shard.rows.event(EventId::from_bytes(row.id))?
    {
        return match event.key == key && event.payload.is_same(&payload) {
            true => Ok(Pushed { event, is_new: false }),
            false => {
                let of = format!("event {}, which has another key or payload", event.id);
                Err(conflict(known, of).into())
            }
        };
    }
    let id = shard.clock().event_id();
    if let Some(new) = &idempotency_key {
        let row = IdempotencyRow { id: id.to_bytes(), expires_at: shard.now.after(IDEMPOTENCY_TTL) };
        shard.rows.put_idempotency(IdempotencyScope::Events, new, &row)?;
    }
    let event = shard.take_in_event(Push { id, key, payload, metadata, priority }, Some(matched))?;
    Ok(Pushed { event, is_new: true })
}
