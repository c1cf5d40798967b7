use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::*;
use crate::activate::install::install;
use crate::activate::testing::{block_on, host_of, place};
use crate::activate::trial::SetAside;
use crate::activate::{Generation, store};
use crate::bundle::testing::bundle;

/// Returns everything on a host: links with where they lead, files with their text, folders.
fn everything(places: &Places) -> BTreeMap<PathBuf, String> {
    fn walk(folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let what = match fs::read_link(&path) {
                Ok(text) => format!("-> {}", text.display()),
                Err(_) if path.is_dir() => "folder".to_owned(),
                Err(_) => fs::read_to_string(&path).unwrap(),
            };
            found.insert(path.clone(), what);
            if entry.file_type().unwrap().is_dir() {
                walk(&path, found);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(places.root(), &mut found);
    found
}

fn program(folder: &tempfile::TempDir) -> PathBuf {
    let program = folder.path().join("built");
    fs::write(&program, "program").unwrap();
    program
}

#[test]
fn nothing_is_left_behind() {
    let (_root, places) = host_of(&["/etc/systemd", "/var/lib", "/run", "/usr/local/lib"]);
    place(&places, "/etc/systemd/system/a.service", "theirs");
    let before = everything(&places);
    let elsewhere = tempfile::tempdir().unwrap();
    install(&places, &program(&elsewhere)).unwrap();
    store::import(&places, &bundle("x")).unwrap();
    let path: PathBuf = "/etc/systemd/system/a.service".into();
    let set_aside =
        [SetAside { kept: Path::new("/etc/citadel/adopted/1").join(path.strip_prefix("/").unwrap()), path }];
    adopt::set_aside(&places, &set_aside).unwrap();
    Record::update(&places, |record| record.adopted.extend(set_aside)).unwrap();
    links::make(&places, &bundle("x").manifest).unwrap();
    current::set(&places, Some(Generation(1))).unwrap();
    place(&places, "/var/lib/citadel/history.jsonl", "");
    place(&places, "/run/citadel/lock", "");
    let result = block_on(remove(&places, false)).unwrap();
    assert_eq!(result.kept, Vec::<String>::new());
    assert_eq!(everything(&places), before);
    assert_eq!(block_on(remove(&places, false)).unwrap(), Uninstalled::default());
}

#[test]
fn data_is_kept_unless_it_is_asked_for() {
    for purge in [false, true] {
        let (_root, places) = host_of(&["/etc", "/opt"]);
        install(&places, &program(&tempfile::tempdir().unwrap())).unwrap();
        place(&places, "/opt/data/deep/model", "weights");
        fs::create_dir(places.host("/opt/empty")).unwrap();
        symlink("/opt/data", places.host("/opt/link")).unwrap();
        Record::update(&places, |record| {
            record.data =
                ["/opt/data", "/opt/data/deep", "/opt/empty", "/opt/link", "/opt/gone"].map(PathBuf::from).into();
            record.users = ["nobody-of-citadel".to_owned()].into();
        })
        .unwrap();
        let result = block_on(remove(&places, purge)).unwrap();
        assert_eq!(places.host("/opt/data/deep/model").exists(), !purge);
        assert!(!places.host("/opt/empty").exists());
        assert!(fs::symlink_metadata(places.host("/opt/link")).is_err());
        let data = result.kept.iter().filter(|it| it.starts_with("/opt/data holds data")).count();
        assert_eq!(data, usize::from(!purge), "{:?}", result.kept);
    }
}

#[test]
fn what_somebody_has_put_in_the_place_of_an_adopted_file_stays_and_so_does_the_file() {
    let (_root, places) = host_of(&["/etc/systemd/system"]);
    install(&places, &program(&tempfile::tempdir().unwrap())).unwrap();
    place(&places, "/etc/x", "old");
    let file = SetAside { path: "/etc/x".into(), kept: "/etc/citadel/adopted/1/etc/x".into() };
    adopt::set_aside(&places, std::slice::from_ref(&file)).unwrap();
    Record::update(&places, |record| record.adopted.push(file)).unwrap();
    place(&places, "/etc/x", "new");
    let result = block_on(remove(&places, true)).unwrap();
    assert_eq!(fs::read_to_string(places.host("/etc/x")).unwrap(), "new");
    assert_eq!(fs::read_to_string(places.host("/etc/citadel/adopted/1/etc/x")).unwrap(), "old");
    assert_eq!(result.kept.len(), 1);
}

#[test]
fn the_users_of_processes_are_known() {
    assert!(has_processes(rustix::process::geteuid().as_raw()));
    assert!(!has_processes(4_000_000_000));
}

#[test]
fn a_killed_run_is_finished_by_the_next() {
    let (_root, places) = host_of(&["/etc/systemd", "/var/lib", "/run", "/usr/local/lib"]);
    place(&places, "/etc/app.conf", "theirs");
    let before = everything(&places);
    install(&places, &program(&tempfile::tempdir().unwrap())).unwrap();
    let file = SetAside { path: "/etc/app.conf".into(), kept: "/etc/citadel/adopted/1/etc/app.conf".into() };
    Record::update(&places, |record| record.adopted.push(file.clone())).unwrap();
    adopt::set_aside(&places, &[file]).unwrap();
    store::import(&places, &bundle("x")).unwrap();
    links::make(&places, &bundle("x").manifest).unwrap();
    current::set(&places, Some(Generation(1))).unwrap();
    // Killed after all but the last step, and then once more.
    let record = Record::read(&places).unwrap();
    block_on(take_away(&places, &record, false)).unwrap();
    assert!(places.record().exists(), "the next one needs it");
    let record = Record::read(&places).unwrap();
    block_on(take_away(&places, &record, false)).unwrap();
    assert_eq!(block_on(remove(&places, false)).unwrap().kept, Vec::<String>::new());
    assert_eq!(everything(&places), before);
}

#[test]
fn a_disk_of_others_is_not_data() {
    let (_root, places) = host_of(&["/etc", "/elsewhere/models"]);
    install(&places, &program(&tempfile::tempdir().unwrap())).unwrap();
    place(&places, "/elsewhere/models/phi3", "weights");
    // Where a folder was made, somebody has put a link to a disk.
    symlink("elsewhere", places.host("/opt")).unwrap();
    Record::update(&places, |record| {
        record.data = ["/opt/models"].map(PathBuf::from).into();
        record.folders.insert("/opt".into());
    })
    .unwrap();
    let result = block_on(remove(&places, true)).unwrap();
    assert!(places.host("/elsewhere/models/phi3").exists());
    assert!(result.kept.iter().any(|it| it.contains("/opt/models is not removed")), "{:?}", result.kept);
}
