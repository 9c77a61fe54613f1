//! The executor without a host: waits are settled by hand, and the clock of the thread is set.

use std::time::Duration;

use futures_util::future::{join_all, pending};
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::*;
use crate::bindings::dormouse::workflow::types;
use crate::bindings::exports::dormouse::workflow::guest::{
    ReceivedEvent, RunOutcome, Suspension, WaitCondition, WaitOutcome,
};
use crate::child::Child;
use crate::host::test::set_now;
use crate::id::RunId;
use crate::time::Timestamp;
use crate::{Context as Host, Result};

/// Starts a task. Each test has a thread of its own and with it a table of waits of its own.
fn begin<F: Future<Output = Result<String>> + 'static>(task: impl FnOnce(Host) -> F) -> StepResult {
    set_now(1_000);
    start(Box::pin(task(Host::new())))
}

#[track_caller]
fn suspended(result: StepResult) -> Suspension {
    match result {
        StepResult::Suspended(suspension) => suspension,
        StepResult::Completed(output) => panic!("completed with {output}"),
        StepResult::Failed(error) => panic!("failed with {}", error.message),
    }
}

#[track_caller]
fn completed(result: StepResult) -> String {
    match result {
        StepResult::Completed(output) => output,
        StepResult::Suspended(suspension) => panic!("suspended with {} waits", suspension.waits.len()),
        StepResult::Failed(error) => panic!("failed with {}", error.message),
    }
}

fn ids(suspension: &Suspension) -> Vec<u64> {
    suspension.waits.iter().map(|wait| wait.id).collect()
}

fn deadlines(suspension: &Suspension) -> Vec<u64> {
    let deadline = |condition: &WaitCondition| match condition {
        WaitCondition::Until(time) => *time,
        WaitCondition::Event(_) | WaitCondition::Run(_) => panic!("expected only sleeps"),
    };
    suspension.waits.iter().map(|wait| deadline(&wait.condition)).collect()
}

fn elapsed(id: u64) -> SettledWait {
    SettledWait { id, outcome: WaitOutcome::Elapsed }
}

fn event(id: u64, payload: &str) -> SettledWait {
    let event = ReceivedEvent {
        id: "e".to_owned(),
        key: "k".to_owned(),
        payload: payload.to_owned(),
        metadata: vec![],
        pushed_at: 7,
    };
    SettledWait { id, outcome: WaitOutcome::Event(event) }
}

