//! A runtime in a temporary folder, and steps to run on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dormouse_core::id::{BaseDigest, ModuleDigest, RunId, TaskIndex, Version, WaitId, WorkflowName};
use dormouse_core::new_run::Target;
use dormouse_core::run::{Reason, RunSpec, Trigger};
use dormouse_core::time::Timestamp;
use dormouse_core::workflow::{Json, Metadata, Priority};
use tempfile::TempDir;

use crate::clock::Clock;
use crate::runtime::compiler::Compiler;
use crate::runtime::engine::{Runtime, RuntimeConfig};
use crate::runtime::module::Module;
use crate::runtime::step::{
    GuestLine, SettledOutcome, SettledWait, StepEnd, StepEntry, StepHost, StepOutcome, StepRequest,
    TargetError,
};

/// The last time that there is.
pub(super) const END: Timestamp = Timestamp::MAX;

pub(super) struct Harness {
    pub(super) runtime: Runtime,
    pub(super) folder: TempDir,
    pub(super) host: Arc<Host>,
}

impl Harness {
    pub(super) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        Self { runtime: runtime(&folder), folder, host: Arc::default() }
    }

    /// Another process on the same folder, so to speak.
    pub(super) fn restarted(&self) -> Runtime {
        runtime(&self.folder)
    }

    pub(super) async fn module(&self, component: Vec<u8>) -> Arc<Module> {
        let inspection = self.runtime.inspect(component).await.unwrap();
        self.runtime.load(inspection.digest, || Err("it is in memory".to_owned())).await.unwrap()
    }

    pub(super) async fn step(&self, module: &Arc<Module>, request: StepRequest) -> StepEnd {
        self.runtime.run_step(module, request, self.host.clone()).await
    }

    pub(super) async fn start(&self, module: &Arc<Module>) -> StepEnd {
        self.step(module, start()).await
    }

    pub(super) async fn resume(&self, module: &Arc<Module>, snapshot: Vec<u8>) -> StepEnd {
        self.step(module, resume(snapshot)).await
    }
}

fn runtime(folder: &TempDir) -> Runtime {
    let config = RuntimeConfig {
        cache_dir: folder.path().join("compiled"),
        compiler: Compiler::Here,
        slots: 4,
        memory_bytes_max: 4 << 20,
        guest_threads: 2,
    };
    Runtime::new(config, Clock::stopped_at(Timestamp::from_millis(1_750_000_000_000))).unwrap()
}

/// A first step with time to spare.
pub(super) fn start() -> StepRequest {
    let at = Timestamp::from_millis(1_750_000_000_000);
    let run = RunSpec {
        id: RunId::new(at, [1; 10]),
        workflow: name("flow"),
        version: Version(1),
        module: ModuleDigest::from_bytes([0; 32]),
        input: Json::null(),
        metadata: Metadata::new([("customer".to_owned(), "7".to_owned())]),
        priority: Priority::DEFAULT,
        trigger: Trigger::Call,
        parent: None,
        detached: false,
        created_at: at,
    };
    StepRequest {
        run: Arc::new(run),
        task: TaskIndex(0),
        task_name: "task".parse().unwrap(),
        attempt: 1,
        time_left: Duration::from_secs(60),
        execution_timeout: Duration::from_secs(60),
        memory_bytes_max: None,
        entry: StepEntry::default(),
    }
}

/// A step that goes on because wait 7 has elapsed.
pub(super) fn resume(snapshot: Vec<u8>) -> StepRequest {
    let settled = vec![SettledWait { id: WaitId(7), outcome: SettledOutcome::Elapsed }];
    StepRequest { entry: StepEntry::Resume { snapshot, settled }, ..start() }
}

pub(super) fn name(text: &str) -> WorkflowName {
    text.parse().unwrap()
}

/// The output of a step that completed.
pub(super) fn output(end: StepEnd) -> String {
    match end.outcome {
        StepOutcome::Completed { output } => output.as_str().to_owned(),
        other => panic!("completed: {other:?}"),
    }
}

/// The snapshot of a step that suspended.
pub(super) fn snapshot(end: StepEnd) -> Vec<u8> {
    match end.outcome {
        StepOutcome::Suspended { snapshot, .. } => snapshot,
        other => panic!("suspended: {other:?}"),
    }
}

/// Reason, message, and whether another attempt may succeed, of a step that failed.
pub(super) fn failure(end: StepEnd) -> (Reason, String, bool) {
    match end.outcome {
        StepOutcome::Failed { reason, error, retryable } => (reason, error.message, retryable),
        other => panic!("failed: {other:?}"),
    }
}

/// A host on which the workflow `flow` can be started, and that keeps the log.
#[derive(Default)]
pub(super) struct Host {
    batches: Mutex<Vec<Vec<GuestLine>>>,
    pub(super) known: Mutex<Vec<(String, RunId)>>,
    pub(super) base_images: Mutex<BTreeMap<BaseDigest, Vec<u8>>>,
    /// Told of each batch of log lines.
    pub(super) logged: tokio::sync::Notify,
}

impl Host {
    pub(super) fn messages(&self) -> Vec<String> {
        self.batches.lock().unwrap().iter().flatten().map(|line| line.message.clone()).collect()
    }
}

impl StepHost for Host {
    fn target(&self, workflow: &str, input: &Json) -> Result<Target, TargetError> {
        match workflow {
            "flow" if input.as_str() == "0" => {
                Err(TargetError::InvalidInput { workflow: name("flow"), problem: "zero".to_owned() })
            }
            "flow" => Ok(Target {
                workflow: name("flow"),
                version: Version(3),
                module: ModuleDigest::from_bytes([1; 32]),
            }),
            _ => Err(TargetError::UnknownWorkflow { name: workflow.to_owned() }),
        }
    }

    fn idempotent_run(&self, _: &WorkflowName, key: &str) -> Option<RunId> {
        self.known.lock().unwrap().iter().find(|(known, _)| known == key).map(|(_, run)| *run)
    }

    fn base_image(&self, base: BaseDigest) -> Result<Option<Vec<u8>>, String> {
        Ok(self.base_images.lock().unwrap().get(&base).cloned())
    }

    fn log(&self, lines: Vec<GuestLine>) {
        self.batches.lock().unwrap().push(lines);
        self.logged.notify_one();
    }
}
