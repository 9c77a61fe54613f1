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

fn limits(workflow: &str, keys: &[(&str, u32)]) -> Limits {
    let limit = |(index, &(key, max)): (u8, &(&str, u32))| {
        (Limit { workflow: name(workflow), index, key: key.to_owned() }, max)
    };
    (0..).zip(keys).map(limit).collect()
}

fn push_limited(queue: &mut ReadyQueue, n: u8, keys: &[(&str, u32)]) {
    push_limited_of(queue, "a", n, keys);
}

fn push_limited_of(queue: &mut ReadyQueue, workflow: &str, n: u8, keys: &[(&str, u32)]) {
    queue.apply_limits(key(n).0, limits(workflow, keys), false);
    push(queue, key(n), workflow);
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
fn lanes_of_one_workflow_hold_up_no_lane_of_another() {
    let mut queue = ReadyQueue::default();
    for n in 1..=100 {
        push_limited(&mut queue, n, &[(&format!("key-{n}"), 1)]);
    }
    for n in 101..=103 {
        push_limited_of(&mut queue, "b", n, &[(&format!("key-{n}"), 1)]);
    }
    let first: Vec<_> = (0..7).map(|_| queue.pop().unwrap()).collect();
    assert_eq!(first, [1, 101, 2, 102, 3, 103, 4].map(key));
}

#[test]
fn lanes_alternate_with_those_of_their_workflow_that_have_begun() {
    let mut queue = ReadyQueue::default();
    for n in 1..=3 {
        push_limited(&mut queue, n, &[("k", 100)]);
    }
    for n in 11..=13 {
        queue.apply_limits(key(n).0, limits("a", &[("k", 100)]), true);
        push(&mut queue, key(n), "a");
    }
    assert_eq!(drain(&mut queue), [11, 1, 12, 2, 13, 3].map(key));
}

#[test]
fn a_workflow_whose_lanes_have_no_room_stands_in_nobodys_way() {
    let mut queue = ReadyQueue::default();
    for n in 1..=3 {
        push_limited(&mut queue, n, &[("k", 1)]);
    }
    push(&mut queue, key(11), "b");
    push(&mut queue, key(12), "b");
    assert_eq!(drain(&mut queue), [1, 11, 12].map(key));
    // It is called up where its turn was, and has saved up no other.
    (13..=15).for_each(|n| push(&mut queue, key(n), "b"));
    queue.release_limits(key(1).0);
    assert_eq!(drain(&mut queue), [2, 13, 14, 15].map(key));
    queue.release_limits(key(2).0);
    assert_eq!(drain(&mut queue), [key(3)]);
}

#[test]
fn a_workflow_that_goes_as_a_task_run_begins_comes_again_with_its_other_task() {
    let mut queue = ReadyQueue::default();
    push_limited(&mut queue, 1, &[("k", 1)]);
    let second = (key(1).0, TaskIndex(1));
    push(&mut queue, second, "a");
    push(&mut queue, key(11), "b");
    assert_eq!(drain(&mut queue), [key(1), key(11), second]);
}

#[test]
fn the_room_that_comes_free_goes_by_priority() {
    let mut queue = ReadyQueue::default();
    push_limited(&mut queue, 1, &[("k", 1)]);
    push_limited(&mut queue, 2, &[("k", 1)]);
    queue.apply_limits(key(3).0, limits("a", &[("k", 1)]), false);
    assert_eq!(drain(&mut queue), [key(1)]);
    push_with(&mut queue, key(3), "a", Priority::new(3).unwrap());
    assert_eq!(drain(&mut queue), []);
    queue.release_limits(key(1).0);
    assert_eq!(drain(&mut queue), [key(3)]);
}

#[test]
fn a_workflow_whose_only_lane_goes_leaves_its_turn_to_the_next() {
    let mut queue = ReadyQueue::default();
    push_limited(&mut queue, 1, &[("k", 1)]);
    push(&mut queue, key(11), "b");
    queue.remove(key(1));
    assert_eq!(drain(&mut queue), [key(11)]);
    assert!(queue.is_empty());
}

#[test]
fn lanes_without_room_are_tried_in_portions() {
    let run = |n: u16| {
        let [high, low] = n.to_be_bytes();
        (RunId::new(Timestamp::from_millis(2), [high, low, 0, 0, 0, 0, 0, 0, 0, 0]), TaskIndex(0))
    };
    let mut queue = ReadyQueue::default();
    // One run holds the only place of `first`, one that of `second`.
    push_limited(&mut queue, 1, &[("first", 1), ("another", 1), ("x", 1)]);
    push_limited(&mut queue, 2, &[("another", 1), ("second", 1), ("y", 1)]);
    assert_eq!(drain(&mut queue), [1, 2].map(key));
    for n in 0..2_500 {
        let user = format!("user-{n}");
        queue.apply_limits(run(n).0, limits("a", &[("first", 1), ("second", 1), (&user, 1)]), false);
        push(&mut queue, run(n), "a");
    }
    let rounds = |queue: &mut ReadyQueue| {
        let rounds = std::iter::repeat_with(|| (queue.pop(), queue.is_empty()));
        rounds.take_while(|(popped, is_empty)| popped.is_some() || !is_empty).collect::<Vec<_>>()
    };
    assert_eq!(rounds(&mut queue), [(None, false); 2], "all of them lack the first place");
    push(&mut queue, key(11), "b");
    queue.release_limits(key(1).0);
    push(&mut queue, key(12), "b");
    // Each of them now lacks the second one and passes the first on; others have their turn between them.
    let (lanes, calls) = ((None, false), |n| (Some(key(n)), false));
    assert_eq!(rounds(&mut queue), [lanes, calls(11), lanes, calls(12)]);
    queue.release_limits(key(2).0);
    assert_eq!(drain(&mut queue), [run(0)]);
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
    let called_up = |queue: &ReadyQueue| {
        let workflows = queue.levels.values().flat_map(|level| level.workflows.values());
        workflows.map(|lines| lines.lane_turns.len()).sum::<usize>()
    };
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
    Arrive(Arrival),
    Pop,
    /// Has a task of a run that has begun stand in the queue again.
    Wake(prop::sample::Index),
    /// Takes a task out that waits, and leaves its run.
    Remove(prop::sample::Index),
    End(prop::sample::Index),
    Pause(bool),
    Resume(bool),
}

/// Versions differ in how many runs the first limit lets begin.
#[derive(Debug, Clone)]
struct Arrival {
    is_of_b: bool,
    first: u8,
    second: u8,
    priority: u8,
    max: u32,
    tasks: u8,
}

fn acts() -> impl Strategy<Value = Act> {
    let arrival = (any::<bool>(), 0..3u8, 0..3u8, 1..=3u8, 1..=3u32, 1..=2u8);
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => arrival.prop_map(|(is_of_b, first, second, priority, max, tasks)| {
            Act::Arrive(Arrival { is_of_b, first, second, priority, max, tasks })
        }),
        4 => Just(Act::Pop),
        2 => index().prop_map(Act::Wake),
        1 => index().prop_map(Act::Remove),
        2 => index().prop_map(Act::End),
        1 => any::<bool>().prop_map(Act::Pause),
        1 => any::<bool>().prop_map(Act::Resume),
    ]
}

