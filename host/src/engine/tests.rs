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
///
/// Returns how often a change set was closed, and an engine killed, while some task had open requests.
fn live(seed: u64) -> (usize, usize) {
    let seed = Seed(seed);
    let mut world = World::new(seed.0);
    (0..HAPPENINGS).for_each(|_| world.happen());
    world.come_to_rest();
    world.with_open_requests
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
    let counts = (1..=SEEDS).map(live);
    let (closed, killed) = counts.fold((0, 0), |(closed, killed), (c, k)| (closed + c, killed + k));
    assert!(closed > 30 && killed > 30, "requests were hardly ever open: {closed} and {killed} times");
}
