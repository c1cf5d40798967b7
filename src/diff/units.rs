//! What differs between the units of two bundles.

use serde_json::Value;

use super::budget::listen;
use super::keyed;
use super::model::{Change, Directive, NotShown, Note, State, UnitChange};
use super::rename::Renames;
use super::store;
use super::values::{self, elements};
use crate::bundle::Bundle;
use crate::bundle::manifest::UnitEntry;
use crate::bundle::unit::UnitFile;
use crate::bundle::unit::directives::{Kind, Lookup, lookup};
use crate::plan::{Difference, differences};

/// Returns the units that differ, by name; a renamed one stands under its new name.
pub fn compare(old: &Bundle, new: &Bundle, renames: &Renames) -> Vec<UnitChange> {
    let mut changes = Vec::new();
    let names = old
        .manifest
        .units
        .keys()
        .chain(new.manifest.units.keys().filter(|name| !old.manifest.units.contains_key(*name)));
    for name in names {
        if renames.new_unit(name).is_some() {
            continue;
        }
        let from = renames.old_unit(name);
        let old_name = from.unwrap_or(name);
        let (before, after) = (old.manifest.units.get(old_name), new.manifest.units.get(name));
        changes.extend(unit(name, from, before.map(|entry| (old, entry)), after.map(|entry| (new, entry))));
    }
    changes.sort_by(|one, other| one.name.cmp(&other.name));
    changes
}

type Side<'a> = Option<(&'a Bundle, &'a UnitEntry)>;

fn unit(name: &str, renamed_from: Option<&str>, old: Side<'_>, new: Side<'_>) -> Option<UnitChange> {
    // Most units of most diffs.
    if renamed_from.is_none() && old.zip(new).is_some_and(|(old, new)| is_same(old, new)) {
        return None;
    }
    let state = match (old, new) {
        (None, _) => State::Added,
        (_, None) => State::Removed,
        _ => State::Changed,
    };
    let (old_text, new_text) = (side_content(old), side_content(new));
    let mut change = UnitChange {
        name: name.to_owned(),
        state,
        renamed_from: renamed_from.map(str::to_owned),
        service: new.or(old).and_then(|(_, entry)| entry.service.clone()),
        step: None,
        directives: Vec::new(),
        files: files(old, new),
        manifest: entries(old, new),
        not_shown: Vec::new(),
    };
    if old_text != new_text
        && let Some((old, new)) = read(old_text.unwrap_or_default()).zip(read(new_text.unwrap_or_default()))
    {
        let not_shown;
        (change.directives, not_shown) = directives(&old, &new);
        if state == State::Changed {
            change.not_shown = not_shown;
            change.not_shown.extend(meaningless(
                old_text.unwrap_or_default(),
                new_text.unwrap_or_default(),
                &old,
                &new,
            ));
        }
        change.not_shown.sort();
        change.not_shown.dedup();
    }
    let differs = state != State::Changed
        || renamed_from.is_some()
        || old_text != new_text
        || !change.files.is_empty()
        || !change.manifest.is_empty();
    differs.then_some(change)
}

/// Whether nothing at all differs between a unit of one bundle and of the other.
fn is_same((old, before): (&Bundle, &UnitEntry), (new, after): (&Bundle, &UnitEntry)) -> bool {
    let file = |name: &String| old.manifest.files.get(name) == new.manifest.files.get(name);
    before == after
        && content(old, before) == content(new, after)
        && file(&before.file)
        && before.files.iter().all(file)
}

fn side_content<'a>(side: Side<'a>) -> Option<&'a [u8]> {
    side.map(|(bundle, entry)| content(bundle, entry))
}

/// Returns the bytes of a unit's file; none when the bundle does not have it.
pub fn content<'a>(bundle: &'a Bundle, entry: &UnitEntry) -> &'a [u8] {
    bundle.files.get(&entry.file).map_or(&[], Vec::as_slice)
}

/// Returns a unit file, or `None` when systemd could not read all of it either.
pub fn read(text: &[u8]) -> Option<UnitFile> {
    UnitFile::parse(std::str::from_utf8(text).ok()?).ok()
}

fn directives(old: &UnitFile, new: &UnitFile) -> (Vec<Directive>, Vec<NotShown>) {
    let (mut shown, mut not_shown) = (Vec::new(), Vec::new());
    for difference in differences(old, new) {
        if difference.is_content_only() {
            not_shown.push(NotShown::Digests);
            continue;
        }
        let digests = |values: &[String]| values.iter().any(|value| store::mask(value) != *value);
        if digests(&difference.old) || digests(&difference.new) {
            not_shown.push(NotShown::Digests);
        }
        shown.push(directive(difference));
    }
    (shown, not_shown)
}

