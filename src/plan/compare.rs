//! What differs between two unit files, in what systemd makes of them and not in how they are written.

use std::collections::BTreeSet;

use crate::bundle::manifest::STORE;
use crate::bundle::quantity::{Size, Span};
use crate::bundle::unit::directives::{Kind, Lookup, lookup};
use crate::bundle::unit::{UnitFile, boolean};

/// A directive that says something else in two unit files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub section: String,
    pub key: String,
    /// The assignments that count, as they are written; none when the directive is not set.
    pub old: Vec<String>,
    /// As `old`.
    pub new: Vec<String>,
}

impl Difference {
    /// Whether only the digests in paths of the store differ: the directive says the same, and a file has new content.
    pub fn is_content_only(&self) -> bool {
        let masked = |values: &[String]| values.iter().map(|value| without_digests(value)).collect::<Vec<_>>();
        masked(&self.old) == masked(&self.new)
    }
}

/// Directives for which an empty value is a value and not the absence of one.
const EMPTY_COUNTS: [&str; 2] = ["CapabilityBoundingSet", "Delegate"];

/// Returns the directives that differ, sorted by section and key.
///
/// The order of different directives, the way in which a section or a list is split up, and the unit in which a time or
/// a size is written do not count.
pub fn differences(old: &UnitFile, new: &UnitFile) -> Vec<Difference> {
    // Most units are the same in most switches.
    if std::ptr::eq(old, new) || old == new {
        return Vec::new();
    }
    keys(old)
        .union(&keys(new))
        .filter_map(|(section, key)| {
            let (old, new) = (effective(old, section, key), effective(new, section, key));
            let differs = normal(section, key, &old) != normal(section, key, &new);
            let difference = || Difference { section: (*section).to_owned(), key: (*key).to_owned(), old, new };
            differs.then(difference)
        })
        .collect()
}

/// Returns the paths of the store that a text names.
pub(super) fn store_paths(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(STORE) {
        let path = &rest[at..];
        let end = path.find(|c: char| c.is_whitespace() || "\"';:,".contains(c)).unwrap_or(path.len());
        if digest_length(&path[STORE.len()..end]).is_some() {
            found.push(&path[..end]);
        }
        rest = &path[STORE.len()..];
    }
    found
}

fn keys(unit: &UnitFile) -> BTreeSet<(&str, &str)> {
    let sections = unit.sections.iter();
    sections.flat_map(|section| section.entries.iter().map(|entry| (&*section.name, &*entry.key))).collect()
}

/// Returns the assignments that count: those behind the last empty one, and only the last one of a single value.
fn effective(unit: &UnitFile, section: &str, key: &str) -> Vec<String> {
    let kind = kind(section, key);
    let mut values: Vec<&str> = Vec::new();
    for value in unit.values(section, key) {
        let value = value.trim();
        // An empty list of units adds nothing to the dependencies; elsewhere it takes back what came before.
        if value.is_empty() && !(section == "Unit" && kind == Some(Kind::Units)) {
            values.clear();
            if EMPTY_COUNTS.contains(&key) {
                values.push(value);
            }
        } else if !value.is_empty() {
            values.push(value);
        }
    }
    if kind.is_some_and(|kind| is_single(section, kind)) {
        values.drain(..values.len().saturating_sub(1));
    }
    values.into_iter().map(str::to_owned).collect()
}

