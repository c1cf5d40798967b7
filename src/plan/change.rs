//! What changes for one unit that both bundles have.

use std::collections::BTreeSet;

use super::action::{Action, Reason};
use super::compare::{Difference, differences, store_paths};
use super::effect::{Effect, effect};
use super::units::{Unit, Units};
use crate::bundle::manifest::{ChangePolicy, FileEntry, STORE};
use crate::bundle::unit::{UnitKind, UnitName};

/// What differs between the old and the new definition of a unit.
#[derive(Debug)]
pub(super) struct Change {
    /// The most disruptive of what is needed.
    pub effect: Effect,
    /// The most disruptive first; empty when nothing differs.
    pub reasons: Vec<Reason>,
    /// Whether a service that reads its configuration again would see everything that shapes its process.
    pub reloadable: bool,
    /// Whether anything but words for people differs.
    pub matters: bool,
}

impl Change {
    pub fn between(name: &UnitName, old: (&Units<'_>, &Unit<'_>), new: (&Units<'_>, &Unit<'_>)) -> Self {
        let mut found: Vec<(Effect, bool, Reason)> = Vec::new();
        let mut matters = false;
        for difference in differences(&old.1.file, &new.1.file) {
            let effect = effect(name.kind(), &difference);
            matters |= effect != Effect::None && !["Description", "Documentation"].contains(&difference.key.as_str());
            let reasons = reasons_of(&difference, old.0, new.0);
            found.extend(reasons.into_iter().map(|reason| (effect, false, reason)));
        }
        if let Some(reason) = wanted_by(old.1, new.1).filter(|_| !found.iter().any(|(.., reason)| is_wanted_by(reason)))
        {
            found.push((Effect::ManagerReload, false, reason));
        }
        for file in changed_files(old, new) {
            matters = true;
            found.push((Effect::Process, true, Reason::File { file }));
        }
        found.sort_by_key(|(effect, ..)| std::cmp::Reverse(*effect));
        let process: Vec<_> = found.iter().filter(|(effect, ..)| *effect >= Effect::Process).collect();
        let mut reasons: Vec<Reason> = Vec::new();
        for (_, _, reason) in &found {
            if !reasons.contains(reason) {
                reasons.push(reason.clone());
            }
        }
        Change {
            effect: found.first().map_or(Effect::None, |(effect, ..)| *effect),
            reloadable: process.iter().all(|(_, in_place, _)| *in_place),
            reasons,
            matters,
        }
    }

    /// Returns what differs on the way back as far as the reasons of the way there tell it, for when one of the two
    /// definitions can no longer be read.
    pub fn recalled(kind: UnitKind, there: &[Reason]) -> Self {
        let lines = |text: &Option<String>| text.iter().flat_map(|text| text.split('\n')).map(str::to_owned).collect();
        let back = |reason: &Reason| match reason {
            Reason::File { .. } => Some((Effect::Process, reason.clone())),
            Reason::Directive { section, key, old, new } => {
                let (section, key) = (section.clone(), key.clone());
                let difference = Difference { section, key, old: lines(new), new: lines(old) };
                let effect = effect(kind, &difference);
                let Difference { section, key, .. } = difference;
                Some((effect, Reason::Directive { section, key, old: new.clone(), new: old.clone() }))
            }
            _ => None,
        };
        let found: Vec<_> = there.iter().filter_map(back).collect();
        Change {
            effect: found.iter().map(|(effect, _)| *effect).max().unwrap_or(Effect::None),
            reasons: found.into_iter().map(|(_, reason)| reason).collect(),
            reloadable: false,
            matters: true,
        }
    }