fn directive(difference: Difference) -> Directive {
    let Difference { section, key, old, new } = difference;
    let masked = |values: Vec<String>| values.iter().map(|value| store::mask(value)).collect::<Vec<_>>();
    let (old, new) = (masked(old), masked(new));
    let split = is_split(&section, &key) && !old.iter().chain(&new).any(|value| value.contains(['"', '\'', '\\']));
    let (mut removed, mut added) = match split {
        true => elements(&words(&old), &words(&new)),
        false => elements(&old, &new),
    };
    let mut note = None;
    if removed.is_empty() && added.is_empty() {
        note = Some(Note::Reordered);
    } else if old.len() <= 1 && new.len() <= 1 && !split {
        // One value in the place of another is told by the two alone.
        (removed, added) = (Vec::new(), Vec::new());
    }
    Directive { section, key, old, new, removed, added, note }
}

/// Whether systemd reads the value as words, each of which counts by itself.
fn is_split(section: &str, key: &str) -> bool {
    let Lookup::Known(kind) = lookup(section, key, u32::MAX) else { return false };
    matches!(
        kind,
        Kind::Units
            | Kind::Paths
            | Kind::RelativePaths
            | Kind::Environment
            | Kind::Addresses
            | Kind::AddressFamilies
            | Kind::Capabilities
            | Kind::Urls
    ) || WORDS.contains(&key)
}

/// Directives of words whose parser checks more than that.
const WORDS: [&str; 6] = [
    "PassEnvironment",
    "RestrictNamespaces",
    "SupplementaryGroups",
    "SystemCallArchitectures",
    "SystemCallFilter",
    "UnsetEnvironment",
];

fn words(values: &[String]) -> Vec<String> {
    values.iter().flat_map(|value| value.split_whitespace()).map(str::to_owned).collect()
}

/// Returns what differs between two unit files besides the directives that say something else.
fn meaningless(old_text: &[u8], new_text: &[u8], old: &UnitFile, new: &UnitFile) -> Vec<NotShown> {
    let mut found = Vec::new();
    let differing = differences(old, new);
    let is_shown = |section: &str, key: &str| differing.iter().any(|it| it.section == section && it.key == key);
    let mut keys: Vec<String> = Vec::new();
    let mut pairs: Vec<(&str, &str)> = pairs(old).chain(pairs(new)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    for (section, key) in pairs {
        if !is_shown(section, key) && !old.values(section, key).eq(new.values(section, key)) {
            keys.push(key.to_owned());
        }
    }
    let order = |unit: &UnitFile| -> Vec<(String, String)> {
        let kept = pairs_of(unit).into_iter().filter(|(section, key)| !is_shown(section, key));
        kept.map(|(section, key)| (section.to_owned(), key.to_owned())).collect()
    };
    let reordered = order(old) != order(new) && keys.is_empty();
    if !keys.is_empty() {
        keys.dedup();
        found.push(NotShown::SameMeaning { keys });
    }
    let (old_text, new_text) = (String::from_utf8_lossy(old_text), String::from_utf8_lossy(new_text));
    if keyed::comments(&old_text) != keyed::comments(&new_text) {
        found.push(NotShown::Comments);
    }
    if reordered || (found.is_empty() && differing.is_empty()) {
        found.push(NotShown::Layout);
    }
    found
}

fn pairs(unit: &UnitFile) -> impl Iterator<Item = (&str, &str)> {
    pairs_of(unit).into_iter()
}

fn pairs_of(unit: &UnitFile) -> Vec<(&str, &str)> {
    let of = |section: &'_ crate::bundle::unit::Section| section.entries.len();
    let mut pairs = Vec::with_capacity(unit.sections.iter().map(of).sum());
    for section in &unit.sections {
        pairs.extend(section.entries.iter().map(|entry| (section.name.as_str(), entry.key.as_str())));
    }
    pairs
}

/// Returns the files that the unit reads and that differ, by their path on the side that has them.
fn files(old: Side<'_>, new: Side<'_>) -> Vec<String> {
    let digest = |side: Side<'_>, name: &str| {
        let (bundle, entry) = side?;
        entry.files.iter().any(|file| file == name).then(|| bundle.manifest.files.get(name))?.map(|file| file.sha256)
    };
    let mut names: Vec<&String> = old.into_iter().chain(new).flat_map(|(_, entry)| &entry.files).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().filter(|name| digest(old, name) != digest(new, name)).cloned().collect()
}

/// Returns what differs in the manifest's entry of a unit and of its file.
fn entries(old: Side<'_>, new: Side<'_>) -> Vec<Change> {
    let both = old.is_some() && new.is_some();
    let value = |side: Side<'_>| -> Option<Value> {
        let (bundle, entry) = side?;
        let mut value = serde_json::to_value(entry).ok()?;
        let fields = value.as_object_mut()?;
        // The names of its files differ when it is renamed, which is said already.
        fields.remove("file");
        fields.remove("service");
        let listens = entry.listens.iter().map(|it| Value::from(listen(&it.address, it.port)));
        fields.insert("listens".to_owned(), listens.collect());
        if !both {
            fields.retain(|_, value| !is_nothing(value));
        }
        if let Some(file) = bundle.manifest.files.get(&entry.file)
            && (both || file.mode != "0644" || file.owner != "root" || file.group != "root")
        {
            fields.insert("file".to_owned(), keyed::attributes(file));
        }
        Some(value)
    };
    let (old, new) = (value(old), value(new));
    values::compare(old.as_ref(), new.as_ref())
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text == "auto",
        _ => false,
    }
}
