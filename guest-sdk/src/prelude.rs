//! Everything that a workflow usually needs: `use dormouse_sdk::prelude::*;`.

pub use std::time::Duration;

pub use futures_util::future::{join_all, try_join_all};
pub use schemars::JsonSchema;
pub use serde::{Deserialize, Serialize};
pub use serde_json::{Value, json};
pub use tokio::{join, select, try_join};

pub use crate::error::Fatal as _;
pub use crate::{
    Child, Context, Error, Event, EventOptions, Named, Result, RunId, ScheduleOptions, ScheduledId,
    SpawnOptions, Timestamp, data, log, module, workflow,
};
pub use crate::{Target as _, Workflow as _};
