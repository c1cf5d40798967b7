//! What makes a host one of citadel's, and what takes that away.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::adopt;
use super::current;
use super::error::DiskError;
use super::files::{Access, Folder, Through, is_link, split};
use super::generator::PROGRAM;
use super::links;
use super::places::Places;
use super::record::Record;
use super::system;

/// A link of this name makes systemd run the activator as a generator.
const GENERATORS: &str = "/etc/systemd/system-generators";
const GENERATOR: &str = "citadel-generator";

/// Whether everything is there, of whatever version.
pub fn is_installed(places: &Places) -> bool {
    let generator = places.host(GENERATORS).join(GENERATOR);
    places.host(PROGRAM).is_file() && generator.is_symlink() && places.generations().is_dir()
}

/// No activator is larger, in bytes.
const LARGEST: u64 = 256 << 20;

/// Durably installs the activator, the generator and the folders; returns the paths on the host that it made or changed.
/// Nothing is changed where everything is right already.
pub fn install(places: &Places, program: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let mut done = Vec::new();
    for folder in [places.home(), places.store(), places.generations()] {
        if !folder.exists() {
            let inside = folder.strip_prefix(places.root()).unwrap_or(&folder);
            done.push(Path::new("/").join(inside));
        }
        Folder::make_own(places, folder)?;
    }
    install_program(places, program, &mut done)?;
    let mut made = Vec::new();
    let generators = Folder::make(places, GENERATORS, Through::Links, &mut made)?;
    if generators.link_text(GENERATOR)?.is_none_or(|text| text != Path::new(PROGRAM)) {
        generators.link(GENERATOR, PROGRAM)?;
        done.push(Path::new(GENERATORS).join(GENERATOR));
    }
    Record::update(places, |record| record.folders.extend(made))?;
    Ok(done)
}

/// Copies the activator to where units and the generator expect it, unless it is there.
fn install_program(places: &Places, program: &Path, done: &mut Vec<PathBuf>) -> Result<(), DiskError> {
    let target = places.host(PROGRAM);
    let same_file = program.canonicalize().ok().zip(target.canonicalize().ok()).is_some_and(|(one, two)| one == two);
    if same_file {
        return Ok(());
    }
    let content = std::fs::read(program).map_err(DiskError::doing("read", program))?;
    let Some((parent, name)) = split(Path::new(PROGRAM)) else { return Ok(()) };
    let mut made = Vec::new();
    let folder = Folder::make(places, parent, Through::Links, &mut made)?;
    let missing = folder.stat(name)?.is_none();
    Record::update(places, |record| {
        record.folders.extend(made);
        if missing {
            record.program = Some(PROGRAM.into());
        }
    })?;
    if folder.read(name, LARGEST).is_ok_and(|there| there == content) {
        return Ok(());
    }
    folder.write(name, &content, Access { mode: 0o755, owner: None })?;
    done.push(PROGRAM.into());
    Ok(())
}

/// What is gone and what is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Uninstalled {
    /// As paths of the host; users and groups by their name.
    pub removed: Vec<String>,
    /// What is still there, each as a sentence that says why.
    pub kept: Vec<String>,
}

/// Removes the files of citadel and puts back what was set aside. The units must have been stopped before, and systemd has
/// to read its units again afterwards. With `purge`, also removes users, groups and data that came with its bundles.
///
/// What a killed run left is found by the next one: the record goes last.
pub async fn uninstall_files(places: &Places, purge: bool) -> Result<Uninstalled, DiskError> {
    let record = Record::read(places)?;
    let mut result = Uninstalled::default();
    result.removed.extend(links::prune(places, None)?.iter().map(|path| path.display().to_string()));
    if Folder::find(places, "/etc/citadel", Through::NoLinks)?.is_some() {
        current::set(places, None)?;
    }
    if let Some(generators) = Folder::find(places, GENERATORS, Through::Links)?
        && generators.link_text(GENERATOR)?.is_some()
        && generators.remove(GENERATOR)?
    {
        result.removed.push(format!("{GENERATORS}/{GENERATOR}"));
    }
    let not_back = adopt::put_back(places, &record.adopted)?;
    for lost in not_back.lost {
        result.kept.push(format!("{} was set aside and is gone", lost.display()));
    }
    let occupied = !not_back.occupied.is_empty();
    for file in not_back.occupied {
        let (path, kept) = (file.path.display(), file.kept.display());
        result.kept.push(format!("{kept} was at {path}, where another file is now"));
    }
    remove_data(places, &record, purge, &mut result)?;
    if purge && places.is_live() {
        remove_users(&record, &mut result).await;
    } else {
        let people =
            record.users.iter().map(|name| ("user", name)).chain(record.groups.iter().map(|name| ("group", name)));
        result.kept.extend(people.map(|(what, name)| format!("the {what} {name} may own files; `--purge` removes it")));
    }
    remove_program(places, &record, &mut result)?;
    for path in ["/var/lib/citadel", "/run/citadel"] {
        remove_all(places, Path::new(path), &mut result)?;
    }
    remove_home(places, occupied, &mut result)?;
    // Longest first: a folder is empty only without those in it.
    for folder in record.folders.iter().rev() {
        if let Some((parent, name)) = split(folder)
            && let Some(parent) = Folder::find(places, parent, Through::Links)?
            && parent.remove_empty(name)?
        {
            result.removed.push(folder.display().to_string());
        }
    }
    Ok(result)
}

