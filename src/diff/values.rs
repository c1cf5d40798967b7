//! What differs between two values of JSON, by the path of each leaf.

use serde_json::{Map, Value};

use super::model::{Change, Note};
use crate::bundle::quantity::{Size, Span};

/// Returns the leaves that differ, sorted by path.
pub fn compare(old: Option<&Value>, new: Option<&Value>) -> Vec<Change> {
    let mut changes = Vec::new();
    walk("", old, new, &mut changes);
    changes
}

/// Returns the path of a member: a name that is no plain word stands in quotes.
pub fn member(path: &str, name: &str) -> String {
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let name = if plain { name.to_owned() } else { Value::from(name).to_string() };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

fn walk(path: &str, old: Option<&Value>, new: Option<&Value>, changes: &mut Vec<Change>) {
    if old == new {
        return;
    }
    match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => members(path, Some(old), Some(new), changes),
        (Some(Value::Object(old)), None) if !old.is_empty() => members(path, Some(old), None, changes),
        (None, Some(Value::Object(new))) if !new.is_empty() => members(path, None, Some(new), changes),
        (Some(Value::Array(old)), Some(Value::Array(new))) => match named(old).zip(named(new)) {
            Some((old, new)) => members(path, Some(&old), Some(&new), changes),
            None => changes.push(list(path, old, new)),
        },
        _ => {
            let note = same_amount(old, new).then_some(Note::SameAmount);
            changes.push(Change { note, ..leaf(path, old, new) });
        }
    }
}

fn members(path: &str, old: Option<&Map<String, Value>>, new: Option<&Map<String, Value>>, changes: &mut Vec<Change>) {
    let mut names: Vec<&String> = old.into_iter().chain(new).flat_map(Map::keys).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let (old, new) = (old.and_then(|old| old.get(name)), new.and_then(|new| new.get(name)));
        walk(&member(path, name), old, new, changes);
    }
}

/// Returns a list of objects by the name in each, when all have one and no two have the same.
fn named(list: &[Value]) -> Option<Map<String, Value>> {
    let mut objects = Map::new();
    for element in list {
        let fields = element.as_object()?;
        let name = ["name", "service", "unit"].into_iter().find_map(|key| fields.get(key)?.as_str())?;
        if objects.insert(name.to_owned(), element.clone()).is_some() {
            return None;
        }
    }
    Some(objects)
}

fn list(path: &str, old: &[Value], new: &[Value]) -> Change {
    let (mut removed, mut added) = elements(old, new);
    let note = (removed.is_empty() && added.is_empty()).then_some(Note::Reordered);
    if old.len() == 1 && new.len() == 1 {
        // One element in the place of another is told by the two lists alone.
        (removed, added) = (Vec::new(), Vec::new());
    }
    let whole = |values: &[Value]| Some(Value::Array(values.to_vec()));
    Change { path: path.to_owned(), old: whole(old), new: whole(new), removed, added, note }
}

fn leaf(path: &str, old: Option<&Value>, new: Option<&Value>) -> Change {
    Change {
        path: path.to_owned(),
        old: old.cloned(),
        new: new.cloned(),
        removed: Vec::new(),
        added: Vec::new(),
        note: None,
    }
}

/// Returns the elements that only one of the lists has, each as often as it has it more.
pub fn elements<T: Clone + PartialEq>(old: &[T], new: &[T]) -> (Vec<T>, Vec<T>) {
    // Lists of one kind are short; what is not is cut off by the length of the common ends.
    let start = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[start..], &new[start..]);
    let end = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[..old.len() - end], &new[..new.len() - end]);
    if old.len().saturating_mul(new.len()) > MOST_PAIRS {
        return (old.to_vec(), new.to_vec());
    }
    let mut added = new.to_vec();
    let mut removed = Vec::new();
    for element in old {
        match added.iter().position(|other| other == element) {
            Some(at) => {
                added.remove(at);
            }
            None => removed.push(element.clone()),
        }
    }
    (removed, added)
}

const MOST_PAIRS: usize = 4_000_000;

/// Whether two texts are the same amount of memory or the same length of time, or two numbers are equal.
fn same_amount(old: Option<&Value>, new: Option<&Value>) -> bool {
    match (old, new) {
        (Some(Value::String(old)), Some(Value::String(new))) => {
            let both = |amount: fn(&str) -> Option<u128>| amount(old).is_some_and(|old| amount(new) == Some(old));
            both(|text| Size::parse(text).map(|size| u128::from(size.0)))
                || both(|text| Span::parse(text).map(|span| span.0.as_millis()))
        }
        (Some(Value::Number(old)), Some(Value::Number(new))) => {
            // Integers that a float cannot hold may look equal and are not.
            let exact = |number: f64| number.abs() < 9e15;
            old.as_f64().is_some_and(|old| exact(old) && new.as_f64() == Some(old))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compared(old: Value, new: Value) -> Vec<String> {
        let text = |value: Option<Value>| value.map_or("-".to_owned(), |value| value.to_string());
        compare(Some(&old), Some(&new))
            .into_iter()
            .map(|it| format!("{} {} {} {}", it.path, text(it.old), text(it.new), it.note.map_or("", Note::words)))
            .collect()
    }

    #[test]
    fn leaves_have_their_paths() {
        assert_eq!(
            compared(json!({"a": {"b.c": 1, "d": 1, "f": {}}}), json!({"a": {"b.c": 2, "d": 1, "e": {"g": null}}})),
            ["a.\"b.c\" 1 2 ", "a.e.g - null ", "a.f {} - "]
        );
    }

    #[test]
    fn amounts_are_equal_however_they_are_written() {
        assert_eq!(
            compared(
                json!({"a": "1G", "b": "90s", "c": 1, "d": "1G"}),
                json!({"a": "1024M", "b": "1min30s", "c": 1.0, "d": "2G"})
            ),
            [
                "a \"1G\" \"1024M\" the same amount",
                "b \"90s\" \"1min30s\" the same amount",
                "c 1 1.0 the same amount",
                "d \"1G\" \"2G\" "
            ]
        );
    }

    #[test]
    fn lists_are_compared_by_element() {
        let changes = compare(Some(&json!({"a": [1, 2, 2, 3]})), Some(&json!({"a": [3, 2, 4]})));
        assert_eq!((&changes[0].removed, &changes[0].added), (&vec![json!(1), json!(2)], &vec![json!(4)]));
        assert_eq!(compared(json!([1, 2]), json!([2, 1])), [" [1,2] [2,1] the order only"]);
        assert_eq!(
            compared(json!({"s": [{"name": "a", "x": 1}]}), json!({"s": [{"name": "b"}, {"name": "a", "x": 2}]})),
            ["s.a.x 1 2 ", "s.b.name - \"b\" "]
        );
    }
}
