//! Everything that can be asked of the store, the same of a working set and of a view.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use dormouse_core::id::{
    BaseDigest, CronId, CronName, EventId, ModuleDigest, RunId, ScheduledId, TaskIndex, Version, WorkflowName,
};
use dormouse_core::run::{Part, Run, RunSpec, Status};
use dormouse_core::time::Timestamp;
use dormouse_core::wait::{FilterIndex, Settled, Wait, WaitCondition};
use dormouse_core::workflow::Json;

use super::error::StoreError;
use super::keys::{self, NAMESPACE, SCHEDULED_STATUSES};
use super::records::Counts;
use super::rows::{
    ConcurrencyRow, CronRow, Due, EndedRun, EndedScheduled, EventRow, EventWaitRow, HeldEnd, IdempotencyRow,
    IdempotencyScope, JournalEntry, ModuleRow, OpenRequests, RunRow, RunWaitRow, ScheduledRow,
    ScheduledStatus, Timer, TimerLine, VersionRow, WAITS_SHOWN_MAX, WaitKey, WaitRow, Work, WorkLine,
    WorkflowRow,
};
use super::source::{Access, Order, Source, Span, visit_merged};
use super::tables;
use super::waits::{EventWaitPlace, place};
use super::working_set::JournalEnd;

type Result<T> = std::result::Result<T, StoreError>;

/// Row of `meta`: before which time retention may have deleted things, as eight bytes, big endian.
pub(super) const KEPT_SINCE_KEY: &str = "kept-since";

/// What a visitor wants of the things behind the one that it was shown, which are newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Newer {
    Wanted,
    Unwanted,
}

/// Questions to the store. Every one can fail with [`StoreError`] when the disk does or when a row
/// cannot be read. A `visit_` method calls its closure for each answer until it breaks off.
pub(crate) trait Read: Source + Sized {
    /// Retention has deleted nothing that was made at this time or later.
    fn kept_since(&self) -> Result<Timestamp> {
        let row = self.get(tables::META, KEPT_SINCE_KEY)?;
        let bytes = row.and_then(|row| row.try_into().ok());
        Ok(Timestamp::from_millis(bytes.map_or(0, u64::from_be_bytes)))
    }

    fn module(&self, digest: ModuleDigest) -> Result<Option<ModuleRow>> {
        self.get(tables::MODULES, digest)
    }

    /// The component as it was uploaded.
    fn module_bytes(&self, digest: ModuleDigest) -> Result<Option<Vec<u8>>> {
        self.get(tables::MODULE_BYTES, digest)
    }

    /// What snapshots of a module may be told apart from.
    fn base_image(&self, module: ModuleDigest, base: BaseDigest) -> Result<Option<Vec<u8>>> {
        self.get(tables::BASE_IMAGES, (module, base))
    }

    /// Whether that is there.
    fn has_base_image(&self, module: ModuleDigest, base: BaseDigest) -> Result<bool> {
        Ok(self.row(tables::BASE_IMAGES.slot, &keys::encode(&(module, base)))?.is_some())
    }

    /// Whether any is there.
    fn has_base_images(&self, module: ModuleDigest) -> Result<bool> {
        Ok(self.scan_keys(tables::BASE_IMAGES, Span::under(module))?.next().transpose()?.is_some())
    }

    /// All modules, the latest upload first.
    fn modules(&self) -> Result<Vec<ModuleRow>> {
        let mut modules = rows(self.scan(tables::MODULES, Span::all())?)?;
        modules.sort_by_key(|module| Reverse((module.uploaded_at, module.digest)));
        Ok(modules)
    }

    fn workflow(&self, name: &WorkflowName) -> Result<Option<WorkflowRow>> {
        self.get(tables::WORKFLOWS, (NAMESPACE, name))
    }

    /// All workflows in the order of their names.
    fn workflows(&self) -> Result<Vec<WorkflowRow>> {
        rows(self.scan(tables::WORKFLOWS, Span::under(NAMESPACE))?)
    }

    fn version(&self, workflow: &WorkflowName, version: Version) -> Result<Option<VersionRow>> {
        self.get(tables::VERSIONS, (NAMESPACE, workflow, version))
    }

    /// The versions of a workflow, the oldest first.
    fn versions(&self, workflow: &WorkflowName) -> Result<Vec<VersionRow>> {
        rows(self.scan(tables::VERSIONS, Span::under((NAMESPACE, workflow)))?)
    }

