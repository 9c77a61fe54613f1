use dormouse_core::time::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn key(n: u8) -> TaskKey {
    (RunId::new(Timestamp::from_millis(1), [n; 10]), TaskIndex(0))
}

fn name(text: &str) -> WorkflowName {
    text.parse().unwrap()
}

/// Puts a task of a run that was called into the queue.
fn push(queue: &mut ReadyQueue, key: TaskKey, workflow: &str) {
    push_with(queue, key, workflow, Priority::DEFAULT);
}

fn push_with(queue: &mut ReadyQueue, key: TaskKey, workflow: &str, priority: Priority) {
    queue.push(key, (&name(workflow), TriggerKind::Call), priority, Timestamp::from_millis(7));
}

#[test]
fn higher_priorities_go_first_and_equal_ones_in_order_of_arrival() {
    let mut queue = ReadyQueue::default();
    for (n, priority) in [(1, 1), (2, 3), (3, 1), (4, 3)] {
        push_with(&mut queue, key(n), "a", Priority::new(priority).unwrap());
    }
    let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
    assert_eq!(order, [key(2), key(4), key(1), key(3)]);
}

#[test]
fn paused_workflows_keep_their_turn() {
    let mut queue = ReadyQueue::default();
    push(&mut queue, key(1), "a");
    push(&mut queue, key(2), "b");
    queue.pause(&name("a"));
    push(&mut queue, key(3), "a");
    push(&mut queue, key(4), "a");
    queue.remove(key(4));
    assert_eq!(queue.pop(), Some(key(2)));
    assert_eq!(queue.pop(), None);
    push(&mut queue, key(5), "b");
    queue.resume(&name("a"));
    let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
    assert_eq!(order, [key(1), key(5), key(3)]);
}

#[test]
fn a_removed_task_run_does_not_get_a_turn() {
    let mut queue = ReadyQueue::default();
    push(&mut queue, key(1), "a");
    queue.remove(key(1));
    queue.remove(key(1));
    assert_eq!(queue.pop(), None);
}

fn limits(keys: &[(&str, u32)]) -> Limits {
    let limit = |(index, &(key, max)): (u8, &(&str, u32))| {
        (Limit { workflow: name("a"), index, key: key.to_owned() }, max)
    };
    (0..).zip(keys).map(limit).collect()
}

fn push_limited(queue: &mut ReadyQueue, n: u8, keys: &[(&str, u32)]) {
    queue.apply_limits(key(n).0, limits(keys), false);
    push(queue, key(n), "a");
}

fn drain(queue: &mut ReadyQueue) -> Vec<TaskKey> {
    std::iter::from_fn(|| queue.pop()).collect()
}

#[test]
fn keys_take_turns_however_many_runs_one_of_them_has() {
    let mut queue = ReadyQueue::default();
    for n in 1..=6 {
        push_limited(&mut queue, n, &[("flood", 100)]);
    }
    push_limited(&mut queue, 7, &[("other", 100)]);
    push_limited(&mut queue, 8, &[("other", 100)]);
    let expected = [1, 7, 2, 8, 3, 4, 5, 6].map(key);
    assert_eq!(drain(&mut queue), expected);
}

#[test]
fn runs_without_limits_alternate_with_those_under_one() {
    let mut queue = ReadyQueue::default();
    for n in 1..=3 {
        push_limited(&mut queue, n, &[("flood", 100)]);
    }
    push(&mut queue, key(11), "b");
    push(&mut queue, key(12), "b");
    assert_eq!(drain(&mut queue), [11, 1, 12, 2, 3].map(key));
}

