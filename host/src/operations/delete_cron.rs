//! Delete a cron that was made over the API.

use dormouse_core::id::CronId;

use super::Result;
use super::read_crons::existing_cron;
use crate::engine::{Handled, Host, Shard};
use crate::error::Error;

/// Deletes a cron.
pub(crate) async fn delete_cron(host: &Host, id: CronId) -> Result<()> {
    host.operate(move |shard| decide(shard, id)).await
}

fn decide(shard: &mut Shard, id: CronId) -> Handled<()> {
    let row = existing_cron(&shard.rows, id)?;
    if row.declared {
        let text = format!(
            "cron `{}` is declared by the current module of `{}`; disable it instead, or deploy a module without it",
            row.name, row.workflow
        );
        return Err(Error::conflict("declared_cron", text).into());
    }
    Ok(shard.remove_cron(&row)?)
}
