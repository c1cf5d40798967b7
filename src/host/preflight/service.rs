//! A service and the checks before its start, from a manifest and the unit's own file.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::check::Check;
use super::gpu::Wanted;
use super::needs::Need;
use crate::bundle::env_file::parse_env_file;
use crate::bundle::manifest::{Manifest, UnitEntry};
use crate::bundle::unit::{UnitFile, UnitKind, UnitName};
use crate::health::run::Surroundings;
use crate::health::{InvalidProbe, Subject};

/// A service, and what is looked at before it starts.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name in the profile.
    pub name: String,
    pub unit: UnitName,
    /// By name, as in the profile.
    pub checks: BTreeMap<String, Check>,
    /// As whom it runs.
    pub subject: Subject,
    pub gpus: Vec<Wanted>,
    pub needs: Vec<Need>,
    /// What its programs find around them, as far as files of the bundle say.
    pub(super) around: Surroundings,
}

/// Why the checks of a service cannot be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("the bundle has no service {0:?}; those with preflight checks are: {1}")]
    NoService(String, String),
    #[error("the preflight check {check:?} of {unit} cannot be used: {reason}; build the bundle again")]
    Check { unit: UnitName, check: String, reason: String },
    #[error("the file of {unit} cannot be used: {reason}; build the bundle again")]
    File { unit: UnitName, reason: String },
    #[error(transparent)]
    Probe(#[from] InvalidProbe),
}

/// Reads a file of a bundle by its path there.
pub type Read<'a> = &'a dyn Fn(&str) -> io::Result<Vec<u8>>;

impl Service {
    /// Finds a service by its name in the profile or the name of its unit.
    ///
    /// # Errors
    ///
    /// When there is none, or the bundle is not what the compiler writes.
    pub fn find(manifest: &Manifest, service: &str, read: Read<'_>) -> Result<Self, Unusable> {
        let named = |(name, entry): &(UnitName, &UnitEntry)| {
            name.as_str() == service || entry.service.as_deref() == Some(service)
        };
        let best = |(name, entry): &(UnitName, &UnitEntry)| {
            (name.as_str() == service, !entry.preflight.is_empty(), name.kind() == UnitKind::Service)
        };
        let Some((unit, entry)) = units(manifest).filter(named).max_by_key(best) else {
            let known: Vec<String> =
                units(manifest).filter(has_checks).map(|(unit, entry)| name(&unit, entry)).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Unusable::NoService(service.to_owned(), known));
        };
        Self::new(manifest, unit, entry, read)
    }

    /// Returns all services that have checks.
    ///
    /// # Errors
    ///
    /// The first that is not what the compiler writes.
    pub fn all(manifest: &Manifest, read: Read<'_>) -> Result<Vec<Self>, Unusable> {
        units(manifest).filter(has_checks).map(|(unit, entry)| Self::new(manifest, unit, entry, read)).collect()
    }

    fn new(manifest: &Manifest, unit: UnitName, entry: &UnitEntry, read: Read<'_>) -> Result<Self, Unusable> {
        let check = |(name, value): (&String, &serde_json::Value)| {
            let check = serde_json::from_value(value.clone()).map_err(|error| Unusable::Check {
                unit: unit.clone(),
                check: name.clone(),
                reason: error.to_string(),
            });
            Ok((name.clone(), check?))
        };
        let file = unit_file(&unit, entry, read)?;
        Ok(Service {
            name: name(&unit, entry),
            checks: entry.preflight.iter().map(check).collect::<Result<_, Unusable>>()?,
            subject: Subject::new(unit.clone(), entry, &file)?,
            gpus: Wanted::of(manifest, entry),
            needs: Need::of(manifest, &file, read)?,
            around: around(entry, &file, read),
            unit,
        })
    }
}

/// Reads the file of a unit.
pub(super) fn unit_file(unit: &UnitName, entry: &UnitEntry, read: Read<'_>) -> Result<UnitFile, Unusable> {
    let wrong = |reason: String| Unusable::File { unit: unit.clone(), reason };
    let text = read(&entry.file).map_err(|error| wrong(error.to_string()))?;
    UnitFile::parse(&String::from_utf8_lossy(&text)).map_err(|error| wrong(error.to_string()))
}

