//! The host as the API and the command line see it: what changes goes to the writer, what is
//! read comes from the store as of the last commit.

use std::ops::ControlFlow;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use dormouse_core::event::KeyPattern;
use dormouse_core::id::{CronId, CronName, EventId, ModuleDigest, RunId, ScheduledId, Version, WorkflowName};
use dormouse_core::run::Trigger;
use dormouse_core::time::Timestamp;
use dormouse_core::workflow::Workflow;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use super::batch::{After, Batch};
use super::catalog::Catalog;
use super::command::{Command, Reply};
use super::deploy::versions_of;
use super::requests::{
    CronChange, CronFilter, Deployed, EventCursor, EventFilter, Page, Paged, PushEvent, RunFilter,
    ScheduleRun, ScheduledChange, ScheduledCursor, ScheduledFilter, StartRun, Started, TriggerFilter,
    TriggerKind, WorkflowView,
};
use super::watch::Watchers;
use super::writer::{Memory, Writer};
use super::{Error, ErrorKind, Shared, find_workflow};
use crate::clock::Clock;
use crate::runtime::Runtime;
use crate::store::rows::{CronRow, EventRow, JournalEntry, ModuleRow, RunRow, ScheduledRow};
use crate::store::{Read, Reader, Store, StoreError};

type Result<T> = std::result::Result<T, Error>;

/// Callers whose commands may stand before the writer at once; the rest wait their turn.
const CALLERS_MAX: usize = 8192;

/// Entries of a journal that are read at a time while it is followed.
const FOLLOW_CHUNK: usize = 256;

/// Why a host could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StartError {
    #[error("the store could not be recovered")]
    Store(#[from] StoreError),
    #[error("the writer's thread could not be started")]
    Thread(#[source] std::io::Error),
}

/// A running host. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Host {
    shared: Arc<Shared>,
    admission: Arc<Semaphore>,
    writer: Arc<Mutex<Option<WriterThread>>>,
    /// Closed when the writer has ended.
    ended: watch::Receiver<()>,
}

type WriterThread = std::thread::JoinHandle<std::result::Result<(), StoreError>>;

impl Host {
    /// Recovers what the store holds and starts to work.
    pub(crate) fn start(
        store: Store,
        runtime: Runtime,
        clock: Clock,
        slots: usize,
    ) -> std::result::Result<Self, StartError> {
        let (sender, commands) = channel();
        let catalog = Catalog::load(&store.reader()?)?;
        let shared = Arc::new(Shared {
            store,
            runtime,
            up_since: clock.now(),
            catalog: RwLock::new(Arc::new(catalog.clone())),
            watchers: Arc::new(Watchers::default()),
            commands: sender.clone(),
            clock: clock.clone(),
        });
        let mut memory = Memory::new(catalog, slots);
        let after = shared.store.transact(|tx| {
            let mut batch = Batch::new(tx, clock.now(), &shared, &mut memory);
            batch.recover()?;
            batch.finish()
        });
        let after: After = after?;
        // A jump of a virtual clock wakes the writer like any command.
        let waker = Mutex::new(sender);
        clock.on_jump(move || {
            let sender = waker.lock().unwrap_or_else(PoisonError::into_inner);
            // A writer that has ended needs no waking.
            drop(sender.send(Command::ClockJumped));
        });
        let mut writer = Writer { shared: Arc::clone(&shared), memory, commands, next_timer: None };
        let (end, ended) = watch::channel(());
        let run = move || {
            // However it ends, a panic included, this is dropped, and those who wait hear of it.
            let _end = end;
            writer.begin(after);
            writer.run()
        };
        let thread = std::thread::Builder::new().name("dormouse-writer".to_owned()).spawn(run);
        let writer = Arc::new(Mutex::new(Some(thread.map_err(StartError::Thread)?)));
        Ok(Self { shared, admission: Arc::new(Semaphore::new(CALLERS_MAX)), writer, ended })
    }

