//! Two bundles and their plan, and how to show a change to a person before it happens.
//!
//! [`Diff::between`] compares, as a pure function of two bundles and a plan; the rooms below each compare one thing.
//! [`show`] writes a diff as text for a terminal, as Markdown, as JSON and as a page of HTML. The plan comes from
//! [`crate::plan`], the code that a host uses, so a diff cannot promise something else than what a switch does.

mod budget;
mod disruption;
mod exposure;
mod files;
pub mod graph;
mod keyed;
mod lines;
mod markup;
pub mod model;
mod part;
mod profile;
mod rename;
mod security;
pub mod show;
mod store;
#[cfg(test)]
mod tests;
mod units;
mod values;
mod yaml;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub use self::disruption::LastStarts;
pub use self::model::Diff;
pub use self::part::Part;

use self::disruption::Costs;
use self::model::{Change, Exposure, Input, Security, Side, State};
use self::profile::Profile;
use self::rename::Renames;
use crate::bundle::Bundle;
use crate::bundle::manifest::{Budget, Compiler, FileKind, Manifest, Requirements, VERSION};
use crate::bundle::unit::UnitName;
use crate::plan::Plan;

/// One of the two things to compare.
#[derive(Clone, Copy, Debug)]
pub struct Version<'a> {
    /// What a person calls it.
    pub label: &'a str,
    /// None when there is nothing on this side, for a profile that is new or gone.
    pub bundle: Option<&'a Bundle>,
}

/// What a diff may use besides the bundles.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub last_starts: LastStarts,
    /// Whether to ask systemd for the exposure of services that differ.
    pub exposure: bool,
}

impl Diff {
    /// Compares two bundles. The plan is that of a host that moves from one to the other: [`crate::plan::predicted`] where no host is
    /// at hand.
    pub fn between(old: Version<'_>, new: Version<'_>, plan: &Plan, known: &Known) -> Self {
        let name = new.bundle.or(old.bundle).map_or("", |bundle| bundle.manifest.profile.as_str());
        let (old_bundle, new_bundle) = (whole(old, name), whole(new, name));
        let side = |version: Version<'_>| Side {
            label: version.label.to_owned(),
            profile: version.bundle.map_or(name, |bundle| bundle.manifest.profile.as_str()).to_owned(),
            bundle: version.bundle.map(Bundle::digest),
        };
        let mut diff = compare(&old_bundle, &new_bundle, known.exposure);
        let costs = Costs::new(plan, &old_bundle, &new_bundle, &known.last_starts);
        for unit in &mut diff.units {
            unit.step = UnitName::parse(&unit.name).and_then(|name| costs.of(&name));
        }
        diff.plan = costs.all();
        Diff { old: side(old), new: side(new), ..diff }
    }
}

fn whole<'a>(version: Version<'a>, profile: &str) -> Cow<'a, Bundle> {
    version.bundle.map_or_else(|| Cow::Owned(nothing(profile)), Cow::Borrowed)
}

fn compare(old: &Bundle, new: &Bundle, exposure: bool) -> Diff {
    let (old_text, new_text) = (profile_text(old), profile_text(new));
    let profiles = read_profiles(old_text, new_text);
    let services = profiles.as_ref().map(|(old, new)| profile::renamed(old, new)).unwrap_or_default();
    let renames = Renames::follow(&services, old, new);
    let subjects = profiles.as_ref().map(|(old, new)| profile::compare(old, new, &renames)).unwrap_or_default();

    let units = units::compare(old, new, &renames);
    let mut shown = files::shown_as_units(old, new);
    // A profile that cannot be read, or that differs only in how it is written, is a file like others.
    if !subjects.is_empty() {
        shown.extend([old_text, new_text].into_iter().flatten().map(|(path, _)| path));
    }
    let files = files::compare(old, new, &renames, &shown);
    let mut security =
        Security { changes: security::compare(old, new, &renames, &units), exposure: Exposure::default() };
    if exposure {
        security.exposure = exposure::compute(old, new, &renames, &units);
    }
    let side = || Side { label: String::new(), profile: String::new(), bundle: None };
    Diff {
        old: side(),
        new: side(),
        left_out: Vec::new(),
        security,
        plan: model::Disruption::default(),
        budget: budget::compare(&old.manifest.budget, &new.manifest.budget),
        profile: subjects,
        units,
        files,
        manifest: manifest(&old.manifest, &new.manifest),
        inputs: inputs(&old.manifest, &new.manifest),
    }
}

/// Returns the path and the text of the evaluated profile.
fn profile_text(bundle: &Bundle) -> Option<(&str, &[u8])> {
    let (path, _) = bundle.manifest.files.iter().find(|(_, file)| file.kind == FileKind::Profile)?;
    Some((path, bundle.files.get(path)?))
}

/// Returns both profiles; one that is not there is empty. `None` when one cannot be read.
fn read_profiles<'a>(
    old: Option<(&str, &'a [u8])>,
    new: Option<(&str, &'a [u8])>,
) -> Option<(Profile<'a>, Profile<'a>)> {
    let read = |text: Option<(&str, &'a [u8])>| text.map_or(Some(Profile::default()), |(_, text)| Profile::parse(text));
    read(old).zip(read(new))
}

/// Returns what differs in the rest of the manifest: what is not shown as a file, a unit or a budget.
fn manifest(old: &Manifest, new: &Manifest) -> Vec<Change> {
    let rest = |manifest: &Manifest| -> Option<Value> {
        let mut value = serde_json::to_value(manifest.without_lists()).ok()?;
        let fields = value.as_object_mut()?;
        for shown in ["files", "units", "budget", "inputs"] {
            fields.remove(shown);
        }
        Some(value)
    };
    values::compare(rest(old).as_ref(), rest(new).as_ref())
}

fn inputs(old: &Manifest, new: &Manifest) -> Vec<Input> {
    let names: BTreeSet<&String> = old.inputs.keys().chain(new.inputs.keys()).collect();
    let changed = names.into_iter().filter(|name| old.inputs.get(*name) != new.inputs.get(*name));
    let input = |path: &String| {
        let state = match (old.inputs.contains_key(path), new.inputs.contains_key(path)) {
            (false, _) => State::Added,
            (_, false) => State::Removed,
            _ => State::Changed,
        };
        Input { path: path.clone(), state }
    };
    changed.map(input).collect()
}

/// Returns a bundle of this profile with nothing in it.
pub fn nothing(profile: &str) -> Bundle {
    let manifest = Manifest {
        version: VERSION,
        profile: profile.to_owned(),
        description: None,
        compiler: Compiler { citadel: String::new(), nickel: String::new() },
        requires: Requirements {
            systemd: 0,
            host: String::new(),
            cpus: 0,
            memory_bytes: 0,
            gpus: Vec::new(),
            driver: None,
            cuda: None,
            mounts: Vec::new(),
            units: Vec::new(),
            users: Vec::new(),
            groups: Vec::new(),
        },
        main_target: String::new(),
        files: BTreeMap::new(),
        units: BTreeMap::new(),
        phases: Vec::new(),
        groups: BTreeMap::new(),
        credentials: BTreeMap::new(),
        budget: Budget::default(),
        inputs: BTreeMap::new(),
    };
    Bundle { manifest, files: BTreeMap::new() }
}
