//! Where results and problems of commands on a host go.

use std::io::{self, Write as _};

use serde::Serialize;

use super::text::harmless;
use crate::cli::exit::Code;

/// Writes a result: text for people, or one JSON object.
pub fn result(json: bool, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Code> {
    // A reader that went away has what it wanted.
    line(json, value, text).map(|_| ())
}

/// Writes one of several results, and returns whether somebody still reads.
pub fn line(json: bool, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<bool, Code> {
    let text = if json { serde_json::to_string(value).map_err(|_| Code::Defect)? } else { harmless(&text()) };
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(_) => Err(Code::NotWritten),
    }
}

/// Writes a problem to standard error, and returns the code to end with.
pub fn problem(code: Code, message: impl std::fmt::Display) -> Code {
    let message = harmless(&message.to_string());
    let _ = writeln!(io::stderr(), "error: {message}");
    code
}

/// Writes something that is worth knowing to standard error.
pub fn note(message: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "note: {}", harmless(&message.to_string()));
}
