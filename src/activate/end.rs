//! How a switch ends, and who is told.

use std::time::Instant;

use serde::Serialize;

use super::history::{self, Entry};
use super::host::say;
use super::log::Log;
use super::places::Places;
use super::progress::{Event, Outcome};

/// The end of a switch: how, and what to tell people.
#[derive(Clone, Debug, Serialize)]
pub struct End {
    pub outcome: Outcome,
    pub message: String,
}

impl End {
    pub fn new(outcome: Outcome, message: impl Into<String>) -> Self {
        End { outcome, message: message.into() }
    }

    /// The host runs it already.
    pub fn unchanged() -> Self {
        End::new(Outcome::Unchanged, "nothing to do: the host runs this already")
    }

    /// Something could not be read or written, and nothing was changed.
    pub fn not_written(error: impl std::fmt::Display) -> Self {
        End::new(Outcome::NotWritten, error.to_string())
    }

    /// This host must not take the bundle, and nothing was changed.
    pub fn refused(error: impl std::fmt::Display) -> Self {
        End::new(Outcome::Refused, error.to_string())
    }
}

/// Keeps the end of a switch in the history; what changed nothing is no part of it.
pub fn keep(places: &Places, log: &mut Option<Log>, mut entry: Entry, end: &End, begun: Instant) {
    entry.outcome = end.outcome;
    entry.message.clone_from(&end.message);
    entry.seconds = begun.elapsed().as_secs_f64();
    if matches!(end.outcome, Outcome::Done | Outcome::NextBoot | Outcome::RolledBack | Outcome::Broken)
        && let Err(error) = history::append(places, &entry)
    {
        say(log, &Event::Warning { message: format!("the history of switches is incomplete: {error}") });
    }
}

/// Tells those who follow the switch that it is over.
pub fn tell(log: &mut Option<Log>, end: &End, begun: Instant) {
    let seconds = begun.elapsed().as_secs_f64();
    say(log, &Event::Finished { outcome: end.outcome, summary: end.message.clone(), seconds });
}