fn units(manifest: &Manifest) -> impl Iterator<Item = (UnitName, &UnitEntry)> {
    manifest.units.iter().filter_map(|(name, entry)| Some((UnitName::parse(name)?, entry)))
}

fn has_checks((_, entry): &(UnitName, &UnitEntry)) -> bool {
    !entry.preflight.is_empty()
}

fn name(unit: &UnitName, entry: &UnitEntry) -> String {
    entry.service.clone().unwrap_or_else(|| unit.as_str().to_owned())
}

/// Returns the environment and the folder of a unit. What cannot be read as citadel writes it is left out: it stands in a
/// part of the profile that was written by hand.
fn around(entry: &UnitEntry, file: &UnitFile, read: Read<'_>) -> Surroundings {
    let mut around = Surroundings::default();
    for path in entry.files.iter().filter(|path| path.starts_with("env/")) {
        let text = read(path).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
        let pairs = parse_env_file(&text).unwrap_or_default();
        around.environment.extend(pairs.into_iter().map(|(name, value)| (name.into(), value.into())));
    }
    let folder = file.value("Service", "WorkingDirectory").map(|folder| folder.trim_start_matches('-'));
    if let Some(folder) = folder.filter(|folder| Path::new(folder).is_absolute() && !folder.contains('%')) {
        around.folder = PathBuf::from(folder);
    }
    around
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bundle::Bundle;
    use crate::bundle::testing::bundle_of;

    fn bundle() -> Bundle {
        let unit = "[Unit]\nRequires=b.service x.service\nWants=b.service\n[Service]\nUser=starlord\nWorkingDirectory=/opt/a\n";
        let mut bundle = bundle_of(&[
            ("env/a.env", "env", Some("/etc/citadel/store/x-a.env"), "0644", "A=\"1 2\"\n"),
            ("units/a.service", "unit", None, "0644", unit),
            ("units/a.socket", "unit", None, "0644", "[Socket]\n"),
            ("units/b.service", "unit", None, "0644", "[Service]\n"),
        ]);
        for name in ["a.service", "a.socket"] {
            bundle.manifest.units.get_mut(name).unwrap().service = Some("avatar".to_owned());
        }
        let entry = bundle.manifest.units.get_mut("a.service").unwrap();
        entry.files = vec!["env/a.env".to_owned()];
        entry.preflight.insert("config".to_owned(), json!({ "file": "/a", "severity": "fatal" }));
        bundle
    }

    fn find(bundle: &Bundle, service: &str) -> Result<Service, Unusable> {
        let read = |path: &str| bundle.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into());
        Service::find(&bundle.manifest, service, &read)
    }

    #[test]
    fn a_service_is_found_with_what_its_files_say() {
        let bundle = bundle();
        for name in ["avatar", "a.service"] {
            let service = find(&bundle, name).unwrap();
            assert_eq!((service.name.as_str(), service.unit.as_str()), ("avatar", "a.service"));
            assert_eq!(service.subject.user.as_deref(), Some("starlord"));
            assert_eq!(service.around.folder, Path::new("/opt/a"));
            assert_eq!(service.around.environment.last().unwrap(), &("A".into(), "1 2".into()));
            let needs: Vec<_> = service.needs.iter().map(|need| (need.unit.as_str(), need.subject.is_some())).collect();
            assert_eq!(needs, [("b.service", true), ("x.service", false)]);
        }
        assert_eq!(find(&bundle, "b.service").unwrap().checks.len(), 0);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let mut bundle = bundle();
        let error = find(&bundle, "avatr").unwrap_err().to_string();
        assert_eq!(error, "the bundle has no service \"avatr\"; those with preflight checks are: avatar");
        let entry = bundle.manifest.units.get_mut("a.service").unwrap();
        entry.preflight.insert("odd".to_owned(), json!({ "severity": "fatal" }));
        let error = find(&bundle, "avatar").unwrap_err().to_string();
        assert!(error.starts_with("the preflight check \"odd\" of a.service cannot be used: it has to test one thing"));
    }
}
