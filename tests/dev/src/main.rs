//! The two set-up commands of the README: `cargo tour` and `cargo test-all`. Each installs the
//! target that guests are compiled for when it is missing.

mod build;
mod tour;

use std::process::ExitCode;

use build::Failed;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["tour"] => tour::run(false),
        ["tour", "--once"] => tour::run(true),
        ["test", rest @ ..] => test(rest),
        _ => {
            eprintln!("usage: cargo tour [--once]\n       cargo test-all [ARGUMENTS OF cargo test]");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(message)) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn test(arguments: &[&str]) -> Result<(), Failed> {
    build::install_guest_target()?;
    build::cargo(&[&["test", "--workspace"], arguments].concat())
}
