//! What a host has been given so far, for people.

use std::fmt;

use serde::Serialize;

use super::error::DiskError;
use super::history::{self, Entry};
use super::progress::Outcome;
use super::{Generation, Places, current, store, trial::Trial};
use crate::bundle::digest::Digest;

/// One generation in a list.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    pub generation: Generation,
    /// Whether the host runs it.
    pub current: bool,
    /// Whether a switch to it is not proven yet.
    pub trial: bool,
    /// Of its bundle; none when it cannot be read.
    pub profile: Option<String>,
    pub bundle: Option<Digest>,
    /// When it was switched to last, and how that ended.
    pub switched: Option<jiff::Timestamp>,
    pub outcome: Option<Outcome>,
}

/// Returns all generations, the oldest first.
pub fn list(places: &Places) -> Result<Vec<Listed>, DiskError> {
    let current = current::get(places)?;
    let trial = Trial::read(places)?.map(|trial| trial.to);
    // Without its history, a generation is still one.
    let history = history::read(places).unwrap_or_default();
    let describe = |generation| {
        let bundle = store::read(places, generation).ok();
        let last: Option<&Entry> = history.iter().rev().find(|entry| entry.to == Some(generation));
        Listed {
            generation,
            current: current == Some(generation),
            trial: trial == Some(generation),
            profile: bundle.as_ref().map(|bundle| bundle.manifest.profile.clone()),
            bundle: bundle.map(|bundle| bundle.digest()),
            switched: last.map(|entry| entry.at),
            outcome: last.map(|entry| entry.outcome),
        }
    };
    Ok(store::list(places)?.into_iter().map(describe).collect())
}

/// Returns the generation that the host came from when it switched to the present one.
///
/// The history knows; without it, the next lower number is the best guess.
pub fn before_current(places: &Places) -> Result<Option<Generation>, DiskError> {
    let Some(current) = current::get(places)? else { return Ok(None) };
    let generations = store::list(places)?;
    let history = history::read(places).unwrap_or_default();
    let came = history.iter().rev().find(|entry| entry.to == Some(current) && entry.outcome == Outcome::Done);
    let from = came.and_then(|entry| entry.from).filter(|from| *from != current && generations.contains(from));
    Ok(from.or_else(|| generations.into_iter().rev().find(|generation| *generation < current)))
}

impl fmt::Display for Listed {
    /// Writes one line: number, whether it counts, profile, bundle, and the last switch to it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match (self.current, self.trial) {
            (_, true) => "on trial",
            (true, false) => "current",
            (false, false) => "",
        };
        let profile = self.profile.as_deref().unwrap_or("(damaged)");
        let bundle = self.bundle.map(|digest| digest.short()).unwrap_or_default();
        write!(out, "{:>4}  {mark:<8}  {profile:<20}  {bundle:<20}", self.generation.0)?;
        if let Some(at) = self.switched {
            write!(out, "  {}", at.strftime("%Y-%m-%d %H:%M UTC"))?;
        }
        match self.outcome {
            None | Some(Outcome::Done) => Ok(()),
            Some(outcome) => write!(out, "  {}", outcome.words()),
        }
    }
}
