//! A host as a process of its own, that a test can kill at any instant.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::Client;

/// A running host; it is killed when this value is dropped.
pub struct HostProcess {
    child: Child,
    client: Client,
}

impl std::ops::Deref for HostProcess {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl HostProcess {
    /// Starts a host on the store in `folder` and returns once it serves.
    ///
    /// # Panics
    ///
    /// When it does not start; the message has what it said.
    #[must_use]
    pub fn start(binary: &str, folder: &Path) -> Self {
        let mut child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the host can be started");
        let stderr = child.stderr.take().expect("its stderr is a pipe");
        let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
        let mut said = String::new();
        let address = lines.find_map(|line| {
            said.push_str(&line);
            said.push('\n');
            line.split_once("listening on http://").map(|(_, rest)| rest.trim().to_owned())
        });
        let address = address.unwrap_or_else(|| panic!("the host did not start:\n{said}"));
        let address = address.split_whitespace().next().expect("it names an address").to_owned();
        // The pipe must be read, or the host would stop when it is full.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, client: Client::new(&address) }
    }

    /// The id of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks the host to stop, as a service manager does, and returns how it ended.
    ///
    /// # Panics
    ///
    /// When it cannot be asked.
    pub fn stop(mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("the process can be signalled");
        self.child.wait().expect("the process can be waited for")
    }

    /// Ends the host with SIGKILL, wherever it is.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        self.end();
    }
}
