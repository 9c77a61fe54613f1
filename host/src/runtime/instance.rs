//! One instance of a module, for one step: made, initialised, its state read and written.

use std::any::{Any, TypeId};
use std::sync::Arc;

use wasmtime::component::{
    ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Lower, TypedFunc, WasmList,
};
use wasmtime::{Store, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable};

use super::bindings::{Module as Bindings, ModuleIndices, definitions, guest};
use super::ctx::Ctx;
use super::image::{BaseImage, Changes, State};
use super::instrument::{GLOBALS_INDEX, LOAD_GLOBALS, LOAD_MEMORY, SAVE, SINK};
use super::limits::CALL_BYTES_MAX;
use super::snapshot::StateSink;
use super::ticker::FIRST_TICKS;

/// A compiled component with its imports linked and its exports looked up.
pub(super) struct Prepared {
    pre: InstancePre<Ctx>,
    guest: ModuleIndices,
    save: ComponentExportIndex,
    load_globals: ComponentExportIndex,
    load_memories: Vec<ComponentExportIndex>,
}

impl Prepared {
    /// Looks up the functions of the guest and of the instrumentation.
    pub(super) fn new(pre: InstancePre<Ctx>) -> wasmtime::Result<Self> {
        let component = pre.component();
        let export = |name: &str| {
            component
                .get_export_index(None, name)
                .ok_or_else(|| wasmtime::format_err!("the component does not export `{name}`"))
        };
        let load_memories = (0..).map_while(|i| export(&format!("{LOAD_MEMORY}{i}")).ok()).collect();
        Ok(Self {
            guest: ModuleIndices::new(&pre)?,
            save: export(SAVE)?,
            load_globals: export(LOAD_GLOBALS)?,
            load_memories,
            pre,
        })
    }
}

/// What the host holds for an instance: the same list means the same resources.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Held(Vec<(TypeId, usize)>);

/// A running instance.
pub(super) struct Guest<'a> {
    prepared: &'a Prepared,
    store: Store<Ctx>,
    instance: Instance,
    bindings: Bindings,
}

impl<'a> Guest<'a> {
    /// A fresh instance after `init`.
    pub(super) async fn new(prepared: &'a Prepared, ctx: Ctx) -> wasmtime::Result<Self> {
        let mut store = Store::new(prepared.pre.engine(), ctx);
        store.limiter(|ctx| &mut ctx.limits);
        // The guest gives way then, and may be dropped there.
        store.set_epoch_deadline(FIRST_TICKS);
        store.epoch_deadline_callback(|store| {
            let (ticks, given) = store.data().turn.give_way();
            Ok(UpdateDeadline::YieldCustom(ticks, Box::pin(given)))
        });
        store.set_hostcall_fuel(CALL_BYTES_MAX);
        let instance = prepared.pre.instantiate_async(&mut store).await?;
        let bindings = prepared.guest.load(&mut store, &instance)?;
        bindings.dormouse_workflow_guest().call_init(&mut store).await?;
        Ok(Self { prepared, store, instance, bindings })
    }

    pub(super) fn ctx(&mut self) -> &mut Ctx {
        self.store.data_mut()
    }

    pub(super) async fn definition(&mut self) -> wasmtime::Result<Vec<definitions::Workflow>> {
        self.bindings.dormouse_workflow_guest().call_definition(&mut self.store).await
    }

    pub(super) async fn start(
        &mut self,
        context: &guest::TaskContext,
    ) -> wasmtime::Result<guest::StepResult> {
        self.bindings.dormouse_workflow_guest().call_start(&mut self.store, context).await
    }

    pub(super) async fn resume(
        &mut self,
        settled: &[guest::SettledWait],
    ) -> wasmtime::Result<guest::StepResult> {
        self.bindings.dormouse_workflow_guest().call_resume(&mut self.store, settled).await
    }

    /// The whole state.
    pub(super) async fn state(&mut self) -> wasmtime::Result<State> {
        match self.save(StateSink::Whole(State::default())).await? {
            StateSink::Whole(state) => Ok(state),
            _ => Err(wasmtime::format_err!("the sink changed while state was saved")),
        }
    }

    /// What differs from the base image.
    pub(super) async fn changes(&mut self, base: &Arc<BaseImage>) -> wasmtime::Result<Changes> {
        match self.save(StateSink::Changes(base.clone(), Changes::default())).await? {
            StateSink::Changes(_, changes) => Ok(changes),
            _ => Err(wasmtime::format_err!("the sink changed while state was saved")),
        }
    }