#[test]
fn a_run_beyond_its_limit_waits_until_one_before_it_has_ended() {
    let mut queue = ReadyQueue::default();
    for n in 1..=3 {
        push_limited(&mut queue, n, &[("k", 1)]);
    }
    assert_eq!(drain(&mut queue), [key(1)]);
    assert!(queue.is_empty());
    // The run goes on, sleeps and wakes: it keeps its place, and needs no other.
    push(&mut queue, key(1), "a");
    assert_eq!(drain(&mut queue), [key(1)]);
    assert!(queue.release_limits(key(1).0).is_some());
    assert_eq!(drain(&mut queue), [key(2)]);
    // One that ends without having begun makes no room.
    queue.remove(key(3));
    assert!(queue.release_limits(key(3).0).is_some());
    assert_eq!(drain(&mut queue), []);
    assert!(queue.release_limits(key(2).0).is_some());
    assert_eq!(drain(&mut queue), []);
    push_limited(&mut queue, 4, &[("k", 1)]);
    assert_eq!(drain(&mut queue), [key(4)]);
}

#[test]
fn all_limits_of_a_run_hold() {
    let mut queue = ReadyQueue::default();
    push_limited(&mut queue, 1, &[("tenant", 2), ("user-1", 1)]);
    push_limited(&mut queue, 2, &[("tenant", 2), ("user-1", 1)]);
    push_limited(&mut queue, 3, &[("tenant", 2), ("user-2", 1)]);
    push_limited(&mut queue, 4, &[("tenant", 2), ("user-3", 1)]);
    assert_eq!(drain(&mut queue), [1, 3].map(key));
    queue.release_limits(key(3).0);
    assert_eq!(drain(&mut queue), [key(4)], "user-1 is busy, user-3 is not");
    queue.release_limits(key(1).0);
    assert_eq!(drain(&mut queue), [key(2)]);
}

#[test]
fn a_lane_keeps_its_turn_while_it_waits_for_room() {
    let mut queue = ReadyQueue::default();
    push_limited(&mut queue, 1, &[("tenant", 1), ("user-1", 9)]);
    push_limited(&mut queue, 2, &[("tenant", 1), ("user-2", 9)]);
    assert_eq!(drain(&mut queue), [key(1)]);
    push_limited(&mut queue, 3, &[("tenant", 1), ("user-3", 9)]);
    queue.release_limits(key(1).0);
    assert_eq!(drain(&mut queue), [key(2)], "it came before");
}

#[test]
fn the_end_of_a_run_calls_up_one_lane_however_many_wait() {
    let mut queue = ReadyQueue::default();
    let user = |n: u8| format!("user-{n}");
    for n in 1..=100 {
        push_limited(&mut queue, n, &[("tenant", 2), (&user(n), 1)]);
    }
    assert_eq!(drain(&mut queue), [1, 2].map(key));
    let called_up =
        |queue: &ReadyQueue| queue.levels.values().map(|level| level.lane_turns.len()).sum::<usize>();
    for n in 1..99 {
        queue.release_limits(key(n).0);
        assert_eq!(called_up(&queue), 1);
        assert_eq!(drain(&mut queue), [key(n + 2)]);
    }
}

#[test]
fn room_that_a_lane_cannot_use_goes_to_the_next() {
    let mut queue = ReadyQueue::default();
    for (n, user) in [(1, "user-1"), (2, "user-2"), (3, "user-1")] {
        push_limited(&mut queue, n, &[("tenant", 2), (user, 1)]);
    }
    assert_eq!(drain(&mut queue), [1, 2].map(key));
    push_limited(&mut queue, 4, &[("tenant", 2), ("user-3", 1)]);
    assert_eq!(drain(&mut queue), []);
    queue.release_limits(key(2).0);
    assert_eq!(drain(&mut queue), [key(4)], "user-1 comes first, but is busy");
    // It was called up and is gone again before its turn.
    push_limited(&mut queue, 5, &[("tenant", 2), ("user-4", 1)]);
    push_limited(&mut queue, 6, &[("tenant", 2), ("user-5", 1)]);
    assert_eq!(drain(&mut queue), []);
    queue.release_limits(key(4).0);
    queue.remove(key(5));
    queue.release_limits(key(5).0);
    assert_eq!(drain(&mut queue), [key(6)]);
}

