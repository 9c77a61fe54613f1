//! Everything that can be written, except runs. Indexes follow the rows that they lead to.

mod runs;

use dormouse_core::id::{CronId, EventId, ModuleDigest, ScheduledId};
use dormouse_core::time::Timestamp;

use super::error::StoreError;
use super::keys;
use super::read::{KEPT_SINCE_KEY, Read};
use super::rows::{
    ConcurrencyRow, CronRow, EventRow, EventWaitRow, IdempotencyRow, IdempotencyScope, ModuleRow, RunWaitRow,
    ScheduledRow, Timer, VersionRow, WorkflowRow,
};
use super::source::{Access, Span};
use super::tables;
use super::tx::Tx;

type Result<T> = std::result::Result<T, StoreError>;

/// A `put_` method writes over what is there. A `delete_` method tells whether there was anything.
impl Tx<'_> {
    /// Notes that what was made before this time may be deleted from now on. It never goes back.
    pub(crate) fn put_kept_since(&mut self, time: Timestamp) -> Result<()> {
        if time > self.kept_since()? {
            self.put_bytes(tables::META, KEPT_SINCE_KEY, &time.as_millis().to_be_bytes())?;
        }
        Ok(())
    }

    pub(crate) fn put_module(&mut self, module: &ModuleRow, bytes: &[u8]) -> Result<()> {
        self.put(tables::MODULES, module.digest, module)?;
        self.put_bytes(tables::MODULE_BYTES, module.digest, bytes)?;
        Ok(())
    }

    pub(crate) fn delete_module(&mut self, digest: ModuleDigest) -> Result<bool> {
        self.delete(tables::MODULE_BYTES, digest)?;
        self.delete(tables::MODULES, digest)
    }

    pub(crate) fn put_workflow(&mut self, workflow: &WorkflowRow) -> Result<()> {
        self.put(tables::WORKFLOWS, &workflow.name, workflow)?;
        Ok(())
    }

    /// The definition's name is the workflow's.
    pub(crate) fn put_version(&mut self, version: &VersionRow) -> Result<()> {
        self.put(tables::VERSIONS, (&version.definition.name, version.version), version)?;
        Ok(())
    }

    pub(crate) fn put_timer(&mut self, at: Timestamp, timer: Timer) -> Result<()> {
        self.put(tables::TIMERS, (at, timer), &())?;
        Ok(())
    }

    pub(crate) fn delete_timer(&mut self, at: Timestamp, timer: Timer) -> Result<bool> {
        self.delete(tables::TIMERS, (at, timer))
    }

    pub(crate) fn put_event_wait(&mut self, wait: &EventWaitRow) -> Result<()> {
        let key = (wait.key_pattern.as_str(), wait.run, wait.task, wait.wait);
        self.put(tables::event_waits(&wait.key_pattern), key, wait)?;
        Ok(())
    }

    /// Its filter does not matter.
    pub(crate) fn delete_event_wait(&mut self, wait: &EventWaitRow) -> Result<bool> {
        let key = (wait.key_pattern.as_str(), wait.run, wait.task, wait.wait);
        self.delete(tables::event_waits(&wait.key_pattern), key)
    }

    pub(crate) fn put_run_wait(&mut self, wait: RunWaitRow) -> Result<()> {
        self.put(tables::RUN_WAITS, (wait.awaited, wait.run, wait.task, wait.wait), &())?;
        Ok(())
    }

    pub(crate) fn delete_run_wait(&mut self, wait: RunWaitRow) -> Result<bool> {
        self.delete(tables::RUN_WAITS, (wait.awaited, wait.run, wait.task, wait.wait))
    }

    /// A cron that takes another's name takes its place under that name.
    pub(crate) fn put_cron(&mut self, cron: &CronRow) -> Result<()> {
        if let Some(old) = self.cron(cron.id)? {
            self.delete(tables::CRON_NAMES, (&old.workflow, &old.name))?;
        }
        self.put(tables::CRONS, cron.id, cron)?;
        self.put(tables::CRON_NAMES, (&cron.workflow, &cron.name), &cron.id)?;
        Ok(())
    }

    pub(crate) fn delete_cron(&mut self, id: CronId) -> Result<bool> {
        let Some(old) = self.cron(id)? else { return Ok(false) };
        self.delete(tables::CRON_NAMES, (&old.workflow, &old.name))?;
        self.delete(tables::CRONS, id)
    }

    pub(crate) fn put_scheduled(&mut self, scheduled: &ScheduledRow) -> Result<()> {
        self.delete_scheduled(scheduled.id)?;
        self.put(tables::SCHEDULED, scheduled.id, scheduled)?;
        let by_time = (scheduled.status, scheduled.trigger_at, scheduled.id);
        self.put(tables::SCHEDULED_BY_TIME, by_time, &())?;
        Ok(())
    }

    pub(crate) fn delete_scheduled(&mut self, id: ScheduledId) -> Result<bool> {
        let Some(old) = self.scheduled(id)? else { return Ok(false) };
        self.delete(tables::SCHEDULED_BY_TIME, (old.status, old.trigger_at, id))?;
        self.delete(tables::SCHEDULED, id)
    }

    /// The key and the time of an event never change.
    pub(crate) fn put_event(&mut self, event: &EventRow) -> Result<()> {
        self.put(tables::EVENTS, event.id, event)?;
        self.put(tables::EVENTS_BY_KEY, (event.key.as_str(), event.pushed_at, event.id), &())?;
        Ok(())
    }

    pub(crate) fn delete_event(&mut self, id: EventId) -> Result<bool> {
        let Some(old) = self.event(id)? else { return Ok(false) };
        self.delete(tables::EVENTS_BY_KEY, (old.key.as_str(), old.pushed_at, id))?;
        self.delete(tables::EVENTS, id)
    }

    pub(crate) fn put_concurrency(&mut self, row: &ConcurrencyRow) -> Result<()> {
        let key = (&row.workflow, row.index, row.key.as_str(), row.run);
        self.put(tables::CONCURRENCY, key, &row.max_runs)?;
        Ok(())
    }

    pub(crate) fn delete_concurrency(&mut self, row: &ConcurrencyRow) -> Result<bool> {
        self.delete(tables::CONCURRENCY, (&row.workflow, row.index, row.key.as_str(), row.run))
    }

    pub(crate) fn put_idempotency(
        &mut self,
        scope: IdempotencyScope<'_>,
        key: &str,
        row: &IdempotencyRow,
    ) -> Result<()> {
        self.delete_idempotency(scope, key)?;
        let scope = keys::scope(scope);
        self.put(tables::IDEMPOTENCY, (scope, key), row)?;
        self.put(tables::IDEMPOTENCY_BY_EXPIRY, (row.expires_at, scope, key), &())?;
        Ok(())
    }

    pub(crate) fn delete_idempotency(&mut self, scope: IdempotencyScope<'_>, key: &str) -> Result<bool> {
        let Some(old) = self.idempotency(scope, key)? else { return Ok(false) };
        let scope = keys::scope(scope);
        self.delete(tables::IDEMPOTENCY_BY_EXPIRY, (old.expires_at, scope, key))?;
        self.delete(tables::IDEMPOTENCY, (scope, key))
    }

    /// Deletes up to `limit` idempotency keys that have expired at `now`; returns how many.
    pub(crate) fn delete_expired_idempotency(&mut self, now: Timestamp, limit: usize) -> Result<usize> {
        let entries = self.scan_keys(tables::IDEMPOTENCY_BY_EXPIRY, Span::all())?;
        let is_due = |entry: &Result<(Timestamp, String, String)>| {
            entry.as_ref().map_or(true, |(expires_at, ..)| *expires_at <= now)
        };
        let expired: Vec<_> = entries.take_while(is_due).take(limit).collect::<Result<_>>()?;
        for (expires_at, scope, key) in &expired {
            self.delete(tables::IDEMPOTENCY, (scope, key))?;
            self.delete(tables::IDEMPOTENCY_BY_EXPIRY, (*expires_at, scope, key))?;
        }
        Ok(expired.len())
    }
}