    /// Commits what is under way and ends the writer. Steps that run are given up; the next host
    /// repeats them.
    pub(crate) fn stop(&self) -> std::result::Result<(), StoreError> {
        self.shared.send(Command::Stop);
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A writer that panicked has already said why.
        thread.map_or(Ok(()), |thread| thread.join().unwrap_or(Ok(())))
    }

    /// Whether it can take work: the writer is alive.
    pub(crate) fn is_ready(&self) -> bool {
        self.ended.has_changed().is_ok()
    }

    /// Resolves when the writer has ended, because it was told to or because the store failed.
    pub(crate) async fn ended(&self) {
        let mut ended = self.ended.clone();
        // The sender never sends: an error is its end.
        while ended.changed().await.is_ok() {}
    }

    /// Resolves once no step runs or could run, with the time of the next timer: from then on only
    /// time or a call changes anything.
    pub(crate) async fn idle(&self) -> Option<Timestamp> {
        let (reply, answer) = oneshot::channel();
        self.shared.send(Command::AwaitIdle { reply });
        answer.await.unwrap_or(None)
    }

    async fn command<T>(&self, make: impl FnOnce(Reply<T>) -> Command) -> Result<T> {
        let stopping = || {
            Error::new(ErrorKind::Unavailable, "stopping", "the host is stopping; try again when it is up")
        };
        let _admitted = self.admission.acquire().await.map_err(|_| stopping())?;
        let (reply, answer) = oneshot::channel();
        if !self.shared.send(make(reply)) {
            return Err(stopping());
        }
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }

    fn read<T>(&self, read: impl FnOnce(&Reader) -> std::result::Result<T, StoreError>) -> Result<T> {
        self.shared.store.reader().and_then(|reader| read(&reader)).map_err(|error| Error::internal(&error))
    }
}

/// Modules and workflows.
impl Host {
    /// Takes in a module.
    pub(crate) async fn deploy(&self, bytes: Vec<u8>) -> Result<Deployed> {
        let inspection = self.shared.runtime.inspect(bytes.clone()).await?;
        self.command(|reply| Command::Deploy { inspection: Box::new(inspection), bytes, reply }).await
    }

    pub(crate) fn module(&self, digest: ModuleDigest) -> Result<Deployed> {
        let found =
            self.read(|store| store.module(digest)?.map(|module| deployed(store, module)).transpose())?;
        found.ok_or_else(|| Error::not_found("unknown_module", format!("there is no module {digest}")))
    }

    pub(crate) fn modules(&self, page: Page<ModuleDigest>) -> Result<Paged<Deployed, ModuleDigest>> {
        self.read(|store| {
            let modules = store.modules()?;
            let start = page.after.and_then(|after| modules.iter().position(|module| module.digest == after));
            let rows = modules.into_iter().skip(start.map_or(0, |start| start + 1));
            let rows = rows.take(page.limit + 1).map(|module| deployed(store, module));
            Ok(paged(rows.collect::<std::result::Result<_, _>>()?, page.limit, |row| row.module.digest))
        })
    }

    pub(crate) async fn delete_module(&self, digest: ModuleDigest) -> Result<()> {
        self.command(|reply| Command::DeleteModule { digest, reply }).await
    }

    pub(crate) fn workflows(&self, page: Page<WorkflowName>) -> Result<Paged<WorkflowView, WorkflowName>> {
        let catalog = self.shared.catalog();
        let names = catalog.workflows().map(|entry| &entry.target.workflow);
        let names = names.filter(|name| page.after.as_ref().is_none_or(|after| *name > after));
        let rows = names.take(page.limit + 1).map(|name| self.workflow(name)).collect::<Result<_>>()?;
        Ok(paged(rows, page.limit, |view| view.row.name.clone()))
    }

    pub(crate) fn workflow(&self, name: &WorkflowName) -> Result<WorkflowView> {
        find_workflow(&self.shared.catalog(), name)?;
        let view = self.read(|store| {
            let Some(row) = store.workflow(name)? else { return Ok(None) };
            Ok(Some(WorkflowView { row, versions: store.versions(name)?, counts: store.run_counts(name)? }))
        })?;
        view.ok_or_else(|| Error::not_found("unknown_workflow", format!("no workflow is named `{name}`")))
    }

