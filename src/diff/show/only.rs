//! Leaving out what a reader did not ask for.

use std::collections::BTreeSet;

use crate::diff::model::{Budget, Diff, Disruption, Security};

/// A part of a diff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Security,
    Plan,
    Budget,
    Profile,
    Units,
    Files,
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

/// What a reader wants to see: parts, services and units; nothing of a kind means all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Only {
    pub parts: BTreeSet<Part>,
    /// Names of services, units and other parts of the profile.
    pub names: BTreeSet<String>,
}

impl Only {
    /// Reads words of a user: the name of a part, or else of a service or unit.
    pub fn read<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut only = Only::default();
        for word in words {
            match Part::ALL.into_iter().find(|part| part.name() == word) {
                Some(part) => only.parts.insert(part),
                None => only.names.insert(word.to_owned()),
            };
        }
        only
    }

    /// Takes everything else out of a diff. Its sides stay.
    pub fn apply(&self, diff: &mut Diff) {
        self.choose_names(diff);
        let hidden = |part: Part| !self.parts.is_empty() && !self.parts.contains(&part);
        if hidden(Part::Security) {
            diff.security = Security::default();
        }
        if hidden(Part::Plan) {
            diff.plan = Disruption::default();
        }
        if hidden(Part::Budget) {
            diff.budget = Budget::default();
        }
        if hidden(Part::Profile) {
            diff.profile.clear();
        }
        if hidden(Part::Units) {
            diff.units.clear();
        }
        if hidden(Part::Files) {
            diff.files.clear();
        }
        if hidden(Part::Manifest) {
            diff.manifest.clear();
            diff.inputs.clear();
        }
    }

    fn choose_names(&self, diff: &mut Diff) {
        if self.names.is_empty() {
            return;
        }
        let is = |name: &str| {
            self.names.contains(name) || name.rsplit_once('.').is_some_and(|(stem, _)| self.names.contains(stem))
        };
        let either = |name: &str, other: &Option<String>| is(name) || other.as_deref().is_some_and(is);
        let units: BTreeSet<String> = {
            diff.units.retain(|unit| either(&unit.name, &unit.service) || either(&unit.name, &unit.renamed_from));
            diff.units.iter().map(|unit| unit.name.clone()).collect()
        };
        diff.profile.retain(|subject| either(&subject.name, &subject.renamed_from));
        diff.plan.steps.retain(|step| either(step.unit.as_str(), &step.service));
        diff.security.changes.retain(|change| is(&change.unit) || units.contains(&change.unit));
        diff.budget.ports.retain(|port| is(&port.service));
        diff.budget.memory = None;
        for gpu in &mut diff.budget.gpus {
            gpu.services.retain(|share| is(&share.service));
        }
        diff.budget.gpus.retain(|gpu| !gpu.services.is_empty() || is(&gpu.name));
        diff.files.retain(|file| is(&file.path) || file.read_by.iter().any(|unit| units.contains(unit) || is(unit)));
        diff.manifest.clear();
        diff.inputs.clear();
    }
}
