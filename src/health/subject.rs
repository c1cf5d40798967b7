//! A service whose health is asked for.

use std::collections::BTreeMap;

use super::probe::{InvalidProbe, Probe, probes};
use crate::bundle::manifest::UnitEntry;
use crate::bundle::unit::{UnitFile, UnitName, boolean};

/// A unit, as whom its commands run, and what tells whether it works.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    pub unit: UnitName,
    /// The user of its processes; root if none. With `DynamicUser=` it exists only while the service runs.
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
        // systemd names the user that it makes up after the unit.
        let dynamic = file.value("Service", "DynamicUser").is_some_and(|value| boolean(value) == Some(true));
        let own = || unit.stem().split('@').next().unwrap_or_default().to_owned();
        Ok(Subject {
            user: value("User").or_else(|| dynamic.then(own)),
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
    fn a_user_that_systemd_makes_up_has_the_name_of_the_unit() {
        let manifest = crate::bundle::testing::bundle("x").manifest;
        let user = |unit: &str, text: &str| {
            let unit = UnitName::parse(unit).unwrap();
            Subject::new(unit, &manifest.units["a.service"], &UnitFile::parse(text).unwrap()).unwrap().user
        };
        assert_eq!(user("a.service", "[Service]\n"), None);
        assert_eq!(user("a.service", "[Service]\nDynamicUser=no\n"), None);
        for word in ["yes", "1", "On", "y"] {
            assert_eq!(user("a.service", &format!("[Service]\nDynamicUser={word}\n")).as_deref(), Some("a"));
        }
        assert_eq!(user("a.service", "[Service]\nUser=b\nDynamicUser=yes\n").as_deref(), Some("b"));
        assert_eq!(user("a@x.service", "[Service]\nDynamicUser=yes\n").as_deref(), Some("a"));
    }

    #[test]
    fn lists_begin_anew_at_an_empty_assignment() {
        assert_eq!(list(["a b", "", "c", "d"].into_iter()), ["c", "d"]);
    }
}
