//! A map of which readers keep copies while it changes: a copy and a change are cheap, however much is
//! in it.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::Arc;

/// How many buckets there are. A change copies this many pointers and the entries of one bucket, so of
/// ten thousand entries forty.
const BUCKETS: usize = 256;

type Bucket<K, V> = HashMap<K, V, Hasher>;
type Hasher = BuildHasherDefault<DefaultHasher>;

/// A hash map in buckets that its copies share until one of them changes a bucket.
#[derive(Debug)]
pub(super) struct Buckets<K, V>(Arc<[Arc<Bucket<K, V>>]>);

impl<K, V> Clone for Buckets<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> Default for Buckets<K, V> {
    fn default() -> Self {
        let empty = Arc::new(Bucket::default());
        Self((0..BUCKETS).map(|_| Arc::clone(&empty)).collect())
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Buckets<K, V> {
    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0[bucket_of(key)].get(key)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.bucket(&key).insert(key, value);
    }

    pub(super) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.bucket(key).remove(key);
    }

    /// All values, in no order.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().flat_map(|bucket| bucket.values())
    }

    /// The bucket of a key, to be changed.
    fn bucket<Q: Hash + ?Sized>(&mut self, key: &Q) -> &mut Bucket<K, V> {
        Arc::make_mut(&mut Arc::make_mut(&mut self.0)[bucket_of(key)])
    }
}

fn bucket_of(key: &(impl Hash + ?Sized)) -> usize {
    (Hasher::default().hash_one(key) % BUCKETS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_does_not_see_what_changes_later() {
        let mut map = Buckets::default();
        (0..2000).for_each(|n| map.insert(format!("key-{n}"), n));
        let copy = map.clone();
        map.insert("key-7".to_owned(), 0);
        map.remove("key-8");
        assert_eq!((copy.get("key-7"), copy.get("key-8")), (Some(&7), Some(&8)));
        assert_eq!((map.get("key-7"), map.get("key-8")), (Some(&0), None));
        assert_eq!((copy.values().count(), map.values().count()), (2000, 1999));
    }

    #[test]
    fn a_change_copies_one_bucket() {
        let mut map = Buckets::default();
        (0..2000).for_each(|n| map.insert(n, n));
        let copy = map.clone();
        map.insert(7, 0);
        let shared = map.0.iter().zip(copy.0.iter()).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        assert_eq!(shared, BUCKETS - 1);
    }
}
