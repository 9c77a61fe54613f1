//! Layers: whatever lies in the working set, in a change set on its way, in change sets since the last
//! checkpoint or in the database, a reader sees what a plain map would hold.

use std::collections::BTreeMap;
use std::ops::RangeBounds;
use std::sync::Arc;

use dormouse_core::id::{RunId, TaskIndex};
use proptest::collection::vec;
use proptest::prelude::*;

use super::disk::{Disk, open};
use super::samples::*;
use crate::store::changes::{Change, ChangeSet};
use crate::store::db::Fence;
use crate::store::source::{Order, Source, Span};
use crate::store::{Store, View, WorkingSet, keys, tables};

/// All rows of all tables in which something is written: the slot of the table and the key, the row.
type Model = BTreeMap<(usize, Vec<u8>), Vec<u8>>;

type Key = (RunId, TaskIndex, u8);

/// Which row: few enough to meet again.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// One of two tables whose keys are the same.
    children: bool,
    key: [u8; 3],
}

impl Place {
    fn key(self) -> Key {
        (run_id(self.key[0]), TaskIndex(self.key[1]), self.key[2])
    }

    fn in_model(self) -> (usize, Vec<u8>) {
        match self.children {
            true => (tables::RUN_CHILDREN.slot, keys::encode(&self.child())),
            false => (tables::SNAPSHOTS.slot, keys::encode(&self.key())),
        }
    }

    fn child(self) -> (RunId, RunId) {
        (run_id(self.key[0]), run_id(self.key[1]))
    }
}

fn places() -> impl Strategy<Value = Place> {
    (any::<bool>(), [0_u8..3, 0_u8..3, 0_u8..3]).prop_map(|(children, key)| Place { children, key })
}

#[derive(Debug, Clone)]
enum Op {
    Put(Place, u8),
    Insert(Place, u8),
    Delete(Place),
    DeleteUnder(Place),
    Close,
    Commit,
    BeginCheckpoint,
    EndCheckpoint,
    Checkpoint,
    KeepView,
    Kill,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => (places(), any::<u8>()).prop_map(|(place, row)| Op::Put(place, row)),
        6 => (places(), any::<u8>()).prop_map(|(place, row)| Op::Insert(place, row)),
        6 => places().prop_map(Op::Delete),
        1 => places().prop_map(Op::DeleteUnder),
        4 => Just(Op::Close),
        4 => Just(Op::Commit),
        2 => Just(Op::BeginCheckpoint),
        2 => Just(Op::EndCheckpoint),
        1 => Just(Op::Checkpoint),
        1 => Just(Op::KeepView),
        1 => Just(Op::Kill),
    ];
    vec(op, 1..80)
}

/// A span of the keys of a table.
#[derive(Debug, Clone)]
struct Cut {
    /// How many parts of the key the span is under.
    under: usize,
    key: [u8; 3],
    start: Option<(u8, Key)>,
    end: Option<(bool, Key)>,
}

fn cuts() -> impl Strategy<Value = Cut> {
    let key = || places().prop_map(Place::key);
    let ends = (prop::option::of((0_u8..3, key())), prop::option::of((any::<bool>(), key())));
    (0_usize..4, [0_u8..3, 0_u8..3, 0_u8..3], ends).prop_map(|(under, key, (start, end))| Cut {
        under,
        key,
        start,
        end,
    })
}

impl Cut {
    fn span(&self) -> Span {
        let [run, task, part] = self.key;
        let span = match self.under {
            0 => Span::all(),
            1 => Span::under(run_id(run)),
            2 => Span::under((run_id(run), TaskIndex(task))),
            _ => Span::under((run_id(run), TaskIndex(task), part)),
        };
        let span = match self.start {
            None => span,
            Some((0, key)) => span.after(Some(key)),
            Some((1, key)) => span.from(key),
            Some((_, key)) => match span.past(key) {
                Some(span) => span,
                None => Span::all(),
            },
        };
        match self.end {
            None => span,
            Some((true, key)) => span.up_to(key),
            Some((false, key)) => span.before(Some(key)),
        }
    }
}

