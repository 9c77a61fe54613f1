//! Runs: what is called, looked at, followed and ended.

use std::ops::ControlFlow;
use std::time::Duration;

use dormouse_core::id::{RunId, WorkflowName};
use dormouse_core::run::Trigger;
use dormouse_core::workflow::Json;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use super::{Host, ID_LEAD_MAX, Result, Stretch, earlier};
use crate::engine::bulk::only;
use crate::engine::requests::{Page, Paged, RunFilter, StartRun, Started, TriggerFilter, TriggerKind};
use crate::engine::runs::{Replay, unknown_run};
use crate::engine::shard::Shard;
use crate::engine::{Each, each_checked, find_workflow};
use crate::error::Error;
use crate::store::Read;
use crate::store::rows::{JournalEntry, RunRow};

/// Entries of a journal that are read at a time while it is followed.
const FOLLOW_CHUNK: usize = 256;

/// Entries of a journal, and bytes of them, that one request looks at: a journal that is as long as it
/// may be takes a few requests, each some milliseconds.
const JOURNAL_ENTRIES_MAX: usize = 10_000;
const JOURNAL_BYTES_MAX: usize = 4 << 20;

/// Runs that are read at a time while all that match are gathered.
const PAGE: usize = 500;

impl Host {
    pub(crate) async fn start_run(&self, workflow: WorkflowName, request: StartRun) -> Result<Started> {
        let target = {
            let catalog = self.shared.catalog();
            let entry = find_workflow(&catalog, &workflow)?;
            entry.check_call(&request.input, &request.metadata)?;
            entry.target.clone()
        };
        self.operate_with(request.bytes(), move |shard, reply| {
            let outcome = shard.start_run(target, request);
            shard.answer_started(reply, outcome)
        })
        .await
    }

    /// Starts many runs of a workflow in one transaction.
    pub(crate) async fn start_runs(
        &self,
        workflow: WorkflowName,
        requests: Vec<StartRun>,
    ) -> Result<Each<Started>> {
        let (target, requests) = {
            let catalog = self.shared.catalog();
            let entry = find_workflow(&catalog, &workflow)?;
            let checked =
                |request: StartRun| entry.check_call(&request.input, &request.metadata).map(|()| request);
            (entry.target.clone(), requests.into_iter().map(checked).collect())
        };
        each_checked(requests, |requests| {
            self.operate_on(requests.iter().map(StartRun::bytes).sum(), move |shard| {
                shard.each(requests, |shard, request| shard.start_run(target.clone(), request))
            })
        })
        .await
    }

    pub(crate) fn run(&self, id: RunId) -> Result<RunRow> {
        let found = self.read(|store| store.run(id))?;
        found.ok_or_else(|| unknown_run(id))
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
        self.scan(|store| {
            let mut stretch = Stretch::new(page.limit);
            let mut failed = None;
            let visit = |id: RunId| match store.run(id) {
                Ok(row) => stretch.look(id, row.filter(|row| matches(filter, row))),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            };
            let before =
                earlier(page.after, filter.until.map(|until| RunId::first_at(until.after(ID_LEAD_MAX))));
            match filter.parent {
                Some(parent) => store.visit_newest_children(parent, before, visit)?,
                None => store.visit_run_ids(filter.workflow.as_ref(), filter.status, before, visit)?,
            }
            failed.map_or_else(|| Ok(stretch.paged()), Err)
        })
    }

    /// Ends the run and its children that are not detached.
    pub(crate) async fn cancel_run(&self, id: RunId) -> Result<RunRow> {
        only(self.cancel_runs(vec![id]).await?)?;
        self.run(id)
    }

    /// Ends runs and their children, in one transaction.
    pub(crate) async fn cancel_runs(&self, ids: Vec<RunId>) -> Result<Each<()>> {
        self.operate(move |shard| shard.each(ids, Shard::cancel_run)).await
    }

    /// Runs a run that has ended again, with the same or another input.
    pub(crate) async fn replay_run(&self, id: RunId, input: Option<Json>) -> Result<RunRow> {
        let request = self.check_replay(id, input)?;
        let replay = self.operate(move |shard| shard.replay_run(request)).await?;
        self.run(replay)
    }

