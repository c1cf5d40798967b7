//! What citadel made on a host, so that `uninstall` can take it away.
//!
//! Everything is recorded before it is made: after a crash the record may name what was never made, which does no harm,
//! but nothing that was made is forgotten.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::DiskError;
use super::files::{Access, Folder, optional};
use super::generation::Generation;
use super::places::Places;
use super::trial::SetAside;
use crate::bundle::unit::UnitName;

/// The version of the format that this program writes.
pub const VERSION: u32 = 1;

const NAME: &str = "installed.json";

const LIMIT: u64 = 16 << 20;

/// The content of `installed.json`. Paths are paths of the host.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Record {
    pub version: u32,
    /// The activator that `install` put there; none when it was there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<PathBuf>,
    /// Files of others that are set aside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adopted: Vec<SetAside>,
    /// Users that did not exist before a bundle asked for them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub users: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// Folders that did not exist before citadel put a link into them; they go when they are empty.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub folders: BTreeSet<PathBuf>,
    /// Where links at targets of files of bundles have been made.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub links: BTreeSet<PathBuf>,
    /// What tmpfiles and systemd made for units and did not exist before; what is in it is data.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub data: BTreeSet<PathBuf>,
    /// What an `uninstall` that has begun found running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Leaving>,
}

/// What ran when `uninstall` began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Leaving {
    /// The generation that it stopped.
    pub generation: Option<Generation>,
    /// The units of it that ran.
    pub running: BTreeSet<UnitName>,
    /// Those that run again afterwards, under the definition that they had before citadel.
    pub again: BTreeSet<UnitName>,
}

impl Leaving {
    /// Adds what an earlier run for the same generation has stopped already.
    pub fn after(mut self, record: &Record) -> Self {
        if let Some(earlier) = record.leaving.as_ref().filter(|earlier| earlier.generation == self.generation) {
            self.running.extend(earlier.running.iter().cloned());
            self.again.extend(earlier.again.iter().cloned());
        }
        self
    }
}

impl Default for Record {
    fn default() -> Self {
        Record {
            version: VERSION,
            program: None,
            adopted: Vec::new(),
            users: BTreeSet::new(),
            groups: BTreeSet::new(),
            folders: BTreeSet::new(),
            links: BTreeSet::new(),
            data: BTreeSet::new(),
            leaving: None,
        }
    }
}

impl Record {
    /// Reads it; one that says nothing when there is none.
    pub fn read(places: &Places) -> Result<Self, DiskError> {
        let Some(home) = optional(Folder::own(places, places.home()))? else { return Ok(Self::default()) };
        let Some(text) = optional(home.read(NAME, LIMIT))? else { return Ok(Self::default()) };
        let broken = |reason: String| DiskError::Broken {
            path: places.record(),
            reason,
            help: "put it right: it says what `citadel uninstall` has to take away".to_owned(),
        };
        let record: Self =
            serde_json::from_slice(&text).map_err(|error| broken(format!("cannot be read ({error})")))?;
        if record.version != VERSION {
            return Err(broken(format!("has version {}, and this program reads version {VERSION}", record.version)));
        }
        Ok(record)
    }

    /// Durably changes it; nothing is written when the change changes nothing.
    pub fn update(places: &Places, change: impl FnOnce(&mut Self)) -> Result<(), DiskError> {
        let before = Self::read(places)?;
        let mut record = before.clone();
        change(&mut record);
        if record == before {
            return Ok(());
        }
        let mut text = serde_json::to_vec_pretty(&record)
            .map_err(|error| DiskError::doing("write", places.record())(error.into()))?;
        text.push(b'\n');
        Folder::make_own(places, places.home())?.write(NAME, &text, Access::PUBLIC)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::activate::testing::host;

    #[test]
    fn changes_are_kept_and_added_to() {
        let (_root, places) = host();
        assert_eq!(Record::read(&places).unwrap(), Record::default());
        Record::update(&places, |_| ()).unwrap();
        assert!(!places.record().exists());
        Record::update(&places, |record| record.users.extend(["a".to_owned()])).unwrap();
        Record::update(&places, |record| record.users.extend(["b".to_owned()])).unwrap();
        assert_eq!(Record::read(&places).unwrap().users.len(), 2);
        fs::write(places.record(), r#"{"version": 2}"#).unwrap();
        let error = Record::read(&places).unwrap_err().to_string();
        assert!(error.contains("version 2"), "{error}");
    }

    #[test]
    fn what_an_earlier_uninstall_stopped_is_not_forgotten() {
        let units = |names: &[&str]| names.iter().filter_map(|name| UnitName::parse(name)).collect::<BTreeSet<_>>();
        let leaving = |generation, running: &[&str], again: &[&str]| Leaving {
            generation: Some(Generation(generation)),
            running: units(running),
            again: units(again),
        };
        let record =
            Record { leaving: Some(leaving(1, &["a.service", "b.service"], &["a.service"])), ..Record::default() };
        let both = leaving(1, &["a.service", "b.service"], &["a.service"]);
        assert_eq!(leaving(1, &["b.service"], &[]).after(&record), both);
        assert_eq!(leaving(2, &["b.service"], &[]).after(&record), leaving(2, &["b.service"], &[]), "another switch");
    }
}
