//! `citadel diff`: what changes between two bundles, and what a switch would do.

mod git;

use std::path::PathBuf;

use clap::ValueEnum;

use super::{Session, exit, side, written};
use crate::activate::{Places, history};
use crate::bundle::Bundle;
use crate::diff::show::{Only, html, json, markdown, terminal};
use crate::diff::{self, Diff, Known, LastStarts, Part, Version};
use crate::plan;

/// Show what changes between two bundles, and what a switch from one to the other would do
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The old and the new side, each a profile, a bundle, the number of a generation, or `current`; one alone is compared
    /// with `current`. With --git: names of profiles, all if none
    #[arg(value_name = "SIDE")]
    sides: Vec<String>,
    /// Compare the profiles at two git revisions, such as `main..HEAD`; one alone is compared with the work tree
    #[arg(long, value_name = "RANGE", allow_hyphen_values = true)]
    git: Option<String>,
    /// What to write
    #[arg(long, value_name = "FORMAT", default_value = "terminal")]
    format: Format,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only a summary with numbers
    #[arg(long)]
    stat: bool,
    /// End with status 13 when there are changes
    #[arg(long)]
    exit_code: bool,
    /// Only these parts (security, plan, budget, profile, units, files, manifest), services or units; may be repeated
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    only: Vec<String>,
    /// Have systemd-analyze compute the exposure of services that differ
    #[arg(long)]
    exposure: bool,
    /// The width of text for a terminal, instead of the terminal's own
    #[arg(long, value_name = "COLUMNS")]
    width: Option<usize>,
    /// The most bytes of Markdown
    #[arg(long, value_name = "BYTES", default_value_t = markdown::GITHUB_LIMIT)]
    limit: usize,
    /// Where the whole diff is, for Markdown that leaves something out
    #[arg(long, value_name = "URL")]
    rest: Option<String>,
    /// Take generations and history from the host below this directory
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text for people
    Terminal,
    /// A comment on a pull request
    Markdown,
    /// For programs
    Json,
    /// A page for a browser, with a drawing of the units
    Html,
}

/// Two bundles of a profile; one may be missing.
struct Pair {
    old: (String, Option<Bundle>),
    new: (String, Option<Bundle>),
}

pub fn run(arguments: &Arguments, session: &Session) -> Result<(), exit::Code> {
    let places = Places::new(session.folder.join(&arguments.root));
    let pairs = match &arguments.git {
        Some(range) => git::pairs(range, &arguments.sides, session)?,
        None => vec![named(&arguments.sides, &places, session)?],
    };
    let known = Known { last_starts: last_starts(&places), exposure: arguments.exposure };
    let only = Only::read(arguments.only.iter().map(String::as_str));
    let bundles = pairs.iter().flat_map(|pair| [&pair.old.1, &pair.new.1]).flatten();
    if let Some(name) = only.unknown(bundles).first() {
        let parts = Part::ALL.map(Part::name).join(", ");
        let help = format!("name services, units and other parts of the profile, or parts of the diff: {parts}");
        session.output.error("E0024", &format!("nothing that is compared is called {name:?}"), Some(&help));
        return Err(exit::Code::NotFound);
    }
    let diffs: Vec<Diff> = pairs.iter().map(|pair| compare(pair, &known, &only)).collect();
    let text = render(arguments, &pairs, &diffs, session)?;
    let differs = diffs.iter().any(|diff| !diff.is_empty());
    if text.is_empty() && arguments.output.is_none() {
        session.output.hint("no changes");
    } else {
        written::write(&text, arguments.output.as_deref(), session)?;
    }
    if arguments.exit_code && differs { Err(exit::Code::Different) } else { Ok(()) }
}

fn named(sides: &[String], places: &Places, session: &Session) -> Result<Pair, exit::Code> {
    let (old, new) = match sides {
        [new] => ("current", new.as_str()),
        [old, new] => (old.as_str(), new.as_str()),
        _ => {
            let help = "`citadel diff OLD NEW`, or `citadel diff --git main..HEAD`";
            session.output.error("E0021", "name what to compare: one or two sides", Some(help));
            return Err(exit::Code::Usage);
        }
    };
    let (old, new) = (side::find(old, places, session)?, side::find(new, places, session)?);
    Ok(Pair { old: (old.label, Some(old.bundle)), new: (new.label, Some(new.bundle)) })
}

fn compare(pair: &Pair, known: &Known, only: &Only) -> Diff {
    let Pair { old: (old_label, old), new: (new_label, new) } = pair;
    let nothing = diff::nothing("");
    let plan = plan::predicted(old.as_ref(), new.as_ref().unwrap_or(&nothing));
    let old = Version { label: old_label, bundle: old.as_ref() };
    let new = Version { label: new_label, bundle: new.as_ref() };
    let mut diff = Diff::between(old, new, &plan, known);
    only.apply(&mut diff);
    diff
}

fn render(arguments: &Arguments, pairs: &[Pair], diffs: &[Diff], session: &Session) -> Result<String, exit::Code> {
    if session.output.is_json() {
        return Ok(json::render(diffs, false));
    }
    Ok(match arguments.format {
        Format::Terminal => {
            let width = arguments.width.unwrap_or_else(columns);
            let colour = arguments.output.is_none() && session.output.colours_results();
            terminal::render(diffs, terminal::Look { width, colour, stat: arguments.stat })
        }
        Format::Markdown => {
            let (limit, rest, stat) = (arguments.limit, arguments.rest.clone(), arguments.stat);
            markdown::render(diffs, &markdown::Options { limit, rest, stat })
        }
        Format::Json => json::render(diffs, true),
        Format::Html => {
            let graphs: Vec<_> = pairs
                .iter()
                .zip(diffs)
                .map(|(pair, diff)| html::graph(diff, pair.old.1.as_ref(), pair.new.1.as_ref()))
                .collect();
            let title =
                arguments.git.as_ref().map_or("citadel diff".to_owned(), |range| format!("citadel diff {range}"));
            html::render(diffs, &graphs, &title).map_err(|error| {
                session.output.error("E0022", &error.to_string(), None);
                exit::Code::Defect
            })?
        }
    })
}

/// Returns the width of the terminal, or one that fits most places.
fn columns() -> usize {
    let given = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let own = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    given.or(own).filter(|columns| *columns > 0).unwrap_or(100)
}

/// Returns how long units took to start, as far as the history of this host tells.
fn last_starts(places: &Places) -> LastStarts {
    let entries = history::read(places).unwrap_or_default();
    let last = history::last_starts(&entries).into_iter();
    last.map(|(unit, seconds)| (unit.to_string(), seconds.round() as u64)).collect()
}
