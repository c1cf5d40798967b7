//! What is known on disk about a switch that is not proven yet.

use std::collections::BTreeSet;
use std::iter;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::DiskError;
use super::files::{Access, Folder, optional};
use super::generation::Generation;
use super::places::Places;
use crate::bundle::unit::UnitName;
use crate::plan::{Plan, Snapshot};

/// The version of the format that this program writes.
pub const VERSION: u32 = 1;

/// A switch between its first change and its proof; removed when it is proven or taken back.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Trial {
    pub version: u32,
    /// Identifies the switch in progress and history.
    pub id: String,
    /// What counts if the switch is not proven; none when there was no generation before.
    pub from: Option<Generation>,
    pub to: Generation,
    pub stage: Stage,
    /// The boot in which the stage was entered, as in `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
    /// When it began.
    pub started: jiff::Timestamp,
    /// Who asked for it.
    pub by: String,
    /// How long somebody has to confirm it, in seconds; none when health alone decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_within: Option<u64>,
    /// When it is taken back unless it is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_until: Option<jiff::Timestamp>,
    /// What ran before.
    pub before: Snapshot,
    /// The services that were healthy before.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub healthy: BTreeSet<UnitName>,
    /// What is done to the units.
    pub plan: Plan,
    /// What was done to come back, by each attempt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub went_back: Vec<Plan>,
    /// Files of others that are set aside for this switch, written before they move.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_aside: Vec<SetAside>,
}

const NAME: &str = "trial.json";

/// A plan with thousands of units has a few megabytes.
const LIMIT: u64 = 64 << 20;

impl Trial {
    /// Reads the trial; none when everything is proven.
    pub fn read(places: &Places) -> Result<Option<Self>, DiskError> {
        let Some(home) = optional(Folder::own(places, places.home()))? else { return Ok(None) };
        let Some(text) = optional(home.read(NAME, LIMIT))? else { return Ok(None) };
        Self::parse(places, &text).map(Some)
    }

    /// Reads the text of a trial.
    pub(super) fn parse(places: &Places, text: &[u8]) -> Result<Self, DiskError> {
        let broken = |reason: String| DiskError::Broken {
            path: places.trial(),
            reason,
            help: "finish it with the citadel that wrote it, or decide yourself: `current` names the generation that \
                   counts, and without this file it counts for good"
                .to_owned(),
        };
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let unreadable = |error: serde_json::Error| broken(format!("does not say what is on trial ({error})"));
        let Versioned { version } = serde_json::from_slice(text).map_err(unreadable)?;
        if version != VERSION {
            return Err(broken(format!("has version {version}, and this program reads version {VERSION}")));
        }
        serde_json::from_slice(text).map_err(unreadable)
    }

    /// Durably replaces the trial.
    pub fn write(&self, places: &Places) -> Result<(), DiskError> {
        let text = serde_json::to_vec(self).map_err(|error| DiskError::doing("write", places.trial())(error.into()))?;
        // It names who switched and what ran.
        Folder::own(places, places.home())?.write(NAME, &text, Access::PRIVATE)
    }

    /// Durably removes the trial: what `current` names is proven.
    pub fn remove(places: &Places) -> Result<(), DiskError> {
        Folder::own(places, places.home())?.remove(NAME).map(|_| ())
    }
}

/// Returns what identifies this boot of this machine.
pub fn boot_id() -> Result<String, DiskError> {
    const PATH: &str = "/proc/sys/kernel/random/boot_id";
    let text = std::fs::read_to_string(PATH).map_err(DiskError::doing("read", PATH))?;
    Ok(text.trim().to_owned())
}

impl Trial {
    /// Returns all plans that were carried out, or begun.
    pub fn plans(&self) -> impl Iterator<Item = &Plan> {
        iter::once(&self.plan).chain(&self.went_back)
    }
}

/// How far a switch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The next boot tries it; nothing has changed yet.
    NextBoot,
    /// This boot tries it.
    Booting,
    /// It is being carried out.
    Applying,
    /// Everything is healthy; somebody has to confirm it.
    Confirming,
    /// It is being taken back.
    RollingBack,
}

/// A file of another origin that has to make room.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SetAside {
    /// Where it was, as a path of the host.
    pub path: PathBuf,
    /// Where it is kept, as a path of the host.
    pub kept: PathBuf,
}

/// Returns the generation that a boot or a reload of the manager uses.
///
/// `current` is where the link leads, `boot` the boot that asks. A switch of an earlier boot was never proven: the machine
/// went down before. One for the next boot is tried in any boot but the one that asked for it.
pub fn choose(current: Option<Generation>, trial: Option<&Trial>, boot: &str) -> Option<Generation> {
    match trial {
        Some(trial) if trial.boot != boot => match trial.stage {
            Stage::NextBoot => Some(trial.to),
            Stage::Booting | Stage::Applying | Stage::Confirming | Stage::RollingBack => trial.from,
        },
        _ => current,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::activate::testing::{host, trial};

    #[test]
    fn a_trial_comes_back_as_it_was_written() {
        let (_root, places) = host();
        assert_eq!(Trial::read(&places).unwrap(), None);
        let mut written = trial(Some(Generation(1)), Generation(2));
        written.set_aside.push(SetAside { path: "/etc/x".into(), kept: "/etc/citadel/adopted/1/etc/x".into() });
        written.write(&places).unwrap();
        assert_eq!(Trial::read(&places).unwrap(), Some(written));
        Trial::remove(&places).unwrap();
        Trial::remove(&places).unwrap();
        assert_eq!(Trial::read(&places).unwrap(), None);
    }

    #[test]
    fn a_trial_that_cannot_be_read_is_not_taken_for_none() {
        let (_root, places) = host();
        for (text, named) in [("", "does not say"), ("{}", "does not say"), (r#"{"version": 2}"#, "version 2")] {
            fs::write(places.trial(), text).unwrap();
            let error = Trial::read(&places).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains("`current`"), "{error}");
        }
    }

    #[test]
    fn this_boot_has_an_identity() {
        assert_eq!(boot_id().unwrap().len(), 36);
    }

    proptest! {
        #[test]
        fn a_boot_uses_what_is_proven(
            current in prop::option::of(1u64..4),
            from in prop::option::of(1u64..4),
            to in 1u64..4,
            stage in prop::sample::select(vec![Stage::NextBoot, Stage::Applying, Stage::Confirming, Stage::RollingBack]),
            same in any::<bool>(),
            exists in any::<bool>(),
        ) {
            let (current, from, to) = (current.map(Generation), from.map(Generation), Generation(to));
            let trial = Trial { stage, ..trial(from, to) };
            let boot = if same { "b" } else { "c" };
            let chosen = choose(current, exists.then_some(&trial), boot);
            if !exists || same {
                prop_assert_eq!(chosen, current, "the link counts");
            } else if stage == Stage::NextBoot {
                prop_assert_eq!(chosen, Some(to), "asked for in an earlier boot");
            } else {
                prop_assert_eq!(chosen, from, "never proven");
            }
        }
    }
}
