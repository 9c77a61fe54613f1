//! Asks for effects and dies: they must not happen.

use dormouse_sdk::prelude::*;

#[data]
pub(crate) struct Input {
    /// Goes into the payload, so that a test finds its own events.
    tag: String,
    how: Death,
}

#[data]
#[serde(rename_all = "snake_case")]
pub(crate) enum Death {
    /// With a message on standard error.
    Panic,
    /// Without a word.
    Abort,
    /// Overwriting nothing, reading beyond the end of memory.
    OutOfBounds,
}

/// Pushes `trap:pushed`, spawns `echo`, logs a line and dies.
#[workflow]
pub(crate) async fn trap_after_effects(ctx: Context, input: Input) {
    let pushed = ctx.push_event("trap:pushed", &json!({ "tag": input.tag }));
    let spawned = ctx.spawn(&crate::good::echo::echo, &json!({ "tag": input.tag }));
    println!("asked for effects: {}, {}", pushed.is_ok(), spawned.is_ok());
    match input.how {
        Death::Panic => panic!("as told"),
        Death::Abort => std::process::abort(),
        Death::OutOfBounds => read_beyond_the_end(),
    }
}

#[expect(unsafe_code, reason = "safe code cannot reach beyond the memory")]
fn read_beyond_the_end() {
    let end: *const u8 = std::hint::black_box(usize::MAX as *const u8);
    // SAFETY: there is none, and that is the point: the sandbox traps.
    let byte = unsafe { end.read_volatile() };
    println!("read {byte}");
}