/// A run that has not ended.
#[derive(Debug)]
struct Live {
    run: RunId,
    arrival: Arrival,
    begun: bool,
    /// Which of its tasks stand in the queue.
    waiting: BTreeSet<TaskIndex>,
}

impl Live {
    fn workflow(&self) -> &'static str {
        if self.arrival.is_of_b { "b" } else { "a" }
    }

    fn push(&mut self, queue: &mut ReadyQueue, task: TaskIndex) {
        self.waiting.insert(task);
        push_with(queue, (self.run, task), self.workflow(), Priority::new(self.arrival.priority).unwrap());
    }

    fn fits_among(&self, live: &[Self]) -> bool {
        let begun = |key: fn(&Arrival) -> u8| {
            let same_key = live.iter().filter(|run| {
                run.begun
                    && run.arrival.is_of_b == self.arrival.is_of_b
                    && key(&run.arrival) == key(&self.arrival)
            });
            u32::try_from(same_key.count()).unwrap()
        };
        begun(|run| run.first) < self.arrival.max && begun(|run| run.second) < 3
    }

    /// Whether one of its tasks may begin now.
    fn may_begin(&self, live: &[Self], paused: [bool; 2]) -> bool {
        !self.waiting.is_empty()
            && !paused[usize::from(self.arrival.is_of_b)]
            && (self.begun || self.fits_among(live))
    }
}

