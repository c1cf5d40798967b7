//! `citadel options`: the reference of all options.

use std::fmt::Write as _;

use super::{Session, exit};
use crate::compile::options::{Entry, Reference};

/// Search the reference of all options
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Words that the option's path or documentation must have; all options if none
    search: Vec<String>,
    /// Write the whole reference as a Markdown page
    #[arg(long, conflicts_with = "search")]
    markdown: bool,
}

pub fn run(arguments: &Arguments, session: &Session) -> Result<(), exit::Code> {
    let reference = Reference::of_library();
    if arguments.markdown {
        let page = reference.to_markdown();
        session.output.result(&page, || serde_json::json!({ "type": "options", "markdown": page }));
        return Ok(());
    }
    let found = reference.search(&arguments.search);
    if found.is_empty() {
        let words = arguments.search.join(" ");
        session.output.error("E0010", &format!("no option is about {words:?}"), Some("`citadel options` lists all"));
        return Err(exit::Code::NotFound);
    }
    session.output.result(&text(&found), || serde_json::json!({ "type": "options", "options": found }));
    Ok(())
}

fn text(entries: &[Entry]) -> String {
    let mut out = String::new();
    for entry in entries {
        let given = match (&entry.default, entry.required) {
            (Some(default), _) => format!(", default {default}"),
            (None, true) => ", required".to_owned(),
            (None, false) => String::new(),
        };
        let _ = writeln!(out, "{} ({}{given})\n    {}\n", entry.path, entry.kind, entry.doc);
    }
    out
}
