//! Leaving out what a reader did not ask for.

use std::collections::BTreeSet;

use crate::bundle::Bundle;
use crate::diff::model::{Budget, Diff, Disruption, Security};
use crate::diff::part::Part;
use crate::diff::profile;

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

    /// Returns the names that stand for nothing in any of these bundles.
    pub fn unknown<'b>(&self, bundles: impl IntoIterator<Item = &'b Bundle>) -> BTreeSet<&str> {
        let mut unknown: BTreeSet<&str> = self.names.iter().map(String::as_str).collect();
        for bundle in bundles {
            if unknown.is_empty() {
                break;
            }
            let known = names(bundle);
            unknown.retain(|name| !known.contains(*name));
        }
        unknown
    }

    /// Takes everything else out of a diff. Its sides stay.
    pub fn apply(&self, diff: &mut Diff) {
        self.choose_names(diff);
        let hidden = |part: Part| !self.parts.is_empty() && !self.parts.contains(&part);
        diff.left_out = Part::ALL.into_iter().filter(|part| hidden(*part)).collect();
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

/// Returns everything in a bundle that a reader may ask for by name.
fn names(bundle: &Bundle) -> BTreeSet<String> {
    let units = bundle.manifest.units.iter();
    let mut names: BTreeSet<String> =
        units.flat_map(|(name, unit)| unit.service.iter().chain([name])).cloned().collect();
    names.extend(bundle.manifest.files.keys().cloned());
    names.extend(bundle.manifest.budget.gpus.iter().map(|gpu| gpu.name.clone()));
    if let Some((_, text)) = crate::diff::profile_text(bundle) {
        names.extend(profile::names(text));
    }
    let stems = names.iter().filter_map(|name| Some(name.rsplit_once('.')?.0.to_owned()));
    let stems: Vec<String> = stems.collect();
    names.extend(stems);
    names
}
