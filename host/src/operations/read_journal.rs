//! Look at the journal of a run: its transitions, its log and its stream, a stretch of them or as they come.

use std::ops::ControlFlow;

use dormouse_core::id::RunId;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use super::Result;
use super::page::{Page, Paged};
use super::read_runs::show_run;
use crate::engine::Host;
use crate::store::Read;
use crate::store::rows::JournalEntry;

/// Entries of a journal that are read at a time while it is followed.
const FOLLOW_CHUNK: usize = 256;

/// Entries of a journal, and bytes of them, that one request looks at: a journal that is as long as it
/// may be takes a few requests, each some milliseconds.
const JOURNAL_ENTRIES_MAX: usize = 10_000;
const JOURNAL_BYTES_MAX: usize = 4 << 20;

/// What `pick` takes of the journal behind the entry `page.after`, oldest first.
pub(crate) fn list_journal<T>(
    host: &Host,
    id: RunId,
    page: Page<u64>,
    mut pick: impl FnMut(u64, JournalEntry) -> Option<T>,
) -> Result<Paged<T, u64>> {
    let from = page.after.map_or(0, |after| after.saturating_add(1));
    host.scan(|store| {
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
pub(crate) fn follow_run(
    host: &Host,
    id: RunId,
    since: Option<u64>,
) -> Result<impl Stream<Item = (u64, JournalEntry)> + Send + use<>> {
    let last = host.read(|store| store.journal_end(id))?.next.checked_sub(1);
    let since = since.and_then(|since| last.map(|last| since.min(last)));
    show_run(host, id)?;
    let host = host.clone();
    let (sender, receiver) = mpsc::channel(FOLLOW_CHUNK);
    tokio::spawn(async move { send_journal(&host, id, since, sender).await });
    Ok(ReceiverStream::new(receiver))
}

async fn send_journal(
    host: &Host,
    id: RunId,
    mut since: Option<u64>,
    sender: mpsc::Sender<(u64, JournalEntry)>,
) -> Result<()> {
    let watch = host.watch(id);
    loop {
        let news = watch.news();
        // The status is read first: then all that was written until the run ended is read, too.
        let ended = show_run(host, id)?.run.status.is_final();
        let page = Page { limit: FOLLOW_CHUNK, after: since };
        let entries = list_journal(host, id, page, |sequence, entry| Some((sequence, entry)))?;
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