/// That a workflow is among the turns exactly while it may have one, and that nothing else is.
fn check_turns(queue: &ReadyQueue) -> Result<(), TestCaseError> {
    for level in queue.levels.values() {
        let mut turns = 0;
        for (workflow, lines) in &level.workflows {
            prop_assert!(!lines.is_empty());
            let may_begin = !queue.paused.contains(workflow) && lines.next_line().is_some();
            prop_assert_eq!(level.turns.get(&lines.turn) == Some(workflow), may_begin);
            turns += usize::from(may_begin);
        }
        prop_assert_eq!(level.turns.len(), turns);
    }
    Ok(())
}

proptest! {
    /// Whatever happens: no limit is exceeded, and who could begin does not stand aside.
    #[test]
    fn no_limit_is_exceeded_and_no_run_is_left_behind(acts in vec(acts(), 0..120)) {
        let mut queue = ReadyQueue::default();
        let mut live: Vec<Live> = Vec::new();
        let mut paused = [false; 2];
        for (n, act) in (0u8..).zip(acts) {
            match act {
                Act::Arrive(arrival) => {
                    let tasks = arrival.tasks;
                    let mut new =
                        Live { run: key(n).0, arrival, begun: false, waiting: BTreeSet::new() };
                    let keys = [new.arrival.first.to_string(), new.arrival.second.to_string()];
                    let keys = [(&*keys[0], new.arrival.max), (&*keys[1], 3)];
                    queue.apply_limits(new.run, limits(new.workflow(), &keys), false);
                    (0..tasks).for_each(|task| new.push(&mut queue, TaskIndex(task)));
                    live.push(new);
                }
                Act::Pop => {
                    let could = live.iter().any(|run| run.may_begin(&live, paused));
                    let popped = queue.pop();
                    prop_assert_eq!(popped.is_some(), could);
                    prop_assert!(could || queue.is_empty());
                    if let Some((run, task)) = popped {
                        let at = live.iter().position(|other| other.run == run).unwrap();
                        prop_assert!(live[at].may_begin(&live, paused));
                        prop_assert!(live[at].waiting.remove(&task));
                        live[at].begun = true;
                    }
                }
                Act::Wake(index) => {
                    let rests = |run: &&mut Live| run.begun && !run.waiting.contains(&TaskIndex(2));
                    let mut begun: Vec<_> = live.iter_mut().filter(rests).collect();
                    if !begun.is_empty() {
                        let at = index.index(begun.len());
                        begun[at].push(&mut queue, TaskIndex(2));
                    }
                }
                Act::Remove(index) => {
                    let mut waiting: Vec<_> =
                        live.iter_mut().filter(|run| !run.waiting.is_empty()).collect();
                    if !waiting.is_empty() {
                        let at = index.index(waiting.len());
                        let task = waiting[at].waiting.pop_first().unwrap();
                        queue.remove((waiting[at].run, task));
                    }
                }
                Act::End(index) if !live.is_empty() => {
                    let ended = live.remove(index.index(live.len()));
                    ended.waiting.iter().for_each(|task| queue.remove((ended.run, *task)));
                    queue.release_limits(ended.run);
                }
                Act::End(_) => {}
                Act::Pause(is_b) => {
                    queue.pause(&name(if is_b { "b" } else { "a" }));
                    paused[usize::from(is_b)] = true;
                }
                Act::Resume(is_b) => {
                    queue.resume(&name(if is_b { "b" } else { "a" }));
                    paused[usize::from(is_b)] = false;
                }
            }
            check_turns(&queue)?;
        }
        ["a", "b"].iter().for_each(|workflow| queue.resume(&name(workflow)));
        while !live.is_empty() {
            for (run, task) in drain(&mut queue) {
                let popped = live.iter_mut().find(|other| other.run == run).unwrap();
                popped.begun |= popped.waiting.remove(&task);
            }
            let before = live.len();
            live.retain(|run| {
                if run.waiting.is_empty() {
                    queue.release_limits(run.run);
                }
                !run.waiting.is_empty()
            });
            prop_assert!(live.len() < before, "nobody can begin any more: {:?}", live);
        }
        prop_assert!(queue.usage.is_empty() && queue.limited.is_empty());
        let is_gone = |level: &Level| level.workflows.is_empty() && level.turns.is_empty();
        prop_assert!(queue.levels.values().all(is_gone));
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
