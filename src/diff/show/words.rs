//! What a diff says in words and rows, the same for every format that people read.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::bundle::quantity::Size;
use crate::diff::Part;
use crate::diff::model::{
    Budget, Change, Content, Diff, Directive, Exposure, FileChange, GpuUse, Note, Planned, SecurityChange, Side, State,
    Subject, UnitChange,
};
use crate::plan::Action;

/// Something with a value before and after, or elements that went and came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    pub old: Option<String>,
    pub new: Option<String>,
    /// For lists: what went and what came, instead of the whole lists.
    pub removed: Vec<String>,
    pub added: Vec<String>,
    pub note: Option<&'static str>,
}

impl Row {
    fn new(name: impl Into<String>, old: Option<String>, new: Option<String>) -> Self {
        Row { name: name.into(), old, new, ..Row::default() }
    }

    /// Whether it is told by elements and not by whole values.
    pub fn is_list(&self) -> bool {
        !self.removed.is_empty() || !self.added.is_empty()
    }
}

/// Returns the row of an option, a key or a field.
pub fn change(change: &Change) -> Row {
    let name = if change.path.is_empty() { "(all)".to_owned() } else { change.path.clone() };
    let shown = |values: &[Value]| values.iter().map(Value::to_string).collect();
    let list = !change.removed.is_empty() || !change.added.is_empty();
    let value = |value: &Option<Value>| value.as_ref().filter(|_| !list).map(Value::to_string);
    Row {
        name,
        old: value(&change.old),
        new: value(&change.new),
        removed: shown(&change.removed),
        added: shown(&change.added),
        note: change.note.map(Note::words),
    }
}

/// Returns the row of a directive.
pub fn directive(directive: &Directive) -> Row {
    let name = format!("{}=", directive.key);
    let value = |values: &[String]| (!values.is_empty()).then(|| values.join(" ⏎ "));
    let list = !directive.removed.is_empty() || !directive.added.is_empty();
    Row {
        name,
        old: value(&directive.old).filter(|_| !list),
        new: value(&directive.new).filter(|_| !list),
        removed: directive.removed.clone(),
        added: directive.added.clone(),
        note: directive.note.map(Note::words),
    }
}

/// Returns the rows of the budget: GPUs with their services, RAM, ports.
pub fn budget(budget: &Budget) -> Vec<Row> {
    let mut rows = Vec::new();
    for gpu in &budget.gpus {
        let used = |used: &GpuUse| {
            format!(
                "{} of {} GiB",
                gib(used.committed_bytes),
                gib(used.total_bytes - used.reserved_bytes.min(used.total_bytes))
            )
        };
        let (old, new) = (gpu.old.as_ref().map(used), gpu.new.as_ref().map(used));
        if old != new || gpu.services.is_empty() {
            rows.push(Row::new(format!("GPU {}", gpu.name), old, new));
        }
        for share in &gpu.services {
            let shown = |bytes: Option<u64>, start: &Option<String>| {
                let start = start.as_ref().filter(|_| {
                    share.old_start != share.new_start && share.old_start.is_some() && share.new_start.is_some()
                });
                let start = start.map_or_else(String::new, |start| format!(", starts {}", start.replace('_', " ")));
                bytes.map(|bytes| format!("{} GiB{start}", gib(bytes)))
            };
            let name = format!("GPU {}, {}", gpu.name, share.service);
            rows.push(Row::new(
                name,
                shown(share.old_bytes, &share.old_start),
                shown(share.new_bytes, &share.new_start),
            ));
        }
    }
    if let Some(memory) = &budget.memory {
        if (memory.old.committed_bytes, memory.old.total_bytes) != (memory.new.committed_bytes, memory.new.total_bytes)
        {
            let used = |used: &crate::diff::model::MemoryUse| {
                Some(format!("{} of {} GiB", gib(used.committed_bytes), gib(used.total_bytes)))
            };
            rows.push(Row::new("RAM", used(&memory.old), used(&memory.new)));
        }
        let (removed, added) = crate::diff::values::elements(&memory.old.unlimited, &memory.new.unlimited);
        if !removed.is_empty() || !added.is_empty() {
            rows.push(Row { name: "services without a limit of RAM".to_owned(), removed, added, ..Row::default() });
        }
    }
    for port in &budget.ports {
        let listed = |ports: &[String]| (!ports.is_empty()).then(|| ports.join(" "));
        rows.push(Row::new(format!("port of {}", port.service), listed(&port.old), listed(&port.new)));
    }
    rows
}