/// Compares all that can be read with a model.
fn assert_shows(source: &impl Source, model: &Model, cuts: &[Cut]) {
    for slot in [tables::SNAPSHOTS.slot, tables::RUN_CHILDREN.slot] {
        for span in cuts.iter().map(Cut::span).chain([Span::all()]) {
            let in_span = |(key, _): &(&(usize, Vec<u8>), &Vec<u8>)| {
                key.0 == slot && RangeBounds::<[u8]>::contains(&span.bounds(), key.1.as_slice())
            };
            let mut expected: Vec<_> =
                model.iter().filter(in_span).map(|((_, key), row)| (key.clone(), row.clone())).collect();
            for order in [Order::Ascending, Order::Descending] {
                let rows = source.rows(slot, &span, order).unwrap().map(|entry| {
                    let (key, row) = entry.unwrap();
                    (key.to_vec(), row.to_vec())
                });
                assert_eq!(rows.collect::<Vec<_>>(), expected, "{order:?}");
                expected.reverse();
            }
        }
    }
    for key in 0..27 {
        for children in [false, true] {
            let place = Place { children, key: [key % 3, key / 3 % 3, key / 9] };
            let (slot, key) = place.in_model();
            let row = source.row(slot, &key).unwrap().map(|row| row.to_vec());
            assert_eq!(row.as_ref(), model.get(&(slot, key)), "{place:?}");
        }
    }
}

/// A store, a working set over it, and what each of their layers should show.
struct Layers {
    disk: Disk,
    store: Store,
    rows: WorkingSet,
    /// What the working set shows.
    open: Model,
    /// The change set that is on its way, and what it leaves.
    closed: Option<(Arc<ChangeSet>, Model)>,
    /// What is committed.
    committed: Model,
    /// Whether a checkpoint has begun.
    checkpoint: bool,
    kept: Vec<(Arc<View>, Model)>,
    /// Every change set since the start, and the model before the first.
    change_sets: Vec<Arc<ChangeSet>>,
}

impl Layers {
    fn new() -> Self {
        let disk = Disk::default();
        let store = open(&disk);
        let rows = WorkingSet::new(store.view());
        Self {
            disk,
            store,
            rows,
            open: Model::new(),
            closed: None,
            committed: Model::new(),
            checkpoint: false,
            kept: Vec::new(),
            change_sets: Vec::new(),
        }
    }

    fn perform(&mut self, op: Op) {
        match op {
            Op::Put(place, row) => self.write(place, row, false),
            Op::Insert(place, row) if !self.open.contains_key(&place.in_model()) => {
                self.write(place, row, true);
            }
            Op::Delete(place) => {
                match place.children {
                    true => self.rows.delete(tables::RUN_CHILDREN, place.child()),
                    false => self.rows.delete(tables::SNAPSHOTS, place.key()),
                }
                self.open.remove(&place.in_model());
            }
            Op::DeleteUnder(place) => {
                let before = self.open.len();
                let gone = self.rows.delete_under(tables::SNAPSHOTS, place.key().0).unwrap();
                let prefix = keys::encode(&place.key().0);
                let is_under = |(slot, key): &(usize, Vec<u8>)| {
                    *slot == tables::SNAPSHOTS.slot && key.starts_with(&prefix)
                };
                self.open.retain(|key, _| !is_under(key));
                assert_eq!(gone, before - self.open.len());
            }
            Op::Close if self.closed.is_none() => {
                if let Some(changes) = self.rows.close().unwrap() {
                    self.change_sets.push(Arc::clone(&changes));
                    self.closed = Some((changes, self.open.clone()));
                }
            }
            Op::Commit => {
                if let Some((changes, model)) = self.closed.take() {
                    let view = self.store.commit(Fence(0), changes).unwrap();
                    self.rows.committed(view);
                    self.committed = model;
                }
            }
            Op::BeginCheckpoint if !self.checkpoint => {
                self.store.begin_checkpoint().unwrap();
                self.checkpoint = true;
            }
            Op::EndCheckpoint => {
                self.store.end_checkpoint();
                self.checkpoint = false;
            }
            Op::Checkpoint if !self.checkpoint => self.store.checkpoint().unwrap(),
            Op::KeepView => self.kept.push((self.store.view(), self.committed.clone())),
            Op::Kill => {
                if self.closed.take().is_some() {
                    self.change_sets.pop();
                }
                self.kept.clear();
                self.disk = Disk::with(self.disk.files());
                self.store = open(&self.disk);
                self.rows = WorkingSet::new(self.store.view());
                self.open.clone_from(&self.committed);
                self.checkpoint = false;
            }
            Op::Insert(..) | Op::Close | Op::BeginCheckpoint | Op::Checkpoint => {}
        }
    }

