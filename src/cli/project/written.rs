//! Results that are whole texts: to standard output, or to a file.

use std::path::Path;

use super::{Session, exit};
use crate::compile::project::plain;

/// Writes a text to a file, or to standard output when there is none.
pub fn write(text: &str, file: Option<&Path>, session: &Session) -> Result<(), exit::Code> {
    let Some(file) = file else {
        session.output.text(text);
        return Ok(());
    };
    std::fs::write(session.folder.join(file), text).map_err(|error| {
        let message = format!("cannot write {}: {}", file.display(), plain(&error));
        session.output.error("E0008", &message, Some("check the directory's permissions and free space"));
        exit::Code::NotWritten
    })
}