#[test]
fn all_tasks_of_a_run_share_its_place() {
    let mut queue = ReadyQueue::default();
    push_limited(&mut queue, 1, &[("k", 1)]);
    push_limited(&mut queue, 2, &[("k", 1)]);
    let second = (key(1).0, TaskIndex(1));
    push(&mut queue, second, "a");
    assert_eq!(drain(&mut queue), [key(1), second]);
}

#[test]
fn lanes_of_a_paused_workflow_wait_for_it() {
    let mut queue = ReadyQueue::default();
    push_limited(&mut queue, 1, &[("k", 1)]);
    push_limited(&mut queue, 2, &[("k", 1)]);
    queue.pause(&name("a"));
    assert_eq!(drain(&mut queue), []);
    assert!(queue.is_empty());
    queue.resume(&name("a"));
    queue.pause(&name("a"));
    queue.resume(&name("a"));
    assert_eq!(drain(&mut queue), [key(1)]);
    queue.pause(&name("a"));
    queue.release_limits(key(1).0);
    assert_eq!(drain(&mut queue), []);
    queue.resume(&name("a"));
    assert_eq!(drain(&mut queue), [key(2)]);
}

#[derive(Debug, Clone)]
enum Act {
    /// Versions differ in how many runs the first limit lets begin.
    Arrive {
        first: u8,
        second: u8,
        priority: u8,
        max: u32,
    },
    Pop,
    End(prop::sample::Index),
    Pause,
    Resume,
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..3u8, 0..3u8, 1..=3u8, 1..=3u32)
            .prop_map(|(first, second, priority, max)| Act::Arrive { first, second, priority, max }),
        3 => Just(Act::Pop),
        2 => any::<prop::sample::Index>().prop_map(Act::End),
        1 => Just(Act::Pause),
        1 => Just(Act::Resume),
    ]
}

/// A run that has not ended: its keys, how many the first limit lets begin, and whether it has begun.
#[derive(Debug)]
struct Live {
    key: TaskKey,
    keys: [u8; 2],
    max: u32,
    begun: bool,
}

impl Live {
    fn fits_among(&self, live: &[Self]) -> bool {
        let begun = |limit: usize| {
            let same_key = live.iter().filter(|run| run.begun && run.keys[limit] == self.keys[limit]);
            u32::try_from(same_key.count()).unwrap()
        };
        begun(0) < self.max && begun(1) < 3
    }
}

proptest! {
    /// Whatever happens: no limit is exceeded, and who could begin does not stand aside.
    #[test]
    fn no_limit_is_exceeded_and_no_run_is_left_behind(acts in vec(acts(), 0..120)) {
        let mut queue = ReadyQueue::default();
        let mut live: Vec<Live> = Vec::new();
        let mut paused = false;
        for (n, act) in (0u8..).zip(acts) {
            match act {
                Act::Arrive { first, second, priority, max } => {
                    let keys = [first.to_string(), second.to_string()];
                    queue.apply_limits(key(n).0, limits(&[(&keys[0], max), (&keys[1], 3)]), false);
                    push_with(&mut queue, key(n), "a", Priority::new(priority).unwrap());
                    live.push(Live { key: key(n), keys: [first, second], max, begun: false });
                }
                Act::Pop => {
                    let could = live.iter().any(|run| !run.begun && run.fits_among(&live));
                    let popped = queue.pop();
                    prop_assert_eq!(popped.is_some(), could && !paused);
                    if let Some(popped) = popped {
                        let at = live.iter().position(|run| run.key == popped).unwrap();
                        prop_assert!(!live[at].begun && live[at].fits_among(&live));
                        live[at].begun = true;
                    }
                }
                Act::End(index) if !live.is_empty() => {
                    let ended = live.remove(index.index(live.len())).key;
                    queue.remove(ended);
                    queue.release_limits(ended.0);
                }
                Act::End(_) => {}
                Act::Pause => {
                    queue.pause(&name("a"));
                    paused = true;
                }
                Act::Resume => {
                    queue.resume(&name("a"));
                    paused = false;
                }
            }
        }
        queue.resume(&name("a"));
        while !live.is_empty() {
            for popped in drain(&mut queue) {
                live.iter_mut().find(|run| run.key == popped).unwrap().begun = true;
            }
            let before = live.len();
            live.retain(|run| {
                if run.begun {
                    queue.release_limits(run.key.0);
                }
                !run.begun
            });
            prop_assert!(live.len() < before, "nobody can begin any more: {:?}", live);
        }
        prop_assert!(queue.usage.is_empty() && queue.limited.is_empty());
        prop_assert_eq!(queue.waiting(), (0, None));
    }
}

