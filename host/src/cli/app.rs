//! What the command line looks like, and how its outcome becomes an exit code.

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::client::Client;
use super::print::{Printer, remark};
use super::{
    check, compile, cron, deploy, event, inspect, modules, probe, run, runs, schedule, serve, version,
    workflows,
};

/// Crons, schedules, events and durable sleep in one binary.
#[derive(Debug, Parser)]
#[command(name = "dormouse", version, max_term_width = 110)]
pub(super) struct Cli {
    /// The host to talk to
    #[arg(
        long,
        global = true,
        env = "DORMOUSE_SERVER",
        default_value = "http://127.0.0.1:7666",
        value_name = "URL"
    )]
    server: String,

    /// Sent to the host as bearer token
    #[arg(long, global = true, env = "DORMOUSE_TOKEN", hide_env_values = true, hide = true)]
    token: Option<String>,

    /// Print JSON instead of tables
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the host
    Serve(Box<serve::Serve>),
    /// Show which program this is, and whose time zone data it uses
    Version,
    /// Check a store for damage, without a host
    Check(check::Check),
    /// Upload modules
    Deploy(deploy::Deploy),
    /// Show what a component declares and imports, without a host
    Inspect(inspect::Inspect),
    #[command(hide = true)]
    Probe(probe::Probe),
    /// Compile an instrumented component from standard input to standard output; the host does this to those it takes in
    #[command(hide = true)]
    Compile,
    /// Start a run
    Run(run::StartRun),
    /// Look at runs, cancel them and run them again
    #[command(subcommand)]
    Runs(runs::Runs),
    /// Start runs at recurring times
    #[command(subcommand)]
    Cron(cron::Cron),
    /// Start one run at a set time
    #[command(subcommand)]
    Schedule(schedule::Schedule),
    /// Push events
    #[command(subcommand)]
    Event(event::Event),
    /// Look at workflows, pause and resume them
    #[command(subcommand)]
    Workflows(workflows::Workflows),
    /// Look at modules and delete them
    #[command(subcommand)]
    Modules(modules::Modules),
}

/// What a subcommand came to. An error is an operation that failed, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// It was told already.
    Failed,
}

/// What subcommands work with.
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) printer: Printer,
}

/// Runs the command line of this process: 0 done, 1 the operation failed, 2 wrong usage.
#[must_use]
pub fn main() -> ExitCode {
    // Wrong usage ends here, with exit code 2.
    let cli = Cli::parse();
    match cli.run() {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        // Whoever read the output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            remark(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

impl Cli {
    fn run(self) -> anyhow::Result<Outcome> {
        let context =
            Context { client: Client::new(&self.server, self.token), printer: Printer::new(self.json) };
        match self.command {
            Command::Serve(command) => command.run(),
            Command::Version => version::run(&context),
            Command::Check(command) => command.run(&context),
            Command::Deploy(command) => command.run(&context),
            Command::Inspect(command) => command.run(&context),
            Command::Probe(command) => command.run(&context),
            Command::Compile => compile::run(),
            Command::Run(command) => command.run(&context),
            Command::Runs(command) => command.run(&context),
            Command::Cron(command) => command.run(&context),
            Command::Schedule(command) => command.run(&context),
            Command::Event(command) => command.run(&context),
            Command::Workflows(command) => command.run(&context),
            Command::Modules(command) => command.run(&context),
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::CommandFactory;

    use super::*;

    /// Whether a line of a shell is accepted, with something in the place of `ID` and `DIGEST`.
    fn is_accepted(line: &str) -> bool {
        let words = shlex::split(line).expect(line).into_iter().filter(|word| word != "&");
        let words = words.map(|word| match word.as_str() {
            "ID" => "01920b5e-7b1c-7d3e-8f00-000000000001".to_owned(),
            "DIGEST" => format!("sha256:{}", "0".repeat(64)),
            _ => word,
        });
        Cli::try_parse_from(std::iter::once("dormouse".to_owned()).chain(words)).is_ok()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_the_documentation_shows_is_accepted() {
        for line in [
            "serve --data d --listen 127.0.0.1:0 --slots 2",
            "check --data d --json",
            "deploy a.wasm b.wasm",
            "inspect a.wasm --json",
            r#"run mail --input '{"a":1}' --wait"#,
            "run mail --metadata team:a --metadata env:b --priority 3 --follow",
            "runs list --workflow mail --status failed --metadata team:a --limit 5",
            "runs get ID",
            "runs cancel ID",
            "runs cancel ID ID",
            "runs cancel --workflow mail --status queued --metadata team:a",
            "runs replay ID --input '{\"a\":2}'",
            "runs replay ID ID",
            "runs replay --workflow mail --status failed --since 2030-01-31T09:00:00Z",
            "runs logs ID -f",
            "cron list --enabled true",
            "cron set mail daily @daily --timezone Europe/Paris --catch-up all --overlap cancelRunning",
            "cron delete ID",
            "cron disable ID",
            "cron enable ID",
            "cron trigger ID",
            "schedule list --status pending",
            "schedule create mail --at 2030-01-31T09:00:00+02:00",
            "schedule create mail --in 2h",
            "schedule update ID --in 5m",
            "schedule delete ID",
            "schedule trigger ID",
            "event push user:created --payload null",
            "event list --key user:*",
            "workflows list",
            "workflows get mail",
            "workflows pause mail",
            "workflows resume mail",
            "workflows rollback mail --to 2",
            "workflows delete mail",
            "modules list",
            "--server http://127.0.0.1:1 modules delete DIGEST",
        ] {
            assert!(is_accepted(line), "{line}");
        }
    }

    #[test]
    fn what_the_readme_and_the_examples_show_is_accepted() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let examples = std::fs::read_dir(root.join("examples")).unwrap();
        let examples = examples.map(|example| example.unwrap().path().join("src/lib.rs"));
        for file in examples.chain([root.join("README.md")]) {
            let text = std::fs::read_to_string(&file).unwrap().replace("\\\n//!", "");
            let lines = text.lines().map(|line| line.trim_start_matches("//! ").trim_start_matches("$ "));
            let commands: Vec<_> = lines.filter_map(|line| line.strip_prefix("dormouse ")).collect();
            assert!(commands.len() > 1, "{} shows no commands", file.display());
            for command in commands {
                assert!(is_accepted(command), "{}: {command}", file.display());
            }
        }
    }

    #[test]
    fn wrong_usage_is_refused_before_anything_is_sent() {
        for line in [
            "",
            "deploy",
            "run UPPER",
            "run mail --input {",
            "run mail --input @/no/such/file",
            "run mail --metadata team",
            "run mail --priority 4",
            "runs get 7",
            "runs cancel",
            "runs cancel 01920b5e-7b1c-7d3e-8f00-000000000001 --workflow mail",
            "runs replay --workflow mail --input 1",
            "cron set mail daily",
            "schedule create mail",
            "schedule create mail --in 2h --at 2030-01-31T09:00:00Z",
            "schedule create mail --at tomorrow",
            "schedule create mail --in soon",
            "serve --slots 0",
            "serve --log ][",
        ] {
            let words = std::iter::once("dormouse").chain(line.split_terminator(' '));
            let error = Cli::try_parse_from(words).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
