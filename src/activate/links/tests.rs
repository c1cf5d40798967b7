use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::activate::testing::{host, place};
use crate::activate::{Generation, current, store};
use crate::bundle::testing::{bundle, bundle_of};

fn with(files: &[(&str, &str)]) -> Bundle {
    let files: Vec<_> = files.iter().map(|(path, target)| (*path, "raw", Some(*target), "0644", "text")).collect();
    bundle_of(&files)
}

#[test]
fn links_lead_through_current_from_any_depth() {
    let (root, places) = host();
    let bundle = with(&[("files/etc/a", "/etc/a"), ("files/etc/x/y/b", "/etc/x/y/b")]);
    store::import(&places, &bundle).unwrap();
    assert_eq!(make(&places, &bundle.manifest).unwrap(), []);
    assert_eq!(
        fs::read_link(root.path().join("etc/x/y/b")).unwrap(),
        Path::new("../../citadel/current/files/etc/x/y/b")
    );
    assert!(fs::read(root.path().join("etc/a")).is_err(), "not before the commit");
    current::set(&places, Some(Generation(1))).unwrap();
    for path in ["etc/a", "etc/x/y/b"] {
        assert_eq!(fs::read_to_string(root.path().join(path)).unwrap(), "text");
    }
    let record = Record::read(&places).unwrap();
    assert_eq!(record.links.len(), 2);
    assert_eq!(record.folders, ["/etc/x", "/etc/x/y"].map(PathBuf::from).into());
    assert_eq!(make(&places, &bundle.manifest).unwrap(), []);
}

#[test]
fn files_in_the_store_need_no_link() {
    let wanted = wanted(&bundle("x").manifest);
    assert_eq!(wanted.len(), 1);
    assert_eq!(wanted[0].path, Path::new("/etc/app.conf"));
}

#[test]
fn what_is_no_longer_needed_goes_and_what_is_not_ours_stays() {
    let (_root, places) = host();
    let (old, new) =
        (with(&[("files/etc/a", "/etc/a"), ("files/etc/b", "/etc/b")]), with(&[("files/etc/b", "/etc/b")]));
    make(&places, &old.manifest).unwrap();
    assert_eq!(prune(&places, Some(&new.manifest)).unwrap(), [PathBuf::from("/etc/a")]);
    assert_eq!(prune(&places, Some(&new.manifest)).unwrap(), Vec::<PathBuf>::new());
    fs::remove_file(places.host("/etc/b")).unwrap();
    place(&places, "/etc/b", "theirs");
    assert_eq!(prune(&places, None).unwrap(), Vec::<PathBuf>::new());
    assert_eq!(fs::read_to_string(places.host("/etc/b")).unwrap(), "theirs");
}

#[test]
fn the_place_of_another_file_is_told_and_left() {
    let (_root, places) = host();
    let bundle = with(&[("files/etc/a", "/etc/a"), ("files/etc/b", "/etc/b"), ("files/etc/c", "/etc/c")]);
    place(&places, "/etc/a", "theirs");
    symlink("elsewhere", places.host("/etc/b")).unwrap();
    symlink("citadel/current/files/etc/old", places.host("/etc/c")).unwrap();
    let occupied: Vec<_> = make(&places, &bundle.manifest).unwrap().into_iter().map(|link| link.path).collect();
    assert_eq!(occupied, [PathBuf::from("/etc/a"), PathBuf::from("/etc/b")]);
    assert_eq!(fs::read_link(places.host("/etc/c")).unwrap(), Path::new("citadel/current/files/etc/c"));
}

#[test]
fn a_folder_behind_a_link_is_refused() {
    let (_root, places) = host();
    let elsewhere = tempfile::tempdir().unwrap();
    symlink(elsewhere.path(), places.host("/etc/x")).unwrap();
    let bundle = with(&[("files/etc/x/a", "/etc/x/a")]);
    assert!(matches!(make(&places, &bundle.manifest), Err(DiskError::Unsafe { .. })));
    assert!(fs::read_dir(elsewhere.path()).unwrap().next().is_none());
}

#[test]
fn links_of_tmpfiles_follow_the_profile() {
    let (_root, places) = host();
    let lines = |leads_to: &str| {
        let text = format!(
            "d /opt/models 0755 root root - -\nL /opt/active - - - - {leads_to}\nL /opt/mine - - - - {leads_to}\n"
        );
        bundle_of(&[("tmpfiles/citadel.conf", "tmpfiles", Some("/etc/tmpfiles.d/citadel.conf"), "0644", &text)])
    };
    fs::create_dir(places.host("/opt")).unwrap();
    symlink("/data/one", places.host("/opt/active")).unwrap();
    symlink("/data/mine", places.host("/opt/mine")).unwrap();
    assert_eq!(
        retarget(&places, &lines("/data/one"), &lines("\"/data/t w o\"")).unwrap(),
        [PathBuf::from("/opt/active")]
    );
    assert_eq!(fs::read_link(places.host("/opt/active")).unwrap(), Path::new("/data/t w o"));
    assert_eq!(fs::read_link(places.host("/opt/mine")).unwrap(), Path::new("/data/mine"));
    assert_eq!(retarget(&places, &lines("/data/one"), &lines("/data/three")).unwrap(), Vec::<PathBuf>::new());
}