    pub(crate) async fn set_paused(&self, workflow: WorkflowName, paused: bool) -> Result<WorkflowView> {
        let name = workflow.clone();
        self.command(|reply| Command::SetPaused { workflow, paused, reply }).await?;
        self.workflow(&name)
    }

    pub(crate) async fn delete_workflow(&self, workflow: WorkflowName) -> Result<()> {
        self.command(|reply| Command::DeleteWorkflow { workflow, reply }).await
    }

    /// What a version of a workflow says, be it current or not.
    pub(crate) fn definition(&self, name: &WorkflowName, version: Version) -> Option<Arc<Workflow>> {
        self.shared.catalog().definition(name, version).cloned()
    }
}

/// Runs.
impl Host {
    pub(crate) async fn start_run(&self, workflow: WorkflowName, request: StartRun) -> Result<Started> {
        let target = {
            let catalog = self.shared.catalog();
            let entry = find_workflow(&catalog, &workflow)?;
            entry
                .check_input(&request.input)
                .map_err(|problem| Error::invalid("invalid_input", "input", problem))?;
            let target = entry.target.clone();
            catalog
                .concurrency_keys(&workflow, target.version, &request.input, &request.metadata)
                .map_err(|problem| Error::invalid("invalid_input", "input", problem))?;
            target
        };
        self.command(|reply| Command::StartRun { target, request, reply }).await
    }

    pub(crate) fn run(&self, id: RunId) -> Result<RunRow> {
        let found = self.read(|store| store.run(id))?;
        found.ok_or_else(|| Error::not_found("unknown_run", format!("there is no run {id}")))
    }

    /// The run once it has ended, or as it is when `timeout` is over.
    pub(crate) async fn wait_for_run(&self, id: RunId, timeout: Duration) -> Result<RunRow> {
        let watch = self.shared.watchers.watch(id);
        let ended = async {
            loop {
                let news = watch.news();
                let row = self.run(id)?;
                if row.run.status.is_final() {
                    return Ok(row);
                }
                news.await;
            }
        };
        match tokio::time::timeout(timeout, ended).await {
            Ok(row) => row,
            Err(_) => self.run(id),
        }
    }

    pub(crate) fn runs(&self, filter: &RunFilter, page: Page<RunId>) -> Result<Paged<RunRow, RunId>> {
        self.read(|store| {
            let mut rows = Vec::new();
            let mut failed = None;
            let visit = |id: RunId| match store.run(id) {
                Ok(row) => {
                    rows.extend(row.filter(|row| matches(filter, row)));
                    if rows.len() > page.limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                }
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            };
            match filter.parent {
                Some(parent) => {
                    let mut children = Vec::new();
                    store.visit_children(parent, None, |child| {
                        children.push(child);
                        ControlFlow::Continue(())
                    })?;
                    let newest_first = children.into_iter().rev();
                    let behind = newest_first.filter(|child| page.after.is_none_or(|after| *child < after));
                    let _ = behind.map(visit).find(ControlFlow::is_break);
                }
                None => store.visit_run_ids(filter.workflow.as_ref(), filter.status, page.after, visit)?,
            }
            if let Some(error) = failed {
                return Err(error);
            }
            Ok(paged(rows, page.limit, |row: &RunRow| row.spec.id))
        })
    }

    /// Ends the run and its children that are not detached.
    pub(crate) async fn cancel_run(&self, id: RunId) -> Result<RunRow> {
        self.command(|reply| Command::CancelRun { id, reply }).await?;
        self.run(id)
    }

    /// Entries of the journal with a sequence number greater than `since`, oldest first.
    pub(crate) fn journal(
        &self,
        id: RunId,
        since: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, JournalEntry)>> {
        self.read(|store| store.journal(id, since.map_or(0, |since| since + 1), limit))
    }

    /// The journal behind `since`, then what comes, until the run has ended.
    pub(crate) fn follow(
        &self,
        id: RunId,
        since: Option<u64>,
    ) -> Result<impl Stream<Item = (u64, JournalEntry)> + Send + use<>> {
        self.run(id)?;
        let host = self.clone();
        let (sender, receiver) = mpsc::channel(FOLLOW_CHUNK);
        tokio::spawn(async move { host.send_journal(id, since, sender).await });
        Ok(ReceiverStream::new(receiver))
    }