    /// The same for many, in one transaction.
    pub(crate) async fn replay_runs(&self, ids: Vec<RunId>) -> Result<Each<RunId>> {
        let checked = || ids.into_iter().map(|id| self.check_replay(id, None)).collect();
        let requests = tokio::task::block_in_place(checked);
        each_checked(requests, |requests| self.operate(move |shard| shard.each(requests, Shard::replay_run)))
            .await
    }

    /// Holds the input of a replay against the schema as it is now. What else may be wrong is for the
    /// deciding thread to find.
    fn check_replay(&self, id: RunId, input: Option<Json>) -> Result<Replay> {
        let catalog = self.shared.catalog();
        let row = self.read(|store| store.run(id))?.filter(|row| row.run.status.is_final());
        let entry = row.as_ref().and_then(|row| catalog.workflow(&row.spec.workflow));
        if let (Some(RunRow { spec, .. }), Some(entry)) = (&row, entry) {
            entry.check_call(input.as_ref().unwrap_or(&spec.input), &spec.metadata)?;
        }
        Ok(Replay { id, input, checked: entry.map(|entry| entry.target.clone()) })
    }

    /// The ids of all runs that match and have ended, or have not, newest first. Refuses to gather
    /// more than `most`.
    pub(crate) fn matching_runs(&self, filter: &RunFilter, ended: bool, most: usize) -> Result<Vec<RunId>> {
        let mut ids = Vec::new();
        let mut after = None;
        loop {
            let page = self.runs(filter, Page { limit: PAGE, after })?;
            let wanted = page.rows.iter().filter(|row| row.run.status.is_final() == ended);
            ids.extend(wanted.map(|row| row.spec.id));
            if ids.len() > most {
                let text = format!(
                    "the filter matches more than {most} runs; narrow it, as with `since` and `until`"
                );
                return Err(Error::invalid("too_many_runs", "filter", text));
            }
            after = page.next;
            if after.is_none() {
                return Ok(ids);
            }
        }
    }

    /// What `pick` takes of the journal behind the entry `page.after`, oldest first.
    pub(crate) fn journal<T>(
        &self,
        id: RunId,
        page: Page<u64>,
        mut pick: impl FnMut(u64, JournalEntry) -> Option<T>,
    ) -> Result<Paged<T, u64>> {
        let from = page.after.map_or(0, |after| after.saturating_add(1));
        self.scan(|store| {
            let (mut rows, mut next) = (Vec::new(), None);
            let (mut entries, mut bytes) = (0, 0);
            store.visit_journal(id, from, |sequence, entry| {
                entries += 1;
                bytes += entry.size();
                rows.extend(pick(sequence, entry));
                let is_full = rows.len() >= page.limit;
                if is_full || entries >= JOURNAL_ENTRIES_MAX || bytes >= JOURNAL_BYTES_MAX {
                    next = Some(sequence);
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            })?;
            Ok(Paged { rows, next })
        })
    }

    /// The journal behind `since`, then what comes, until the run has ended. What lies behind the
    /// present end of the journal is no place to begin at: then what is new comes.
    pub(crate) fn follow(
        &self,
        id: RunId,
        since: Option<u64>,
    ) -> Result<impl Stream<Item = (u64, JournalEntry)> + Send + use<>> {
        let last = self.read(|store| store.journal_end(id))?.next.checked_sub(1);
        let since = since.and_then(|since| last.map(|last| since.min(last)));
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
            let page = Page { limit: FOLLOW_CHUNK, after: since };
            let entries = self.journal(id, page, |sequence, entry| Some((sequence, entry)))?;
            for entry in entries.rows {
                since = Some(entry.0);
                if sender.send(entry).await.is_err() {
                    return Ok(());
                }
            }
            match (entries.next.is_none(), ended) {
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

fn matches(filter: &RunFilter, row: &RunRow) -> bool {
    let RunRow { spec, run, .. } = row;
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
