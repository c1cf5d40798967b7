//! Hosts for tests.

use tempfile::TempDir;

use super::files::Folder;
use super::generation::Generation;
use super::places::Places;
use super::trial::{Stage, Trial, VERSION};
use crate::plan::{Plan, Snapshot};

/// Returns a host with nothing but the home of citadel.
pub fn host() -> (TempDir, Places) {
    let root = tempfile::tempdir().unwrap();
    let places = Places::new(root.path());
    Folder::make_own(&places, places.home()).unwrap();
    (root, places)
}

/// Returns a trial of this boot that is being applied.
pub fn trial(from: Option<Generation>, to: Generation) -> Trial {
    Trial {
        version: VERSION,
        id: "20260101T000000Z-1".to_owned(),
        from,
        to,
        stage: Stage::Applying,
        boot: "b".to_owned(),
        started: jiff::Timestamp::UNIX_EPOCH,
        by: "root".to_owned(),
        confirm_within: None,
        confirm_until: None,
        before: Snapshot::default(),
        plan: Plan::default(),
        set_aside: Vec::new(),
    }
}
