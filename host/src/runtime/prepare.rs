//! Makes a module ready to run: compiles it or finds it compiled, links it, takes its base image.

use std::sync::Arc;
use std::time::Duration;

use dormouse_core::bounds::MODULE_BYTES_MAX;
use dormouse_core::id::ModuleDigest;
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use wasmtime::component::Component;

use super::bindings::definitions;
use super::compiler::COMPILE_TIMEOUT;
use super::ctx::Ctx;
use super::engine::Inner;
use super::failure::explain;
use super::image::BaseImage;
use super::instance::{Guest, Prepared};
use super::instrument;
use super::interfaces;
use super::logs::Logs;
use super::module::Module;
use super::refusal::{LoadError, Refusal};
use super::supervise::{TimedOut, supervised};

/// Longest that `init` and `definition` together may take.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// A component that was compiled, with the names of what it imports.
pub(super) struct Compiled {
    pub(super) component: Component,
    pub(super) imports: Vec<String>,
    /// It was not there compiled.
    pub(super) is_new: bool,
}

/// What a checked component is there as.
enum Form {
    Compiled(Component),
    Instrumented(Vec<u8>),
}

/// Finds a module compiled on disk, or compiles it from its bytes, and makes it ready.
pub(super) async fn load(
    inner: &Arc<Inner>,
    digest: ModuleDigest,
    bytes: impl FnOnce() -> Result<Vec<u8>, String>,
) -> Result<Arc<Module>, LoadError> {
    let unreadable = |problem| LoadError::Bytes { problem };
    let cache = inner.clone();
    let found = inner.blocking(move || cache.disk.load(digest, &cache.engine)).await.map_err(unreadable)?;
    let component = match found {
        Some(component) => component,
        None => {
            let bytes = bytes().map_err(unreadable)?;
            let found = digest_of(&bytes);
            if found != digest {
                return Err(LoadError::WrongBytes { found });
            }
            compile(inner, digest, bytes).await?.component
        }
    };
    let shared = inner.clone();
    let ready = inner.on_guest_threads(async move {
        let prepared = link(&shared, &component)?;
        let (base, _) = fresh(&shared, &prepared, false).await?;
        Ok::<_, Refusal>(Arc::new(Module::new(digest, prepared, base)))
    });
    Ok(ready.await.map_err(unreadable)??)
}

/// Checks a component, then finds it compiled on disk, or instruments and compiles it and keeps the
/// result there.
pub(super) async fn compile(
    inner: &Arc<Inner>,
    digest: ModuleDigest,
    bytes: Vec<u8>,
) -> Result<Compiled, Refusal> {
    if bytes.len() > MODULE_BYTES_MAX {
        return Err(Refusal::TooLarge { size_bytes: bytes.len() });
    }
    let failed = |problem| Refusal::Compile { problem };
    let cache = inner.clone();
    let checked = inner.blocking(move || {
        let scan = instrument::scan(&bytes)?;
        interfaces::check(&scan.imports, &scan.exports)?;
        let form = match cache.disk.load(digest, &cache.engine) {
            Some(component) => Form::Compiled(component),
            None => Form::Instrumented(instrument::append(&scan)?),
        };
        Ok::<_, Refusal>((scan.imports, form))
    });
    match checked.await.map_err(failed)?? {
        (imports, Form::Compiled(component)) => Ok(Compiled { component, imports, is_new: false }),
        (imports, Form::Instrumented(component)) => {
            // Those that are there compiled do not stand in this line.
            let _permit = inner.compiling.acquire().await.map_err(|error| failed(error.to_string()))?;
            let compiled = timeout(COMPILE_TIMEOUT, inner.compiler.compile(component)).await;
            let compiled = compiled.unwrap_or(Err(Refusal::CompileTimeout))?;
            let cache = inner.clone();
            let kept = inner.blocking(move || cache.disk.keep(digest, &compiled, &cache.engine)).await;
            let component = kept.map_err(failed)?.map_err(|error| failed(format!("{error:#}")))?;
            Ok(Compiled { component, imports, is_new: true })
        }
    }
}

/// Links the imports of a component.
pub(super) fn link(inner: &Inner, component: &Component) -> Result<Prepared, Refusal> {
    let pre = inner.linker.instantiate_pre(component);
    pre.and_then(Prepared::new).map_err(|error| Refusal::InterfaceMismatch { problem: format!("{error:#}") })
}

/// The base image and, if the instance is to be asked, what it declares.
pub(super) async fn fresh(
    inner: &Inner,
    prepared: &Prepared,
    ask: bool,
) -> Result<(BaseImage, Vec<definitions::Workflow>), Refusal> {
    let _room = inner.room.acquire().await;
    let _running = inner.ticker.running();
    let turn = inner.processors.turn();
    let ctx = Ctx::new(inner.clock.clone(), inner.memory_bytes_max, turn.clone());
    let logs = ctx.logs.clone();
    let work = async {
        let failed = |function| {
            let logs = &logs;
            move |error| init_failed(function, &error, logs)
        };
        let mut guest = Guest::new(prepared, ctx).await.map_err(failed("init"))?;
        let state = guest.state().await.map_err(failed("init"))?;
        let base = BaseImage::new(state, guest.handles());
        let declared = match ask {
            true => guest.definition().await.map_err(failed("definition"))?,
            false => Vec::new(),
        };
        Ok((base, declared))
    };
    supervised(work, &logs, &turn, inner.clock.stopwatch(), INIT_TIMEOUT).await.unwrap_or_else(|TimedOut| {
        let problem = format!("it ran for longer than {INIT_TIMEOUT:?}");
        Err(Refusal::InitFailed { function: "init", problem })
    })
}

fn init_failed(function: &'static str, error: &wasmtime::Error, logs: &Logs) -> Refusal {
    let (_, mut problem) = explain(error);
    logs.finish();
    let last_errors = logs.last_errors();
    if !last_errors.is_empty() {
        problem += &format!("; it wrote: {}", last_errors.join(" / "));
    }
    Refusal::InitFailed { function, problem }
}

pub(super) fn digest_of(bytes: &[u8]) -> ModuleDigest {
    ModuleDigest::from_bytes(Sha256::digest(bytes).into())
}
