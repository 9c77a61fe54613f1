//! The log by itself, and as the store uses it: what counts as its end, what is refused, and how its two
//! files take turns.

use super::crash::contents;
use super::disk::{Disk, open};
use super::samples::*;
use crate::store::Store;
use crate::store::rows::RunRow;

/// A host died during a checkpoint, so that both files of the log held what the database did not have.
/// The first checkpoint of the next host began the older of the two anew, and a commit during it was
/// written over records that were nowhere else: a second kill before the end of that checkpoint lost them,
/// and the store was refused because of the gap.
#[test]
fn a_kill_during_the_checkpoint_after_a_kill_during_a_checkpoint_loses_nothing() {
    let disk = Disk::default();
    let insert = |store: &Store, n| {
        let RunRow { spec, run } = run_row(n);
        store.transact(|tx| tx.insert_run(&spec, &run)).unwrap();
    };
    let store = open(&disk);
    insert(&store, 1);
    store.begin_checkpoint().unwrap();
    insert(&store, 2);
    for n in 3..6 {
        let disk = Disk::with(disk.files());
        let store = open(&disk);
        store.begin_checkpoint().unwrap();
        (3..=n).for_each(|n| insert(&store, n));
        let whole = contents(&store);
        assert!(contents(&open(&Disk::with(disk.files()))) == whole, "killed during the checkpoint");
        store.end_checkpoint();
        assert!(contents(&open(&Disk::with(disk.files()))) == whole, "killed after it");
        // From then on the files take turns as ever.
        store.begin_checkpoint().unwrap();
        insert(&store, 9);
        let whole = contents(&store);
        assert!(contents(&open(&Disk::with(disk.files()))) == whole, "killed during the next one");
    }
}
