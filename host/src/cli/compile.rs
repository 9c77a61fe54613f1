//! `dormouse compile`: what the host starts for each module that it compiles.

use std::io;

use super::app::Outcome;
use crate::runtime::compile_input;

pub(super) fn run() -> anyhow::Result<Outcome> {
    compile_input(&mut io::stdin().lock(), &mut io::stdout().lock())?;
    Ok(Outcome::Done)
}