/// Returns a change of security in words, such as `a.service listens on 0.0.0.0:80`.
pub fn security(change: &SecurityChange) -> String {
    let mut text = change.unit.clone();
    for part in [change.kind.words(), change.what.as_str()] {
        if !part.is_empty() {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(part);
        }
    }
    text
}

/// Returns the rows of exposure, or why there are none.
pub fn exposure(exposure: &Exposure) -> Result<Vec<Row>, &str> {
    match exposure {
        Exposure::NotComputed(why) => Err(why),
        Exposure::Computed(changes) => {
            let level = |level: Option<f64>| level.map(|level| format!("{level:.1}"));
            Ok(changes.iter().map(|change| Row::new(&change.unit, level(change.old), level(change.new))).collect())
        }
    }
}

/// Returns a title of a part of the profile, such as `model phi3`.
pub fn subject(subject: &Subject) -> String {
    let from = subject.renamed_from.as_ref().map_or_else(String::new, |from| format!(" (was {from})"));
    format!("{} {}{from}", subject.kind, subject.name)
}

/// Returns the rows of a part of the profile, and how many more are as usual.
pub fn subject_rows(subject: &Subject) -> (Vec<Row>, usize) {
    let (usual, rows): (Vec<_>, Vec<_>) = subject.changes.iter().partition(|change| change.note == Some(Note::Usual));
    (rows.into_iter().map(change).collect(), usual.len())
}

/// Returns what happens to a unit in a few words, such as `restart`.
pub fn action(unit: &UnitChange) -> Option<&'static str> {
    unit.step.as_ref().map(|step| match step.action {
        Action::Nothing => "nothing happens",
        other => other.words(),
    })
}

/// Returns the reasons of a step, the first few.
pub fn reasons(step: &Planned) -> String {
    const MOST: usize = 3;
    let mut words: Vec<&str> = step.reasons.iter().map(|why| why.words.as_str()).collect();
    words.dedup();
    let more = words.len().saturating_sub(MOST);
    let listed = words.iter().take(MOST).copied().collect::<Vec<_>>().join(", ");
    if more == 0 { listed } else { format!("{listed} and {more} more") }
}

/// Returns what a step costs: what it waits for, and how long.
pub fn cost(step: &Planned) -> String {
    let mut said = Vec::new();
    if !step.waits_for.is_empty() {
        let names: Vec<&str> = step.waits_for.iter().take(4).map(|unit| unit.as_str()).collect();
        let more = step.waits_for.len().saturating_sub(names.len());
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        said.push(format!("after {}{more}", names.join(", ")));
    }
    if let Some(seconds) = step.last_start_seconds {
        said.push(format!("took {} last time", duration(seconds)));
    }
    if let Some(seconds) = step.start_timeout_seconds {
        said.push(format!("at most {}", duration(seconds)));
    }
    said.join("; ")
}

/// Returns what the manifest says of a unit. Of one that is new or gone, the profile and the unit's file say the rest.
pub fn unit_rows(unit: &UnitChange) -> Vec<Row> {
    let told = |change: &&Change| {
        let field = change.path.split('.').next().unwrap_or_default();
        unit.state == State::Changed || !["files", "health", "preflight", "ready", "wanted_by"].contains(&field)
    };
    unit.manifest.iter().filter(told).map(change).collect()
}

