//! The attributes of `dormouse-sdk`, which re-exports and documents them.
//!
//! `#[workflow]` works in three passes: `parse` reads the options into a struct that knows where
//! each stands, `validate` checks them against the rules of the guest contract, `expand` writes code.

use proc_macro::TokenStream;
use syn::{DeriveInput, ItemFn, parse_macro_input};

mod args;
mod data;
mod expand;
mod parse;
mod signature;
mod units;
mod validate;

/// Makes a workflow of an async function.
///
/// The function takes a [`Context`](../dormouse_sdk/struct.Context.html) and, if it wants any, an
/// input, and returns nothing or a `Result`. Its name becomes a value that other workflows refer
/// to, as in `ctx.spawn(&resize, &image)`. (So no local variable can have that name.) Its doc
/// comment becomes the description. A function without an input takes any and ignores it.
///
/// All options may be left out. Durations are written `"500ms"`, `"30s"`, `"5m"`, `"2h"`, `"3d"`
/// or together, as in `"1h 30m"`.
///
/// | option | means | default |
/// |---|---|---|
/// | `name = "…"` | its name on the host | that of the function, with `-` for `_` |
/// | `on_event = "user:*"`, `on_event("user:*", filter = "input.age > 17")` | starts a run for each such event; may be repeated | |
/// | `cron("0 9 * * MON-FRI", …)` | starts runs at these times; may be repeated | |
/// | `retries = 3` | attempts after the first | 0 |
/// | `backoff(initial = "1s", factor = 2.0, max = "1h", jitter = 0.1)` | delays between attempts | these |
/// | `execution_timeout = "30s"` | time really running that an attempt may take; sleeping does not count | `"60s"` |
/// | `schedule_timeout = "1h"` | time that the first attempt may stand in the queue | none |
/// | `priority = 3` | from 1 to 3, which goes first | 1 |
/// | `memory_max = "32MiB"` | memory of one instance | 64 MiB |
/// | `concurrency(max_runs = 1, key = "input.customer", strategy = "queue")` | unfinished runs per key; strategies are `queue`, `cancel_running` and `cancel_newest`; may be repeated | no limit |
/// | `rate_limit("smtp", limit = 100, window = "1m", units = 1)` | attempts in a span of time, per name or per value of `key = "input.host"`; may be repeated | no limit |
///
/// Options of a cron:
///
/// | option | means | default |
/// |---|---|---|
/// | `name = "…"` | unique in the workflow | its times: `0_9_x_x_mon-fri` |
/// | `timezone = "Europe/Paris"` | IANA name | UTC |
/// | `input = r#"{"a":1}"#` | input of its runs, as JSON | `null` |
/// | `metadata(team = "ops")` | metadata of its runs | |
/// | `priority = 3` | of its runs | that of the workflow |
/// | `catch_up = "one"` | after downtime: `skip`, `one`, or `catch_up(all = "2h")` for all within two hours | `skip` |
/// | `overlap = "skip"` | while an earlier run is unfinished: `allow`, `skip`, `queue`, `cancel_running` | `allow` |
#[proc_macro_attribute]
pub fn workflow(options: TokenStream, function: TokenStream) -> TokenStream {
    let function = parse_macro_input!(function as ItemFn);
    expand_workflow(options, function).unwrap_or_else(|error| error.to_compile_error().into())
}

fn expand_workflow(options: TokenStream, function: ItemFn) -> syn::Result<TokenStream> {
    let signature = signature::check(&function)?;
    let options = parse::parse(syn::parse(options)?)?;
    let definition = validate::validate(options, &function.sig.ident)?;
    Ok(expand::expand(&definition, &signature, &function).into())
}

/// Derives `Serialize`, `Deserialize` and `JsonSchema` for input, output and payloads, with no
/// other crate than `dormouse-sdk` in `Cargo.toml`. `#[serde(…)]` and `#[schemars(…)]` work as ever.
#[proc_macro_attribute]
pub fn data(options: TokenStream, item: TokenStream) -> TokenStream {
    if !options.is_empty() {
        let message = "`#[data]` takes no options: write `#[serde(…)]` and other attributes below it";
        let span = proc_macro2::TokenStream::from(options);
        return syn::Error::new_spanned(span, message).to_compile_error().into();
    }
    data::expand(&parse_macro_input!(item as DeriveInput)).into()
}