    fn run(&self, id: RunId) -> Result<Option<RunRow>> {
        self.run_rows(id)?.map(|(spec, run)| self.whole_run(spec, run)).transpose()
    }

    /// A run as its two rows have it: its waits, and what is large of it, are elsewhere.
    fn run_rows(&self, id: RunId) -> Result<Option<(RunSpec, Run)>> {
        let Some(spec) = self.run_spec(id)? else { return Ok(None) };
        let missing = StoreError::Contradiction { run: id, problem: "it has no state" };
        Ok(Some((spec, self.run_state(id)?.ok_or(missing)?)))
    }

    /// A run with what is elsewhere of it.
    fn whole_run(&self, spec: RunSpec, mut run: Run) -> Result<RunRow> {
        self.fill(spec.id, &mut run)?;
        let mut waits = Vec::new();
        for (index, task) in (0..).map(TaskIndex).zip(&run.tasks) {
            if task.open_waits > 0 {
                let open = self.open_waits(spec.id, index, WAITS_SHOWN_MAX)?;
                waits.extend(open.into_iter().map(|wait| (index, wait)));
            }
        }
        Ok(RunRow { spec, run, waits })
    }

    /// Gets the outputs and errors of a run that are elsewhere.
    fn fill(&self, id: RunId, run: &mut Run) -> Result<()> {
        for (index, task) in (0..).map(TaskIndex).zip(&mut run.tasks) {
            if let Some(output @ Part::Elsewhere) = &mut task.output {
                *output = Part::Here(self.task_output(id, index)?);
            }
            if let Some(error @ Part::Elsewhere) = &mut task.error {
                let missing = StoreError::Contradiction { run: id, problem: "an error is not there" };
                *error = Part::Here(self.get(tables::TASK_ERRORS, (id, index))?.ok_or(missing)?);
            }
        }
        Ok(())
    }

    /// The output of a task whose run says that it is elsewhere.
    fn task_output(&self, run: RunId, task: TaskIndex) -> Result<Json> {
        let missing = StoreError::Contradiction { run, problem: "an output is not there" };
        self.get(tables::TASK_OUTPUTS, (run, task))?.ok_or(missing)
    }

    /// A wait that is open or in the backlog.
    fn wait(&self, key: WaitKey) -> Result<Option<WaitRow>> {
        self.get(tables::WAITS, key)
    }

    /// Up to `limit` open waits of a task run, by their ids, with their filters.
    fn open_waits(&self, run: RunId, task: TaskIndex, limit: usize) -> Result<Vec<Wait>> {
        let mut open = Vec::new();
        for entry in self.scan(tables::WAITS, Span::under((run, task)))? {
            let (key, row) = entry?;
            let WaitRow::Open(mut condition) = row else { continue };
            if let WaitCondition::Event { key_pattern, filter, index, .. } = &mut condition {
                *filter = self.event_wait(key_pattern, index.as_ref(), key)?.and_then(|row| row.filter);
            }
            open.push(Wait { id: key.2, condition });
            if open.len() >= limit {
                break;
            }
        }
        Ok(open)
    }

    /// An open wait for events.
    fn event_wait(
        &self,
        key_pattern: &str,
        index: Option<&FilterIndex>,
        key: WaitKey,
    ) -> Result<Option<EventWaitRow>> {
        match place(key_pattern, index, key) {
            EventWaitPlace::Exact(key) => self.get(tables::EVENT_WAITS, key),
            EventWaitPlace::Pattern(key) => self.get(tables::EVENT_PATTERN_WAITS, key),
        }
    }

    /// Up to `limit` waits of the backlog of a task run, in the order in which they settled.
    fn backlog(&self, run: RunId, task: TaskIndex, limit: usize) -> Result<Vec<Settled>> {
        let rows = self.scan(tables::BACKLOGS, Span::under((run, task)))?;
        rows.take(limit).map(|entry| entry.map(|(_, settled)| settled)).collect()
    }

    fn run_spec(&self, id: RunId) -> Result<Option<RunSpec>> {
        self.get(tables::RUN_SPECS, id)
    }

    fn run_state(&self, id: RunId) -> Result<Option<Run>> {
        self.get(tables::RUN_STATES, id)
    }

