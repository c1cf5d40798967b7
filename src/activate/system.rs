//! Programs of the host that make what a bundle declares outside of units: users, folders, links, modules, devices.
//!
//! They get the bundle's own files and nothing else, so a switch never applies what somebody else has left half done in
//! `/etc`. At boot they find the same files through the links.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::declared;
use super::error::DiskError;
use super::files::{Access, Folder, Through};
use super::generation::Generation;
use super::links;
use super::places::Places;
use super::record::Record;
use super::store;
use crate::bundle::Bundle;
use crate::bundle::manifest::FileKind;

/// Where programs are; root's `PATH` is not asked.
const PROGRAMS: [&str; 6] = ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/lib/systemd", "/lib/systemd"];

/// A program that takes longer hangs: on a dead network file system, or on a name service that does not answer.
const LIMIT: Duration = Duration::from_secs(90);

/// So much of what a program says is kept, in bytes.
const MOST_SAID: u64 = 16 << 10;

/// Returns where a program of the host is.
pub fn find(program: &str) -> Option<PathBuf> {
    PROGRAMS.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.is_file())
}

/// Runs a program of the host to its end; its errors are what it says on standard error.
pub async fn run(
    program: &str,
    arguments: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>,
) -> Result<(), DiskError> {
    let failed = |status: String, stderr: String| DiskError::Program { program: program.to_owned(), status, stderr };
    let path = find(program).ok_or_else(|| failed("it is not installed".to_owned(), String::new()))?;
    let mut child = Command::new(path)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("it does not start: {error}"), String::new()))?;
    let stderr = child.stderr.take();
    let mut said = Vec::new();
    let ended = async {
        if let Some(stderr) = stderr {
            let mut first = stderr.take(MOST_SAID);
            let _ = first.read_to_end(&mut said).await;
            // The rest is read too, or the program would wait for ever to say it.
            let _ = tokio::io::copy(&mut first.into_inner(), &mut tokio::io::sink()).await;
        }
        child.wait().await
    };
    let ended = tokio::time::timeout(LIMIT, ended).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    match ended {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(failed(status.to_string(), said)),
        Ok(Err(error)) => Err(failed(error.to_string(), said)),
        Err(_) => Err(failed(format!("it took more than {} seconds", LIMIT.as_secs()), said)),
    }
}

/// Returns what the files of one kind say, by path; equal means that there is nothing to apply.
fn content(bundle: Option<&Bundle>, kind: FileKind) -> BTreeMap<&str, &[u8]> {
    let entries = bundle.into_iter().flat_map(|bundle| {
        let files = bundle.manifest.files.iter().filter(move |(_, entry)| entry.kind == kind);
        files.filter_map(|(path, _)| Some((path.as_str(), bundle.files.get(path)?.as_slice())))
    });
    entries.collect()
}

/// Returns where the files of one kind are in a generation, if they differ from those of the old bundle.
fn changed(
    places: &Places,
    old: Option<&Bundle>,
    (generation, new): (Generation, &Bundle),
    kind: FileKind,
) -> Option<Vec<PathBuf>> {
    let after = content(Some(new), kind);
    let folder = places.generation(generation);
    (content(old, kind) != after).then(|| after.into_keys().map(|path| folder.join(path)).collect())
}

/// Makes users, folders and links, loads modules and tells udev, for what differs from the old bundle; records first what
/// does not exist yet. Called after the commit. Returns warnings. Does nothing on a host that does not run: it applies
/// the same files when it boots.
pub async fn apply(
    places: &Places,
    old: Option<&Bundle>,
    generation: Generation,
    new: &Bundle,
) -> Result<Vec<String>, DiskError> {
    if !places.is_live() {
        return Ok(Vec::new());
    }
    let changed = |kind| changed(places, old, (generation, new), kind);
    let mut warnings = Vec::new();
    record_missing(places, new)?;
    if let Some(files) = changed(FileKind::Sysusers).filter(|files| !files.is_empty()) {
        run("systemd-sysusers", files).await?;
    }
    store::settle_owners(places, generation, new)?;
    if let Some(files) = changed(FileKind::Tmpfiles).filter(|files| !files.is_empty()) {
        if let Some(old) = old {
            links::retarget(places, old, new)?;
        }
        run("systemd-tmpfiles", [PathBuf::from("--create")].into_iter().chain(files)).await?;
    }
    if let Some(files) = changed(FileKind::ModulesLoad).filter(|files| !files.is_empty()) {
        // At boot a missing module stops nothing either; the services that need it say more.
        if let Err(error) = run("systemd-modules-load", files).await {
            warnings.push(error.to_string());
        }
    }
    if changed(FileKind::Udev).is_some() {
        udev(new, &mut warnings).await?;
    }
    Ok(warnings)
}

/// Lets udev forget the rules of a bundle that is gone. Returns warnings.
pub async fn leave(bundle: &Bundle) -> Vec<String> {
    if content(Some(bundle), FileKind::Udev).is_empty() || !Path::new("/run/udev/control").exists() {
        return Vec::new();
    }
    run("udevadm", ["control", "--reload"]).await.err().map(|error| error.to_string()).into_iter().collect()
}

