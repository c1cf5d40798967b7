//! What differs between the files of two bundles that are no units.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Bytes, Content, FileChange, State};
use super::rename::Renames;
use super::{keyed, lines, units, values};
use crate::bundle::Bundle;
use crate::bundle::digest::Digest;
use crate::bundle::manifest::FileEntry;

/// Returns the files that differ, by path; `shown` are those that another part of the diff shows.
pub fn compare(old: &Bundle, new: &Bundle, renames: &Renames, shown: &BTreeSet<&str>) -> Vec<FileChange> {
    let (old_files, new_files) = (&old.manifest.files, &new.manifest.files);
    let readers = readers(old, new);
    let mut changes = Vec::new();
    for path in old_files.keys().chain(new_files.keys().filter(|path| !old_files.contains_key(*path))) {
        if renames.new_file(path).is_some() || shown.contains(path.as_str()) {
            continue;
        }
        let from = renames.old_file(path);
        let old_path = from.unwrap_or(path);
        let (before, after) = (old_files.get(old_path), new_files.get(path));
        if from.is_none() && before == after {
            continue;
        }
        let is_same = before.zip(after).is_some_and(|(old, new)| old.sha256 == new.sha256);
        let (old_attributes, new_attributes) = (before.map(keyed::attributes), after.map(keyed::attributes));
        let attributes = match from {
            // Where it belongs follows from its name.
            _ if before.is_none() || after.is_none() => Vec::new(),
            _ => values::compare(old_attributes.as_ref(), new_attributes.as_ref()),
        };
        let Some(entry) = after.or(before) else { continue };
        if is_same && attributes.is_empty() && from.is_none() {
            continue;
        }
        let content = match is_same {
            true => Content::Same,
            false => {
                let (old, new) = (before.map(|_| bytes(old, old_path)), after.map(|_| bytes(new, path)));
                content(path, entry, old, new)
            }
        };
        changes.push(FileChange {
            path: path.clone(),
            kind: entry.kind,
            state: state(before, after),
            renamed_from: from.map(str::to_owned),
            read_by: readers.get(path.as_str()).into_iter().flatten().map(|unit| (*unit).to_owned()).collect(),
            attributes,
            content,
        });
    }
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    changes
}

fn bytes<'a>(bundle: &'a Bundle, path: &str) -> &'a [u8] {
    bundle.files.get(path).map_or(&[], Vec::as_slice)
}

fn state(old: Option<&FileEntry>, new: Option<&FileEntry>) -> State {
    match (old, new) {
        (None, _) => State::Added,
        (_, None) => State::Removed,
        _ => State::Changed,
    }
}

/// Returns the units that read a file, by the file's path.
fn readers<'a>(old: &'a Bundle, new: &'a Bundle) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut readers: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (unit, entry) in old.manifest.units.iter().chain(&new.manifest.units) {
        for file in &entry.files {
            readers.entry(file).or_default().insert(unit);
        }
    }
    readers
}

/// Returns the files that the units show: all unit files that can be read as such on both sides.
pub fn shown_as_units<'a>(old: &'a Bundle, new: &'a Bundle) -> BTreeSet<&'a str> {
    let mut shown = BTreeSet::new();
    let mut broken = BTreeSet::new();
    for bundle in [old, new] {
        for entry in bundle.manifest.units.values() {
            let path = entry.file.as_str();
            let digest = |bundle: &Bundle| bundle.manifest.files.get(path).map(|file| file.sha256);
            let same = digest(old) == digest(new);
            if same || units::read(units::content(bundle, entry)).is_some() {
                shown.insert(path);
            } else {
                broken.insert(path);
            }
        }
    }
    shown.retain(|path| !broken.contains(path));
    shown
}

fn content(path: &str, entry: &FileEntry, old: Option<&[u8]>, new: Option<&[u8]>) -> Content {
    // `Some(None)` is a file that is not there, `None` one that is no text.
    let (old_text, new_text) =
        (old.map(std::str::from_utf8).transpose().ok(), new.map(std::str::from_utf8).transpose().ok());
    if let Some((old, new)) = old_text.zip(new_text)
        && ![old, new].into_iter().flatten().any(|text| text.contains('\0'))
    {
        if let Some((changes, not_shown)) = keyed::compare(path, entry.kind, old, new) {
            return Content::Keys { changes, not_shown };
        }
        return Content::Lines { hunks: lines::compare(old.unwrap_or_default(), new.unwrap_or_default()) };
    }
    // Text with a few broken bytes is still best read as text.
    let (old_shown, new_shown) = (escaped(old.unwrap_or_default()), escaped(new.unwrap_or_default()));
    if let Some((old, new)) = old_shown.zip(new_shown)
        && old != new
    {
        return Content::Lines { hunks: lines::compare(&old, &new) };
    }
    let bytes = |bytes: &[u8]| Bytes { size: bytes.len() as u64, sha256: Digest::of(bytes) };
    let (old_bytes, new_bytes) = (old.unwrap_or_default(), new.unwrap_or_default());
    let start = old_bytes.iter().zip(new_bytes).take_while(|(old, new)| old == new).count();
    let rest = old_bytes.len().min(new_bytes.len()) - start;
    let end = old_bytes.iter().rev().zip(new_bytes.iter().rev()).take(rest).take_while(|(old, new)| old == new).count();
    Content::Bytes { old: old.map(bytes), new: new.map(bytes), first_difference: start as u64, same_at_end: end as u64 }
}

/// Returns text with each byte that is not UTF-8 written like `\xff`, or `None` when there are many or the text has NUL.
fn escaped(bytes: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(bytes.len());
    let mut broken = 0;
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            broken += 1;
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    (broken * 10 <= bytes.len() && !bytes.contains(&0)).then_some(out)
}
