//! The parts of a diff.

use serde::Serialize;

/// A part of a diff, for readers who want some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Security,
    Plan,
    Budget,
    Profile,
    Units,
    Files,
    /// The manifest and the inputs.
    Manifest,
}

impl Part {
    pub const ALL: [Part; 7] =
        [Part::Security, Part::Plan, Part::Budget, Part::Profile, Part::Units, Part::Files, Part::Manifest];

    /// Returns what a user calls it.
    pub fn name(self) -> &'static str {
        match self {
            Part::Security => "security",
            Part::Plan => "plan",
            Part::Budget => "budget",
            Part::Profile => "profile",
            Part::Units => "units",
            Part::Files => "files",
            Part::Manifest => "manifest",
        }
    }
}
