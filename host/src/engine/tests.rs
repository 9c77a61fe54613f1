//! The engine, killed between any two of its effects. Everything happens on one thread and in an order that
//! dice decide: what is asked of the shard, how steps end, when a change set is closed, committed and
//! followed by its answers, when a checkpoint is under way, and when the machine loses power.
//!
//! Steps do not run: they are taken down as they start, and end as the dice say. Everything else is the real
//! engine over a disk that forgets what was not synced.

mod facts;
mod machine;
mod world;

use world::World;

/// How many worlds there are, and how many things happen in each.
const SEEDS: u64 = 16;
const HAPPENINGS: usize = 600;

/// Whatever happens and whenever the machine loses power: all that was answered is there, nothing is there
/// by half or twice, nothing is forgotten, and the store is sound.
fn live(seed: u64) {
    let seed = Seed(seed);
    let mut world = World::new(seed.0);
    (0..HAPPENINGS).for_each(|_| world.happen());
    world.come_to_rest();
}

/// Says with which seed a test failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the dice were rolled with seed {}", self.0);
        }
    }
}

#[test]
fn whenever_it_is_killed_the_engine_keeps_what_it_said() {
    (1..=SEEDS).for_each(live);
}