    /// The ids of runs, newest first: of one workflow or of all, in one status or in any, and
    /// older than `before`.
    fn visit_run_ids(
        &self,
        workflow: Option<&WorkflowName>,
        status: Option<Status>,
        before: Option<RunId>,
        mut visit: impl FnMut(RunId) -> ControlFlow<()>,
    ) -> Result<()> {
        if workflow.is_none() && status.is_none() {
            let span = Span::all().before(before);
            for id in self.scan_keys_in(tables::RUN_SPECS, span, Order::Descending)? {
                if visit(id?).is_break() {
                    break;
                }
            }
            return Ok(());
        }
        let workflows = match workflow {
            Some(workflow) => vec![workflow.clone()],
            None => self.counts_by_workflow()?.into_keys().collect(),
        };
        let statuses = status.map_or(Status::ALL.to_vec(), |status| vec![status]);
        let mut sources = Vec::with_capacity(workflows.len() * statuses.len());
        for workflow in &workflows {
            for status in &statuses {
                let under = (NAMESPACE, workflow, *status);
                let span = Span::under(under).before(before.map(|id| (NAMESPACE, workflow, *status, id)));
                let newest_first = self.scan_keys_in(tables::RUNS_BY_STATUS, span, Order::Descending)?;
                sources.push(newest_first.map(|entry| entry.map(|(.., id)| id)));
            }
        }
        visit_merged(sources, |id| Ok(visit(id)))
    }

