//! The waits of the running task: which are open, which the host does not know of yet, and which
//! it may forget. All other futures of the SDK are made of [`Waiting`].

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::bindings::exports::dormouse::workflow::guest::{
    SettledWait, Suspension, Wait, WaitCondition, WaitOutcome,
};

thread_local! {
    // A guest has one thread and an instance one task run, so there is one table of waits. It
    // lives in the guest's memory and is part of every snapshot.
    static WAITS: RefCell<Waits> = const { RefCell::new(Waits::new()) };
}

/// Ids count up, so that all from `announced` on are unknown to the host.
struct Waits {
    next: u64,
    announced: u64,
    open: Table,
    dropped: Vec<u64>,
}

struct Slot {
    state: SlotState,
    /// Of whoever polled the wait last.
    waker: Waker,
}

enum SlotState {
    /// The host hears of it with the next suspension.
    New(WaitCondition),
    /// The host knows it.
    Announced,
    /// Its future has not been polled since.
    Settled(WaitOutcome),
}

impl Waits {
    const fn new() -> Self {
        Self { next: 0, announced: 0, open: Table::new(), dropped: Vec::new() }
    }

    fn open(&mut self, condition: WaitCondition, waker: &Waker) -> u64 {
        let id = self.next;
        self.next += 1;
        self.open.push(id, Slot { state: SlotState::New(condition), waker: waker.clone() });
        id
    }

    fn poll(&mut self, id: u64, waker: &Waker) -> Poll<WaitOutcome> {
        // Only a future that has not returned its outcome yet holds an id, so there is a slot.
        let Some(slot) = self.open.find(id) else { return Poll::Pending };
        slot.waker.clone_from(waker);
        if !matches!(slot.state, SlotState::Settled(_)) {
            return Poll::Pending;
        }
        match self.open.remove(id) {
            Some(Slot { state: SlotState::Settled(outcome), .. }) => Poll::Ready(outcome),
            _ => Poll::Pending,
        }
    }

    fn forget(&mut self, id: u64) {
        if let Some(Slot { state: SlotState::Announced, .. }) = self.open.remove(id) {
            self.dropped.push(id);
        }
    }

    fn suspend(&mut self) -> Suspension {
        let mut waits = Vec::new();
        for (id, slot) in self.open.since(self.announced) {
            if let SlotState::New(condition) = std::mem::replace(&mut slot.state, SlotState::Announced) {
                waits.push(Wait { id, condition });
            }
        }
        self.announced = self.next;
        Suspension { waits, dropped: std::mem::take(&mut self.dropped) }
    }
}

/// Slots in order of their ids, which only ever grow. A removed one leaves a gap until half of
/// the list is gaps. (A `BTreeMap` does the same in ten kilobytes more of code.)
struct Table {
    slots: Vec<(u64, Option<Slot>)>,
    gaps: usize,
}

impl Table {
    const fn new() -> Self {
        Self { slots: Vec::new(), gaps: 0 }
    }

    fn is_empty(&self) -> bool {
        self.slots.len() == self.gaps
    }

    fn push(&mut self, id: u64, slot: Slot) {
        self.slots.push((id, Some(slot)));
    }

    fn position(&self, id: u64) -> Option<usize> {
        self.slots.binary_search_by_key(&id, |(id, _)| *id).ok()
    }

    fn find(&mut self, id: u64) -> Option<&mut Slot> {
        let position = self.position(id)?;
        self.slots[position].1.as_mut()
    }

    fn remove(&mut self, id: u64) -> Option<Slot> {
        let position = self.position(id)?;
        let slot = self.slots[position].1.take()?;
        self.gaps += 1;
        if self.gaps * 2 > self.slots.len() {
            self.slots.retain(|(_, slot)| slot.is_some());
            self.gaps = 0;
        }
        Some(slot)
    }

    /// Those with this id or a later one.
    fn since(&mut self, id: u64) -> impl Iterator<Item = (u64, &mut Slot)> {
        let first = self.slots.partition_point(|(other, _)| *other < id);
        self.slots[first..].iter_mut().filter_map(|(id, slot)| Some((*id, slot.as_mut()?)))
    }
}

/// Takes in what has settled and wakes whoever waits for it. A wait that was dropped in the
/// meantime is ignored.
pub(crate) fn settle(settled: Vec<SettledWait>) {
    let wakers: Vec<_> = WAITS.with_borrow_mut(|waits| {
        let slots = settled.into_iter().filter_map(|SettledWait { id, outcome }| {
            let slot = waits.open.find(id)?;
            slot.state = SlotState::Settled(outcome);
            Some(slot.waker.clone())
        });
        slots.collect()
    });
    // Wakers are foreign code, which may well touch the table.
    wakers.into_iter().for_each(Waker::wake);
}

/// What to tell the host at a suspension; `None` when nothing is open that could ever end it.
pub(crate) fn suspend() -> Option<Suspension> {
    WAITS.with_borrow_mut(|waits| (!waits.open.is_empty()).then(|| waits.suspend()))
}

/// A future for one wait. It is registered when it is first polled, and dropped with the future.
#[derive(Debug)]
#[must_use = "futures do nothing unless you `.await` them"]
pub(crate) struct Waiting(State);

#[derive(Debug)]
enum State {
    Unpolled(WaitCondition),
    Open(u64),
    Done,
}

impl Waiting {
    pub(crate) fn new(condition: WaitCondition) -> Self {
        Self(State::Unpolled(condition))
    }
}

impl Future for Waiting {
    type Output = WaitOutcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<WaitOutcome> {
        match std::mem::replace(&mut self.0, State::Done) {
            State::Unpolled(condition) => {
                self.0 = State::Open(WAITS.with_borrow_mut(|waits| waits.open(condition, cx.waker())));
                Poll::Pending
            }
            State::Open(id) => {
                let polled = WAITS.with_borrow_mut(|waits| waits.poll(id, cx.waker()));
                if polled.is_pending() {
                    self.0 = State::Open(id);
                }
                polled
            }
            State::Done => Poll::Pending,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let State::Open(id) = self.0 {
            // The table is gone only when the thread is.
            let _ = WAITS.try_with(|waits| waits.borrow_mut().forget(id));
        }
    }
}
