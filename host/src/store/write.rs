//! Everything that can be written, except runs. Indexes follow the rows that they lead to.

mod journal;
mod requests;
mod runs;
mod waits;

pub(crate) use runs::Deleted;

use dormouse_core::id::{
    BaseDigest, CronId, CronName, EventId, ModuleDigest, RunId, ScheduledId, WorkflowName,
};
use dormouse_core::time::Timestamp;

use super::error::StoreError;
use super::keys::{self, NAMESPACE};
use super::read::{KEPT_SINCE_KEY, Read};
use super::rows::{
    ConcurrencyRow, CronRow, Due, EventRow, IdempotencyRow, IdempotencyScope, ModuleRow, RunWaitRow,
    ScheduledRow, Timer, TimerLine, VersionRow, Work, WorkLine, WorkflowRow,
};
use super::source::{Access, Order, Span};
use super::tables;
use super::working_set::WorkingSet;

type Result<T> = std::result::Result<T, StoreError>;

/// A `put_` method writes over what is there. A `delete_` method tells whether there was anything.
impl WorkingSet {
    /// Notes that what was made before this time may be deleted from now on. It never goes back.
    pub(crate) fn put_kept_since(&mut self, time: Timestamp) -> Result<()> {
        if time > self.kept_since()? {
            self.put_bytes(tables::META, KEPT_SINCE_KEY, &time.as_millis().to_be_bytes());
        }
        Ok(())
    }

    /// Whether the last commit does not show a module.
    pub(crate) fn has_new_module(&self, digest: ModuleDigest) -> bool {
        self.is_changed(tables::MODULES, digest)
    }

    /// Whether the last commit does not show an event as it is.
    pub(crate) fn has_new_event(&self, id: EventId) -> bool {
        self.is_changed(tables::EVENTS, id)
    }

    /// Whether the last commit does not show the state of a run as it is.
    pub(crate) fn has_new_state(&self, id: RunId) -> bool {
        self.is_changed(tables::RUN_STATES, id)
    }

    pub(crate) fn put_module(&mut self, module: &ModuleRow, bytes: &[u8]) -> Result<()> {
        self.put(tables::MODULES, module.digest, module)?;
        self.put_bytes(tables::MODULE_BYTES, module.digest, bytes);
        Ok(())
    }

    /// Deletes a module with its bytes and its base images.
    pub(crate) fn delete_module(&mut self, digest: ModuleDigest) -> Result<()> {
        self.delete_under(tables::BASE_IMAGES, digest)?;
        self.delete(tables::MODULE_BYTES, digest);
        self.delete(tables::MODULES, digest);
        Ok(())
    }

    pub(crate) fn put_base_image(&mut self, module: ModuleDigest, base: BaseDigest, image: &[u8]) {
        self.put_bytes(tables::BASE_IMAGES, (module, base), image);
    }

    pub(crate) fn put_workflow(&mut self, workflow: &WorkflowRow) -> Result<()> {
        self.put(tables::WORKFLOWS, (NAMESPACE, &workflow.name), workflow)
    }

    /// The definition's name is the workflow's.
    pub(crate) fn put_version(&mut self, version: &VersionRow) -> Result<()> {
        self.put(tables::VERSIONS, (NAMESPACE, &version.definition.name, version.version), version)
    }

    pub(crate) fn put_timer(&mut self, at: Timestamp, timer: Timer) -> Result<()> {
        if let Some(first) = &mut self.first_due[timer.line() as usize] {
            *first = Some(first.map_or(at, |first| first.min(at)));
        }
        self.put(tables::TIMERS, Due { at, timer }, &())
    }

    /// When the first timer of a line is due.
    pub(crate) fn first_due(&mut self, line: TimerLine) -> Result<Option<Timestamp>> {
        let known = self.first_due[line as usize];
        let first = known.map_or_else(|| self.next_due(line), Ok)?;
        self.first_due[line as usize] = Some(first);
        Ok(first)
    }

    pub(crate) fn delete_timer(&mut self, at: Timestamp, timer: Timer) {
        let first = &mut self.first_due[timer.line() as usize];
        if *first == Some(Some(at)) {
            *first = None;
        }
        self.delete(tables::TIMERS, Due { at, timer });
    }

