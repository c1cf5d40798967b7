use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use super::*;
use crate::activate::foreign;
use crate::activate::testing::{host, place};
use crate::bundle::testing::bundle;

const UNIT: &str = "/etc/systemd/system/a.service";
const WANTS: &str = "/etc/systemd/system/multi-user.target.wants/a.service";

/// Returns a host with an enabled unit and a file of others, and what has to move.
fn occupied() -> (tempfile::TempDir, Places, Vec<SetAside>) {
    let (root, places) = host();
    place(&places, UNIT, "[Service]");
    fs::create_dir_all(places.host(WANTS).parent().unwrap()).unwrap();
    symlink("../a.service", places.host(WANTS)).unwrap();
    place(&places, "/etc/app.conf", "theirs");
    fs::set_permissions(places.host("/etc/app.conf"), fs::Permissions::from_mode(0o640)).unwrap();
    let found = foreign::find(&places, None, &bundle("x").manifest).unwrap();
    let files = plan("1", &found);
    (root, places, files)
}

/// Returns what is at the places of others.
fn state(places: &Places, files: &[SetAside]) -> Vec<Option<(u32, Vec<u8>)>> {
    files
        .iter()
        .map(|file| {
            let path = places.host(&file.path);
            let mode = fs::symlink_metadata(&path).ok()?.mode();
            Some((
                mode,
                fs::read_link(&path)
                    .map_or_else(|_| fs::read(&path).unwrap(), |it| it.into_os_string().into_encoded_bytes()),
            ))
        })
        .collect()
}

#[test]
fn links_move_before_what_they_enable() {
    let (_root, _places, files) = occupied();
    let paths: Vec<_> = files.iter().map(|file| file.path.to_str().unwrap()).collect();
    assert_eq!(paths, [WANTS, UNIT, "/etc/app.conf"]);
    assert_eq!(files[1].kept, Path::new("/etc/citadel/adopted/1/etc/systemd/system/a.service"));
}

#[test]
fn everything_comes_back_as_it_was() {
    let (_root, places, files) = occupied();
    let before = state(&places, &files);
    set_aside(&places, &files).unwrap();
    assert_eq!(state(&places, &files), [None, None, None]);
    assert!(!foreign::find(&places, None, &bundle("x").manifest).unwrap().is_in_the_way());
    links::make(&places, &bundle("x").manifest).unwrap();
    assert_eq!(put_back(&places, &files).unwrap(), NotBack::default());
    assert_eq!(state(&places, &files), before);
    assert!(!places.adopted().exists());
}

#[test]
fn any_half_done_state_can_be_finished_either_way() {
    for moved in 0..8 {
        for back in [false, true] {
            let (_root, places, files) = occupied();
            let before = state(&places, &files);
            let part: Vec<_> =
                files.iter().enumerate().filter(|(at, _)| moved & (1 << at) != 0).map(|(_, it)| it.clone()).collect();
            set_aside(&places, &part).unwrap();
            if back {
                assert_eq!(put_back(&places, &files).unwrap(), NotBack::default());
                assert_eq!(put_back(&places, &files).unwrap(), NotBack::default());
                assert_eq!(state(&places, &files), before);
            } else {
                set_aside(&places, &files).unwrap();
                set_aside(&places, &files).unwrap();
                assert_eq!(state(&places, &files), [None, None, None]);
                assert_eq!(put_back(&places, &files).unwrap(), NotBack::default());
                assert_eq!(state(&places, &files), before);
            }
        }
    }
}

#[test]
fn a_copy_whose_original_was_not_removed_yet_is_finished() {
    let (_root, places, files) = occupied();
    let before = state(&places, &files);
    for file in &files {
        let kept = places.host(&file.kept);
        fs::create_dir_all(kept.parent().unwrap()).unwrap();
        match fs::read_link(places.host(&file.path)) {
            Ok(text) => symlink(text, kept).unwrap(),
            Err(_) => drop(fs::copy(places.host(&file.path), kept).unwrap()),
        }
    }
    set_aside(&places, &files).unwrap();
    assert_eq!(state(&places, &files), [None, None, None]);
    assert_eq!(put_back(&places, &files).unwrap(), NotBack::default());
    assert_eq!(state(&places, &files), before);
}

#[test]
fn what_somebody_puts_there_meanwhile_is_not_overwritten() {
    let (_root, places, files) = occupied();
    set_aside(&places, &files).unwrap();
    place(&places, UNIT, "newer");
    assert!(matches!(set_aside(&places, &files), Err(DiskError::Foreign { .. })));
    let not_back = put_back(&places, &files).unwrap();
    assert_eq!(not_back.occupied, [files[1].clone()]);
    assert_eq!(fs::read_to_string(places.host(UNIT)).unwrap(), "newer");
    assert_eq!(fs::read_to_string(places.host(&files[1].kept)).unwrap(), "[Service]");
    fs::remove_file(places.host(UNIT)).unwrap();
    fs::remove_file(places.host(&files[1].kept)).unwrap();
    assert_eq!(put_back(&places, &files).unwrap().lost, [PathBuf::from(UNIT)]);
}

#[test]
fn files_move_between_file_systems() {
    let (_root, places) = host();
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else { return };
    let elsewhere = Places::new(other.path());
    if fs::metadata(other.path()).unwrap().dev() == fs::metadata(places.home()).unwrap().dev() {
        return;
    }
    place(&elsewhere, "/x", "text");
    fs::set_permissions(elsewhere.host("/x"), fs::Permissions::from_mode(0o750)).unwrap();
    symlink("x", elsewhere.host("/l")).unwrap();
    let from = Folder::open(&elsewhere, "/", Through::Links).unwrap();
    let to = Folder::open(&places, "/etc", Through::Links).unwrap();
    let before = fs::metadata(elsewhere.host("/x")).unwrap();
    for name in ["x", "l"].map(OsStr::new) {
        move_file(&from, name, &from.stat(name).unwrap().unwrap(), &to, name).unwrap();
        assert_eq!(from.stat(name).unwrap().map(|_| ()), None);
    }
    let after = fs::metadata(places.host("/etc/x")).unwrap();
    assert_eq!((after.mode(), after.mtime(), after.mtime_nsec()), (before.mode(), before.mtime(), before.mtime_nsec()));
    assert_eq!(fs::read_link(places.host("/etc/l")).unwrap(), Path::new("x"));
}
