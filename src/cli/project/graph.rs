//! `citadel graph`: the units of a profile or bundle as a drawing.

use std::path::PathBuf;

use clap::ValueEnum;

use super::{Session, exit, side, written};
use crate::activate::Places;
use crate::diff::graph::Graph;

/// Draw the units of a profile: ordering, requirements, phases, ports and GPUs
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A profile, a bundle, the number of a generation, or `current`
    #[arg(value_name = "PROFILE|BUNDLE")]
    what: String,
    /// What to write
    #[arg(long, value_name = "FORMAT", default_value = "svg")]
    format: Format,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Take generations from the host below this directory
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A drawing for browsers and editors
    Svg,
    /// The language of Graphviz
    Dot,
    /// The language of Mermaid, which GitHub and GitLab draw in Markdown
    Mermaid,
}

pub fn run(arguments: &Arguments, session: &Session) -> Result<(), exit::Code> {
    let side = side::find(&arguments.what, &Places::new(session.folder.join(&arguments.root)), session)?;
    let graph = Graph::of(&side.bundle);
    let text = match arguments.format {
        Format::Svg => graph.svg(),
        Format::Dot => graph.dot(),
        Format::Mermaid => graph.mermaid(),
    };
    written::write(&text, arguments.output.as_deref(), session)
}