/// Returns values that are equal exactly when systemd makes the same of them.
fn normal(section: &str, key: &str, values: &[String]) -> Vec<String> {
    let plain = |value: &String| !value.contains(['"', '\'', '\\']);
    match kind(section, key) {
        // A set: neither order nor repetition counts.
        Some(Kind::Units) => {
            let words: BTreeSet<_> = values.iter().flat_map(|value| value.split_whitespace()).collect();
            words.into_iter().map(str::to_owned).collect()
        }
        Some(Kind::Paths | Kind::RelativePaths | Kind::Addresses) if values.iter().all(plain) => {
            values.iter().flat_map(|value| value.split_whitespace()).map(str::to_owned).collect()
        }
        Some(Kind::Exec | Kind::Environment) if values.iter().all(plain) => {
            values.iter().map(|value| value.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
        }
        Some(kind) => values.iter().map(|value| normal_value(key, kind, value)).collect(),
        None => values.to_vec(),
    }
}

fn normal_value(key: &str, kind: Kind, value: &str) -> String {
    let known = match kind {
        Kind::Bool | Kind::BoolOr(_) => boolean(value).map(|yes| if yes { "yes" } else { "no" }.to_owned()),
        // A number without a unit is in nanoseconds there.
        Kind::Time if key != "TimerSlackNSec" => span(value).map(|span| span.to_string()),
        Kind::Bytes | Kind::Size => Size::parse(value).map(|size| size.to_string()),
        _ => None,
    };
    known.unwrap_or_else(|| value.to_owned())
}

/// Reads a length of time as systemd does, as far as units are common: `90`, `1min 30s`.
fn span(value: &str) -> Option<Span> {
    let mut joined: String = value.split_whitespace().collect();
    if joined.ends_with(|last: char| last.is_ascii_digit()) {
        joined.push('s');
    }
    Span::parse(&joined)
}

fn kind(section: &str, key: &str) -> Option<Kind> {
    match lookup(section, key, u32::MAX) {
        Lookup::Known(kind) => Some(kind),
        _ => None,
    }
}

/// Whether a later assignment takes the place of an earlier one.
fn is_single(section: &str, kind: Kind) -> bool {
    match kind {
        Kind::Time => section != "Timer",
        Kind::Bool
        | Kind::BoolOr(_)
        | Kind::Enum(_)
        | Kind::EnumOrNumber(_)
        | Kind::Bytes
        | Kind::Size
        | Kind::Integer { .. }
        | Kind::Unsigned
        | Kind::Percent
        | Kind::CpuQuota
        | Kind::Weight { .. }
        | Kind::Tasks
        | Kind::Mode
        | Kind::Signal
        | Kind::Rlimit
        | Kind::Text => true,
        _ => false,
    }
}

/// Returns the text with each digest in a path of the store taken out.
fn without_digests(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(STORE) {
        let (before, path) = rest.split_at(at + STORE.len());
        out.push_str(before);
        rest = match digest_length(path) {
            Some(length) => {
                out.push('/');
                &path[1 + length..]
            }
            None => path,
        };
    }
    out + rest
}

/// Returns how many digits the digest has in `/DIGEST-name`.
fn digest_length(path: &str) -> Option<usize> {
    let (digest, _) = path.strip_prefix('/')?.split_once('-')?;
    (digest.len() >= 20 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(old: &str, new: &str) -> Vec<String> {
        let parsed = |text: &str| UnitFile::parse(text).unwrap();
        differences(&parsed(old), &parsed(new))
            .into_iter()
            .map(|found| format!("{}.{}: {} -> {}", found.section, found.key, found.old.join("|"), found.new.join("|")))
            .collect()
    }

    #[test]
    fn the_way_in_which_a_unit_is_written_does_not_count() {
        for (old, new) in [
            ("[Unit]\nDescription=a\nAfter=x.target", "[Unit]\nAfter=x.target\nDescription=a"),
            ("[Unit]\nAfter=x.target y.target", "[Unit]\nAfter=y.target\n[Service]\n[Unit]\nAfter=x.target"),
            ("[Unit]\nAfter=x.target", "[Unit]\nAfter=x.target\nAfter="),
            ("[Service]\nMemoryMax=1G", "[Service]\nMemoryMax=1024M"),
            ("[Service]\nMemoryMax=2G\nMemoryMax=1G", "[Service]\nMemoryMax=1G"),
            ("[Service]\nRestartSec=90s", "[Service]\nRestartSec=1min 30s"),
            ("[Service]\nRestartSec=90", "[Service]\nRestartSec=90000ms"),
            ("[Service]\nPrivateTmp=yes", "[Service]\nPrivateTmp=true"),
            ("[Service]\nEnvironment=A=1\nEnvironment=\nEnvironment=B=2", "[Service]\nEnvironment=B=2"),
            ("[Service]\nReadWritePaths=/a /b", "[Service]\nReadWritePaths=/a\nReadWritePaths=/b"),
            ("[Service]\nUser=", "[Service]"),
            ("# one\n[Service]\nExecStart=/a \\\n  b", "; two\n[Service]\nExecStart=/a   b"),
        ] {
            assert_eq!(compared(old, new), [""; 0], "{old} -> {new}");
        }
    }

    #[test]
    fn what_systemd_would_do_differently_counts() {
        for (old, new, found) in [
            ("[Service]\nExecStart=/a", "[Service]\nExecStart=/b", "Service.ExecStart: /a -> /b"),
            ("[Service]\nUser=a", "[Service]", "Service.User: a -> "),
            ("[Service]", "[Service]\nMemoryMax=1G", "Service.MemoryMax:  -> 1G"),
            ("[Service]\nEnvironment=A=1", "[Service]\nEnvironment=A=1\nEnvironment=A=2", {
                "Service.Environment: A=1 -> A=1|A=2"
            }),
            ("[Service]\nEnvironment=A=1\nEnvironment=B=1", "[Service]\nEnvironment=B=1\nEnvironment=A=1", {
                "Service.Environment: A=1|B=1 -> B=1|A=1"
            }),
            ("[Service]\nCapabilityBoundingSet=", "[Service]", "Service.CapabilityBoundingSet:  -> "),
            ("[Service]\nReadWritePaths=\"/a  b\"", "[Service]\nReadWritePaths=\"/a b\"", {
                "Service.ReadWritePaths: \"/a  b\" -> \"/a b\""
            }),
            ("[Timer]\nOnBootSec=1min", "[Timer]\nOnBootSec=1min\nOnBootSec=2min", {
                "Timer.OnBootSec: 1min -> 1min|2min"
            }),
            ("[Service]\nX-Note=a", "[Service]\nX-Note=b", "Service.X-Note: a -> b"),
        ] {
            assert_eq!(compared(old, new), [found]);
        }
    }

    #[test]
    fn new_content_behind_the_same_name_is_recognised() {
        let path = |digit: &str, name: &str| format!("{STORE}/{}-{name}", digit.repeat(20));
        let difference = |old: String, new: String| Difference {
            section: "Service".to_owned(),
            key: "ExecStart".to_owned(),
            old: vec![old],
            new: vec![new],
        };
        let run = |path: String| format!("/bin/vllm --config {path} --port 1");
        assert!(difference(run(path("a", "x.yaml")), run(path("b", "x.yaml"))).is_content_only());
        assert!(!difference(run(path("a", "x.yaml")), run(path("b", "y.yaml"))).is_content_only());
        assert!(!difference(run(path("a", "x.yaml")), format!("{} -v", run(path("b", "x.yaml")))).is_content_only());
        assert_eq!(store_paths(&run(path("a", "x.yaml"))), [path("a", "x.yaml")]);
        assert_eq!(store_paths(&format!("{STORE} {STORE}/x {STORE}/abc-d")), [""; 0]);
    }
}
