use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;
use crate::activate::testing::{self, host};
use crate::bundle::testing::bundle;

#[test]
fn a_bundle_comes_back_as_it_was_given() {
    let (_root, places) = host();
    let one = bundle("one");
    assert_eq!(import(&places, &one).unwrap(), Generation(1));
    assert_eq!(read(&places, Generation(1)).unwrap(), one);
    assert_eq!(check_store(&places, &one).unwrap(), Vec::<PathBuf>::new());
    let mode = fs::metadata(places.generation(Generation(1)).join("files/etc/app.conf")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
    let folder = fs::metadata(places.generation(Generation(1)).join("files/etc")).unwrap().permissions().mode();
    assert_eq!(folder & 0o7777, 0o755);
}

#[test]
fn the_same_bundle_is_the_same_generation() {
    let (_root, places) = host();
    assert_eq!(import(&places, &bundle("one")).unwrap(), Generation(1));
    assert_eq!(import(&places, &bundle("two")).unwrap(), Generation(2));
    assert_eq!(import(&places, &bundle("one")).unwrap(), Generation(1));
    fs::write(places.generation(Generation(1)).join("units/a.service"), "changed").unwrap();
    assert_eq!(import(&places, &bundle("one")).unwrap(), Generation(3), "a changed one is not used again");
    assert!(matches!(read(&places, Generation(1)), Err(DiskError::Bundle(ReadError::Changed(_)))));
    assert!(matches!(read(&places, Generation(9)), Err(DiskError::NoGeneration(Generation(9)))));
}

#[test]
fn what_somebody_changed_can_still_be_read_as_it_is() {
    let (_root, places) = host();
    import(&places, &bundle("one")).unwrap();
    let folder = places.generation(Generation(1));
    fs::write(folder.join("units/a.service"), "changed").unwrap();
    fs::remove_file(folder.join("files/etc/app.conf")).unwrap();
    let there = read_as_is(&places, Generation(1)).unwrap();
    assert_eq!(there.files["units/a.service"], b"changed");
    assert!(!there.files.contains_key("files/etc/app.conf"));
    assert_eq!(there.manifest, bundle("one").manifest);
    fs::write(folder.join("manifest.json"), "{").unwrap();
    assert!(read_as_is(&places, Generation(1)).is_err());
}

#[test]
fn what_a_killed_import_left_is_removed_and_store_files_are_repaired() {
    let (_root, places) = host();
    import(&places, &bundle("one")).unwrap();
    let half = places.generations().join(format!("{TEMPORARY}99-0-2"));
    fs::create_dir(&half).unwrap();
    fs::write(half.join("manifest.json"), "{").unwrap();
    fs::write(places.store().join(format!("{TEMPORARY}99-1-x")), "ha").unwrap();
    let stored =
        fs::read_dir(places.store()).unwrap().flatten().find(|it| !it.file_name().to_string_lossy().starts_with('.'));
    fs::write(stored.unwrap().path(), "").unwrap();
    assert_eq!(check_store(&places, &bundle("one")).unwrap().len(), 1);
    assert_eq!(import(&places, &bundle("one")).unwrap(), Generation(1));
    assert!(!half.exists());
    assert_eq!(check_store(&places, &bundle("one")).unwrap().len(), 0);
    assert_eq!(fs::read_dir(places.store()).unwrap().count(), 1);
}

#[test]
fn a_link_in_a_generation_is_not_followed() {
    let (root, places) = host();
    import(&places, &bundle("one")).unwrap();
    let unit = places.generation(Generation(1)).join("units/a.service");
    let elsewhere = root.path().join("elsewhere");
    fs::rename(&unit, &elsewhere).unwrap();
    symlink(&elsewhere, &unit).unwrap();
    assert!(matches!(read(&places, Generation(1)), Err(DiskError::Unsafe { .. })));
    fs::set_permissions(places.generations(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(import(&places, &bundle("two")), Err(DiskError::Unsafe { .. })));
}

#[test]
fn what_is_in_use_is_kept() {
    let (_root, places) = host();
    for text in ["1", "2", "3", "4", "5", "6"] {
        import(&places, &bundle(text)).unwrap();
    }
    current::set(&places, Some(Generation(1))).unwrap();
    testing::trial(Some(Generation(2)), Generation(3)).write(&places).unwrap();
    for kept in 1..=3 {
        assert!(matches!(delete(&places, Generation(kept)), Err(DiskError::InUse { .. })));
    }
    assert_eq!(gc(&places, 1, Some(Generation(5))).unwrap().generations, [Generation(4)]);
    let collected = gc(&places, 1, None).unwrap();
    assert_eq!(collected.generations, [Generation(5)]);
    assert_eq!(collected.files.len(), 1);
    assert_eq!(list(&places).unwrap(), [1, 2, 3, 6].map(Generation));
    for left in list(&places).unwrap() {
        assert_eq!(check_store(&places, &read(&places, left).unwrap()).unwrap().len(), 0);
    }
    assert_eq!(gc(&places, 1, None).unwrap(), Collected::default());
    assert_eq!(import(&places, &bundle("7")).unwrap(), Generation(7));
}

#[test]
fn nothing_is_removed_from_the_store_when_a_manifest_cannot_be_read() {
    let (_root, places) = host();
    import(&places, &bundle("1")).unwrap();
    import(&places, &bundle("2")).unwrap();
    fs::write(places.generation(Generation(1)).join("manifest.json"), "{}").unwrap();
    assert_eq!(gc(&places, 5, None).unwrap(), Collected::default());
    assert_eq!(fs::read_dir(places.store()).unwrap().count(), 2);
}
