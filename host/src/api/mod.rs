//! The only folder that knows axum: routes, JSON types, errors and the OpenAPI document.
//!
//! A handler parses, calls one function of the host and shapes the answer. Its JSON types stand
//! beside it, one file per resource; what several resources share is in `values.rs` and
//! `page.rs`.

mod bulk;
mod cron;
mod crons;
mod definition;
mod error;
mod events;
mod extract;
mod health;
mod journal;
mod modules;
mod openapi;
mod origin;
mod page;
mod router;
mod run;
mod runs;
mod scheduled;
mod server;
mod state;
#[cfg(test)]
mod tests;
mod text;
mod trace;
mod values;
mod workflows;

pub(crate) use server::serve;