/// Removes what tmpfiles and systemd made for bundles: links and empty folders, and with `purge` everything.
fn remove_data(places: &Places, record: &Record, purge: bool, result: &mut Uninstalled) -> Result<(), DiskError> {
    let mut kept: BTreeSet<&Path> = BTreeSet::new();
    for path in record.data.iter().rev() {
        let Some((parent, name)) = split(path) else { continue };
        let Some(folder) = Folder::find(places, parent, Through::Links)? else { continue };
        let Some(stat) = folder.stat(name)? else { continue };
        if purge {
            folder.remove_all(name)?;
        } else if !(is_link(&stat) && folder.remove(name)? || folder.remove_empty(name)?) {
            kept.insert(path);
            continue;
        }
        result.removed.push(path.display().to_string());
    }
    // A folder is told once, not with every folder in it.
    let top = kept.iter().filter(|path| !path.ancestors().skip(1).any(|above| kept.contains(above)));
    result.kept.extend(top.map(|path| format!("{} holds data; `--purge` removes it", path.display())));
    Ok(())
}

async fn remove_users(record: &Record, result: &mut Uninstalled) {
    for name in &record.users {
        let Some(user) = uzers::get_user_by_name(name) else { continue };
        if user.uid() == 0 || has_processes(user.uid()) {
            result.kept.push(format!("the user {name} still runs processes"));
            continue;
        }
        match system::run("userdel", [name]).await {
            Ok(()) => result.removed.push(format!("user {name}")),
            Err(error) => result.kept.push(format!("the user {name} is still there: {error}")),
        }
    }
    for name in &record.groups {
        // The group of a user's own name is gone with the user.
        if uzers::get_group_by_name(name).is_none_or(|group| group.gid() == 0) {
            continue;
        }
        match system::run("groupdel", [name]).await {
            Ok(()) => result.removed.push(format!("group {name}")),
            Err(error) => result.kept.push(format!("the group {name} is still there: {error}")),
        }
    }
}

fn has_processes(user: u32) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbered = processes.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok()));
    numbered.into_iter().any(|entry| entry.metadata().is_ok_and(|process| process.uid() == user))
}

fn remove_program(places: &Places, record: &Record, result: &mut Uninstalled) -> Result<(), DiskError> {
    let Some(program) = &record.program else {
        if places.host(PROGRAM).exists() {
            result.kept.push(format!("{PROGRAM} was there before citadel was installed"));
        }
        return Ok(());
    };
    if let Some((parent, name)) = split(program)
        && let Some(folder) = Folder::find(places, parent, Through::Links)?
        && folder.remove(name)?
    {
        result.removed.push(program.display().to_string());
    }
    Ok(())
}

fn remove_all(places: &Places, path: &Path, result: &mut Uninstalled) -> Result<(), DiskError> {
    if let Some((parent, name)) = split(path)
        && let Some(parent) = Folder::find(places, parent, Through::Links)?
        && parent.stat(name)?.is_some()
    {
        parent.remove_all(name)?;
        parent.sync()?;
        result.removed.push(path.display().to_string());
    }
    Ok(())
}

/// Removes `/etc/citadel`, the record last; files of others that could not be put back stay.
fn remove_home(places: &Places, occupied: bool, result: &mut Uninstalled) -> Result<(), DiskError> {
    let Some(etc) = Folder::find(places, "/etc", Through::Links)? else { return Ok(()) };
    if etc.stat("citadel")?.is_none() {
        return Ok(());
    }
    let home = etc.child("citadel")?;
    let last = places.record();
    let last = last.file_name().unwrap_or_default();
    for name in home.names()?.iter().filter(|name| *name != last && !(occupied && *name == "adopted")) {
        home.remove_all(name)?;
    }
    home.remove(last)?;
    if etc.remove_empty("citadel")? {
        result.removed.push("/etc/citadel".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
