//! Everything that wakes the deciding thread, as one enum.

use dormouse_core::id::{BaseDigest, ModuleDigest, RunId, TaskIndex};
use dormouse_core::run::Lease;
use dormouse_core::time::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::events::Matched;
use super::persist::Committed;
use super::shard::Shard;
use crate::error::Error;
use crate::runtime::{GuestLine, StepEnd};
use crate::store::StoreError;

/// Where the answer goes, once what was decided is durable.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What a caller of the host wants: it reads the shard, checks, changes it, and answers.
pub(super) type Operation = Box<dyn FnOnce(&mut Shard) -> Result<(), StoreError> + Send>;

/// What the deciding thread is asked to do or told.
pub(super) enum Command {
    /// A caller wants something. Its place in the line is free again when the command is done with,
    /// whether or not the caller still waits.
    Operate { operation: Operation, admitted: OwnedSemaphorePermit },
    /// A step ended.
    StepEnded {
        run: RunId,
        task: TaskIndex,
        lease: Lease,
        end: Box<StepEnd>,
        /// What the events that it pushes start.
        matched: Vec<Matched>,
    },
    /// A step logged.
    Log { run: RunId, task: TaskIndex, attempt: u32, repeated: bool, lines: Vec<GuestLine> },
    /// A step is to begin of a module whose base image is not stored.
    BaseImage { module: ModuleDigest, base: BaseDigest, image: Vec<u8> },
    /// A change set is durable.
    Committed(Committed),
    /// The disk failed. The persisting thread has ended.
    CommitFailed,
    /// A caller wants to know when nothing is left to do, and when the next timer is due then.
    AwaitIdle { reply: oneshot::Sender<Option<Timestamp>> },
    /// The clock was set, or a virtual one moved.
    ClockJumped,
    /// Commit what there is and end.
    Stop,
}
