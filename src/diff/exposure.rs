//! The exposure of units, as `systemd-analyze security` computes it from unit files alone.
//!
//! It takes a tenth of a second and is not on every machine where diffs are made, so it is asked for, and only for
//! services that differ. What a reviewer must know of security does not depend on it.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use super::model::{Exposure, ExposureChange};
use super::rename::Renames;
use super::units;
use crate::bundle::Bundle;

/// Returns the exposure of these units before and after, or why there is none.
pub fn compute(old: &Bundle, new: &Bundle, renames: &Renames, changed: &[super::model::UnitChange]) -> Exposure {
    let services: Vec<&str> =
        changed.iter().map(|unit| unit.name.as_str()).filter(|name| name.ends_with(".service")).collect();
    let old_names: Vec<&str> = services.iter().map(|name| renames.old_unit(name).unwrap_or(name)).collect();
    match (levels(old, &old_names), levels(new, &services)) {
        (Ok(old), Ok(new)) => Exposure::Computed(
            services
                .iter()
                .zip(old_names)
                .map(|(unit, old_name)| ExposureChange {
                    unit: (*unit).to_owned(),
                    old: old.get(old_name).copied(),
                    new: new.get(*unit).copied(),
                })
                .filter(|change| change.old != change.new)
                .collect(),
        ),
        (Err(why), _) | (_, Err(why)) => Exposure::NotComputed(why),
    }
}

/// Returns the exposure of units by name.
fn levels(bundle: &Bundle, names: &[&str]) -> Result<BTreeMap<String, f64>, String> {
    let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let mut given = Vec::new();
    for name in names {
        let Some(entry) = bundle.manifest.units.get(*name) else { continue };
        // A name of systemd has no `/` in it, so the file lies in the folder.
        if crate::bundle::unit::UnitName::parse(name).is_none() {
            continue;
        }
        let path = folder.path().join(name);
        fs::write(&path, units::content(bundle, entry)).map_err(|error| format!("cannot write a unit: {error}"))?;
        given.push(path);
    }
    if given.is_empty() {
        return Ok(BTreeMap::new());
    }
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=yes", "--no-pager", "--"])
        .args(&given)
        .env("LC_ALL", "C")
        .env("SYSTEMD_COLORS", "0")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("systemd-analyze does not start: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let levels: BTreeMap<String, f64> = text.lines().filter_map(level).collect();
    if levels.is_empty() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("systemd-analyze says: {}", why.lines().next().unwrap_or("nothing")));
    }
    Ok(levels)
}

/// Reads `-> Overall exposure level for a.service: 1.4 OK :-)`.
fn level(line: &str) -> Option<(String, f64)> {
    let (unit, level) = line.split_once("Overall exposure level for ")?.1.rsplit_once(": ")?;
    Some((unit.to_owned(), level.split_whitespace().next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read() {
        assert_eq!(level("-> Overall exposure level for a.service: 1.4 OK :-)"), Some(("a.service".to_owned(), 1.4)));
        assert_eq!(level("→ Overall exposure level for a.service: 9.6 UNSAFE 😨"), Some(("a.service".to_owned(), 9.6)));
        assert_eq!(level("  NAME DESCRIPTION EXPOSURE"), None);
    }
}
