//! Where messages go, and in which form: results to standard output, problems to standard error, or both as JSON lines.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Color, MessageFormat};
use crate::compile::diagnostic::{Diagnostic, Severity, Sources};
use crate::compile::evaluate::Failure;

pub struct Output {
    format: MessageFormat,
    colour: bool,
    choice: Color,
    lost: AtomicBool,
}

impl Output {
    pub fn new(format: MessageFormat, choice: Color) -> Self {
        let colour = match choice {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => io::stderr().is_terminal() && wants_colour(),
        };
        Output { format, colour, choice, lost: AtomicBool::new(false) }
    }

    /// Whether results are for programs.
    pub fn is_json(&self) -> bool {
        self.format == MessageFormat::Json
    }

    /// Whether a result on standard output is coloured.
    pub fn colours_results(&self) -> bool {
        match self.choice {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => io::stdout().is_terminal() && wants_colour(),
        }
    }

    /// Writes a result: text for people, or a JSON object.
    pub fn result(&self, text: &str, json: impl FnOnce() -> Value) {
        match self.format {
            MessageFormat::Human => self.write_out(text),
            MessageFormat::Json => self.write_out(&json().to_string()),
        }
    }

    /// Writes a result that is a text for another program, whatever the format of messages.
    pub fn text(&self, text: &str) {
        self.write_out(text);
    }

    /// Writes a text and a line end; a reader that went away is no error.
    fn write_out(&self, text: &str) {
        let mut out = io::stdout().lock();
        let written = writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush());
        if written.is_err_and(|error| error.kind() != io::ErrorKind::BrokenPipe) {
            self.lost.store(true, Ordering::Relaxed);
        }
    }

    /// Returns whether a result could not be written, as on a full disk.
    pub fn lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Writes one problem.
    pub fn diagnostic(&self, diagnostic: &Diagnostic, sources: &Sources) {
        match self.format {
            MessageFormat::Human => write_err(&diagnostic.render(sources, self.colour)),
            MessageFormat::Json => self.write_out(&diagnostic.to_json(sources).to_string()),
        }
    }

    /// Writes all problems of a failure and how many there were.
    pub fn failure(&self, failure: &Failure) {
        for diagnostic in &failure.diagnostics {
            self.diagnostic(diagnostic, &failure.sources);
        }
        let errors = failure.diagnostics.iter().filter(|it| it.severity == Severity::Error).count();
        if errors > 1 && self.format == MessageFormat::Human {
            write_err(&format!("{errors} errors; nothing was written"));
        }
    }

    /// Writes an error that has no place in a file.
    pub fn error(&self, code: &'static str, message: &str, help: Option<&str>) {
        let mut diagnostic = Diagnostic::error(code, message);
        diagnostic.help = help.map(str::to_owned);
        self.diagnostic(&diagnostic, &Sources::default());
    }

    /// Writes a hint that is neither a result nor a problem.
    pub fn hint(&self, text: &str) {
        match self.format {
            MessageFormat::Human => write_err(&format!("note: {text}")),
            MessageFormat::Json => self.write_out(&json!({ "type": "hint", "message": text }).to_string()),
        }
    }

    /// Returns the diagnostics in both forms, to show them again later.
    pub fn keep(diagnostics: &[Diagnostic], sources: &Sources) -> Vec<(String, Value)> {
        diagnostics.iter().map(|it| (it.render(sources, false), it.to_json(sources))).collect()
    }

    /// Shows diagnostics that were kept.
    pub fn replay(&self, kept: &[(String, Value)]) {
        for (text, json) in kept {
            match self.format {
                MessageFormat::Human => write_err(text),
                MessageFormat::Json => self.write_out(&json.to_string()),
            }
        }
    }
}

/// Says on a terminal what is being done, once it takes longer than a second, until it is dropped.
pub struct Progress {
    done: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Progress {
    pub fn new(text: String) -> Self {
        let (done, wait) = mpsc::channel::<()>();
        let shown = move || {
            if wait.recv_timeout(Duration::from_secs(1)) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = write!(io::stderr(), "{text} …");
                let _ = wait.recv();
                // Back to the start of the line, and clear it.
                let _ = write!(io::stderr(), "\r\u{1b}[K");
            }
        };
        let thread = io::stderr().is_terminal().then(|| thread::Builder::new().spawn(shown).ok()).flatten();
        Progress { done: Some(done), thread }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.done.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// <https://no-color.org>
fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn write_err(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", text.trim_end_matches('\n'));
}
