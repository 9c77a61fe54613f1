//! Why a module cannot be taken in, or cannot be loaded again.

use dormouse_core::bounds::MODULE_BYTES_MAX;
use dormouse_core::id::ModuleDigest;
use dormouse_core::validate::Problem;

use super::compiler::{COMPILE_MEMORY_BYTES_MAX, COMPILE_TIMEOUT};

/// Why an upload is refused. Messages say how to mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Refusal {
    #[error("this is no WebAssembly: upload the `.wasm` file that the compiler wrote")]
    NotWasm,
    #[error(
        "this is a core module, not a component: build with `--target wasm32-wasip2`, \
         or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    #[error("this is malformed: {problem}")]
    Malformed { problem: String },
    #[error("the module has {size_bytes} bytes; at most {MODULE_BYTES_MAX} are taken in")]
    TooLarge { size_bytes: usize },
    #[error(
        "the component does not export `{wanted}`; it exports {}",
        if .exports.is_empty() { "nothing".to_owned() } else { listed(.exports) }
    )]
    MissingInterface { wanted: &'static str, exports: Vec<String> },
    #[error("nothing can be linked for {}; only `dormouse:workflow` and WASI 0.2 can", listed(.names))]
    UnknownImport { names: Vec<String> },
    #[error("its interfaces do not fit those of this host: {problem}")]
    InterfaceMismatch { problem: String },
    #[error("its state cannot be kept in a snapshot: {0}")]
    NotSnapshottable(#[from] NotSnapshottable),
    #[error("it does not compile: {problem}")]
    Compile { problem: String },
    #[error("compiling took longer than {} s; split its longest functions", COMPILE_TIMEOUT.as_secs())]
    CompileTimeout,
    #[error(
        "compiling took more than {COMPILE_MEMORY_BYTES_MAX} bytes of memory; split its longest functions"
    )]
    CompileMemory,
    /// No fault of the module's.
    #[error("there is no compiler: {problem}")]
    NoCompiler { problem: String },
    #[error("`{function}` failed: {problem}")]
    InitFailed { function: &'static str, problem: String },
    #[error("{}", listed_problems(.problems))]
    InvalidDefinition { problems: Vec<Problem> },
}

impl Refusal {
    /// The stable code of the refusal in the API.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NotWasm => "not_wasm",
            Self::CoreModule => "core_module",
            Self::Malformed { .. } => "malformed",
            Self::TooLarge { .. } => "too_large",
            Self::MissingInterface { .. } => "missing_interface",
            Self::UnknownImport { .. } => "unknown_import",
            Self::InterfaceMismatch { .. } => "interface_mismatch",
            Self::NotSnapshottable(_) => "not_snapshottable",
            Self::Compile { .. } => "compile_failed",
            Self::CompileTimeout => "compile_timeout",
            Self::CompileMemory => "compile_memory",
            Self::NoCompiler { .. } => "no_compiler",
            Self::InitFailed { .. } => "init_failed",
            Self::InvalidDefinition { .. } => "invalid_definition",
        }
    }
}

/// What a snapshot of memories and globals would miss.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum NotSnapshottable {
    #[error("it writes to tables (`{instruction}`)")]
    TableWrite { instruction: &'static str },
    #[error("it drops passive segments while it runs (`{instruction}`)")]
    SegmentDrop { instruction: &'static str },
    #[error("it has a shared memory; build it without threads")]
    SharedMemory,
    #[error("it has a 64-bit memory; build it for a 32-bit target")]
    Memory64,
    #[error("it has a mutable global of type `{ty}`; only i32, i64, f32 and f64 are kept")]
    GlobalType { ty: String },
    #[error("it instantiates core module {index} twice")]
    InstantiatedTwice { index: u32 },
    #[error("it has core modules in nested components; compose the code before it becomes a component")]
    NestedModule,
    #[error("it takes core modules from outside")]
    ForeignModule,
    #[error("it defines resources of its own")]
    OwnResources,
    #[error("it uses the name `{name}`, which is reserved")]
    ReservedName { name: String },
    #[error("it has {count} {what}; at most {max} are kept")]
    TooMany { what: &'static str, count: usize, max: usize },
    #[error("its memory after `init` is not the same every time; keep addresses and counters out of it")]
    Unstable,
}

/// Why a module that was taken in once cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LoadError {
    #[error("its bytes cannot be read: {problem}")]
    Bytes { problem: String },
    #[error("the bytes kept for it are those of {found}")]
    WrongBytes { found: ModuleDigest },
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It was refused a moment ago, and was not tried again.
    #[error("{problem}")]
    StillRefused { problem: String },
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Every problem with its field.
fn listed_problems(problems: &[Problem]) -> String {
    let line = |problem: &Problem| format!("{}: {}", problem.field, problem.message);
    problems.iter().map(line).collect::<Vec<_>>().join("; ")
}