    fn write(&mut self, place: Place, row: u8, is_new: bool) {
        let stored = match place.children {
            true if is_new => self.rows.insert(tables::RUN_CHILDREN, place.child(), &()),
            true => self.rows.put(tables::RUN_CHILDREN, place.child(), &()),
            false if is_new => self.rows.insert(tables::SNAPSHOTS, place.key(), &vec![row]),
            false => self.rows.put(tables::SNAPSHOTS, place.key(), &vec![row]),
        };
        stored.unwrap();
        let row = if place.children { Vec::new() } else { vec![row] };
        self.open.insert(place.in_model(), row);
    }
}

/// The rows after a change set, which says of none that it is new when it is not.
fn apply(model: &Model, changes: &ChangeSet) -> Model {
    let mut model = model.clone();
    for (slot, entries) in changes.tables() {
        for entry in entries {
            let key = (slot, entry.key.to_vec());
            match &entry.change {
                Change::Delete => drop(model.remove(&key)),
                Change::Put(row) => drop(model.insert(key, row.to_vec())),
                Change::Insert(row) => {
                    assert!(model.insert(key, row.to_vec()).is_none(), "an insert over a row");
                }
            }
        }
    }
    model
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_working_set_and_the_views_show_what_a_map_would(ops in ops(), cuts in vec(cuts(), 3)) {
        let mut layers = Layers::new();
        for op in ops {
            layers.perform(op);
            assert_shows(&layers.rows, &layers.open, &cuts);
            assert_shows(&*layers.store.view(), &layers.committed, &cuts);
        }
        // What was there when they were taken.
        for (view, model) in &layers.kept {
            assert_shows(&**view, model, &cuts);
        }
    }

    #[test]
    fn change_sets_merge_to_the_same_in_any_grouping(
        ops in ops(),
        at in any::<[prop::sample::Index; 2]>(),
    ) {
        let mut layers = Layers::new();
        ops.into_iter().chain([Op::Commit, Op::Close, Op::Commit]).for_each(|op| layers.perform(op));
        let sets = &layers.change_sets;
        let merged = |sets: &[Arc<ChangeSet>]| {
            let none = ChangeSet::new(vec![Vec::new(); tables::ALL.len()]);
            sets.iter().fold(none, |all, newer| ChangeSet::merge(&all, newer))
        };
        let mut at = at.map(|at| at.index(sets.len() + 1));
        at.sort_unstable();
        let [a, b, c] = [&sets[..at[0]], &sets[at[0]..at[1]], &sets[at[1]..]].map(merged);
        let left = ChangeSet::merge(&ChangeSet::merge(&a, &b), &c);
        let right = ChangeSet::merge(&a, &ChangeSet::merge(&b, &c));
        // They may differ in whether they delete a row that never was.
        let one_by_one = sets.iter().fold(Model::new(), |model, set| apply(&model, set));
        for changes in [&left, &right, &merged(sets)] {
            prop_assert_eq!(&apply(&Model::new(), changes), &one_by_one);
        }
        let after_first = apply(&Model::new(), &a);
        prop_assert_eq!(&apply(&after_first, &ChangeSet::merge(&b, &c)), &one_by_one);
        prop_assert_eq!(&one_by_one, &layers.committed);
    }
}
