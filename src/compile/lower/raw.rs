//! Units and files that the profile writes out itself because no module covers them.

use super::draft::Draft;
use super::machine::Machine;
use super::{LoweredFile, Output, RAW};
use crate::bundle::manifest::FileKind;
use crate::bundle::unit::UnitName;
use crate::compile::finding::{Finding, OptionPath};

const UNITS: &str = "write units with `units`, so that they are checked and switched like all others";
const SECRETS: &str = "a secret never belongs into a profile; see `credentials`";

/// Folders below `/etc` that citadel or systemd manage, with what is there for them.
const RESERVED: [(&str, &str); 7] = [
    ("/etc/citadel", "this folder belongs to citadel; choose another"),
    ("/etc/systemd/system", UNITS),
    ("/etc/systemd/system-generators", UNITS),
    ("/etc/systemd/system.attached", UNITS),
    ("/etc/systemd/system.control", UNITS),
    ("/etc/credstore", SECRETS),
    ("/etc/credstore.encrypted", SECRETS),
];

pub(super) fn lower(machine: &Machine<'_>, out: &mut Output) {
    units(machine, out);
    files(machine, out);
}

fn units(machine: &Machine<'_>, out: &mut Output) {
    for (key, raw) in &machine.system.profile.units {
        let origin = OptionPath::new(["units"]).member(key);
        let Some(name) = UnitName::parse(key) else {
            out.findings.push(
                Finding::error(RAW, format!("{key:?} is not the name of a unit"))
                    .at(origin, "this unit")
                    .help("write its whole name with its suffix, such as `\"backup.service\"`"),
            );
            continue;
        };
        if out.units.iter().any(|unit| unit.name == name) {
            out.findings.push(
                Finding::error(RAW, format!("{name} is written out, but another part of the profile makes it too"))
                    .at(origin, "this one")
                    .help("give one of them another name, or use `systemd` of that service for single directives"),
            );
            continue;
        }
        let sections = origin.join("sections");
        let mut draft = Draft::new(origin, "");
        draft.write_out(&raw.sections, &sections);
        draft.finish(name, out, |entry| entry.phase.clone_from(&raw.phase));
    }
}

fn files(machine: &Machine<'_>, out: &mut Output) {
    for (path, raw) in &machine.system.profile.files {
        let origin = OptionPath::new(["files"]).member(path);
        if let Err((message, help)) = may_be_written(path) {
            out.findings.push(
                Finding::error(RAW, format!("{path:?} cannot be a file of the bundle")).at(origin, message).help(help),
            );
            continue;
        }
        // Root reads these files, and programs such as cron and sudo act on them.
        if u32::from_str_radix(&raw.mode, 8).is_ok_and(|mode| mode & 0o6022 != 0) {
            out.findings.push(
                Finding::error(RAW, format!("the mode of {path:?} lets others than root change it or become root"))
                    .at(origin.join("mode"), "set-user-ID, set-group-ID or writable by others")
                    .help("write a mode such as `\"0644\"` or `\"0755\"`"),
            );
            continue;
        }
        out.files.push(LoweredFile {
            path: format!("files{path}"),
            kind: FileKind::Raw,
            target: Some(path.clone()),
            mode: format!("{:0>4}", raw.mode),
            content: raw.text.clone(),
            origin,
        });
    }
}

/// Returns whether a path is a folder itself or lies in it.
fn is_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns why a file must not be written there, and what to do instead.
fn may_be_written(path: &str) -> Result<(), (&'static str, &'static str)> {
    if let Some((_, help)) = RESERVED.iter().find(|(folder, _)| is_in(path, folder)) {
        return Err(("citadel does not write here", help));
    }
    let rest = path.strip_prefix("/etc/").ok_or(("not below /etc", "files of a bundle lie below `/etc`"))?;
    let plain = rest.split('/').all(|part| !matches!(part, "" | "." | "..")) && !rest.chars().any(char::is_control);
    if plain && path.len() < 4096 {
        Ok(())
    } else {
        Err(("not a plain path", "write it without `.`, `..` and empty parts"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_citadel_of_units_and_of_secrets_are_reserved() {
        for path in [
            "/etc/citadel",
            "/etc/citadel/current",
            "/etc/systemd/system",
            "/etc/systemd/system/a.service",
            "/etc/systemd/system.control/a.service",
            "/etc/systemd/system.attached/a.service",
            "/etc/credstore/a",
            "/etc/credstore.encrypted/a",
        ] {
            assert!(may_be_written(path).is_err(), "{path}");
        }
        for path in ["/etc/citadel.conf", "/etc/systemd/system.conf.d/a.conf", "/etc/systemd/journald.conf.d/a.conf"] {
            assert!(may_be_written(path).is_ok(), "{path}");
        }
    }
}