    /// Leaves something to be done later, behind all that was left before.
    pub(crate) fn put_work(&mut self, work: &Work) -> Result<()> {
        let line = work.line();
        let number = self.work_end(line)?;
        self.next_work_numbers[line as usize] = Some(number + 1);
        self.insert(tables::work(line), number, work)
    }

    /// The number that what is left next in a line will have. It is looked up once: the rows of what is done
    /// would be passed over each time.
    pub(crate) fn work_end(&mut self, line: WorkLine) -> Result<u64> {
        if let Some(number) = self.next_work_numbers[line as usize] {
            return Ok(number);
        }
        let last =
            self.scan_keys_in(tables::work(line), Span::all(), Order::Descending)?.next().transpose()?;
        let number = last.map_or(0, |last| last + 1);
        self.next_work_numbers[line as usize] = Some(number);
        Ok(number)
    }

    /// Leaves something in the place of what was there.
    pub(crate) fn replace_work(&mut self, line: WorkLine, number: u64, work: Option<&Work>) -> Result<()> {
        match work {
            Some(work) => self.put(tables::work(line), number, work),
            None => {
                self.delete(tables::work(line), number);
                Ok(())
            }
        }
    }

    pub(crate) fn put_run_wait(&mut self, wait: RunWaitRow) -> Result<()> {
        self.put(tables::RUN_WAITS, (wait.awaited, wait.run, wait.task, wait.wait), &())
    }

    pub(crate) fn delete_run_wait(&mut self, wait: RunWaitRow) {
        self.delete(tables::RUN_WAITS, (wait.awaited, wait.run, wait.task, wait.wait));
    }

    /// A run got another one for an idempotency key.
    pub(crate) fn put_adoption(&mut self, adopted: RunId, by: RunId) -> Result<()> {
        self.put(tables::RUN_ADOPTIONS, (adopted, by), &())
    }

    pub(crate) fn delete_adoption(&mut self, adopted: RunId, by: RunId) {
        self.delete(tables::RUN_ADOPTIONS, (adopted, by));
    }

    /// Notes that a cron was disabled when the version that declared it went.
    pub(crate) fn put_disabled_cron(&mut self, workflow: &WorkflowName, name: &CronName) -> Result<()> {
        self.put(tables::DISABLED_CRONS, (NAMESPACE, workflow, name), &())
    }

    /// Forgets that; returns whether it was so.
    pub(crate) fn take_disabled_cron(&mut self, workflow: &WorkflowName, name: &CronName) -> Result<bool> {
        let key = (NAMESPACE, workflow, name);
        let was_disabled = self.get(tables::DISABLED_CRONS, key)?.is_some();
        if was_disabled {
            self.delete(tables::DISABLED_CRONS, key);
        }
        Ok(was_disabled)
    }

    /// Forgets it of all crons of a workflow.
    pub(crate) fn delete_disabled_crons(&mut self, workflow: &WorkflowName) -> Result<()> {
        self.delete_under(tables::DISABLED_CRONS, (NAMESPACE, workflow)).map(drop)
    }

    /// A cron that takes another's name takes its place under that name.
    pub(crate) fn put_cron(&mut self, cron: &CronRow) -> Result<()> {
        if let Some(old) = self.cron(cron.id)?
            && (&old.workflow, &old.name) != (&cron.workflow, &cron.name)
        {
            self.delete(tables::CRON_NAMES, (NAMESPACE, &old.workflow, &old.name));
        }
        self.put(tables::CRONS, cron.id, cron)?;
        self.put(tables::CRON_NAMES, (NAMESPACE, &cron.workflow, &cron.name), &cron.id)
    }

    pub(crate) fn delete_cron(&mut self, id: CronId) -> Result<bool> {
        let Some(old) = self.cron(id)? else { return Ok(false) };
        self.delete(tables::CRON_NAMES, (NAMESPACE, &old.workflow, &old.name));
        self.delete(tables::CRONS, id);
        Ok(true)
    }

    pub(crate) fn put_scheduled(&mut self, scheduled: &ScheduledRow) -> Result<()> {
        self.delete_scheduled(scheduled.id)?;
        self.put(tables::SCHEDULED, scheduled.id, scheduled)?;
        let by_time = (scheduled.status, scheduled.trigger_at, scheduled.id);
        self.put(tables::SCHEDULED_BY_TIME, by_time, &())
    }

