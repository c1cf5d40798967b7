//! The history of switches: one JSON object a line.
//!
//! It is only ever appended to. Power loss can tear the last line; it is left out when the history is read, and the next
//! entry begins on a line of its own.
//!
//! Early in a boot `/var` may not be mounted yet, and what is written to it then is hidden afterwards. Entries of that time
//! wait in `/etc/citadel`, and the next one that is written later takes them along.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::error::DiskError;
use super::files::{Folder, Through, optional};
use super::generation::Generation;
use super::places::Places;
use super::progress::Outcome;
use crate::bundle::digest::Digest;
use crate::bundle::unit::UnitName;
use crate::plan::{Action, Plan};

/// One thing that was done to the host.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Entry {
    pub id: String,
    /// When it began.
    pub at: jiff::Timestamp,
    /// Who asked for it.
    pub by: String,
    pub kind: Kind,
    pub from: Option<Generation>,
    pub to: Option<Generation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The identity of the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Digest>,
    pub outcome: Outcome,
    pub seconds: f64,
    /// What was done to the units that something was done to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub units: BTreeMap<UnitName, Action>,
    /// How many seconds each unit that was started took until it was ready. Entries of earlier versions have none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub starts: BTreeMap<UnitName, f64>,
    /// What is worth knowing, in a sentence or a paragraph.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// To a bundle that was given.
    Switch,
    /// To an earlier generation.
    Rollback,
    /// Finishing what a killed switch or a reboot left.
    Recover,
    /// The first boot of a generation that `--boot` chose.
    Boot,
}

/// Returns what a plan does to the units that it acts on.
pub fn acted_on(plan: &Plan) -> BTreeMap<UnitName, Action> {
    let acting = plan.steps.iter().filter(|(_, step)| step.action != Action::Nothing);
    acting.map(|(unit, step)| (unit.clone(), step.action)).collect()
}

/// Returns how many seconds the last start of each unit took that any of the entries knows of.
pub fn last_starts(entries: &[Entry]) -> BTreeMap<&UnitName, f64> {
    entries.iter().flat_map(|entry| &entry.starts).map(|(unit, seconds)| (unit, *seconds)).collect()
}

const FOLDER: &str = "/var/lib/citadel";
const NAME: &str = "history.jsonl";
/// In `/etc/citadel`: entries that the history does not have yet.
const PENDING: &str = "history-pending.jsonl";

/// So much of a history is read; some hundred thousand switches.
const LIMIT: u64 = 1 << 30;

/// Durably adds an entry, after those that wait.
pub fn append(places: &Places, entry: &Entry) -> Result<(), DiskError> {
    let mut entries = pending(places)?;
    let some = !entries.is_empty();
    if some {
        // A kill between the two steps below leaves them in both places.
        let written = written(places)?;
        entries.retain(|entry| !written.contains(entry));
    }
    entries.push(entry.clone());
    let folder = Folder::make(places, Path::new(FOLDER), Through::Links, &mut Vec::new())?;
    add(&folder, NAME, &entries)?;
    if some {
        Folder::own(places, places.home())?.remove(PENDING)?;
    }
    Ok(())
}

/// Durably adds an entry early in a boot, when `/var` may not be there; it waits for the next [`append`].
pub fn append_early(places: &Places, entry: &Entry) -> Result<(), DiskError> {
    add(&Folder::make_own(places, places.home())?, PENDING, std::slice::from_ref(entry))
}

fn add(folder: &Folder, name: &str, entries: &[Entry]) -> Result<(), DiskError> {
    let write = || -> std::io::Result<()> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let mut file = File::from(rustix::fs::openat(folder, name, flags | OFlags::NONBLOCK, mode)?);
        let length = file.metadata()?.len();
        let mut last = [b'\n'];
        if length > 0 {
            file.read_exact_at(&mut last, length - 1)?;
        }
        let mut lines = if last == [b'\n'] { Vec::new() } else { vec![b'\n'] };
        for entry in entries {
            serde_json::to_writer(&mut lines, entry)?;
            lines.push(b'\n');
        }
        file.write_all(&lines)?;
        file.sync_data()
    };
    write().map_err(DiskError::doing("write", folder.path().join(name)))?;
    folder.sync()
}

/// Returns all entries, the oldest first; lines that cannot be read are left out.
pub fn read(places: &Places) -> Result<Vec<Entry>, DiskError> {
    let mut entries = written(places)?;
    let mut pending = pending(places)?;
    pending.retain(|entry| !entries.contains(entry));
    entries.extend(pending);
    Ok(entries)
}

