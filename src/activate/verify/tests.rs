use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::activate::install::install;
use crate::activate::testing::{host, place};
use crate::bundle::testing::bundle;
use crate::plan::UnitState;

/// Returns a host as its generation says.
fn right() -> (tempfile::TempDir, Places) {
    let (root, places) = host();
    let program = tempfile::NamedTempFile::new().unwrap();
    install(&places, program.path()).unwrap();
    let generation = store::import(&places, &bundle("x")).unwrap();
    links::make(&places, &bundle("x").manifest).unwrap();
    current::set(&places, Some(generation)).unwrap();
    assert_eq!(drift(&places, None).unwrap(), []);
    (root, places)
}

fn unit() -> UnitName {
    UnitName::parse("a.service").unwrap()
}

#[test]
fn a_host_without_a_generation_has_no_drift() {
    let (_root, places) = host();
    assert_eq!(drift(&places, None).unwrap(), []);
}

#[test]
fn changed_and_missing_files_are_found() {
    let (_root, places) = right();
    let stored = fs::read_dir(places.store()).unwrap().flatten().next().unwrap().file_name();
    let stored = Path::new("/etc/citadel/store").join(stored);
    let generated = Path::new("/etc/citadel/generations/1/units/a.service");
    for path in [&*stored, generated] {
        let text = fs::read(places.host(path)).unwrap();
        fs::write(places.host(path), "changed").unwrap();
        assert_eq!(drift(&places, None).unwrap(), [Drift::Changed { path: path.to_owned() }]);
        fs::remove_file(places.host(path)).unwrap();
        assert_eq!(drift(&places, None).unwrap(), [Drift::Missing { path: path.to_owned() }]);
        fs::write(places.host(path), text).unwrap();
    }
    for path in ["/etc/app.conf", "/etc/systemd/system-generators/citadel-generator", PROGRAM] {
        let kept = places.host("/kept");
        fs::rename(places.host(path), &kept).unwrap();
        assert_eq!(drift(&places, None).unwrap(), [Drift::Missing { path: path.into() }]);
        fs::rename(kept, places.host(path)).unwrap();
    }
    fs::remove_file(places.host("/etc/app.conf")).unwrap();
    place(&places, "/etc/app.conf", "x");
    assert_eq!(drift(&places, None).unwrap(), [Drift::Link { path: "/etc/app.conf".into() }]);
    fs::write(places.generation(Generation(1)).join(FILE_NAME), "").unwrap();
    assert!(drift(&places, None).is_err());
}

#[test]
fn local_changes_are_found() {
    let (_root, places) = right();
    place(&places, "/etc/systemd/system/a.service.d/x.conf", "");
    place(&places, "/usr/lib/systemd/system/a.service", "overridden, which is no drift");
    place(&places, "/run/systemd/system/a.service", "foreign");
    symlink("/dev/null", places.host("/etc/systemd/system/a.service")).unwrap();
    assert_eq!(
        drift(&places, None).unwrap(),
        [
            Drift::DropIn { unit: unit(), path: "/etc/systemd/system/a.service.d/x.conf".into() },
            Drift::Masked { unit: unit(), path: "/etc/systemd/system/a.service".into() },
            Drift::Foreign { unit: unit(), path: "/run/systemd/system/a.service".into() },
        ]
    );
}

#[test]
fn what_systemd_has_loaded_is_compared() {
    let (_root, places) = right();
    let mut snapshot = Snapshot::default();
    let mut stale = BTreeSet::new();
    let look =
        |snapshot: &Snapshot, stale: &BTreeSet<UnitName>| drift(&places, Some(Live { snapshot, stale })).unwrap();
    assert_eq!(look(&snapshot, &stale), []);
    for fragment in ["/run/systemd/generator/a.service", "/etc/citadel/generations/1/units/a.service"] {
        let state = UnitState { load: LoadState::Loaded, fragment: Some(fragment.into()), ..UnitState::default() };
        snapshot.units.insert(unit(), state);
        assert_eq!(look(&snapshot, &stale), []);
    }
    stale.insert(unit());
    let from = Some(PathBuf::from("/etc/systemd/system/a.service"));
    snapshot
        .units
        .insert(unit(), UnitState { load: LoadState::Loaded, fragment: from.clone(), ..UnitState::default() });
    assert_eq!(look(&snapshot, &stale), [Drift::Loaded { unit: unit(), from }, Drift::Stale { unit: unit() }]);
}
