//! Programs that harm the host, or try to.

pub(crate) mod deep_recursion;
pub(crate) mod dies_once;
pub(crate) mod endless_loop;
pub(crate) mod handle_held;
pub(crate) mod huge_output;
pub(crate) mod log_flood;
pub(crate) mod memory_bomb;
pub(crate) mod nonsense;
pub(crate) mod script;
pub(crate) mod spawn_flood;
pub(crate) mod stuck;
pub(crate) mod trap_after_effects;
pub(crate) mod wait_flood;