/// Returns how many units go through what, such as `2 units restart, 1 stops`.
pub fn plan(diff: &Diff) -> String {
    let mut counts: BTreeMap<Action, usize> = BTreeMap::new();
    for step in &diff.plan.steps {
        *counts.entry(step.step.action).or_default() += 1;
    }
    let words = |(action, count): (&Action, &usize)| {
        let (one, many) = match action {
            Action::Nothing | Action::Keep => return None,
            Action::ReloadManager => ("changes without a restart", "change without a restart"),
            Action::Reload => ("reloads", "reload"),
            Action::Start => ("starts", "start"),
            Action::Restart => ("restarts", "restart"),
            Action::StopStart => ("stops and starts", "stop and start"),
            Action::Stop => ("stops", "stop"),
        };
        Some((*count, if *count == 1 { one } else { many }))
    };
    let mut said: Vec<String> = Vec::new();
    for (count, verb) in counts.iter().rev().filter_map(words) {
        let noun = match (said.is_empty(), count) {
            (true, 1) => " unit",
            (true, _) => " units",
            (false, _) => "",
        };
        said.push(format!("{count}{noun} {verb}"));
    }
    if said.is_empty() { "nothing restarts".to_owned() } else { said.join(", ") }
}

/// Returns the longest that earlier starts of what begins anew took together, where it is known of any.
pub fn loading(diff: &Diff) -> Option<String> {
    let known: Vec<u64> = diff.plan.steps.iter().filter_map(|step| step.step.last_start_seconds).collect();
    (!known.is_empty()).then(|| duration(known.iter().sum()))
}

/// Returns one line that says what a diff is about.
pub fn summary(diff: &Diff) -> String {
    if diff.is_empty() {
        return "no changes".to_owned();
    }
    let mut said = Vec::new();
    if !diff.left_out.contains(&Part::Plan) {
        said.push(plan(diff));
    }
    for (number, one, many) in [
        (diff.security.changes.len(), "change of security", "changes of security"),
        (diff.units.len(), "unit differs", "units differ"),
        (diff.files.len(), "other file differs", "other files differ"),
    ] {
        if number > 0 {
            said.push(format!("{number} {}", if number == 1 { one } else { many }));
        }
    }
    if said.is_empty() {
        let shown = Part::ALL.into_iter().filter(|part| !diff.left_out.contains(part)).map(Part::name);
        return format!("only shown here: {}", shown.collect::<Vec<_>>().join(", "));
    }
    said.join(", ")
}

/// Returns what a side is called.
pub fn side(side: &Side) -> String {
    match &side.bundle {
        None => format!("{} (nothing)", side.label),
        Some(digest) => format!("{} ({})", side.label, &digest.short()[..12]),
    }
}

/// Returns a sign for what is there.
pub fn sign(state: State) -> char {
    match state {
        State::Added => '+',
        State::Removed => '-',
        State::Changed => '~',
    }
}

/// Returns a title of a file, with who reads it.
pub fn file_note(file: &FileChange) -> String {
    let mut said = Vec::new();
    if let Some(from) = &file.renamed_from {
        said.push(format!("was {from}"));
    }
    if !file.read_by.is_empty() {
        said.push(format!("read by {}", file.read_by.join(", ")));
    }
    said.join("; ")
}

/// Returns what there is to say of content without lines: bytes, or what is not shown.
pub fn content_notes(content: &Content) -> Vec<String> {
    match content {
        Content::Same | Content::Lines { .. } => Vec::new(),
        Content::Keys { not_shown, .. } => not_shown.iter().map(|it| format!("not shown: {}", it.words())).collect(),
        Content::Bytes { old, new, first_difference, same_at_end } => {
            let size = |bytes: &Option<crate::diff::model::Bytes>| {
                bytes.map_or("nothing".to_owned(), |bytes| format!("{} bytes, SHA-256 {}", bytes.size, bytes.sha256))
            };
            vec![
                format!("no text: {} → {}", size(old), size(new)),
                format!("differs from byte {first_difference} on; the last {same_at_end} bytes are the same"),
            ]
        }
    }
}

/// Returns a length of time for people.
pub fn duration(seconds: u64) -> String {
    let (minutes, rest) = (seconds / 60, seconds % 60);
    match (minutes, rest) {
        (0, 0) => "under 1 s".to_owned(),
        (0, rest) => format!("{rest} s"),
        (minutes, 0) if minutes % 60 == 0 => format!("{} h", minutes / 60),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, rest) => format!("{minutes} min {rest} s"),
    }
}

fn gib(bytes: u64) -> String {
    Size(bytes).gib()
}