    async fn save(&mut self, sink: StateSink) -> wasmtime::Result<StateSink> {
        // A memory counts as an argument of the sink.
        self.store.set_hostcall_fuel(usize::MAX);
        self.ctx().sink = sink;
        let save: TypedFunc<(), ()> = self.function(&self.prepared.save)?;
        save.call_async(&mut self.store, ()).await?;
        self.store.set_hostcall_fuel(CALL_BYTES_MAX);
        Ok(std::mem::take(&mut self.ctx().sink))
    }

    /// Gives the fresh instance the state that the changes describe. They must fit the base image.
    pub(super) async fn load(&mut self, base: &BaseImage, changes: &Changes) -> wasmtime::Result<()> {
        for patch in changes.patches(base) {
            let export = self.prepared.load_memories.get(patch.memory);
            let export = export.ok_or_else(|| wasmtime::format_err!("there is no such memory"))?;
            let load: TypedFunc<(u32, &[u8]), ()> = self.function(export)?;
            load.call_async(&mut self.store, (patch.pages, &patch.bytes)).await?;
        }
        let words: Vec<u8> = changes.globals.iter().flat_map(|word| word.to_le_bytes()).collect();
        let load: TypedFunc<(&[u8],), ()> = self.function(&self.prepared.load_globals)?;
        load.call_async(&mut self.store, (&words,)).await
    }

    /// The kinds of the resources that the host holds for the instance, in the order of their numbers.
    pub(super) fn handles(&mut self) -> Vec<String> {
        self.ctx().table.iter_mut().map(|entry| kind(entry).to_owned()).collect()
    }

    /// The kinds of the resources that the host holds now and did not hold then.
    pub(super) fn held_besides(&mut self, held: &Held) -> Vec<&'static str> {
        let now = self.held();
        let entries = self.ctx().table.iter_mut().zip(&now.0);
        entries.filter(|(_, identity)| !held.0.contains(identity)).map(|(entry, _)| kind(entry)).collect()
    }

    /// The resources that the host holds for the instance.
    pub(super) fn held(&mut self) -> Held {
        let identity = |entry: &mut (dyn Any + Send)| ((*entry).type_id(), std::ptr::from_mut(entry).addr());
        Held(self.ctx().table.iter_mut().map(identity).collect())
    }

    fn function<P, R>(&mut self, export: &ComponentExportIndex) -> wasmtime::Result<TypedFunc<P, R>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        self.instance.get_typed_func(&mut self.store, export)
    }
}

/// What a resource of the host is, for people.
fn kind(resource: &(dyn Any + Send)) -> &'static str {
    if resource.is::<DynPollable>() {
        "a pollable"
    } else if resource.is::<DynInputStream>() {
        "an input stream"
    } else if resource.is::<DynOutputStream>() {
        "an output stream"
    } else {
        "a resource"
    }
}

/// Defines what `dormouse-save` calls.
pub(super) fn link_sink(linker: &mut wasmtime::component::Linker<Ctx>) -> wasmtime::Result<()> {
    linker.root().func_wrap(
        SINK,
        |mut store: StoreContextMut<'_, Ctx>, (index, bytes): (u32, WasmList<u8>)| {
            let mut sink = std::mem::take(&mut store.data_mut().sink);
            sink.take(index, bytes.as_le_slice(&store))?;
            store.data_mut().sink = sink;
            Ok(())
        },
    )
}

impl StateSink {
    /// Takes in the next memory, or the globals.
    fn take(&mut self, index: u32, bytes: &[u8]) -> wasmtime::Result<()> {
        let words = || {
            let (words, _) = bytes.as_chunks();
            words.iter().map(|word| u64::from_le_bytes(*word)).collect()
        };
        match (self, index) {
            (Self::Closed, _) => return Err(wasmtime::format_err!("only the host saves state")),
            (Self::Whole(state), GLOBALS_INDEX) => state.globals = words(),
            (Self::Whole(state), _) => state.memories.push(bytes.to_vec()),
            (Self::Changes(_, changes), GLOBALS_INDEX) => changes.globals = words(),
            (Self::Changes(base, changes), _) => changes.add_memory(base, index as usize, bytes),
        }
        Ok(())
    }
}