fn ended(id: u64, outcome: RunOutcome) -> SettledWait {
    SettledWait { id, outcome: WaitOutcome::Run(outcome) }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_task_without_waits_completes_in_its_first_step() {
    assert_eq!(completed(begin(|_| async { Ok("1".to_owned()) })), "1");
}

#[test]
fn a_sleep_says_how_long_it_really_was() {
    let first = suspended(begin(|ctx| async move { Ok(ctx.sleep(SECOND).await.as_millis().to_string()) }));
    assert_eq!(deadlines(&first), [2_000]);
    set_now(5_500);
    assert_eq!(completed(resume(vec![elapsed(first.waits[0].id)])), "4500");
}

#[test]
fn a_deadline_counts_from_the_call_not_from_the_first_poll() {
    let first = suspended(begin(|ctx| async move {
        let sleep = ctx.sleep(SECOND);
        set_now(1_900);
        sleep.await;
        Ok(String::new())
    }));
    assert_eq!(deadlines(&first), [2_000]);
}

#[test]
fn a_checkpoint_is_a_wait_that_has_already_come() {
    let first = suspended(begin(|ctx| async move {
        ctx.checkpoint().await;
        Ok("2".to_owned())
    }));
    assert_eq!(deadlines(&first), [1_000]);
    assert_eq!(completed(resume(vec![elapsed(first.waits[0].id)])), "2");
}

#[test]
fn a_wait_is_announced_once_and_stays_open_while_others_settle() {
    let first = suspended(begin(|ctx| async move {
        tokio::join!(ctx.sleep(SECOND), ctx.sleep(2 * SECOND));
        Ok(String::new())
    }));
    assert_eq!(deadlines(&first), [2_000, 3_000]);
    let second = suspended(resume(vec![elapsed(first.waits[0].id)]));
    assert!(second.waits.is_empty() && second.dropped.is_empty());
    completed(resume(vec![elapsed(first.waits[1].id)]));
}

#[test]
fn the_loser_of_a_select_is_dropped() {
    let first = suspended(begin(|ctx| async move {
        let who = tokio::select! {
            payload = ctx.wait_for_event::<String>("k") => payload?,
            _ = ctx.sleep(SECOND) => "nobody".to_owned(),
        };
        ctx.sleep(SECOND).await;
        Ok(who)
    }));
    let [a, b] = ids(&first).try_into().unwrap();
    let (waits_for_event, sleeps) = match first.waits[0].condition {
        WaitCondition::Event(_) => (a, b),
        WaitCondition::Until(_) | WaitCondition::Run(_) => (b, a),
    };
    let second = suspended(resume(vec![event(waits_for_event, "\"ann\"")]));
    assert_eq!(second.dropped, [sleeps]);
    // It may have settled before the host heard that nobody cares.
    let third = suspended(resume(vec![elapsed(sleeps)]));
    assert!(third.waits.is_empty() && third.dropped.is_empty());
    assert_eq!(completed(resume(vec![elapsed(second.waits[0].id)])), "ann");
}

#[test]
fn a_wait_that_begins_and_is_dropped_in_one_step_is_never_heard_of() {
    let first = suspended(begin(|ctx| async move {
        tokio::select! {
            biased;
            _ = ctx.sleep(SECOND) => {}
            () = async {} => {}
        }
        ctx.sleep(3 * SECOND).await;
        Ok(String::new())
    }));
    assert_eq!(deadlines(&first), [4_000]);
    assert!(first.dropped.is_empty());
}

#[test]
fn a_wait_that_settled_but_lost_is_neither_open_nor_dropped() {
    let first = suspended(begin(|ctx| async move {
        tokio::select! {
            biased;
            _ = ctx.sleep(SECOND) => {}
            _ = ctx.sleep(2 * SECOND) => {}
        }
        ctx.sleep(SECOND).await;
        Ok(String::new())
    }));
    let both = ids(&first).into_iter().map(elapsed).collect();
    let second = suspended(resume(both));
    assert_eq!(second.waits.len(), 1);
    assert!(second.dropped.is_empty());
}

#[test]
fn selects_nest_in_joins_and_joins_in_selects() {
    let first = suspended(begin(|ctx| async move {
        let race = async {
            tokio::select! {
                _ = async { tokio::join!(ctx.sleep(SECOND), ctx.sleep(2 * SECOND)) } => "both",
                _ = ctx.sleep(3 * SECOND) => "third",
            }
        };
        let (winner, _) = tokio::join!(race, ctx.sleep(4 * SECOND));
        Ok(winner.to_owned())
    }));
    let by_deadline = |at| first.waits[deadlines(&first).iter().position(|&time| time == at).unwrap()].id;
    suspended(resume(vec![elapsed(by_deadline(2_000))]));
    let decided = suspended(resume(vec![elapsed(by_deadline(3_000))]));
    assert_eq!(decided.dropped, [by_deadline(4_000)]);
    assert_eq!(completed(resume(vec![elapsed(by_deadline(5_000))])), "both");
}

#[test]
fn combinators_with_wakers_of_their_own_make_progress() {
    let first = suspended(begin(|ctx| async move {
        let mut sleeps: FuturesUnordered<_> =
            (1..=3).map(|n| async move { ctx.sleep(n * SECOND).await.as_secs() }).collect();
        let mut order = Vec::new();
        while let Some(slept) = sleeps.next().await {
            order.push(slept);
        }
        // `join_all` changes from a plain list to `FuturesUnordered` beyond 30 futures.
        let all = join_all((1..=40).map(|n| ctx.sleep(n * SECOND))).await;
        Ok(format!("{order:?} {}", all.len()))
    }));
    assert_eq!(first.waits.len(), 3);
    let by_deadline = |at| first.waits[deadlines(&first).iter().position(|&time| time == at).unwrap()].id;
    for seconds in [2, 1] {
        set_now(1_000 + seconds * 1_000);
        let step = suspended(resume(vec![elapsed(by_deadline(1_000 + seconds * 1_000))]));
        assert!(step.waits.is_empty());
    }
    set_now(4_000);
    let all = suspended(resume(vec![elapsed(by_deadline(4_000))]));
    assert_eq!(all.waits.len(), 40);
    let mut settled = ids(&all).into_iter().map(elapsed);
    for wait in settled.by_ref().take(39) {
        suspended(resume(vec![wait]));
    }
    assert!(completed(resume(settled.collect())).ends_with("40"));
}

#[test]
fn a_future_that_wakes_itself_is_polled_again_in_the_same_step() {
    let output = completed(begin(|_| async {
        let mut rounds = 0;
        std::future::poll_fn(|cx| {
            rounds += 1;
            cx.waker().wake_by_ref();
            if rounds < 3 { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        Ok(rounds.to_string())
    }));
    assert_eq!(output, "3");
}

#[test]
fn a_task_that_nothing_can_wake_fails_for_good() {
    let StepResult::Failed(error) = begin(|_| pending()) else { panic!("expected a failure") };
    assert!(!error.retryable);
    assert!(error.message.contains("no open wait"), "{}", error.message);
}

#[test]
fn a_resume_without_a_start_is_an_error_and_no_panic() {
    assert!(matches!(resume(vec![elapsed(0)]), StepResult::Failed(_)));
}

#[test]
fn a_child_gives_its_output_or_says_why_there_is_none() {
    let wait_for = |outcome| {
        let first = suspended(begin(|_| async {
            let child: Child<u32> = Child::new(RunId::new("r".to_owned()));
            Ok(child.result().await?.to_string())
        }));
        assert!(matches!(&first.waits[0].condition, WaitCondition::Run(id) if id == "r"));
        resume(vec![ended(first.waits[0].id, outcome)])
    };
    assert_eq!(completed(wait_for(RunOutcome::Completed("5".to_owned()))), "5");
    let error = types::TaskError { message: "sold out".to_owned(), retryable: false, details: None };
    for (outcome, said) in [
        (RunOutcome::Failed(error), "the child run failed: sold out"),
        (RunOutcome::Cancelled("by ann".to_owned()), "the child run was cancelled: by ann"),
        (RunOutcome::Completed("true".to_owned()), "cannot be read"),
    ] {
        let StepResult::Failed(error) = wait_for(outcome) else { panic!("expected a failure") };
        assert!(error.message.contains(said), "{}", error.message);
    }
}

#[test]
fn an_event_wait_says_what_it_waits_for_and_gives_the_whole_event() {
    let first = suspended(begin(|ctx| async move {
        let wait = ctx.wait_for_event::<u32>("order:*").filter("input > 3").look_back(SECOND).whole();
        let event = wait.await?;
        assert_eq!(event.pushed_at, Timestamp::from_millis(7));
        Ok(format!("{} {}", event.key, event.payload))
    }));
    let WaitCondition::Event(wait) = &first.waits[0].condition else { panic!("expected an event") };
    assert_eq!((wait.key_pattern.as_str(), wait.filter.as_deref()), ("order:*", Some("input > 3")));
    assert_eq!(wait.look_back, Some(1_000));
    assert_eq!(completed(resume(vec![event(first.waits[0].id, "4")])), "k 4");
}
