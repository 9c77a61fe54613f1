//! Crashes: whatever the disk has lost, each commit is there or not.

use dormouse_core::id::{TaskIndex, WaitId};
use dormouse_core::run::{Run, Status};

use super::disk::{Dice, Disk, Op, Platter, Rows, contents, open};
use super::samples::*;
use crate::store::read::Read;
use crate::store::rows::Timer;
use crate::store::{StoreError, WorkingSet};

/// A few changes as they come: runs begin, go on and go; some batches fail half way.
fn batch(rows: &mut WorkingSet, dice: &mut Dice) -> Result<(), StoreError> {
    for _ in 0..=dice.roll(5) {
        let id = run_id(dice.byte(12));
        let status = Status::ALL[usize::from(dice.byte(6))];
        match (rows.run(id)?, dice.roll(8)) {
            (None, _) => {
                let mut spec = spec(dice.byte(12));
                spec.id = id;
                rows.insert_run(&spec, &Run { status, ..run() })?;
                rows.append_journal(id, transition())?;
            }
            (Some(_), 0) => {
                rows.delete_run(id, 100)?;
            }
            (Some(row), 1..=3) => {
                let old = row.run.status;
                rows.update_run(&row.spec, old, &Run { status, ..row.run })?;
                rows.append_journal(id, log_line())?;
            }
            (Some(_), 4) => {
                let timer = Timer::Wait { run: id, task: TaskIndex(0), wait: WaitId(1) };
                rows.put_timer(at(dice.roll(100)), timer)?;
            }
            (Some(row), 5) if dice.roll(2) == 0 => {
                return Err(StoreError::Miscounted { workflow: row.spec.workflow.to_string() });
            }
            (Some(_), _) => {
                rows.put_snapshot(id, TaskIndex(0), &vec![dice.byte(255); dice.byte(90) as usize * 200])?
            }
        }
    }
    Ok(())
}

/// What the store held after each commit, and how much had been done to the disk by then.
struct History {
    log: Vec<(usize, Op)>,
    states: Vec<(usize, Rows)>,
}

/// Two sessions, the first of which creates the store. Checkpoints begin and end between commits, and
/// most are under way for some of them.
fn history(seed: u64) -> History {
    let disk = Disk::default();
    let mut dice = Dice(seed);
    let mut states = Vec::new();
    for _ in 0..2 {
        let store = open(&disk);
        states.push((disk.ops(), contents(&*store.view())));
        let mut checkpoint_is_open = false;
        for _ in 0..16 {
            let before = states.last().unwrap().1.clone();
            match dice.roll(6) {
                0 | 1 if !checkpoint_is_open => {
                    store.begin_checkpoint().unwrap();
                    checkpoint_is_open = true;
                }
                0 | 1 => {
                    store.end_checkpoint();
                    checkpoint_is_open = false;
                }
                2 if !checkpoint_is_open => store.checkpoint().unwrap(),
                _ => {
                    let failed = store.transact(|rows| batch(rows, &mut dice)).is_err();
                    states.push((disk.ops(), contents(&*store.view())));
                    assert!(!failed || states.last().unwrap().1 == before, "a failed batch wrote something");
                }
            }
            assert!(
                contents(&*store.view()) == states.last().unwrap().1,
                "a checkpoint changed what is shown"
            );
        }
    }
    History { log: disk.take_ops(), states }
}

/// Crashes after each operation on the disk; `kept` tells which unsynced sectors survive.
fn crash_everywhere(seed: u64, mut kept: impl FnMut() -> bool) {
    let History { log, states } = history(seed);
    assert!(log.len() > 100, "the workload is too small to mean anything");
    let mut platter = Platter::default();
    for (done, (file, op)) in log.iter().enumerate() {
        let disk = Disk::with(platter.after_power_cut(&mut kept));
        let store = open(&disk);
        let found = contents(&*store.view());
        // The last acknowledged state, or the one of the commit that was under way.
        let acknowledged = states.iter().rposition(|(ops, _)| *ops <= done);
        let expected = match acknowledged {
            None => &states[..1],
            Some(last) => &states[last..states.len().min(last + 2)],
        };
        assert!(expected.iter().any(|(_, state)| *state == found), "seed {seed}, crash at operation {done}");
        // It goes on from there, over another crash that loses nothing.
        store.transact(|rows| batch(rows, &mut Dice(seed))).ok();
        let (went_on, files) = (contents(&*store.view()), disk.files());
        assert!(
            contents(&*open(&Disk::with(files)).view()) == went_on,
            "seed {seed}, after operation {done}"
        );

        platter.perform(*file, op);
    }
}

/// A host is killed after each operation on the disk: what it did not sync, the next one sees all the same. That
/// commits during a checkpoint, and so to the other file of the log, and then the power goes. The store was
/// refused, as the log had the later record and not the earlier one.
fn cut_power_after_every_kill(seed: u64, mut kept: impl FnMut() -> bool) {
    let mut platter = Platter::default();
    for (done, (file, op)) in history(seed).log.iter().enumerate() {
        let disk = Disk::with(platter.after_power_cut(|| true));
        let store = open(&disk);
        store.begin_checkpoint().unwrap();
        store.transact(|rows| batch(rows, &mut Dice(seed))).ok();
        let acknowledged = contents(&*store.view());
        let mut later = platter.clone();
        disk.take_ops().iter().for_each(|(file, op)| later.perform(*file, op));
        let store = open(&Disk::with(later.after_power_cut(&mut kept)));
        assert!(contents(&*store.view()) == acknowledged, "seed {seed}, killed after operation {done}");
        platter.perform(*file, op);
    }
}

#[test]
fn a_power_cut_after_a_kill_loses_nothing_that_was_acknowledged() {
    for seed in 20..24 {
        let mut dice = Dice(seed ^ 0xdead);
        cut_power_after_every_kill(seed, || dice.roll(2) == 0);
        cut_power_after_every_kill(seed, || false);
    }
}

#[test]
fn after_a_crash_that_loses_all_unsynced_writes_a_commit_is_there_or_not() {
    crash_everywhere(1, || false);
}

#[test]
fn after_a_crash_that_keeps_all_unsynced_writes_a_commit_is_there_or_not() {
    crash_everywhere(2, || true);
}

#[test]
fn after_a_crash_that_keeps_any_of_the_unsynced_sectors_a_commit_is_there_or_not() {
    for seed in 3..10 {
        let mut dice = Dice(seed ^ 0xdead);
        crash_everywhere(seed, || dice.roll(2) == 0);
    }
}
