//! The only folder that knows wasmtime: what a guest can do, and how its state is kept.

mod step;
