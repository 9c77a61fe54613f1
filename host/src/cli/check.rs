//! `dormouse check`: holds a store against every invariant, without a host.

use std::path::PathBuf;

use clap::Args;

use super::app::{Context, Outcome};
use super::print::{data, remark};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Folder of the store; no host may have it open
    #[arg(long, value_name = "DIR", default_value = "./dormouse-data")]
    data: PathBuf,
}

impl Check {
    /// A line for each problem on standard output, and the sum on standard error.
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Outcome> {
        let (mut problems, mut told) = (0_u64, Ok(()));
        let rows = crate::check::check(&self.data, &mut |problem| {
            problems += 1;
            if told.is_ok() {
                told = if context.printer.is_json() {
                    serde_json::to_string(&problem).map_err(Into::into).and_then(data)
                } else {
                    data(problem)
                };
            }
        })?;
        told?;
        if problems == 0 {
            remark(format_args!("{rows} rows, no problems"));
            return Ok(Outcome::Done);
        }
        remark(format_args!("{rows} rows, {problems} problems: keep a copy of the folder before you go on"));
        Ok(Outcome::Failed)
    }
}