    async fn send_journal(
        &self,
        id: RunId,
        mut since: Option<u64>,
        sender: mpsc::Sender<(u64, JournalEntry)>,
    ) -> Result<()> {
        let watch = self.shared.watchers.watch(id);
        loop {
            let news = watch.news();
            // The status first: what the journal has after it is all there will be.
            let ended = self.run(id)?.run.status.is_final();
            let entries = self.journal(id, since, FOLLOW_CHUNK)?;
            let all = entries.len() < FOLLOW_CHUNK;
            for entry in entries {
                since = Some(entry.0);
                if sender.send(entry).await.is_err() {
                    return Ok(());
                }
            }
            match (all, ended) {
                (true, true) => return Ok(()),
                (true, false) => tokio::select! {
                    () = news => {}
                    () = sender.closed() => return Ok(()),
                },
                (false, _) => {}
            }
        }
    }
}

/// Crons.
impl Host {
    /// Makes the cron or changes it in place; says whether it is new.
    pub(crate) async fn put_cron(
        &self,
        workflow: WorkflowName,
        name: CronName,
        change: CronChange,
    ) -> Result<(CronRow, bool)> {
        self.command(|reply| Command::PutCron { workflow, name, change, reply }).await
    }

    pub(crate) fn crons(&self, filter: &CronFilter, page: Page<CronId>) -> Result<Paged<CronRow, CronId>> {
        self.read(|store| {
            let mut rows = Vec::new();
            store.visit_crons(page.after, |row: CronRow| {
                let wanted = filter.workflow.as_ref().is_none_or(|workflow| row.workflow == *workflow)
                    && filter.name.as_ref().is_none_or(|name| row.name.as_str() == name)
                    && filter.enabled.is_none_or(|enabled| row.enabled == enabled)
                    && row.spec.metadata.contains_all(&filter.metadata);
                rows.extend(wanted.then_some(row));
                if rows.len() > page.limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            Ok(paged(rows, page.limit, |row: &CronRow| row.id))
        })
    }

    pub(crate) fn cron(&self, id: CronId) -> Result<CronRow> {
        let found = self.read(|store| store.cron(id))?;
        found.ok_or_else(|| Error::not_found("unknown_cron", format!("there is no cron {id}")))
    }

    pub(crate) async fn change_cron(&self, id: CronId, change: CronChange) -> Result<CronRow> {
        self.command(|reply| Command::ChangeCron { id, change, reply }).await
    }

    pub(crate) async fn delete_cron(&self, id: CronId) -> Result<()> {
        self.command(|reply| Command::DeleteCron { id, reply }).await
    }

    pub(crate) async fn trigger_cron(&self, id: CronId) -> Result<RunId> {
        self.command(|reply| Command::TriggerCron { id, reply }).await
    }
}

/// Scheduled runs.
impl Host {
    pub(crate) async fn schedule_run(
        &self,
        workflow: WorkflowName,
        request: ScheduleRun,
    ) -> Result<ScheduledRow> {
        self.command(|reply| Command::ScheduleRun { workflow, request, reply }).await
    }

    pub(crate) fn scheduled(&self, id: ScheduledId) -> Result<ScheduledRow> {
        let found = self.read(|store| store.scheduled(id))?;
        found.ok_or_else(|| {
            Error::not_found("unknown_scheduled_run", format!("there is no scheduled run {id}"))
        })
    }

    pub(crate) fn scheduled_runs(
        &self,
        filter: &ScheduledFilter,
        page: Page<ScheduledCursor>,
    ) -> Result<Paged<ScheduledRow, ScheduledCursor>> {
        self.read(|store| {
            let mut rows = Vec::new();
            store.visit_scheduled(filter.status, page.after, |row: ScheduledRow| {
                let wanted = filter.workflow.as_ref().is_none_or(|workflow| row.workflow == *workflow)
                    && row.metadata.contains_all(&filter.metadata);
                rows.extend(wanted.then_some(row));
                if rows.len() > page.limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            Ok(paged(rows, page.limit, |row: &ScheduledRow| (row.trigger_at, row.id)))
        })
    }

    pub(crate) async fn change_scheduled(
        &self,
        id: ScheduledId,
        change: ScheduledChange,
    ) -> Result<ScheduledRow> {
        self.command(|reply| Command::ChangeScheduled { id, change, reply }).await
    }

    pub(crate) async fn cancel_scheduled(&self, id: ScheduledId) -> Result<()> {
        self.command(|reply| Command::CancelScheduled { id, reply }).await
    }

    pub(crate) async fn trigger_scheduled(&self, id: ScheduledId) -> Result<RunId> {
        self.command(|reply| Command::TriggerScheduled { id, reply }).await
    }
}

/// Events.
impl Host {
    pub(crate) async fn push_event(&self, request: PushEvent) -> Result<EventRow> {
        self.command(|reply| Command::PushEvent { request, reply }).await
    }

    pub(crate) fn event(&self, id: EventId) -> Result<EventRow> {
        let found = self.read(|store| store.event(id))?;
        found.ok_or_else(|| Error::not_found("unknown_event", format!("there is no event {id}")))
    }

    pub(crate) fn events(
        &self,
        filter: &EventFilter,
        page: Page<EventCursor>,
    ) -> Result<Paged<EventRow, EventCursor>> {
        let pattern = filter.key.as_deref().map(KeyPattern::parse).transpose();
        let pattern =
            pattern.map_err(|error| Error::invalid("invalid_key_pattern", "key", error.to_string()))?;
        self.read(|store| {
            let mut rows = Vec::new();
            store.visit_events(page.after, |row: EventRow| {
                if filter.since.is_some_and(|since| row.pushed_at < since) {
                    return ControlFlow::Break(());
                }
                let wanted = pattern.as_ref().is_none_or(|pattern| pattern.matches(&row.key))
                    && filter.until.is_none_or(|until| row.pushed_at < until)
                    && row.metadata.contains_all(&filter.metadata);
                rows.extend(wanted.then_some(row));
                if rows.len() > page.limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            Ok(paged(rows, page.limit, |row: &EventRow| row.id))
        })
    }
}

/// Cuts off the row that was read to see whether there is more.
fn paged<T, C>(mut rows: Vec<T>, limit: usize, cursor: impl Fn(&T) -> C) -> Paged<T, C> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(cursor);
    Paged { rows, next }
}

fn deployed(store: &Reader, module: ModuleRow) -> std::result::Result<Deployed, StoreError> {
    Ok(Deployed { versions: versions_of(store, &module)?, module, created: false })
}

fn matches(filter: &RunFilter, row: &RunRow) -> bool {
    let RunRow { spec, run } = row;
    let (kind, id) = match spec.trigger {
        Trigger::Call => (TriggerKind::Call, None),
        Trigger::Cron { id, .. } => (TriggerKind::Cron, Some(id.to_bytes())),
        Trigger::Scheduled { id, .. } => (TriggerKind::Scheduled, Some(id.to_bytes())),
        Trigger::Event(id) => (TriggerKind::Event, Some(id.to_bytes())),
        Trigger::Parent(id) => (TriggerKind::Parent, Some(id.to_bytes())),
        Trigger::Replay(id) => (TriggerKind::Replay, Some(id.to_bytes())),
    };
    let trigger = filter.trigger.as_ref().is_none_or(|trigger| match trigger {
        TriggerFilter::Kind(wanted) => kind == *wanted,
        TriggerFilter::Id(wanted) => id == Some(*wanted),
    });
    trigger
        && filter.status.is_none_or(|status| run.status == status)
        && filter.workflow.as_ref().is_none_or(|workflow| spec.workflow == *workflow)
        && filter.since.is_none_or(|since| spec.created_at >= since)
        && filter.until.is_none_or(|until| spec.created_at < until)
        && spec.metadata.contains_all(&filter.metadata)
}
