//! The host end to end: real guests over real HTTP. One file per feature.

mod children;
mod cli;
mod crash;
mod crons;
mod errors;
mod events;
mod examples;
mod hostile;
mod idle;
mod modules;
mod openapi;
mod runs;
mod scheduled;
mod size;
mod sleeping;
mod waits;
