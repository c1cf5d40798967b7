//! The systemd generator: links the units of the generation that counts into the manager.
//!
//! systemd runs it early in every boot and at every reload, and waits for it. What it does depends on the disk alone. It
//! never fails: whatever is broken, it says so in the kernel's log and links what it can, because a host that comes up with
//! most of its services can be repaired. For the same reason it checks no digests and no owners.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Deserialize;

use super::current;
use super::generation::Generation;
use super::places::Places;
use super::trial::{SetAside, Trial, boot_id, choose};
use crate::bundle::manifest::FILE_NAME;
use crate::bundle::unit::UnitName;

/// Finishes what a crash or a kill left; see `recover`.
pub const RECOVER: &str = "citadel-recover.service";

/// Judges the generation that a boot tries.
pub const BOOT: &str = "citadel-boot.service";

const OWN: [(&str, &str, &str); 2] = [
    (RECOVER, "sysinit.target", include_str!("generator/citadel-recover.service")),
    (BOOT, "multi-user.target", include_str!("generator/citadel-boot.service")),
];

/// Where `install` puts the activator.
pub const PROGRAM: &str = "/usr/local/bin/citadel-activate";

/// Runs as a generator; the first argument after the program's name is the folder for units.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Some(folder) = arguments.into_iter().nth(1).map(PathBuf::from) else {
        complain(&["it has to be run by systemd, with the folder for its units".to_owned()]);
        return ExitCode::SUCCESS;
    };
    let program = fs::read_link("/proc/self/exe").unwrap_or_default();
    complain(&generate(&Places::new("/"), &folder, boot_id().ok().as_deref(), &program));
    ExitCode::SUCCESS
}

/// Writes to the kernel's log, which is there before any other.
fn complain(messages: &[String]) {
    if messages.is_empty() {
        return;
    }
    let Ok(mut log) = fs::OpenOptions::new().write(true).open("/dev/kmsg") else { return };
    for message in messages {
        // Each write is one record.
        let _ = log.write_all(format!("<3>citadel-generator: {message}\n").as_bytes());
    }
}

/// A link in the folder for units.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// Below the folder.
    pub path: PathBuf,
    pub leads_to: PathBuf,
}

/// The units of a generation with what wants them: the part of its manifest that counts here.
pub type Wanted = BTreeMap<UnitName, Vec<UnitName>>;

/// Returns the links for the units of a generation.
pub fn links(units: &Wanted, generation: Generation) -> Vec<Link> {
    let folder = PathBuf::from(format!("/etc/citadel/generations/{generation}/units"));
    let mut links = Vec::new();
    for (unit, wanted_by) in units {
        links.push(Link { path: unit.as_str().into(), leads_to: folder.join(unit.as_str()) });
        links.extend(wanted_by.iter().map(|target| wants(target.as_str(), unit.as_str())));
    }
    links
}

fn wants(target: &str, unit: &str) -> Link {
    Link { path: format!("{target}.wants/{unit}").into(), leads_to: format!("../{unit}").into() }
}

/// Returns the links for units of others that were set aside for a switch which is now taken back, before the files
/// themselves are back. `text` says where a kept file leads if it is a link.
pub fn kept_links<'a>(
    set_aside: impl IntoIterator<Item = &'a SetAside>,
    text: impl Fn(&Path) -> Option<PathBuf>,
) -> Vec<Link> {
    let mut links = Vec::new();
    for SetAside { path, kept } in set_aside {
        let below = super::foreign::LOAD_PATH.iter().find_map(|folder| path.strip_prefix(folder.path).ok());
        let Some(inside) = below else { continue };
        let leads_to = match text(kept).and_then(|text| Some(text.file_name()?.to_owned())) {
            // An enabling link or an alias: the unit itself has a link of its own name beside it.
            Some(unit) if inside.components().count() > 1 => Path::new("..").join(unit),
            Some(unit) => PathBuf::from(unit),
            None => kept.clone(),
        };
        links.push(Link { path: inside.to_owned(), leads_to });
    }
    links
}

