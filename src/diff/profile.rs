//! What differs in the words of the profile: services, models, and everything else that it names.
//!
//! A profile of a thousand services is megabytes of JSON. Only the parts whose text differs are read as values.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use serde_json::value::RawValue;

use super::model::{Change, Note, State, Subject};
use super::rename::Renames;
use super::values;

/// An evaluated profile, by the names of its parts.
#[derive(Default)]
pub struct Profile<'a> {
    parts: BTreeMap<String, &'a RawValue>,
    /// By far the longest part, which is asked for more than once.
    services: OnceCell<Members<'a>>,
}

const SERVICES: &str = "services";

type Members<'a> = BTreeMap<String, &'a RawValue>;

impl<'a> Profile<'a> {
    /// Reads a profile, or returns `None` when the text is none.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(text).ok().map(|parts| Profile { parts, services: OnceCell::new() })
    }

    fn text(&self, part: &str) -> Option<&'a str> {
        self.parts.get(part).map(|raw| raw.get())
    }

    fn members(&self, part: &str) -> Cow<'_, Members<'a>> {
        let read = || self.parts.get(part).and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        if part == SERVICES { Cow::Borrowed(self.services.get_or_init(read)) } else { Cow::Owned(read()) }
    }
}

/// Parts of a profile that hold things by name, and what one of these is called; the order is that of the diff.
const NAMED: [(&str, &str); 16] = [
    ("services", "service"),
    ("apps", "app"),
    ("targets", "target"),
    ("timers", "timer"),
    ("sockets", "socket"),
    ("slices", "slice"),
    ("gpus", "gpu"),
    ("phases", "phase"),
    ("groups", "group"),
    ("credentials", "credential"),
    ("users", "user"),
    ("user_groups", "user group"),
    ("directories", "directory"),
    ("log_rotation", "log rotation"),
    ("units", "raw unit"),
    ("files", "raw file"),
];

/// Returns what differs, models and services first.
pub fn compare<'a>(old: &Profile<'a>, new: &Profile<'a>, renames: &Renames) -> Vec<Subject> {
    let mut subjects = Vec::new();
    for (part, kind) in NAMED {
        if old.text(part) != new.text(part) {
            named(part, kind, old, new, renames, &mut subjects);
        }
    }
    subjects.sort_by_key(|subject| subject.kind != "model");
    let rest: BTreeSet<&String> = old.parts.keys().chain(new.parts.keys()).collect();
    for part in rest.into_iter().filter(|part| NAMED.iter().all(|(named, _)| named != part)) {
        let (old, new) = (old.text(part), new.text(part));
        if old == new {
            continue;
        }
        let (old, new) = (old.and_then(value), new.and_then(value));
        let changes = values::compare(old.as_ref(), new.as_ref());
        if !changes.is_empty() {
            let state = state(old.is_some(), new.is_some());
            subjects.push(Subject {
                kind: "profile".to_owned(),
                name: part.clone(),
                state,
                renamed_from: None,
                changes,
            });
        }
    }
    subjects
}

/// Returns the names of everything that a profile names, whatever it is.
pub fn names(text: &[u8]) -> BTreeSet<String> {
    let profile = Profile::parse(text).unwrap_or_default();
    NAMED.iter().flat_map(|(part, _)| profile.members(part).into_owned().into_keys()).collect()
}

fn named<'a>(
    part: &str,
    kind: &str,
    old: &Profile<'a>,
    new: &Profile<'a>,
    renames: &Renames,
    subjects: &mut Vec<Subject>,
) {
    let (old, new) = (old.members(part), new.members(part));
    let (old, new) = (old.as_ref(), new.as_ref());
    let service = part == SERVICES;
    let mut usual = Usual::default();
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        if service && renames.new_service(name).is_some() {
            continue;
        }
        let from = renames.old_service(name).filter(|_| service);
        let text = |members: &Members<'a>, name: &str| members.get(name).map(|raw| raw.get());
        let (before, after) = (text(old, from.unwrap_or(name)), text(new, name));
        if before == after && from.is_none() {
            continue;
        }
        let (before, after) = (before.and_then(value), after.and_then(value));
        let mut changes = values::compare(before.as_ref(), after.as_ref());
        let state = state(before.is_some(), after.is_some());
        if state != State::Changed {
            // What is not set says nothing about something that is only on one side.
            changes.retain(|change| !is_nothing(change.new.as_ref().or(change.old.as_ref())));
            if service {
                usual.mark(if state == State::Added { new } else { old }, &mut changes);
            }
        }
        if changes.is_empty() && from.is_none() && state == State::Changed {
            continue;
        }
        let is_model = |value: &Option<Value>| value.as_ref().is_some_and(|value| value["vllm"].is_object());
        let kind = if service && (is_model(&after) || after.is_none() && is_model(&before)) { "model" } else { kind };
        subjects.push(Subject {
            kind: kind.to_owned(),
            name: name.clone(),
            state,
            renamed_from: from.map(str::to_owned),
            changes,
        });
    }
}

