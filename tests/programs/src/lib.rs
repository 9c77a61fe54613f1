//! The guest programs of the tests: one file and, as a rule, one workflow per behaviour. Input and
//! output of each are the structs of its file.
//!
//! To add one: write the file, name it in the `mod.rs` beside it, and list the workflow below.
//!
//! What Rust cannot express, such as a module that grows its tables, is written as WebAssembly
//! text where it is tested.

use dormouse_sdk::__private::bindings::exports::dormouse::workflow::guest;
use dormouse_sdk::__private::{Exports, definitions};

mod declared;
mod good;
mod hostile;

dormouse_sdk::__declare_module![
    good::about::about,
    good::blocking_sleep::blocking_sleep,
    good::chain::chain,
    good::clocks::clocks,
    good::counter::counter,
    good::echo::echo,
    good::event_waiter::event_waiter,
    good::fails::fails,
    good::idempotent_spawn::idempotent_spawn,
    good::impatient::impatient,
    good::joiner::joiner,
    good::short_job::job_roll_call,
    good::short_job::latest_job,
    good::short_job::only_job,
    good::short_job::queued_job,
    good::short_job::short_job,
    good::logger::logger,
    good::map_checksum::map_checksum,
    good::parent::child,
    good::parent::parent,
    good::publisher::publisher,
    good::pusher::pusher,
    good::race::race,
    good::random::random,
    good::roll_call::roll_call,
    good::sleep_until::sleep_until,
    good::triggered::triggered,
    good::wait_tree::wait_tree,
    hostile::deep_recursion::deep_recursion,
    hostile::dies_once::dies_once,
    hostile::endless_loop::endless_loop,
    hostile::endless_loop::patient_loop,
    hostile::handle_held::handle_held,
    hostile::huge_output::huge_output,
    hostile::log_flood::log_flood,
    hostile::memory_bomb::memory_bomb,
    hostile::script::script,
    hostile::spawn_flood::spawn_flood,
    hostile::stuck::stuck,
    hostile::trap_after_effects::trap_after_effects,
    hostile::wait_flood::wait_flood
];

/// The workflows above, and those that answer the host themselves, without the SDK between.
#[derive(Debug)]
pub struct Programs;

impl guest::Guest for Programs {
    fn definition() -> Vec<definitions::Workflow> {
        let mut workflows = Exports::<__DormouseModule>::definition();
        workflows.push(hostile::nonsense::definition());
        workflows.extend(declared::definitions());
        workflows
    }

    fn init() {
        Exports::<__DormouseModule>::init();
    }

    fn start(context: guest::TaskContext) -> guest::StepResult {
        if context.workflow == hostile::nonsense::NAME {
            return hostile::nonsense::start(&context.input);
        }
        if context.workflow.starts_with(declared::PREFIX) {
            return declared::start(context.input);
        }
        Exports::<__DormouseModule>::start(context)
    }

    fn resume(settled: Vec<guest::SettledWait>) -> guest::StepResult {
        Exports::<__DormouseModule>::resume(settled)
    }
}

#[cfg(target_family = "wasm")]
dormouse_sdk::__private::bindings::export_module!(Programs);

#[cfg(test)]
mod tests {
    use super::*;
    use guest::Guest;

    #[test]
    fn every_program_has_a_name_of_its_own() {
        let mut names: Vec<_> = Programs::definition().into_iter().map(|workflow| workflow.name).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(all <= 64, "a module declares at most 64 workflows");
    }
}
