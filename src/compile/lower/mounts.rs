//! Mount units for the file systems that citadel mounts itself, and how their names are made of paths.

use super::draft::Draft;
use super::{Output, WIRING};
use crate::bundle::unit::{UnitKind, UnitName, Value};
use crate::compile::config::members;
use crate::compile::finding::{Finding, OptionPath};
use crate::compile::system::System;

pub(super) fn lower(system: &System, out: &mut Output) {
    for (path, mount) in &system.profile.storage.mounts {
        let Some(what) = &mount.what else { continue };
        let origin = OptionPath::new(["storage", "mounts"]).member(path);
        let Some(name) = UnitName::new(&escape_path(path), UnitKind::Mount) else {
            out.findings.push(
                Finding::error(WIRING, format!("{path} is too long for the name of a mount unit"))
                    .at(origin, "systemd allows 255 bytes")
                    .help("mount it at a shorter path"),
            );
            continue;
        };
        let mut draft = Draft::new(origin, "Mount");
        draft.unit("Description", Value::Text(format!("File system at {path}")), "");
        draft.wanted_by([system.main_target.clone()].into_iter().collect());
        draft.own("What", Value::Text(what.clone()), "what");
        draft.own("Where", Value::Path(path.clone()), "");
        draft.own_if("Type", mount.kind.clone().map(Value::Text), "type");
        let options: Vec<&str> = members(&mount.options).collect();
        if !options.is_empty() {
            draft.own("Options", Value::Text(options.join(",")), "options");
        }
        draft.finish(name, out, |_| {});
    }
}

/// Returns the name that systemd gives a path, like `systemd-escape --path`: `/` becomes `-`, and what a unit's name
/// cannot have or would confuse becomes `\xNN`.
fn escape_path(path: &str) -> String {
    let path = path.trim_matches('/');
    if path.is_empty() {
        return "-".to_owned();
    }
    let mut escaped = String::with_capacity(path.len());
    for (at, byte) in path.bytes().enumerate() {
        match byte {
            b'/' => escaped.push('-'),
            b'.' if at == 0 => escaped.push_str("\\x2e"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'_' | b'.' => escaped.push(char::from(byte)),
            other => escaped.push_str(&format!("\\x{other:02x}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_systemd_escape() {
        for (path, name) in [
            ("/", "-"),
            ("/mnt/citadel-models", r"mnt-citadel\x2dmodels"),
            ("/.hidden/a b", r"\x2ehidden-a\x20b"),
            ("/srv/ü@1", r"srv-\xc3\xbc\x401"),
            ("/a/.b", "a-.b"),
        ] {
            assert_eq!(escape_path(path), name);
        }
    }
}
