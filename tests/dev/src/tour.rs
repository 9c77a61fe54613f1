//! `cargo tour`: builds everything, starts a host, deploys the examples, pushes an event, starts a
//! sleeping task, and prints what happens as it happens. Then it goes on serving.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::build::{self, Failed};

/// Where the tour's host listens.
const ADDRESS: &str = "127.0.0.1:7666";

/// Takes the tour; `once` ends the host after it.
pub(crate) fn run(once: bool) -> Result<(), Failed> {
    build::install_guest_target()?;
    let binary = build::build_host()?;
    let modules = build::build_examples()?;
    let mut host = Host::start(&binary)?;
    let toured = tour(&binary, &modules);
    if let Err(Failed(message)) = toured {
        return Err(Failed(format!("the tour ended early: {message}")));
    }
    if once {
        say("The tour is over; the host ends with it.");
        return Ok(());
    }
    say(&format!(
        "The host goes on serving on http://{ADDRESS} until you press Ctrl-C. Try, in another terminal:"
    ));
    eprintln!("    {} runs list", binary.display());
    host.wait()
}

fn tour(binary: &Path, modules: &[PathBuf]) -> Result<(), Failed> {
    let dormouse = |what: &str, arguments: &[&str]| {
        say(what);
        eprintln!("$ dormouse {}", arguments.join(" "));
        client(binary, arguments)
    };
    let modules: Vec<String> = modules.iter().map(|module| module.display().to_string()).collect();
    let deploy: Vec<&str> = ["deploy"].into_iter().chain(modules.iter().map(String::as_str)).collect();
    dormouse("Every example is a module; this uploads them.", &deploy)?;
    dormouse("What can be started now:", &["workflows", "list"])?;
    dormouse("Crons that the examples declare, and when they fire next:", &["cron", "list"])?;
    dormouse(
        "An event starts every workflow that subscribes to its key.",
        &["event", "push", "user:create", "--payload", r#"{"email":"ada@example.com","should_skip":false}"#],
    )?;
    dormouse(
        "A task that sleeps: while it does, it is no process and no memory, only a snapshot in the store.",
        &["run", "durable-sleep", "--input", r#"{"seconds":3}"#, "--follow"],
    )?;
    dormouse("Every run of this tour:", &["runs", "list"])
}

/// Prints a line that is not the output of a command.
fn say(text: &str) {
    eprintln!("\n# {text}");
}

fn client(binary: &Path, arguments: &[&str]) -> Result<(), Failed> {
    let status =
        Command::new(binary).arg("--server").arg(format!("http://{ADDRESS}")).args(arguments).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failed(format!("`dormouse {}` ended with {status}", arguments.join(" ")))),
        Err(error) => Err(Failed(format!("{} cannot be started: {error}", binary.display()))),
    }
}

/// The host of the tour; it ends with this value.
struct Host(Child);

impl Host {
    /// Starts it and returns once it serves.
    fn start(binary: &Path) -> Result<Self, Failed> {
        say(&format!("A host on http://{ADDRESS}, with its store in ./dormouse-data:"));
        eprintln!("$ dormouse serve --listen {ADDRESS}");
        let host = Command::new(binary)
            .args(["serve", "--listen", ADDRESS])
            .current_dir(build::root())
            .stderr(Stdio::piped())
            .spawn();
        let mut host =
            Self(host.map_err(|error| Failed(format!("{} cannot be started: {error}", binary.display())))?);
        let Some(stderr) = host.0.stderr.take() else {
            return Err(Failed("the host has no stderr".to_owned()));
        };
        let mut lines =
            BufReader::new(stderr).lines().map_while(Result::ok).inspect(|line| eprintln!("{line}"));
        if !lines.any(|line| line.contains("listening on")) {
            let status = host.0.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
            return Err(Failed(format!(
                "the host did not start ({status}); is something else on {ADDRESS}?"
            )));
        }
        // The rest of what the host says goes on being shown.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(host)
    }

    /// Returns when the host ends.
    fn wait(&mut self) -> Result<(), Failed> {
        let status = self.0.wait().map_err(|error| Failed(format!("the host was lost: {error}")))?;
        if status.success() { Ok(()) } else { Err(Failed(format!("the host ended with {status}"))) }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended already; and a host may be killed at any instant.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
