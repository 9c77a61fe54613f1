//! The host's side of one instance: what it may touch. Nothing but WASI with frozen clocks until
//! a step begins.

use std::sync::Arc;

use dormouse_core::request::Requests;
use dormouse_core::run::RunSpec;
use wasmtime::component::{HasData, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::bindings::{definitions, types};
use super::budget::Budget;
use super::limits::{Limits, RESOURCES_MAX, Refused};
use super::logs::Logs;
use super::processors::Turn;
use super::snapshot::StateSink;
use super::step::StepHost;
use super::wasi::{self, Monotonic};
use crate::clock::Clock;

/// The data of a store.
pub(super) struct Ctx {
    pub(super) clock: Clock,
    pub(super) limits: Limits,
    pub(super) logs: Logs,
    pub(super) turn: Turn,
    /// Where `dormouse-save` puts what it is called with.
    pub(super) sink: StateSink,
    pub(super) table: ResourceTable,
    wasi: WasiCtx,
    /// `None` during `init`.
    step: Option<StepCtx>,
}

/// What there is while a task runs.
pub(super) struct StepCtx {
    pub(super) run: Arc<RunSpec>,
    pub(super) attempt: u32,
    pub(super) host: Arc<dyn StepHost>,
    pub(super) requests: Requests,
    pub(super) budget: Budget,
}

impl StepCtx {
    /// A step that has not asked for anything yet.
    pub(super) fn new(run: Arc<RunSpec>, attempt: u32, host: Arc<dyn StepHost>) -> Self {
        Self { run, attempt, host, requests: Requests::default(), budget: Budget::default() }
    }
}

impl Ctx {
    /// For a fresh instance, before `init`.
    pub(super) fn new(clock: Clock, memory_bytes_max: u64, turn: Turn) -> Self {
        let logs = Logs::new(clock.clone());
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        Self {
            wasi: wasi::frozen(&logs),
            limits: Limits::new(memory_bytes_max),
            sink: StateSink::default(),
            step: None,
            clock,
            logs,
            turn,
            table,
        }
    }

    /// `init` is over: clocks and randomness are real from here on, and the host can be called. Tells what the task is
    /// refused.
    pub(super) fn begin(&mut self, step: StepCtx, monotonic: Monotonic) -> Refused {
        self.logs.begin(step.host.clone());
        self.wasi = wasi::live(&self.logs, &self.clock, monotonic);
        self.step = Some(step);
        self.limits.begin()
    }

    /// The step that runs.
    ///
    /// # Errors
    ///
    /// A trap while none does.
    pub(super) fn step(&mut self) -> wasmtime::Result<&mut StepCtx> {
        self.step
            .as_mut()
            .ok_or_else(|| wasmtime::format_err!("`init` and `definition` cannot call the host"))
    }

    /// What the step asked of the host.
    pub(super) fn take_requests(&mut self) -> Requests {
        self.step.take().map(|step| step.requests).unwrap_or_default()
    }
}

impl WasiView for Ctx {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Says that the host functions work on the whole `Ctx`.
pub(super) struct WholeCtx;

impl HasData for WholeCtx {
    type Data<'a> = &'a mut Ctx;
}

/// These two interfaces only define types.
impl types::Host for Ctx {}
impl definitions::Host for Ctx {}