fn state(old: bool, new: bool) -> State {
    match (old, new) {
        (false, _) => State::Added,
        (_, false) => State::Removed,
        _ => State::Changed,
    }
}

fn value(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

fn is_nothing(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Object(fields)) => fields.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        Some(_) => false,
    }
}

/// How many services have a value at a path, and how many there are.
type Counts = (BTreeMap<(String, String), usize>, usize);

/// What most services of a profile have, which is not worth a line for a new one.
#[derive(Default)]
struct Usual {
    /// By the address of the services.
    counted: BTreeMap<usize, Counts>,
}

/// With more services, some stand for all.
const SAMPLE: usize = 40;

impl Usual {
    fn mark(&mut self, services: &Members<'_>, changes: &mut [Change]) {
        let key = std::ptr::from_ref(services).addr();
        let (counts, all) = self.counted.entry(key).or_insert_with(|| {
            let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
            let step = services.len().div_ceil(SAMPLE).max(1);
            let sample: Vec<_> = services.values().step_by(step).collect();
            for raw in &sample {
                for change in values::compare(None, value(raw.get()).as_ref()) {
                    let shown = change.new.map_or_else(String::new, |value| value.to_string());
                    *counts.entry((change.path, shown)).or_default() += 1;
                }
            }
            (counts, sample.len())
        });
        for change in changes {
            let shown = change.new.as_ref().or(change.old.as_ref()).map_or_else(String::new, Value::to_string);
            let count = counts.get(&(change.path.clone(), shown)).copied().unwrap_or_default();
            if *all > 2 && count * 2 > *all {
                change.note = Some(Note::Usual);
            }
        }
    }
}

/// Returns services that are gone and that came back under another name, old name by new.
///
/// Two services are the same when they run the same thing and nearly all of their options agree.
pub fn renamed(old: &Profile<'_>, new: &Profile<'_>) -> Vec<(String, String)> {
    if old.text(SERVICES) == new.text(SERVICES) {
        return Vec::new();
    }
    let (old, new) = (old.members(SERVICES), new.members(SERVICES));
    let only = |members: &Members<'_>, other: &Members<'_>| -> Vec<Leaves> {
        let only = members.iter().filter(|(name, _)| !other.contains_key(*name));
        only.map(|(name, raw)| Leaves::of(name, value(raw.get()))).collect()
    };
    let (gone, come) = (only(&old, &new), only(&new, &old));
    if gone.len().saturating_mul(come.len()) > MOST_PAIRS {
        return Vec::new();
    }
    let mut pairs: Vec<(u64, [&str; 2], (&str, &str))> = Vec::new();
    for old in &gone {
        for new in &come {
            let alike = old.alike(new);
            if alike >= ALIKE {
                let mut sorted = [old.name.as_str(), new.name.as_str()];
                sorted.sort_unstable();
                pairs.push((alike, sorted, (&old.name, &new.name)));
            }
        }
    }
    // The names in their own order, so that both directions of a diff find the same pairs.
    pairs.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(&other.1)));
    let (mut used, mut found) = (BTreeSet::new(), Vec::new());
    for (.., (old, new)) in pairs {
        if !used.contains(&(false, old)) && !used.contains(&(true, new)) {
            used.extend([(false, old), (true, new)]);
            found.push((old.to_owned(), new.to_owned()));
        }
    }
    found.sort();
    found
}