fn written(places: &Places) -> Result<Vec<Entry>, DiskError> {
    let Some(folder) = Folder::find(places, Path::new(FOLDER), Through::Links)? else { return Ok(Vec::new()) };
    Ok(parse(&optional(folder.read(NAME, LIMIT))?.unwrap_or_default()))
}

fn pending(places: &Places) -> Result<Vec<Entry>, DiskError> {
    let Some(home) = optional(Folder::own(places, places.home()))? else { return Ok(Vec::new()) };
    Ok(parse(&optional(home.read(PENDING, LIMIT))?.unwrap_or_default()))
}

fn parse(text: &[u8]) -> Vec<Entry> {
    text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::activate::testing::host;

    fn entry(id: &str) -> Entry {
        Entry {
            id: id.to_owned(),
            at: jiff::Timestamp::UNIX_EPOCH,
            by: "alice".to_owned(),
            kind: Kind::Switch,
            from: None,
            to: Some(Generation(1)),
            profile: Some("production".to_owned()),
            bundle: Some(Digest::of(b"x")),
            outcome: Outcome::Done,
            seconds: 1.5,
            units: [(UnitName::parse("a.service").unwrap(), Action::Start)].into(),
            starts: [(UnitName::parse("a.service").unwrap(), 1.25)].into(),
            message: "line\nbreak".to_owned(),
        }
    }

    #[test]
    fn entries_come_back_in_order() {
        let (_root, places) = host();
        assert_eq!(read(&places).unwrap(), []);
        append(&places, &entry("1")).unwrap();
        append(&places, &entry("2")).unwrap();
        assert_eq!(read(&places).unwrap(), [entry("1"), entry("2")]);
    }

    #[test]
    fn the_last_start_of_a_unit_counts() {
        let unit = |name: &str| UnitName::parse(name).unwrap();
        let with = |starts: &[(&str, f64)]| Entry {
            starts: starts.iter().map(|(name, seconds)| (unit(name), *seconds)).collect(),
            ..entry("1")
        };
        let entries = [with(&[("a.service", 1.0), ("b.service", 2.0)]), with(&[("a.service", 420.0)]), with(&[])];
        let (a, b) = (unit("a.service"), unit("b.service"));
        assert_eq!(last_starts(&entries), [(&a, 420.0), (&b, 2.0)].into());
    }

    #[test]
    fn entries_of_earlier_versions_are_read() {
        let line = br#"{"id":"1","at":"2026-01-01T00:00:00Z","by":"alice","kind":"switch","from":1,"to":2,"outcome":"done","seconds":3.5,"units":{"a.service":"restart"}}"#;
        let entries = parse(line);
        assert_eq!((entries.len(), entries[0].units.len(), entries[0].starts.len()), (1, 1, 0));
    }

    #[test]
    fn what_was_written_before_var_was_there_is_taken_along_once() {
        let (_root, places) = host();
        append(&places, &entry("1")).unwrap();
        append_early(&places, &entry("2")).unwrap();
        append_early(&places, &entry("3")).unwrap();
        assert_eq!(read(&places).unwrap(), ["1", "2", "3"].map(entry));
        let pending = fs::read(places.home().join(PENDING)).unwrap();
        append(&places, &entry("4")).unwrap();
        assert!(!places.home().join(PENDING).exists());
        assert_eq!(read(&places).unwrap(), ["1", "2", "3", "4"].map(entry));
        // As after a kill before they were removed.
        fs::write(places.home().join(PENDING), pending).unwrap();
        assert_eq!(read(&places).unwrap(), ["1", "2", "3", "4"].map(entry));
        append(&places, &entry("5")).unwrap();
        assert_eq!(read(&places).unwrap(), ["1", "2", "3", "4", "5"].map(entry));
    }

    #[test]
    fn early_in_a_boot_nothing_is_made_in_var() {
        let (_root, places) = host();
        append_early(&places, &entry("1")).unwrap();
        assert!(!places.host("/var").exists());
    }

    #[test]
    fn a_torn_line_costs_nothing_but_itself() {
        let (_root, places) = host();
        append(&places, &entry("1")).unwrap();
        append(&places, &entry("2")).unwrap();
        let whole = fs::read(places.history()).unwrap();
        for torn in 0..whole.len() {
            fs::write(places.history(), &whole[..torn]).unwrap();
            let before = read(&places).unwrap();
            append(&places, &entry("3")).unwrap();
            let after = read(&places).unwrap();
            assert_eq!(after, [before, vec![entry("3")]].concat(), "torn at {torn}");
        }
    }
}