/// Records users, groups, folders and links that a bundle will bring into being.
fn record_missing(places: &Places, bundle: &Bundle) -> Result<(), DiskError> {
    let (mut users, mut groups) = declared::users(bundle);
    users.retain(|name| uzers::get_user_by_name(name).is_none());
    groups.retain(|name| uzers::get_group_by_name(name).is_none());
    let (data, folders) = missing(places, declared::paths(bundle).into_iter().chain(declared::state(bundle)));
    Record::update(places, |record| {
        record.users.extend(users);
        record.groups.extend(groups);
        record.data.extend(data);
        record.folders.extend(folders);
    })
}

/// Returns which of these paths do not exist, and the folders above them that do not.
///
/// What is in a declared folder came with the bundle. A folder above is only the way there: somebody may keep a disk of
/// models in it later.
fn missing(places: &Places, declared: impl Iterator<Item = PathBuf>) -> (BTreeSet<PathBuf>, BTreeSet<PathBuf>) {
    let is_missing = |path: &Path| std::fs::symlink_metadata(places.host(path)).is_err();
    let data: BTreeSet<PathBuf> = declared.filter(|path| is_missing(path)).collect();
    let above = data.iter().flat_map(|path| path.ancestors().skip(1).take_while(|path| is_missing(path)));
    // `private` belongs to systemd.
    let folders =
        above.filter(|path| !data.contains(*path) && !path.ends_with("private")).map(Path::to_owned).collect();
    (data, folders)
}

/// Lets udev read its rules again and apply them to the devices that they name.
async fn udev(bundle: &Bundle, warnings: &mut Vec<String>) -> Result<(), DiskError> {
    if !Path::new("/run/udev/control").exists() {
        warnings.push("udev does not run here, so its rules were not applied".to_owned());
        return Ok(());
    }
    run("udevadm", ["control", "--reload"]).await?;
    for arguments in triggers(bundle) {
        run("udevadm", ["trigger".to_owned()].into_iter().chain(arguments)).await?;
    }
    Ok(())
}

/// Returns the arguments of `udevadm trigger` for the devices that the rules of a bundle match by subsystem and name.
///
/// A rule that names no subsystem is for something that happens, such as the loading of a driver: acting as if it happened
/// would be wrong.
fn triggers(bundle: &Bundle) -> BTreeSet<Vec<String>> {
    let texts = content(Some(bundle), FileKind::Udev).into_values();
    let mut triggers = BTreeSet::new();
    for line in texts.flat_map(|text| String::from_utf8_lossy(text).lines().map(str::to_owned).collect::<Vec<_>>()) {
        let matched = |key: &str| {
            let terms = line.split(',').map(str::trim);
            terms.filter_map(|term| term.strip_prefix(key)?.strip_prefix("==\"")?.strip_suffix('"')).next()
        };
        let Some(subsystem) = matched("SUBSYSTEM").filter(|_| !line.trim_start().starts_with('#')) else { continue };
        let action = matched("ACTION").and_then(|actions| actions.split('|').next()).unwrap_or("change");
        // For a device that is there, what a removal does is not wanted.
        if action == "remove" {
            continue;
        }
        let mut arguments = vec![format!("--action={action}"), format!("--subsystem-match={subsystem}")];
        arguments.extend(matched("KERNEL").map(|name| format!("--sysname-match={name}")));
        triggers.insert(arguments);
    }
    triggers
}

/// Checks changed log rotation with `logrotate --debug`, which changes nothing; call it before anything is written.
/// Returns warnings, such as that logrotate is not there.
///
/// Users that the bundle makes do not exist yet, and logrotate would stop at them; root stands for them here.
pub async fn validate_logrotate(places: &Places, old: Option<&Bundle>, new: &Bundle) -> Result<Vec<String>, DiskError> {
    let after = content(Some(new), FileKind::Logrotate);
    if after.is_empty() || after == content(old, FileKind::Logrotate) {
        return Ok(Vec::new());
    }
    if find("logrotate").is_none() {
        return Ok(vec!["logrotate is not installed, so logs will not be rotated".to_owned()]);
    }
    let (users, groups) = declared::users(new);
    let missing = |word: &str| {
        let user = users.contains(word) && uzers::get_user_by_name(word).is_none();
        user || groups.contains(word) && uzers::get_group_by_name(word).is_none()
    };
    let folder = Folder::make(places, "/run/citadel", Through::Links, &mut Vec::new())?;
    for text in after.into_values() {
        const NAME: &str = "logrotate-check";
        let text = with_users(&String::from_utf8_lossy(text), missing);
        folder.write(NAME, text.as_bytes(), Access::PUBLIC)?;
        let file = folder.path().join(NAME);
        let checked = run("logrotate", [Path::new("--debug"), Path::new("--state=/dev/null"), &file]).await;
        folder.remove(NAME)?;
        checked?;
    }
    Ok(Vec::new())
}

/// Replaces users and groups that are missing in the directives of logrotate that name some.
fn with_users(text: &str, missing: impl Fn(&str) -> bool) -> String {
    let mut replaced = String::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        if words.first().is_some_and(|first| matches!(*first, "su" | "create" | "createolddir")) {
            let words: Vec<_> = words.into_iter().map(|word| if missing(word) { "root" } else { word }).collect();
            replaced.push_str(&words.join(" "));
        } else {
            replaced.push_str(line);
        }
        replaced.push('\n');
    }
    replaced
}

#[cfg(test)]
mod tests;
