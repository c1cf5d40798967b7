//! Programs that run on a host while the test goes on.

use std::process::{Child, Output, Stdio};

use super::Host;

/// A program in the background; it is not ended with this.
#[derive(Debug)]
pub struct Background {
    child: Child,
    /// Where the host keeps its process id.
    pid_file: String,
}

impl Host {
    /// Starts a program on the host, as root and outside all units. The name is for the file with its process id.
    pub fn spawn(&self, name: &str, command: &[&str]) -> Background {
        let pid_file = format!("/run/{name}.pid");
        self.run(&["rm", "-f", &pid_file]);
        let script = r#"echo $$ >"$0.new" && mv "$0.new" "$0" && exec "$@""#;
        let mut program = self.command(&[&["sh", "-c", script, &pid_file], command].concat());
        let child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("timeout starts");
        self.until("the process id", || Ok(self.path(&pid_file).exists()));
        Background { child, pid_file }
    }

    /// Sends a signal to a program in the background.
    pub fn signal(&self, program: &Background, signal: &str) {
        let said = self.run(&["sh", "-c", r#"kill -s "$1" "$(cat "$2")""#, "sh", signal, &program.pid_file]);
        assert!(said.is_empty(), "kill: {said}");
    }
}

impl Background {
    /// Waits for its end, and returns what it printed.
    pub fn wait(self) -> Output {
        self.child.wait_with_output().expect("it was started")
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it was started").is_none()
    }
}
