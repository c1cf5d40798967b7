//! The history of switches: one JSON object a line.
//!
//! It is only ever appended to. Power loss can tear the last line; it is left out when the history is read, and the next
//! entry begins on a line of its own.

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
    /// Somebody confirmed.
    Confirm,
    Install,
    Uninstall,
}

/// Returns what a plan does to the units that it acts on.
pub fn acted_on(plan: &Plan) -> BTreeMap<UnitName, Action> {
    let acting = plan.steps.iter().filter(|(_, step)| step.action != Action::Nothing);
    acting.map(|(unit, step)| (unit.clone(), step.action)).collect()
}

const FOLDER: &str = "/var/lib/citadel";
const NAME: &str = "history.jsonl";

/// So much of a history is read; some hundred thousand switches.
const LIMIT: u64 = 1 << 30;

/// Durably adds an entry.
pub fn append(places: &Places, entry: &Entry) -> Result<(), DiskError> {
    let folder = Folder::make(places, Path::new(FOLDER), Through::Links, &mut Vec::new())?;
    let write = || -> std::io::Result<()> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let mut file = File::from(rustix::fs::openat(&folder, NAME, flags | OFlags::NONBLOCK, mode)?);
        let length = file.metadata()?.len();
        let mut last = [b'\n'];
        if length > 0 {
            file.read_exact_at(&mut last, length - 1)?;
        }
        let mut line = if last == [b'\n'] { Vec::new() } else { vec![b'\n'] };
        serde_json::to_writer(&mut line, entry)?;
        line.push(b'\n');
        file.write_all(&line)?;
        file.sync_data()
    };
    write().map_err(DiskError::doing("write", places.history()))?;
    folder.sync()
}

/// Returns all entries, the oldest first; lines that cannot be read are left out.
pub fn read(places: &Places) -> Result<Vec<Entry>, DiskError> {
    let Some(folder) = Folder::find(places, Path::new(FOLDER), Through::Links)? else { return Ok(Vec::new()) };
    let text = optional(folder.read(NAME, LIMIT))?.unwrap_or_default();
    Ok(text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
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
