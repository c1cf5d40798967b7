use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;
use crate::activate::testing::{host, host_of, place};

fn etc(places: &Places) -> Folder {
    Folder::open(places, "/etc", Through::NoLinks).unwrap()
}

#[test]
fn a_file_is_replaced_as_a_whole() {
    let (root, places) = host();
    let etc = etc(&places);
    etc.write("a", b"one", Access::PUBLIC).unwrap();
    etc.write("a", b"two", Access { mode: 0o600, owner: None }).unwrap();
    let path = root.path().join("etc/a");
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(etc.read("a", 3).unwrap(), b"two");
    assert!(matches!(etc.read("a", 2), Err(DiskError::Unsafe { .. })), "longer than it may be");
    assert!(etc.remove("a").unwrap());
    assert!(!etc.remove("a").unwrap());
    assert_eq!(etc.names().unwrap(), ["citadel"]);
}

#[test]
fn a_failure_leaves_nothing_behind() {
    let (_root, places) = host_of(&["/etc/a/b"]);
    let etc = etc(&places);
    assert!(etc.write("a", b"", Access::PUBLIC).is_err(), "a folder is there");
    assert!(etc.link("a", "x").is_err());
    assert_eq!(etc.names().unwrap(), ["a"]);
    assert!(!etc.remove_empty("a").unwrap());
    etc.remove_all("a").unwrap();
    etc.remove_all("a").unwrap();
    assert_eq!(etc.names().unwrap(), [""; 0]);
}

#[test]
fn writing_goes_over_a_link_and_not_through_it() {
    let (root, places) = host();
    let precious = root.path().join("precious");
    fs::write(&precious, "data").unwrap();
    symlink(&precious, root.path().join("etc/a")).unwrap();
    let etc = etc(&places);
    assert!(matches!(etc.read("a", 10), Err(DiskError::Unsafe { .. })));
    assert!(etc.create("a", b"x", Access::PUBLIC).is_err());
    etc.write("a", b"x", Access::PUBLIC).unwrap();
    assert_eq!(fs::read_to_string(&precious).unwrap(), "data");
    symlink(root.path(), root.path().join("etc/b")).unwrap();
    etc.remove_all("b").unwrap();
    assert!(precious.exists());
}

#[test]
fn links_lead_out_of_no_root() {
    let (root, places) = host_of(&["/etc", "/data", "/var"]);
    let outside = tempfile::tempdir().unwrap();
    symlink("/data", root.path().join("var/inside")).unwrap();
    symlink(outside.path(), root.path().join("var/outside")).unwrap();
    symlink("../../../../../../../..", root.path().join("var/up")).unwrap();
    let mut made = Vec::new();
    Folder::make(&places, "/var/inside/x", Through::Links, &mut made).unwrap();
    assert!(root.path().join("data/x").exists(), "an absolute link starts at the root of the host");
    assert_eq!(made, [PathBuf::from("/var/inside/x")]);
    assert!(Folder::open(&places, "/var/outside", Through::Links).unwrap_err().is_not_found());
    let up = Folder::open(&places, "/var/up", Through::Links).unwrap();
    assert_eq!(up.names().unwrap(), ["data", "etc", "var"]);
    assert!(matches!(Folder::open(&places, "/var/inside", Through::NoLinks), Err(DiskError::Unsafe { .. })));
    assert!(fs::read_dir(outside.path()).unwrap().next().is_none());
}

#[test]
fn what_others_can_change_is_not_citadels() {
    let (root, places) = host();
    Folder::make_own(&places, places.store()).unwrap();
    for mode in [0o775, 0o757, 0o777] {
        fs::set_permissions(places.store(), fs::Permissions::from_mode(mode)).unwrap();
        assert!(matches!(Folder::own(&places, places.store()), Err(DiskError::Unsafe { .. })), "{mode:o}");
    }
    fs::set_permissions(places.store(), fs::Permissions::from_mode(0o750)).unwrap();
    Folder::own(&places, places.store()).unwrap();
    let elsewhere = root.path().join("elsewhere");
    fs::rename(places.store(), &elsewhere).unwrap();
    symlink(&elsewhere, places.store()).unwrap();
    assert!(matches!(Folder::own(&places, places.store()), Err(DiskError::Unsafe { .. })));
    assert!(matches!(Folder::make_own(&places, places.store()), Err(DiskError::Unsafe { .. })));
}

#[test]
fn a_pipe_is_not_waited_for() {
    let (_root, places) = host();
    let path = places.host("/etc/pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::from_raw_mode(0o600)).unwrap();
    assert!(matches!(etc(&places).read("pipe", 10), Err(DiskError::Unsafe { .. })));
}

#[test]
fn what_a_killed_program_left_is_removed() {
    let (_root, places) = host();
    place(&places, &format!("/etc/{}1-2-a", TEMPORARY), "x");
    place(&places, &format!("/etc/{}1-3-b/c/d", TEMPORARY), "x");
    place(&places, "/etc/kept", "x");
    etc(&places).remove_abandoned().unwrap();
    assert_eq!(etc(&places).names().unwrap(), ["citadel", "kept"]);
}

#[test]
fn a_long_name_has_a_temporary_one() {
    let (_root, places) = host();
    let name = "n".repeat(255);
    etc(&places).write(&name, b"x", Access::PUBLIC).unwrap();
    assert_eq!(etc(&places).read(&name, 1).unwrap(), b"x");
}

#[test]
fn what_is_mounted_is_not_removed() {
    let (root, places) = host_of(&["/etc", "/opt/models", "/opt/disk/deep"]);
    place(&places, "/opt/disk/deep/model", "weights");
    place(&places, "/opt/models/a", "citadel's");
    fs::create_dir(places.host("/opt/models/mounted")).unwrap();
    let mounted = places.host("/opt/models/mounted");
    let mount = |arguments: &[&std::ffi::OsStr]| {
        std::process::Command::new("mount").args(arguments).output().is_ok_and(|done| done.status.success())
    };
    if !mount(&["--bind".as_ref(), places.host("/opt/disk").as_os_str(), mounted.as_os_str()]) {
        eprintln!("skipped: this user cannot mount");
        return;
    }
    let opt = Folder::open(&places, "/opt", Through::NoLinks).unwrap();
    let removed = opt.remove_all("models");
    let reached = opt.below("models/mounted/deep");
    let unmounted = std::process::Command::new("umount").arg(&mounted).status().unwrap();
    assert!(unmounted.success());
    assert_eq!(removed.unwrap(), [mounted]);
    assert!(matches!(reached, Ok(Below::Elsewhere)));
    assert!(!root.path().join("opt/models/a").exists());
    assert_eq!(fs::read_to_string(places.host("/opt/disk/deep/model")).unwrap(), "weights");
    assert_eq!(opt.remove_all("models").unwrap(), Vec::<std::path::PathBuf>::new());
    assert!(matches!(opt.below("models"), Ok(Below::Nothing)));
    symlink("disk", places.host("/opt/link")).unwrap();
    assert!(matches!(opt.below("link/deep"), Ok(Below::Elsewhere)));
    assert!(matches!(opt.below("disk/deep"), Ok(Below::Folder(_))));
}
