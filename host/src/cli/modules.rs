//! `dormouse modules`: looks at modules and deletes them.

use clap::Subcommand;
use dormouse_core::id::ModuleDigest;

use super::app::{Context, Outcome};
use super::arguments::Stretch;
use super::print::{Column, remark};

const COLUMNS: &[Column] = &[("DIGEST", "digest"), ("SIZE", "size"), ("UPLOADED", "uploadedAt")];

#[derive(Debug, Subcommand)]
pub(super) enum Modules {
    /// List modules
    List(Stretch),
    /// Delete a module that no unfinished run needs
    Delete { digest: ModuleDigest },
}

impl Modules {
    pub(super) fn run(self, Context { client, printer }: &Context) -> anyhow::Result<Outcome> {
        match self {
            Self::List(stretch) => printer.list(&client.list("/modules", &stretch)?, COLUMNS)?,
            Self::Delete { digest } => {
                client.delete(&format!("/modules/{digest}"))?;
                remark(format_args!("deleted module {digest}"));
            }
        }
        Ok(Outcome::Done)
    }
}