/// Fills the folder for units; returns what went wrong. `boot` is the boot that asks, none when that is not known.
pub fn generate(places: &Places, folder: &Path, boot: Option<&str>, program: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    let current = current_generation(places, &mut wrong);
    let trial = trial(places, &mut wrong);
    // Without a boot to compare with, what the link says is the best that is known.
    let chosen = boot.map_or(current, |boot| choose(current, trial.as_ref(), boot));
    let taken_back = trial.as_ref().filter(|trial| Some(trial.boot.as_str()) != boot && chosen == trial.from);

    let mut all = BTreeMap::new();
    if let Some(trial) = taken_back {
        let there = trial.set_aside.iter().filter(|it| fs::symlink_metadata(places.host(&it.kept)).is_ok());
        let kept = kept_links(there, |kept| fs::read_link(places.host(kept)).ok());
        all.extend(kept.into_iter().map(|link| (link.path, link.leads_to)));
    }
    if let Some(chosen) = chosen {
        let units = units(places, chosen, &mut wrong);
        all.extend(links(&units, chosen).into_iter().map(|link| (link.path, link.leads_to)));
    }
    for (name, target, text) in OWN {
        let text = text.replace("@PROGRAM@", &plain_program(program));
        if let Err(error) = fs::write(folder.join(name), text) {
            wrong.push(format!("{name} cannot be written: {error}"));
        }
        let link = wants(target, name);
        all.insert(link.path, link.leads_to);
    }
    let mut folders = BTreeSet::new();
    for (path, leads_to) in all {
        if let Err(error) = make(folder, &path, &leads_to, &mut folders) {
            wrong.push(format!("{} cannot be linked: {error}", path.display()));
        }
    }
    wrong
}

fn make(folder: &Path, path: &Path, leads_to: &Path, folders: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty())
        && folders.insert(parent.to_owned())
    {
        fs::create_dir_all(folder.join(parent))?;
    }
    match symlink(leads_to, folder.join(path)) {
        // Another generator was faster, or this is one of citadel's own units.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn current_generation(places: &Places, wrong: &mut Vec<String>) -> Option<Generation> {
    match fs::read_link(places.current()) {
        Ok(text) => current::parse(&text).or_else(|| {
            wrong.push(format!("{} leads to {}, which is no generation", places.current().display(), text.display()));
            None
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            wrong.push(format!("{} cannot be read: {error}", places.current().display()));
            None
        }
    }
}

fn trial(places: &Places, wrong: &mut Vec<String>) -> Option<Trial> {
    let text = match fs::read(places.trial()) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            wrong.push(format!("{} cannot be read: {error}", places.trial().display()));
            return None;
        }
    };
    Trial::parse(places, &text).map_err(|error| wrong.push(error.to_string())).ok()
}

/// Returns the units of a generation; when its manifest cannot be read, the files that are there, wanted by nothing.
fn units(places: &Places, generation: Generation, wrong: &mut Vec<String>) -> Wanted {
    #[derive(Deserialize)]
    struct Manifest {
        units: BTreeMap<String, Unit>,
    }
    #[derive(Deserialize)]
    struct Unit {
        #[serde(default)]
        wanted_by: Vec<String>,
    }
    let folder = places.generation(generation);
    let path = folder.join(FILE_NAME);
    let manifest = fs::read(&path).and_then(|text| Ok(serde_json::from_slice::<Manifest>(&text)?));
    let units = match manifest {
        Ok(manifest) => manifest.units.into_iter().map(|(name, unit)| (name, unit.wanted_by)).collect(),
        Err(error) => {
            wrong.push(format!(
                "{} cannot be read ({error}); its units are there and none of them starts",
                path.display()
            ));
            let entries = fs::read_dir(folder.join("units")).into_iter().flatten().flatten();
            entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, Vec::new()))).collect::<Vec<_>>()
        }
    };
    let mut known = Wanted::new();
    for (name, wanted_by) in units {
        let Some(unit) = UnitName::parse(&name).filter(|unit| !super::admit::is_own(unit.as_str())) else {
            wrong.push(format!("{name:?} is not the name of a unit of a bundle"));
            continue;
        };
        if !folder.join("units").join(&name).exists() {
            wrong.push(format!("{name} of generation {generation} has no file"));
            continue;
        }
        known.insert(unit, wanted_by.iter().filter_map(|target| UnitName::parse(target)).collect());
    }
    known
}

/// Returns the path of the activator for `ExecStart=`, which reads some characters as more than themselves.
fn plain_program(program: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._+-".contains(&byte);
    let text = program.to_str().filter(|text| text.starts_with('/') && text.bytes().all(plain));
    text.unwrap_or(PROGRAM).to_owned()
}

#[cfg(test)]
mod tests;
