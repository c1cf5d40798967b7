//! A service whose health is asked for.

use std::collections::BTreeMap;

use super::probe::{InvalidProbe, Probe, probes};
use crate::bundle::manifest::UnitEntry;
use crate::bundle::unit::{UnitFile, UnitName};

/// A unit, as whom its commands run, and what tells whether it works.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    pub unit: UnitName,
    /// The user of its processes; root if none.
    pub user: Option<String>,
    /// Their group; that of the user if none.
    pub group: Option<String>,
    /// Groups of its processes beside those that the user is a member of.
    pub supplementary: Vec<String>,
    /// Whether it is done when its process has ended (`Type=oneshot`).
    pub oneshot: bool,
    /// The restart counter of systemd that a gate compares with; none for what it is when the gate begins. A service that
    /// has just been started by hand or by a switch begins at 0.
    pub restarts: Option<u32>,
    /// What tells whether it works, by name.
    pub probes: BTreeMap<String, Probe>,
}

impl Subject {
    /// Returns the subject for a unit of a manifest, with the text of its unit file.
    ///
    /// # Errors
    ///
    /// The first probe that is not one.
    pub fn new(unit: UnitName, entry: &UnitEntry, file: &UnitFile) -> Result<Self, InvalidProbe> {
        let value = |key| file.value("Service", key).map(str::to_owned);
        Ok(Subject {
            user: value("User"),
            group: value("Group"),
            supplementary: list(file.values("Service", "SupplementaryGroups")),
            oneshot: value("Type").is_some_and(|kind| kind == "oneshot"),
            restarts: None,
            probes: probes(&unit, entry)?,
            unit,
        })
    }
}

/// Returns the words of a list directive; an empty assignment begins it anew, as in systemd.
fn list<'a>(values: impl Iterator<Item = &'a str>) -> Vec<String> {
    values.fold(Vec::new(), |mut words, value| {
        if value.is_empty() {
            words.clear();
        }
        words.extend(value.split_whitespace().map(str::to_owned));
        words
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_begin_anew_at_an_empty_assignment() {
        assert_eq!(list(["a b", "", "c", "d"].into_iter()), ["c", "d"]);
    }
}