    /// The runs that a run spawned, oldest first, made later than `after`.
    fn visit_children(
        &self,
        parent: RunId,
        after: Option<RunId>,
        mut visit: impl FnMut(RunId) -> ControlFlow<()>,
    ) -> Result<()> {
        let span = Span::under(parent).after(after.map(|child| (parent, child)));
        for entry in self.scan_keys(tables::RUN_CHILDREN, span)? {
            if visit(entry?.1).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The same newest first, made earlier than `before`.
    fn visit_newest_children(
        &self,
        parent: RunId,
        before: Option<RunId>,
        mut visit: impl FnMut(RunId) -> ControlFlow<()>,
    ) -> Result<()> {
        let span = Span::under(parent).before(before.map(|child| (parent, child)));
        for entry in self.scan_keys_in(tables::RUN_CHILDREN, span, Order::Descending)? {
            if visit(entry?.1).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// How many runs a workflow has of each status, in the order of [`Status::ALL`].
    fn run_counts(&self, workflow: &WorkflowName) -> Result<[u64; Counts::LEN]> {
        Ok(self.counts(workflow)?.by_status)
    }

    /// How many runs of a version have not ended.
    fn live_runs(&self, workflow: &WorkflowName, version: Version) -> Result<u64> {
        Ok(self.counts(workflow)?.live.get(&version).copied().unwrap_or_default())
    }

    fn counts(&self, workflow: &WorkflowName) -> Result<Counts> {
        let mut counts = self.get(tables::RUN_COUNTS, (NAMESPACE, workflow))?.unwrap_or_default();
        if let Some(change) = self.uncommitted_counts().and_then(|changes| changes.get(workflow)) {
            counts.apply(workflow, change)?;
        }
        Ok(counts)
    }

    /// The same of every workflow that has had runs.
    fn counts_by_workflow(&self) -> Result<BTreeMap<WorkflowName, [u64; Counts::LEN]>> {
        let stored = self.scan(tables::RUN_COUNTS, Span::under(NAMESPACE))?;
        let by_workflow = stored.map(|entry| entry.map(|((_, workflow), counts)| (workflow, counts)));
        let mut all: BTreeMap<_, _> = by_workflow.collect::<Result<_>>()?;
        for (workflow, change) in self.uncommitted_counts().into_iter().flatten() {
            all.entry(workflow.clone()).or_insert_with(Counts::default).apply(workflow, change)?;
        }
        Ok(all.into_iter().map(|(workflow, counts)| (workflow, counts.by_status)).collect())
    }

    /// The runs that have ended, by workflow and status and then oldest first, behind `after`, until
    /// `limit` keys were looked at. When a run is too new for the visitor, so are those behind it of
    /// its workflow and status, and they are left out. Returns behind which run to go on, if there may
    /// be more.
    fn visit_ended_runs(
        &self,
        after: Option<&EndedRun>,
        limit: usize,
        mut visit: impl FnMut(&EndedRun) -> Newer,
    ) -> Result<Option<EndedRun>> {
        let all = || Span::under(NAMESPACE);
        let mut span = all().after(after.map(|(workflow, status, id)| (NAMESPACE, workflow, *status, *id)));
        let mut looked_at = 0;
        loop {
            let mut passed = None;
            for entry in self.scan_keys(tables::RUNS_BY_STATUS, span)? {
                let (_, workflow, status, id) = entry?;
                let key = (workflow, status, id);
                looked_at += 1;
                let leaves_out = !status.is_final() || matches!(visit(&key), Newer::Unwanted);
                if looked_at >= limit {
                    let last_of_all = RunId::from_bytes([u8::MAX; 16]);
                    return Ok(Some(if leaves_out { (key.0, status, last_of_all) } else { key }));
                }
                if leaves_out {
                    passed = Some(key);
                    break;
                }
            }
            let Some((workflow, status, _)) = passed else { return Ok(None) };
            let Some(rest) = all().past((NAMESPACE, &workflow, status)) else { return Ok(None) };
            span = rest;
        }
    }

    /// How many runs there are of each status, in the order of [`Status::ALL`].
    fn total_counts(&self) -> Result<[u64; Counts::LEN]> {
        let mut total = [0; Counts::LEN];
        for counts in self.counts_by_workflow()?.into_values() {
            total.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        Ok(total)
    }

    fn snapshot(&self, run: RunId, task: TaskIndex) -> Result<Option<Vec<u8>>> {
        let parts = self.scan(tables::SNAPSHOTS, Span::under((run, task)))?;
        parts
            .map(|part| part.map(|(_, bytes)| bytes))
            .reduce(|all, part| Ok([all?, part?].concat()))
            .transpose()
    }

    /// When the first timer of a line is due.
    fn next_due(&self, line: TimerLine) -> Result<Option<Timestamp>> {
        Ok(self.scan_keys(tables::TIMERS, Span::under(line))?.next().transpose()?.map(|due| due.at))
    }

    /// Up to `limit` timers of a line that are due at `now` or before, in the order in which they are
    /// due.
    fn due_timers(&self, line: TimerLine, now: Timestamp, limit: usize) -> Result<Vec<Due>> {
        let is_due = |entry: &Result<Due>| entry.as_ref().map_or(true, |due| due.at <= now);
        self.scan_keys(tables::TIMERS, Span::under(line))?.take_while(is_due).take(limit).collect()
    }

    /// The first of the things that are left in a line, of those with this number or a higher one.
    fn next_work(&self, line: WorkLine, from: u64) -> Result<Option<(u64, Work)>> {
        self.scan(tables::work(line), Span::all().from(from))?.next().transpose()
    }

    /// The first of what the last step of a task asked for and what has not taken effect, with its number.
    fn open_requests(&self, run: RunId, task: TaskIndex) -> Result<Option<(u64, OpenRequests)>> {
        let first = self.scan(tables::OPEN_REQUESTS, Span::under((run, task)))?.next().transpose()?;
        Ok(first.map(|((.., number), requests)| (number, requests)))
    }

    /// All requests that have not taken effect: of each task in order, by their numbers.
    fn visit_open_requests(
        &self,
        mut visit: impl FnMut((RunId, TaskIndex), u64, OpenRequests),
    ) -> Result<()> {
        for row in self.scan(tables::OPEN_REQUESTS, Span::all())? {
            let ((run, task, number), requests) = row?;
            visit((run, task), number, requests);
        }
        Ok(())
    }

    /// The ends of steps of which the runs have not heard.
    fn held_ends(&self) -> Result<Vec<((RunId, TaskIndex), HeldEnd)>> {
        self.scan(tables::HELD_ENDS, Span::all())?.collect()
    }

    /// Up to `limit` tasks that are held, which come after this one.
    fn held_tasks(&self, after: Option<(RunId, TaskIndex)>, limit: usize) -> Result<Vec<(RunId, TaskIndex)>> {
        self.scan_keys(tables::HELD_TASKS, Span::all().after(after))?.take(limit).collect()
    }

    /// How many tasks are held.
    fn count_held_tasks(&self) -> Result<usize> {
        self.scan_keys(tables::HELD_TASKS, Span::all())?.try_fold(0, |count, key| key.map(|_| count + 1))
    }

    /// The runs that have a held task, newest first, older than `before`.
    fn visit_held_runs(
        &self,
        before: Option<RunId>,
        mut visit: impl FnMut(RunId) -> ControlFlow<()>,
    ) -> Result<()> {
        let span = Span::all().before(before.map(|run| (run, TaskIndex(0))));
        let mut last = None;
        for entry in self.scan_keys_in(tables::HELD_TASKS, span, Order::Descending)? {
            let (run, _) = entry?;
            if last.replace(run) != Some(run) && visit(run).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Up to `limit` of those who wait for the end of a run.
    fn run_waits(&self, awaited: RunId, limit: usize) -> Result<Vec<RunWaitRow>> {
        let entries = self.scan_keys(tables::RUN_WAITS, Span::under(awaited))?.take(limit);
        entries
            .map(|entry| entry.map(|(awaited, run, task, wait)| RunWaitRow { awaited, run, task, wait }))
            .collect()
    }

    /// Up to `limit` of the runs that got a run for an idempotency key.
    fn adopters(&self, adopted: RunId, limit: usize) -> Result<Vec<RunId>> {
        let entries = self.scan_keys(tables::RUN_ADOPTIONS, Span::under(adopted))?.take(limit);
        entries.map(|entry| entry.map(|(_, by)| by)).collect()
    }

    /// Until when idempotency keys stand for a run.
    fn keyed_until(&self, run: RunId) -> Result<Option<Timestamp>> {
        let last = self.scan_keys_in(tables::KEYED_RUNS, Span::under(run), Order::Descending)?.next();
        Ok(last.transpose()?.map(|(_, until)| until))
    }

    /// The entries of a run's journal that are kept, oldest first, beginning with sequence number
    /// `from`; the first entry of a run has number 0.
    fn visit_journal(
        &self,
        run: RunId,
        from: u64,
        mut visit: impl FnMut(u64, JournalEntry) -> ControlFlow<()>,
    ) -> Result<()> {
        let up_to = Span::under(run).up_to((run, from));
        let first = self.scan_keys_in(tables::JOURNAL, up_to, Order::Descending)?.next().transpose()?;
        let span = Span::under(run).from(first.unwrap_or((run, from)));
        for row in self.scan(tables::JOURNAL, span)? {
            let ((_, first), row) = row?;
            let mut behind = row.numbered(first).filter(|(sequence, _)| *sequence >= from);
            if behind.any(|(sequence, entry)| visit(sequence, entry).is_break()) {
                break;
            }
        }
        Ok(())
    }

    /// Where a run's journal ends.
    fn journal_end(&self, run: RunId) -> Result<JournalEnd> {
        let last = self.scan_in(tables::JOURNAL, Span::under(run), Order::Descending)?.next().transpose()?;
        Ok(last.map_or_else(JournalEnd::default, |((_, first), row)| JournalEnd {
            next: row.next(first),
            size: row.after(),
            edges: row.edges,
        }))
    }

    fn cron(&self, id: CronId) -> Result<Option<CronRow>> {
        self.get(tables::CRONS, id)
    }

    fn cron_by_name(&self, workflow: &WorkflowName, name: &CronName) -> Result<Option<CronRow>> {
        match self.get(tables::CRON_NAMES, (NAMESPACE, workflow, name))? {
            Some(id) => self.cron(id),
            None => Ok(None),
        }
    }

    /// The crons of a workflow in the order of their names.
    fn crons_of(&self, workflow: &WorkflowName) -> Result<Vec<CronRow>> {
        let mut crons = Vec::new();
        for entry in self.scan(tables::CRON_NAMES, Span::under((NAMESPACE, workflow)))? {
            crons.extend(self.cron(entry?.1)?);
        }
        Ok(crons)
    }

    /// All crons, newest first, older than `before`.
    fn visit_crons(
        &self,
        before: Option<CronId>,
        visit: impl FnMut(CronRow) -> ControlFlow<()>,
    ) -> Result<()> {
        visit_rows(self.scan_in(tables::CRONS, Span::all().before(before), Order::Descending)?, visit)
    }

    /// Up to `limit` crons that were made before this one, the newest first.
    fn cron_ids(&self, before: CronId, limit: usize) -> Result<Vec<CronId>> {
        let span = Span::all().before(Some(before));
        self.scan_keys_in(tables::CRONS, span, Order::Descending)?.take(limit).collect()
    }

    fn has_timer(&self, at: Timestamp, timer: Timer) -> Result<bool> {
        Ok(self.row(tables::TIMERS.slot, &keys::encode(&Due { at, timer }))?.is_some())
    }

    fn scheduled(&self, id: ScheduledId) -> Result<Option<ScheduledRow>> {
        self.get(tables::SCHEDULED, id)
    }

    /// Scheduled runs in one status or in any, ascending by time and then id, after a pair of them.
    fn visit_scheduled(
        &self,
        status: Option<ScheduledStatus>,
        after: Option<(Timestamp, ScheduledId)>,
        mut visit: impl FnMut(ScheduledRow) -> ControlFlow<()>,
    ) -> Result<()> {
        let statuses = status.map_or(SCHEDULED_STATUSES.to_vec(), |status| vec![status]);
        let mut sources = Vec::with_capacity(statuses.len());
        for status in statuses {
            let span = Span::under(status).after(after.map(|(at, id)| (status, at, id)));
            let earliest_first = self.scan_keys(tables::SCHEDULED_BY_TIME, span)?;
            sources.push(earliest_first.map(|entry| entry.map(|(_, at, id)| Reverse((at, id)))));
        }
        visit_merged(sources, |Reverse((_, id))| {
            Ok(self.scheduled(id)?.map_or(ControlFlow::Continue(()), &mut visit))
        })
    }

    fn event(&self, id: EventId) -> Result<Option<EventRow>> {
        self.get(tables::EVENTS, id)
    }

    /// The scheduled runs that fired or were cancelled, by status and the time that they were scheduled
    /// for, behind `after`.
    fn visit_ended_scheduled(
        &self,
        after: Option<EndedScheduled>,
        mut visit: impl FnMut(EndedScheduled) -> ControlFlow<()>,
    ) -> Result<()> {
        // Their codes come last.
        let span = Span::all().from(ScheduledStatus::Fired).after(after);
        for key in self.scan_keys(tables::SCHEDULED_BY_TIME, span)? {
            if visit(key?).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// All events, oldest first, newer than `after`.
    fn visit_oldest_events(
        &self,
        after: Option<EventId>,
        visit: impl FnMut(EventRow) -> ControlFlow<()>,
    ) -> Result<()> {
        visit_rows(self.scan(tables::EVENTS, Span::all().after(after))?, visit)
    }

    /// All events, newest first, older than `before`.
    fn visit_events(
        &self,
        before: Option<EventId>,
        visit: impl FnMut(EventRow) -> ControlFlow<()>,
    ) -> Result<()> {
        visit_rows(self.scan_in(tables::EVENTS, Span::all().before(before), Order::Descending)?, visit)
    }

    /// The events of exactly this key that were pushed at `since` or later and before `before`, latest
    /// first.
    fn visit_events_by_key(
        &self,
        key: &str,
        since: Timestamp,
        before: Option<EventId>,
        mut visit: impl FnMut(EventRow) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut span = Span::under((NAMESPACE, key)).from((NAMESPACE, key, since));
        if let Some(before) = before
            && let Some(event) = self.event(before)?
        {
            span = span.before(Some((NAMESPACE, key, event.pushed_at, before)));
        }
        for entry in self.scan_keys_in(tables::EVENTS_BY_KEY, span, Order::Descending)? {
            let (.., id) = entry?;
            if self.event(id)?.is_some_and(|event| visit(event).is_break()) {
                break;
            }
        }
        Ok(())
    }

    /// All runs that concurrency limits count.
    fn concurrency(&self) -> Result<Vec<ConcurrencyRow>> {
        let entries = self.scan(tables::CONCURRENCY, Span::under(NAMESPACE))?;
        let row = |((_, workflow, index, key, run), max_runs)| ConcurrencyRow {
            workflow,
            index,
            key,
            run,
            max_runs,
        };
        entries.map(|entry| entry.map(row)).collect()
    }

    /// When the first of the idempotency keys expires.
    fn next_idempotency_expiry(&self) -> Result<Option<Timestamp>> {
        let first = self.scan_keys(tables::IDEMPOTENCY_BY_EXPIRY, Span::all())?.next().transpose()?;
        Ok(first.map(|(expires_at, ..)| expires_at))
    }

    /// What an idempotency key stands for; it may have expired.
    fn idempotency(&self, scope: IdempotencyScope<'_>, key: &str) -> Result<Option<IdempotencyRow>> {
        self.get(tables::IDEMPOTENCY, (NAMESPACE, keys::scope(scope), key))
    }
}

impl<S: Source> Read for S {}

fn rows<K, V>(entries: impl Iterator<Item = Result<(K, V)>>) -> Result<Vec<V>> {
    entries.map(|entry| entry.map(|(_, row)| row)).collect()
}

fn visit_rows<K, V>(
    entries: impl Iterator<Item = Result<(K, V)>>,
    mut visit: impl FnMut(V) -> ControlFlow<()>,
) -> Result<()> {
    for entry in entries {
        if visit(entry?.1).is_break() {
            break;
        }
    }
    Ok(())
}
