//! Compiles components in a process of its own, which has limits and can be killed: whatever is uploaded, the
//! host goes on, and what compiling takes goes back to the system with the process.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, nice, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use wasmtime::{Config, Engine};

use super::limits::STACK_BYTES_MAX;
use super::refusal::Refusal;

/// Longest that compiling one module may take.
pub(super) const COMPILE_TIMEOUT: Duration = Duration::from_secs(120);

/// Most memory that compiling one module may take, in the address space of its process. Python with its libraries
/// takes a quarter of it.
pub(super) const COMPILE_MEMORY_BYTES_MAX: u64 = 2 << 30;

/// Guests have the right of way; with nothing else to do, compiling is as fast as ever.
const NICENESS: i32 = 5;

/// What is told of a compiler that fails: it has no more to say as a rule.
const PROBLEM_BYTES_MAX: usize = 2 << 10;

/// The subcommand that compiles what it is given, and is this file's [`compile_input`].
const SUBCOMMAND: &str = "compile";

/// Where components are compiled.
#[derive(Debug, Clone)]
pub(crate) enum Compiler {
    /// In this process, without limits: for components that the process trusts.
    Here,
    /// By this program, `dormouse` itself, in a process of its own.
    Program(PathBuf),
}

impl Compiler {
    /// By the program that runs, also after its file was replaced by a newer one.
    ///
    /// # Errors
    ///
    /// When the system does not tell which program this is.
    pub(crate) fn own_program() -> io::Result<PathBuf> {
        let linked = Path::new("/proc/self/exe");
        if linked.exists() { Ok(linked.to_owned()) } else { std::env::current_exe() }
    }

    /// Compiles an instrumented component, as [`Component::deserialize`](wasmtime::component::Component::deserialize)
    /// takes it. A process that compiles dies with the future.
    pub(super) async fn compile(&self, component: Vec<u8>) -> Result<Vec<u8>, Refusal> {
        let failed = |problem| Refusal::Compile { problem };
        match self {
            Self::Here => {
                let compiled = tokio::task::spawn_blocking(move || compile(&component)).await;
                compiled.map_err(|error| failed(error.to_string()))?.map_err(failed)
            }
            Self::Program(program) => {
                let unusable = |error: io::Error| Refusal::NoCompiler { problem: error.to_string() };
                let output = run(program, &component).await.map_err(unusable)?;
                judge(output.status, &output.stderr)?;
                Ok(output.stdout)
            }
        }
    }
}

async fn run(program: &Path, component: &[u8]) -> io::Result<Output> {
    let mut command = Command::new(program);
    // Nothing of the host's environment is for whoever reads what was uploaded.
    command.arg(SUBCOMMAND).env_clear().kill_on_drop(true);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let write = async {
        // One that ends early says why by its status.
        drop(input.write_all(component).await);
        drop(input);
    };
    tokio::join!(write, child.wait_with_output()).1
}

/// Why a compiler that has ended has nothing to give.
fn judge(status: ExitStatus, said: &[u8]) -> Result<(), Refusal> {
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said[..said.len().min(PROBLEM_BYTES_MAX)]);
    let said = said.trim().trim_start_matches("error: ");
    let signal = status.signal().and_then(Signal::from_named_raw);
    Err(match signal {
        // What an allocation says and ends with that fails.
        Some(Signal::ABORT) if said.contains("memory allocation") => Refusal::CompileMemory,
        Some(Signal::XCPU) => Refusal::CompileTimeout,
        // By somebody, or by the system, which had no memory left: that says nothing of the component.
        Some(Signal::KILL) => Refusal::NoCompiler { problem: "it was killed; try again".to_owned() },
        _ if status.code() == Some(1) => Refusal::Compile { problem: said.to_owned() },
        _ => Refusal::Compile { problem: format!("the compiler ended with {status}: {said}") },
    })
}

/// Compiles the component that comes in and writes what becomes of it, within the limits of a compiler's process:
/// this is all that such a process does.
pub(crate) fn compile_input(input: &mut impl Read, output: &mut impl Write) -> anyhow::Result<()> {
    limit()?;
    let mut component = Vec::new();
    input.read_to_end(&mut component)?;
    let compiled = compile(&component).map_err(anyhow::Error::msg)?;
    output.write_all(&compiled)?;
    Ok(output.flush()?)
}

fn limit() -> io::Result<()> {
    // The host may have less itself.
    let at_most = |resource, most: u64| {
        let allowed = getrlimit(resource).maximum;
        let most = allowed.map_or(most, |allowed| allowed.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: allowed })
    };
    at_most(Resource::As, COMPILE_MEMORY_BYTES_MAX)?;
    at_most(Resource::Core, 0)?;
    // Of all threads: for a process whose host was killed.
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    at_most(Resource::Cpu, COMPILE_TIMEOUT.as_secs() * processors)?;
    nice(NICENESS)?;
    Ok(())
}

fn compile(component: &[u8]) -> Result<Vec<u8>, String> {
    let engine = Engine::new(&code_config());
    let compiled = engine.and_then(|engine| engine.precompile_component(component));
    compiled.map_err(|error| format!("{error:#}"))
}

/// All that decides what the code of a component looks like.
pub(super) fn code_config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES_MAX)
        .wasm_multi_memory(true)
        // Guests are called one function at a time.
        .concurrency_support(false);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_of_the_compiler_is_told_for_what_it_is() {
        let ended = |code: i32| ExitStatus::from_raw(code << 8);
        let killed = |signal: Signal| ExitStatus::from_raw(signal.as_raw());
        let code = |status, said: &str| judge(status, said.as_bytes()).map_err(|refusal| refusal.code());
        assert_eq!(code(ended(0), "a warning"), Ok(()));
        assert_eq!(code(ended(1), "error: too odd"), Err("compile_failed"));
        assert_eq!(code(killed(Signal::ABORT), "memory allocation of 8 bytes failed"), Err("compile_memory"));
        assert_eq!(code(killed(Signal::ABORT), "stack overflow"), Err("compile_failed"));
        assert_eq!(code(killed(Signal::XCPU), ""), Err("compile_timeout"));
        assert_eq!(
            judge(ended(1), b"error: too odd").unwrap_err().to_string(),
            "it does not compile: too odd"
        );
        assert_eq!(code(killed(Signal::KILL), ""), Err("no_compiler"));
        for status in [ended(101), killed(Signal::SEGV)] {
            let refusal = judge(status, "x".repeat(1 << 20).as_bytes()).unwrap_err().to_string();
            assert!(refusal.contains("the compiler ended with") && refusal.len() < 4_000, "{refusal}");
        }
    }

    #[tokio::test]
    async fn without_a_compiler_it_is_no_fault_of_the_component() {
        let compiler = Compiler::Program("/no/such/program".into());
        assert_eq!(compiler.compile(Vec::new()).await.unwrap_err().code(), "no_compiler");
    }

    #[tokio::test]
    async fn a_compiler_that_does_not_read_all_is_heard() {
        // More than a pipe holds, for a program that looks for a file of that name.
        let refusal = Compiler::Program("/bin/cat".into()).compile(vec![0; 1 << 20]).await.unwrap_err();
        assert!(refusal.to_string().starts_with("it does not compile: "), "{refusal}");
    }
}
