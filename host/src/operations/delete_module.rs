//! Delete a module that nothing needs any more.

use dormouse_core::id::ModuleDigest;

use super::Result;
use super::read_modules::unknown_module;
use crate::engine::{Handled, Host, Shard};
use crate::error::Error;
use crate::store::Read;

/// Deletes a module.
pub(crate) async fn delete_module(host: &Host, digest: ModuleDigest) -> Result<()> {
    host.operate(move |shard| decide(shard, digest)).await
}

fn decide(shard: &mut Shard, digest: ModuleDigest) -> Handled<()> {
    let module = shard.rows.module(digest)?.ok_or_else(|| unknown_module(digest))?;
    for (name, version) in &module.workflows {
        if shard.rows.workflow(name)?.is_some_and(|row| row.current == Some(*version)) {
            let text = format!(
                "the module holds the current version of `{name}`; deploy another one or delete the workflow first"
            );
            return Err(Error::conflict("module_current", text).into());
        }
    }
    for (name, version) in &module.workflows {
        let live = shard.live_runs_of(name, *version)?;
        if live > 0 {
            let text = format!(
                "{live} runs of `{name}` are pinned to the module and have not ended; cancel them or let them end first"
            );
            return Err(Error::conflict("module_in_use", text).into());
        }
    }
    shard.rows.delete_module(digest)?;
    shard.forget(digest);
    Ok(())
}
