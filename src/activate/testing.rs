//! Hosts for tests.

use std::fs;

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

/// Returns a host with these folders, on which nothing of citadel is.
pub fn host_of(folders: &[&str]) -> (TempDir, Places) {
    let root = tempfile::tempdir().unwrap();
    let places = Places::new(root.path());
    for folder in folders {
        fs::create_dir_all(places.host(folder)).unwrap();
    }
    (root, places)
}

/// Puts a file of somebody else on a host.
pub fn place(places: &Places, path: &str, text: &str) {
    let path = places.host(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Runs something to its end.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
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
        healthy: Default::default(),
        plan: Plan::default(),
        went_back: Vec::new(),
        set_aside: Vec::new(),
    }
}
