//! Where results and problems of commands on a host go.

use std::io::{self, Write as _};

use serde::Serialize;

use crate::cli::exit::Code;

/// Writes a result: text for people, or one JSON object.
pub fn result(json: bool, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Code> {
    let text = if json { serde_json::to_string(value).map_err(|_| Code::Defect)? } else { text() };
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush());
    match written {
        // A reader that went away has what it wanted.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Code::NotWritten),
        _ => Ok(()),
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

/// Makes characters visible that would act on a terminal.
pub fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => out.push(character),
            character if character.is_control() => out.extend(character.escape_default()),
            character => out.push(character),
        }
    }
    out
}