/// The turns after two others came to a flood, and then, when the flood had many alone, after two more did.
fn turns(flood: (&WorkflowName, TriggerKind), other: (&WorkflowName, TriggerKind)) -> [Vec<TaskKey>; 2] {
    let mut queue = ReadyQueue::default();
    let now = Timestamp::from_millis(0);
    (0..100).for_each(|n| queue.push(key(n), flood, Priority::DEFAULT, now));
    assert_eq!(queue.pop(), Some(key(0)));
    [[200, 201], [202, 203]].map(|pair| {
        pair.into_iter().for_each(|n| queue.push(key(n), other, Priority::DEFAULT, now));
        let turns = std::iter::repeat_with(|| queue.pop().unwrap()).take(5).collect();
        (0..30).for_each(|_| assert!(queue.pop().is_some()));
        turns
    })
}

#[test]
fn a_flood_of_one_workflow_holds_up_no_other() {
    for kind in TriggerKind::ALL {
        let [first, second] = turns((&name("flood"), kind), (&name("other"), TriggerKind::Parent));
        assert_eq!(first, [1, 200, 2, 201, 3].map(key));
        // Who was not there has no turns saved up.
        assert_eq!(second, [34, 202, 35, 203, 36].map(key));
    }
}

#[test]
fn a_flood_of_children_holds_up_no_call_of_their_workflow() {
    let [first, second] = turns((&name("both"), TriggerKind::Parent), (&name("both"), TriggerKind::Call));
    assert_eq!(first, [200, 1, 201, 2, 3].map(key));
    assert_eq!(second, [202, 34, 203, 35, 36].map(key));
}

#[test]
fn floods_of_all_kinds_are_the_flood_of_one_workflow() {
    let mut queue = ReadyQueue::default();
    let now = Timestamp::from_millis(0);
    for (n, kind) in (0..60).zip(TriggerKind::ALL.into_iter().cycle()) {
        queue.push(key(n), (&name("flood"), kind), Priority::DEFAULT, now);
    }
    (100..110).for_each(|n| queue.push(key(n), (&name("other"), TriggerKind::Call), Priority::DEFAULT, now));
    let turns: Vec<_> = (0..20).map(|_| queue.pop().unwrap()).collect();
    assert!((100..110).all(|n| turns.contains(&key(n))), "{turns:?}");
}

#[test]
fn a_pause_holds_all_kinds_and_saves_up_one_turn() {
    let mut queue = ReadyQueue::default();
    let now = Timestamp::from_millis(7);
    for (n, kind) in (1..).zip(TriggerKind::ALL) {
        queue.push(key(n), (&name("a"), kind), Priority::DEFAULT, now);
    }
    queue.pause(&name("a"));
    assert_eq!(queue.pop(), None);
    assert!(queue.is_empty());
    (11..20).for_each(|n| queue.push(key(n), (&name("b"), TriggerKind::Call), Priority::DEFAULT, now));
    assert_eq!([queue.pop(), queue.pop()], [11, 12].map(|n| Some(key(n))));
    queue.resume(&name("a"));
    let turns = drain(&mut queue);
    assert_eq!(turns[..12], [1, 13, 2, 14, 3, 15, 4, 16, 5, 17, 6, 18].map(key), "they take turns");
}