    /// Returns what happens to the unit if it is up, with the reasons that lead to it.
    pub fn while_up(&self, unit: &Unit<'_>) -> (Action, Vec<Reason>) {
        let with = |action, first: Option<Reason>| (action, first.into_iter().chain(self.reasons.clone()).collect());
        match (self.effect, unit.policy()) {
            (Effect::None, _) if self.reasons.is_empty() => (Action::Nothing, vec![Reason::Unchanged]),
            (Effect::None, _) => with(Action::Nothing, None),
            (Effect::ManagerReload, _) => with(Action::ReloadManager, None),
            (_, ChangePolicy::Keep) => with(Action::Keep, Some(Reason::Policy)),
            (Effect::Reload, ChangePolicy::Restart) => with(Action::Restart, Some(Reason::Policy)),
            (Effect::Reload, _) => with(Action::Reload, None),
            (Effect::StopFirst, _) => with(Action::StopStart, None),
            (Effect::Process, ChangePolicy::Reload) => with(Action::Reload, Some(Reason::Policy)),
            (Effect::Process, ChangePolicy::Restart) if unit.entry.can_reload && self.reloadable => {
                with(Action::Restart, Some(Reason::Policy))
            }
            (Effect::Process, ChangePolicy::Restart) => with(Action::Restart, None),
            (Effect::Process, ChangePolicy::Auto) if unit.entry.can_reload && self.reloadable => {
                with(Action::Reload, None)
            }
            // Its next run is under the new definition; half a copy helps nobody.
            (Effect::Process, ChangePolicy::Auto) if unit.finishes() => with(Action::Keep, Some(Reason::Finishes)),
            (Effect::Process, ChangePolicy::Auto) => with(Action::Restart, None),
        }
    }
}

fn reasons_of(difference: &Difference, old: &Units<'_>, new: &Units<'_>) -> Vec<Reason> {
    if difference.is_content_only() {
        let paths = |values: &[String]| -> BTreeSet<String> {
            values.iter().flat_map(|value| store_paths(value)).map(str::to_owned).collect()
        };
        let (before, after) = (paths(&difference.old), paths(&difference.new));
        let file = |path: &String| new.file_at(path).or_else(|| old.file_at(path)).unwrap_or(path).to_owned();
        let files: Vec<_> = after.difference(&before).map(file).collect();
        if !files.is_empty() {
            return files.into_iter().map(|file| Reason::File { file }).collect();
        }
    }
    let joined = |values: &[String]| (!values.is_empty()).then(|| values.join("\n"));
    vec![Reason::Directive {
        section: difference.section.clone(),
        key: difference.key.clone(),
        old: joined(&difference.old),
        new: joined(&difference.new),
    }]
}

/// Returns the files with a fixed place that the unit reads and that differ. Those of the store differ in their path,
/// which the unit names.
fn changed_files(old: (&Units<'_>, &Unit<'_>), new: (&Units<'_>, &Unit<'_>)) -> Vec<String> {
    let names: BTreeSet<&String> = old.1.entry.files.iter().chain(&new.1.entry.files).collect();
    let entry = |(units, unit): (&Units<'_>, &Unit<'_>), name: &String| -> Option<FileEntry> {
        let read = unit.entry.files.contains(name);
        units.manifest.filter(|_| read)?.files.get(name).filter(|entry| is_in_place(entry)).cloned()
    };
    names.into_iter().filter(|name| entry(old, name) != entry(new, name)).cloned().collect()
}

fn is_in_place(entry: &FileEntry) -> bool {
    entry.target.as_ref().is_some_and(|target| !target.starts_with(STORE))
}

fn wanted_by(old: &Unit<'_>, new: &Unit<'_>) -> Option<Reason> {
    let joined = |unit: &Unit<'_>| {
        let names: BTreeSet<_> = unit.wanted_by().collect();
        let names: Vec<_> = names.iter().map(UnitName::as_str).collect();
        (!names.is_empty()).then(|| names.join(" "))
    };
    let (old, new) = (joined(old), joined(new));
    let (section, key) = ("Install".to_owned(), "WantedBy".to_owned());
    (old != new).then_some(Reason::Directive { section, key, old, new })
}

fn is_wanted_by(reason: &Reason) -> bool {
    matches!(reason, Reason::Directive { section, key, .. } if section == "Install" && key == "WantedBy")
}
