//! The host as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    dormouse::cli::main()
}
