//! Taking away the files of citadel. Each step can be done again from any point, so a killed one is finished by the next.

mod data;

use std::ffi::OsString;
use std::path::Path;

use serde::Serialize;

use crate::activate::error::DiskError;
use crate::activate::files::{Folder, Through, split};
use crate::activate::generator::PROGRAM;
use crate::activate::install::{GENERATOR, GENERATORS};
use crate::activate::places::Places;
use crate::activate::record::Record;
use crate::activate::{adopt, current, links, system};

/// What is gone and what is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Uninstalled {
    /// As paths of the host; users and groups by their name.
    pub removed: Vec<String>,
    /// What is still there, each as a sentence that says why.
    pub kept: Vec<String>,
}

/// Removes citadel from a host that does not run.
pub async fn remove(places: &Places, purge: bool) -> Result<Uninstalled, DiskError> {
    let record = Record::read(places)?;
    let mut result = take_away(places, &record, purge).await?;
    forget(places, &mut result)?;
    Ok(result)
}

/// Puts back what was set aside, and removes all files of citadel but the record, which another run would need. The units
/// must have been stopped before, and systemd has to read its units again afterwards. With `purge`, also removes users,
/// groups and data that came with its bundles.
pub async fn take_away(places: &Places, record: &Record, purge: bool) -> Result<Uninstalled, DiskError> {
    let mut result = Uninstalled::default();
    // Before the generation goes: a boot in between has the old units or the new ones, and not neither.
    let not_back = adopt::put_back(places, &record.adopted)?;
    if Folder::find(places, "/etc/citadel", Through::NoLinks)?.is_some() {
        current::set(places, None)?;
    }
    result.removed.extend(links::prune(places, None)?.iter().map(|path| path.display().to_string()));
    if let Some(generators) = Folder::find(places, GENERATORS, Through::Links)?
        && generators.link_text(GENERATOR)?.is_some()
        && generators.remove(GENERATOR)?
    {
        result.removed.push(format!("{GENERATORS}/{GENERATOR}"));
    }
    for lost in not_back.lost {
        result.kept.push(format!("{} was set aside and is gone", lost.display()));
    }
    let occupied = !not_back.occupied.is_empty();
    for file in not_back.occupied {
        let (path, kept) = (file.path.display(), file.kept.display());
        result.kept.push(format!("{kept} was at {path}, where another file is now"));
    }
    data::remove(places, record, purge, &mut result)?;
    if purge && places.is_live() {
        remove_users(record, &mut result).await;
    } else {
        let people =
            record.users.iter().map(|name| ("user", name)).chain(record.groups.iter().map(|name| ("group", name)));
        result.kept.extend(people.map(|(what, name)| format!("the {what} {name} may own files; `--purge` removes it")));
    }
    remove_all(places, Path::new("/var/lib/citadel"), &mut result)?;
    empty_home(places, occupied)?;
    remove_program(places, record, &mut result)?;
    data::remove_folders(places, record, &mut result)?;
    Ok(result)
}

/// Removes the record, and with the lock the last trace. Nobody may wait for the lock any more that found a host of
/// citadel.
pub fn forget(places: &Places, result: &mut Uninstalled) -> Result<(), DiskError> {
    if let Some(etc) = Folder::find(places, "/etc", Through::Links)?
        && etc.stat("citadel")?.is_some()
    {
        etc.child("citadel")?.remove(record_name(places))?;
        if etc.remove_empty("citadel")? {
            result.removed.push("/etc/citadel".to_owned());
        }
    }
    remove_all(places, Path::new("/run/citadel"), result)
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
        let kept = parent.remove_all(name)?;
        result.kept.extend(kept.iter().map(|mounted| data::mounted(mounted)));
        if kept.is_empty() {
            result.removed.push(path.display().to_string());
        }
    }
    Ok(())
}

/// Removes what is in `/etc/citadel` but the record; files of others that could not be put back stay.
fn empty_home(places: &Places, occupied: bool) -> Result<(), DiskError> {
    let Some(home) = Folder::find(places, "/etc/citadel", Through::NoLinks)? else { return Ok(()) };
    let record = record_name(places);
    for name in home.names()?.iter().filter(|name| **name != record && !(occupied && *name == "adopted")) {
        home.remove_all(name)?;
    }
    Ok(())
}

fn record_name(places: &Places) -> OsString {
    places.record().file_name().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