/// More services come and go at once only in another profile.
const MOST_PAIRS: usize = 2500;
/// How many of a thousand leaves agree at least.
const ALIKE: u64 = 850;

/// The options of a service that are set.
struct Leaves {
    name: String,
    /// What it runs: the option for it.
    runs: Option<&'static str>,
    all: BTreeMap<String, String>,
}

impl Leaves {
    fn of(name: &str, service: Option<Value>) -> Self {
        let runs = ["exec", "vllm", "gunicorn", "celery", "runtime"];
        let runs = runs.into_iter().find(|key| service.as_ref().is_some_and(|service| !service[key].is_null()));
        let leaves = values::compare(None, service.as_ref()).into_iter();
        let set = leaves.filter(|leaf| !is_nothing(leaf.new.as_ref()));
        let all = set.map(|leaf| (leaf.path, leaf.new.map_or_else(String::new, |value| value.to_string()))).collect();
        Leaves { name: name.to_owned(), runs, all }
    }

    /// Returns how many of a thousand leaves agree; of what it runs, most have to.
    fn alike(&self, other: &Self) -> u64 {
        if self.runs.is_none() || self.runs != other.runs {
            return 0;
        }
        let inside = |path: &str| self.runs.is_some_and(|runs| path.split('.').next() == Some(runs));
        let paths: BTreeSet<&String> = self.all.keys().chain(other.all.keys()).collect();
        let (mut all, mut same, mut own, mut own_same) = (0, 0, 0, 0);
        for path in paths {
            let agree = match (self.all.get(path), other.all.get(path)) {
                (Some(one), Some(two)) => one == two || one.replace(&self.name, "\0") == two.replace(&other.name, "\0"),
                _ => false,
            };
            all += 1;
            same += u64::from(agree);
            if inside(path) {
                own += 1;
                own_same += u64::from(agree);
            }
        }
        if own_same * 10 < own * 8 { 0 } else { same * 1000 / all.max(1) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compared(old: &Value, new: &Value) -> Vec<String> {
        let (old, new) = (old.to_string(), new.to_string());
        let (old, new) = (Profile::parse(old.as_bytes()).unwrap(), Profile::parse(new.as_bytes()).unwrap());
        let services = renamed(&old, &new);
        let empty = super::super::nothing("p");
        let renames = Renames::follow(&services, &empty, &empty);
        let subject = |subject: Subject| {
            let changes: Vec<_> = subject.changes.iter().map(|change| change.path.as_str()).collect();
            let from = subject.renamed_from.map_or_else(String::new, |from| format!(" from {from}"));
            format!("{} {} {:?}{from}: {}", subject.kind, subject.name, subject.state, changes.join(" "))
        };
        compare(&old, &new, &renames).into_iter().map(subject).collect()
    }

    fn service(name: &str, port: u16) -> Value {
        json!({"exec": {"command": [format!("/opt/{name}/run"), "--fast"]}, "port": port, "restart": "always", "user": null,
               "health": {"http": {"path": "/health", "interval": "1min"}}, "phase": "models", "log": {"identifier": name}})
    }

    #[test]
    fn services_and_options_are_named() {
        let old = json!({"services": {"a": service("a", 1), "m": {"vllm": {"len": 1}}}, "runtime": "x", "gpus": {}});
        let new = json!({"services": {"a": service("a", 2), "m": {"vllm": {"len": 2}}}, "runtime": "y", "gpus": {"g": {"index": 0}}});
        assert_eq!(
            compared(&old, &new),
            ["model m Changed: vllm.len", "service a Changed: port", "gpu g Added: index", "profile runtime Changed: "]
        );
    }

    #[test]
    fn a_service_with_another_name_is_renamed() {
        let old = json!({"services": {"chat": service("chat", 1), "other": service("other", 7)}});
        let new = json!({"services": {"talk": service("talk", 1), "other": service("other", 7)}});
        assert_eq!(compared(&old, &new), ["service talk Changed from chat: exec.command log.identifier"]);
        let other = json!({"services": {"talk": {"exec": {"command": ["/bin/else"]}}, "other": service("other", 7)}});
        assert_eq!(compared(&old, &other).len(), 2);
    }
}
