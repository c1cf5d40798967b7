use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::activate::testing::host_of;

fn program(folder: &tempfile::TempDir) -> PathBuf {
    let program = folder.path().join("built");
    fs::write(&program, "program").unwrap();
    program
}

#[test]
fn installing_twice_changes_nothing_more() {
    let (root, places) = host_of(&["/etc/systemd"]);
    let elsewhere = tempfile::tempdir().unwrap();
    let done = install(&places, &program(&elsewhere)).unwrap();
    assert_eq!(done.len(), 5, "{done:?}");
    assert_eq!(install(&places, &program(&elsewhere)).unwrap(), Vec::<PathBuf>::new());
    let installed = root.path().join("usr/local/bin/citadel-activate");
    assert_eq!(fs::metadata(&installed).unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(install(&places, &installed).unwrap(), Vec::<PathBuf>::new());
    fs::write(&installed, "older").unwrap();
    assert_eq!(install(&places, &program(&elsewhere)).unwrap(), [PathBuf::from(PROGRAM)]);
    let link = root.path().join("etc/systemd/system-generators/citadel-generator");
    assert_eq!(fs::read_link(link).unwrap(), Path::new(PROGRAM));
}

#[test]
fn folders_are_recorded_before_they_are_made() {
    let (_root, places) = host_of(&["/etc"]);
    let elsewhere = tempfile::tempdir().unwrap();
    install(&places, &program(&elsewhere)).unwrap();
    let folders = ["/etc/systemd", GENERATORS, "/usr", "/usr/local", "/usr/local/bin"].map(PathBuf::from);
    assert_eq!(Record::read(&places).unwrap().folders, folders.into());
}
