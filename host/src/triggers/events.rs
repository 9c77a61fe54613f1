//! Events: taken in, matched against subscriptions and waits, all in the transaction at hand.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use dormouse_core::event::{KeyPattern, check_key};
use dormouse_core::id::EventId;
use dormouse_core::run::{RunEvent, RunSpec, Trigger};
use dormouse_core::wait::WaitOutcome;

use super::Matching;
use crate::engine::{Error, Handled, NewRun, PushEvent, Shard, WorkflowEntry};
use crate::runtime::Push;
use crate::store::rows::{EventRow, EventWaitRow, IdempotencyRow, IdempotencyScope, Timer};
use crate::store::{Read, StoreError};

/// How long the idempotency key of an event is remembered.
const IDEMPOTENCY_TTL: Duration = Duration::from_secs(24 * 3600);

/// Most tasks that are told of an event in the transaction that takes it in.
const TOLD_AT_ONCE_MAX: usize = 64;

impl Shard {
    /// Takes in an event that was pushed over the API. A key that was seen before gives the event
    /// that it stood for.
    pub(crate) fn push_event(&mut self, request: PushEvent) -> Handled<EventRow> {
        let PushEvent { key, payload, metadata, priority, idempotency_key } = request;
        check_key(&key).map_err(|error| Error::invalid("invalid_event_key", "key", error.to_string()))?;
        if let Some(known) = &idempotency_key
            && let Some(row) = self.rows.idempotency(IdempotencyScope::Events, known)?
            && row.expires_at > self.now
            && let Some(event) = self.rows.event(EventId::from_bytes(row.id))?
        {
            return Ok(event);
        }
        let id = self.shared.clock.event_id();
        if let Some(new) = &idempotency_key {
            let row = IdempotencyRow { id: id.to_bytes(), expires_at: self.now.after(IDEMPOTENCY_TTL) };
            self.rows.put_idempotency(IdempotencyScope::Events, new, &row)?;
        }
        Ok(self.take_in_event(Push { id, key, payload, metadata, priority })?)
    }

    /// Stores an event, starts the runs that subscribe to it and settles the waits that it matches.
    pub(crate) fn take_in_event(&mut self, push: Push) -> Result<EventRow, StoreError> {
        let Push { id, key, payload, metadata, priority } = push;
        let mut event = EventRow {
            id,
            key,
            payload,
            metadata,
            priority,
            pushed_at: self.now,
            runs: Vec::new(),
            settled_waits: 0,
        };
        let mut matching = Matching::new(&event);
        let waits = self.matching_waits(&mut matching)?;
        let subscribers = self.catalog().subscribers(&mut matching);
        event.settled_waits = u32::try_from(waits.len()).unwrap_or(u32::MAX);
        self.start_subscribers(&mut event, subscribers)?;
        self.rows.put_event(&event)?;
        self.settle_waits(id, waits)?;
        Ok(event)
    }

    /// Settles the waits that an event matches, so that no other event takes them. The tasks are told
    /// at once as long as they are few. Of a flood the rest is told as timers are: in portions, between
    /// which others get their turn.
    fn settle_waits(&mut self, event: EventId, mut waits: Vec<EventWaitRow>) -> Result<(), StoreError> {
        let later = waits.split_off(waits.len().min(TOLD_AT_ONCE_MAX));
        for wait in waits {
            self.rows.delete_event_wait(&wait);
            let outcome = WaitOutcome::Event(event);
            self.follow_up(wait.run, RunEvent::WaitSettled { task: wait.task, wait: wait.wait, outcome });
        }
        for mut row in later {
            let EventWaitRow { run, task, wait, .. } = row;
            row.settled_by = Some((event, self.now));
            self.rows.put_event_wait(&row)?;
            self.rows.put_timer(self.now, Timer::Event { run, task, wait })?;
        }
        Ok(())
    }

    fn start_subscribers(
        &mut self,
        event: &mut EventRow,
        subscribers: Vec<Arc<WorkflowEntry>>,
    ) -> Result<(), StoreError> {
        for entry in subscribers {
            let spec = RunSpec {
                id: self.shared.clock.run_id(),
                workflow: entry.target.workflow.clone(),
                version: entry.target.version,
                module: entry.target.module,
                input: event.payload.clone(),
                metadata: event.metadata.clone(),
                priority: event.priority.unwrap_or(entry.definition.default_priority),
                trigger: Trigger::Event(event.id),
                parent: None,
                detached: false,
                created_at: self.now,
            };
            event.runs.push((spec.id, spec.workflow.clone()));
            let rejected = self.check_input(&entry.target, &spec.input);
            self.create_run(NewRun { spec, rejected })?;
        }
        Ok(())
    }

    /// The open waits that an event matches.
    fn matching_waits(&self, event: &mut Matching<'_>) -> Result<Vec<EventWaitRow>, StoreError> {
        let key = event.key();
        let mut waits = self.rows.event_waits(key)?;
        for pattern in self.rows.event_wait_patterns()? {
            if KeyPattern::parse(&pattern).is_ok_and(|pattern| pattern.matches(key)) {
                waits.extend(self.rows.event_waits(&pattern)?);
            }
        }
        waits.retain(|wait| wait.settled_by.is_none() && event.satisfies_text(wait.filter.as_deref()));
        Ok(waits)
    }

    /// The latest event that a wait matches and that came at most `look_back` ago.
    pub(crate) fn latest_event(
        &self,
        wait: &EventWaitRow,
        look_back: Duration,
    ) -> Result<Option<EventId>, StoreError> {
        let since = self.now.before(look_back);
        let mut latest = None;
        let mut take = |event: EventRow| {
            if !Matching::new(&event).satisfies_text(wait.filter.as_deref()) {
                return ControlFlow::Continue(());
            }
            latest = Some(event.id);
            ControlFlow::Break(())
        };
        // A pattern that does not parse was refused when the step ended.
        let Ok(pattern) = KeyPattern::parse(&wait.key_pattern) else { return Ok(None) };
        match pattern.as_exact() {
            Some(key) => self.rows.visit_events_by_key(key, since, take)?,
            None => self.rows.visit_events(None, |event| match event {
                event if event.pushed_at < since => ControlFlow::Break(()),
                event if pattern.matches(&event.key) => take(event),
                _ => ControlFlow::Continue(()),
            })?,
        }
        Ok(latest)
    }
}
