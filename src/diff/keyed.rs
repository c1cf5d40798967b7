//! Files whose content is values by key: environment variables, JSON and YAML.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::model::{Change, NotShown};
use super::{values, yaml};
use crate::bundle::env_file::parse_env_file;
use crate::bundle::manifest::{FileEntry, FileKind};

/// Longer files are compared line by line.
const LONGEST: usize = 4 << 20;

/// Returns what differs by key, or `None` when one of the texts is not of values by key.
pub fn compare(
    path: &str,
    kind: FileKind,
    old: Option<&str>,
    new: Option<&str>,
) -> Option<(Vec<Change>, Vec<NotShown>)> {
    let read = |text: Option<&str>| match text {
        None => Some(None),
        Some(text) if text.len() > LONGEST => None,
        Some(text) => parse(path, kind, text).filter(|value| value.is_object() || value.is_array()).map(Some),
    };
    let (old_value, new_value) = (read(old)?, read(new)?);
    let changes = values::compare(old_value.as_ref(), new_value.as_ref());
    let not_shown = match (old, new) {
        (Some(old), Some(new)) => besides(old, new, &changes),
        _ => Vec::new(),
    };
    Some((changes, not_shown))
}

fn parse(path: &str, kind: FileKind, text: &str) -> Option<Value> {
    if kind == FileKind::Env {
        let mut variables = Map::new();
        for (name, value) in parse_env_file(text).ok()? {
            // The last one counts, and a reader would not see that.
            if variables.insert(name, Value::from(value)).is_some() {
                return None;
            }
        }
        return Some(Value::Object(variables));
    }
    match path.rsplit('.').next()? {
        "json" => serde_json::from_str(text).ok(),
        "yaml" | "yml" => yaml::parse(text),
        _ => None,
    }
}

/// Returns what differs besides the values of the keys that do.
///
/// A line that differs belongs to a key when it has its name, or an element of its list, in it; anything else is layout, or a comment.
fn besides(old: &str, new: &str, changes: &[Change]) -> Vec<NotShown> {
    let words: BTreeSet<String> = changes.iter().flat_map(words).collect();
    let (old_lines, new_lines): (BTreeSet<&str>, BTreeSet<&str>) = (old.lines().collect(), new.lines().collect());
    let lines: Vec<&str> = old_lines.symmetric_difference(&new_lines).copied().collect();
    let mut found = BTreeSet::new();
    if comments(old) != comments(new) {
        found.insert(NotShown::Comments);
    }
    let explained = |line: &str| {
        let line = line.trim();
        line.starts_with('#')
            || line.is_empty()
            || is_bracket(line)
            || words.iter().any(|word| line.contains(word.as_str()))
    };
    let unexplained = lines.iter().any(|line| !explained(line));
    if unexplained || (changes.is_empty() && found.is_empty()) {
        found.insert(NotShown::Layout);
    }
    found.into_iter().collect()
}

/// What a line of this change may have in it.
fn words(change: &Change) -> Vec<String> {
    // A path ends in a plain name or in one in quotes.
    let name = change.path.strip_suffix('"').and_then(|path| path.rsplit_once('"')).map(|(_, name)| name);
    let name = name.unwrap_or_else(|| change.path.rsplit('.').next().unwrap_or_default());
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    // An element of a list has a line of its own; a value stands behind its key.
    let lists = [&change.old, &change.new].into_iter().flatten().filter_map(Value::as_array);
    let elements = lists.flatten().map(text);
    let path = change.path.split('.').map(str::to_owned);
    path.chain(elements).chain([name.to_owned()]).filter(|word| !word.is_empty()).collect()
}

fn is_bracket(line: &str) -> bool {
    line.chars().all(|it| "[]{},".contains(it))
}

/// Returns the lines that only people read.
pub fn comments(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| line.is_empty() || line.starts_with(['#', ';'])).collect()
}

/// Returns who may do what with a file, and where it belongs; the digest in a path does not count.
pub fn attributes(file: &FileEntry) -> Value {
    let mut fields = Map::new();
    for (name, value) in [("mode", &file.mode), ("owner", &file.owner), ("group", &file.group)] {
        fields.insert(name.to_owned(), Value::from(value.as_str()));
    }
    if let Some(target) = &file.target {
        fields.insert("target".to_owned(), Value::from(super::store::mask(target)));
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(path: &str, kind: FileKind, old: &str, new: &str) -> Option<(Vec<String>, Vec<NotShown>)> {
        let (changes, not_shown) = compare(path, kind, Some(old), Some(new))?;
        Some((changes.into_iter().map(|change| change.path).collect(), not_shown))
    }

    #[test]
    fn files_are_read_by_what_they_are() {
        let env = compared("a.env", FileKind::Env, "A=\"1\"\nB=\"2\"\n", "B=\"2\"\nA=\"3\"\n");
        assert_eq!(env, Some((vec!["A".to_owned()], vec![])));
        let json = compared("a.json", FileKind::Config, "{\"a\": [1]}", "{\"a\": [2]}");
        assert_eq!(json, Some((vec!["a".to_owned()], vec![])));
        assert_eq!(compared("a.yaml", FileKind::Config, "a: 1\n", "a: [\n"), None);
        assert_eq!(compared("a.conf", FileKind::Raw, "a\n", "b\n"), None);
        assert_eq!(compared("a.env", FileKind::Env, "A=\"1\"\n", "A=\"1\"\nA=\"2\"\n"), None);
    }

    #[test]
    fn what_means_nothing_is_told() {
        let yaml = |old: &str, new: &str| compared("a.yaml", FileKind::Config, old, new);
        assert_eq!(yaml("# x\na: 1\n", "# y\na: 1\n"), Some((vec![], vec![NotShown::Comments])));
        assert_eq!(yaml("a: 1\nb: 2\n", "b: 2\na: 1\n"), Some((vec![], vec![NotShown::Layout])));
        assert_eq!(yaml("a: 1 # x\nb: 1\n", "a: 1 # y\nb: 2\n"), Some((vec!["b".to_owned()], vec![NotShown::Layout])));
    }
}
