//! A run that is to be made. All runs are made from one, whatever starts them.

use crate::id::{ModuleDigest, RunId, Version, WorkflowName};
use crate::run::{RunEvent, RunSpec, Trigger};
use crate::time::Timestamp;
use crate::workflow::{Json, Metadata, Priority, Workflow};

/// The version of a workflow that a run begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Which workflow.
    pub workflow: WorkflowName,
    /// Its version.
    pub version: Version,
    /// The module that holds the code of that version.
    pub module: ModuleDigest,
}

/// A run to make.
#[derive(Debug)]
pub struct NewRun {
    /// Which run it will be.
    pub id: RunId,
    /// What it executes.
    pub target: Target,
    /// What starts it.
    pub trigger: Trigger,
    /// What it works on.
    pub input: Json,
    /// Its metadata.
    pub metadata: Metadata,
    /// The default of its workflow if none.
    pub priority: Option<Priority>,
    /// Whether it goes on when its parent is cancelled.
    pub detached: bool,
    /// Whether its input is known to fit the schema of its version; otherwise that is checked where its
    /// first step starts.
    pub checked: bool,
    /// The keys of the concurrency limits of its version, if they are known.
    pub limit_keys: Option<Vec<String>>,
    /// What ends it before it begins, if that is known already.
    pub ended_by: Option<RunEvent>,
}

impl NewRun {
    /// A run of that version, with the default priority of its workflow and an input that is still to
    /// be checked.
    #[must_use]
    pub fn of(target: Target, id: RunId, trigger: Trigger, input: Json, metadata: Metadata) -> Self {
        let (priority, detached, checked, limit_keys, ended_by) = (None, false, false, None, None);
        Self { id, target, trigger, input, metadata, priority, detached, checked, limit_keys, ended_by }
    }

    /// What the run is from its first moment to its last.
    #[must_use]
    pub fn into_spec(self, workflow: &Workflow, now: Timestamp) -> RunSpec {
        let Self { id, target, trigger, input, metadata, priority, detached, .. } = self;
        RunSpec {
            id,
            workflow: target.workflow,
            version: target.version,
            module: target.module,
            input,
            metadata,
            priority: priority.unwrap_or(workflow.default_priority),
            trigger,
            parent: match trigger {
                Trigger::Parent(parent) => Some(parent),
                _ => None,
            },
            detached,
            created_at: now,
        }
    }
}