    pub(crate) fn delete_scheduled(&mut self, id: ScheduledId) -> Result<bool> {
        let Some(old) = self.scheduled(id)? else { return Ok(false) };
        self.delete(tables::SCHEDULED_BY_TIME, (old.status, old.trigger_at, id));
        self.delete(tables::SCHEDULED, id);
        Ok(true)
    }

    /// The key and the time of an event never change.
    pub(crate) fn put_event(&mut self, event: &EventRow) -> Result<()> {
        self.put(tables::EVENTS, event.id, event)?;
        self.put(tables::EVENTS_BY_KEY, (NAMESPACE, event.key.as_str(), event.pushed_at, event.id), &())
    }

    pub(crate) fn delete_event(&mut self, id: EventId) -> Result<bool> {
        let Some(old) = self.event(id)? else { return Ok(false) };
        self.delete(tables::EVENTS_BY_KEY, (NAMESPACE, old.key.as_str(), old.pushed_at, id));
        self.delete(tables::EVENTS, id);
        Ok(true)
    }

    pub(crate) fn put_concurrency(&mut self, row: &ConcurrencyRow) -> Result<()> {
        let key = (NAMESPACE, &row.workflow, row.index, row.key.as_str(), row.run);
        self.insert(tables::CONCURRENCY, key, &row.max_runs)
    }

    pub(crate) fn delete_concurrency(&mut self, row: &ConcurrencyRow) {
        self.delete(tables::CONCURRENCY, (NAMESPACE, &row.workflow, row.index, row.key.as_str(), row.run));
    }

    pub(crate) fn put_idempotency(
        &mut self,
        scope: IdempotencyScope<'_>,
        key: &str,
        row: &IdempotencyRow,
    ) -> Result<()> {
        self.delete_idempotency(scope, key)?;
        if let IdempotencyScope::Runs(_) = scope {
            self.put(tables::KEYED_RUNS, (RunId::from_bytes(row.id), row.expires_at), &())?;
        }
        let scope = keys::scope(scope);
        self.put(tables::IDEMPOTENCY, (NAMESPACE, scope, key), row)?;
        self.put(tables::IDEMPOTENCY_BY_EXPIRY, (row.expires_at, NAMESPACE, scope, key), &())
    }

    pub(crate) fn delete_idempotency(&mut self, scope: IdempotencyScope<'_>, key: &str) -> Result<bool> {
        let Some(old) = self.idempotency(scope, key)? else { return Ok(false) };
        if let IdempotencyScope::Runs(_) = scope {
            self.delete(tables::KEYED_RUNS, (RunId::from_bytes(old.id), old.expires_at));
        }
        let scope = keys::scope(scope);
        self.delete(tables::IDEMPOTENCY_BY_EXPIRY, (old.expires_at, NAMESPACE, scope, key));
        self.delete(tables::IDEMPOTENCY, (NAMESPACE, scope, key));
        Ok(true)
    }

    /// Deletes up to `limit` idempotency keys that have expired at `now`; returns how many.
    pub(crate) fn delete_expired_idempotency(&mut self, now: Timestamp, limit: usize) -> Result<usize> {
        let entries = self.scan_keys(tables::IDEMPOTENCY_BY_EXPIRY, Span::all())?;
        let is_due = |entry: &Result<(Timestamp, keys::Namespace, String, String)>| {
            entry.as_ref().map_or(true, |(expires_at, ..)| *expires_at <= now)
        };
        let expired: Vec<_> = entries.take_while(is_due).take(limit).collect::<Result<_>>()?;
        let count = expired.len();
        for (expires_at, namespace, scope, key) in expired {
            let row = match self.get(tables::IDEMPOTENCY, (namespace, scope.as_str(), key.as_str())) {
                // It goes, whatever it says.
                Err(StoreError::Unreadable { .. }) => None,
                row => row?,
            };
            if let Some(row) = row.filter(|_| !scope.is_empty()) {
                self.delete(tables::KEYED_RUNS, (RunId::from_bytes(row.id), expires_at));
            }
            self.delete(tables::IDEMPOTENCY, (namespace, scope.as_str(), key.as_str()));
            self.delete(tables::IDEMPOTENCY_BY_EXPIRY, (expires_at, namespace, scope, key));
        }
        Ok(count)
    }
}
