use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::activate::testing::{host, place};
use crate::bundle::testing::{bundle, bundle_of};

fn found(places: &Places) -> Foreign {
    find(places, None, &bundle("x").manifest).unwrap()
}

#[test]
fn a_host_of_its_own_has_nothing_foreign() {
    let (_root, places) = host();
    place(&places, "/etc/systemd/system/other.service", "x");
    place(&places, "/etc/systemd/system/multi-user.target.wants/other.service", "x");
    fs::create_dir_all(places.host("/run/systemd/generator")).unwrap();
    symlink("/etc/citadel/generations/1/units/a.service", places.host("/run/systemd/generator/a.service")).unwrap();
    assert_eq!(found(&places), Foreign::default());
}

#[test]
fn every_folder_of_the_load_path_is_looked_into() {
    for folder in &LOAD_PATH {
        let (_root, places) = host();
        place(&places, &format!("{}/a.service", folder.path), "[Service]");
        let foreign = found(&places);
        assert_eq!(foreign.units.len(), 1, "{}", folder.path);
        let unit = &foreign.units[0];
        assert_eq!((unit.wins, unit.movable), (folder.wins, folder.movable));
        assert_eq!(unit.path, Path::new(folder.path).join("a.service"));
        assert_eq!(foreign.immovable().count(), usize::from(folder.wins == Wins::Theirs && !folder.movable));
        assert!(foreign.is_in_the_way());
    }
}

#[test]
fn one_folder_under_two_names_is_told_once() {
    let (root, places) = host();
    place(&places, "/usr/lib/systemd/system/a.service", "[Service]");
    symlink("usr/lib", root.path().join("lib")).unwrap();
    assert_eq!(found(&places).units.len(), 1);
    let known = find(&places, Some(&bundle("old").manifest), &bundle("x").manifest).unwrap();
    assert!(!known.is_in_the_way(), "the old bundle overrides it already");
}

#[test]
fn links_that_enable_it_belong_to_it() {
    let (_root, places) = host();
    place(&places, "/etc/systemd/system/a.service", "[Service]");
    let system = places.host("/etc/systemd/system");
    for folder in ["multi-user.target.wants", "x.service.requires"] {
        fs::create_dir(system.join(folder)).unwrap();
        symlink("../a.service", system.join(folder).join("a.service")).unwrap();
    }
    symlink("/etc/systemd/system/a.service", system.join("alias.service")).unwrap();
    symlink("/etc/systemd/system/other.service", system.join("unrelated.service")).unwrap();
    let links = ["alias.service", "multi-user.target.wants/a.service", "x.service.requires/a.service"];
    let unit = &found(&places).units[0];
    assert_eq!(unit.links, links.map(|link| Path::new("/etc/systemd/system").join(link)));
}

#[test]
fn masks_and_drop_ins_are_an_operators_and_stay() {
    let (_root, places) = host();
    place(&places, "/etc/systemd/system/a.service.d/10-local.conf", "[Service]");
    place(&places, "/etc/systemd/system/a.service.d/notes.txt", "");
    place(&places, "/run/systemd/system.control/a.service.d/50-MemoryMax.conf", "[Service]");
    place(&places, "/etc/systemd/system/b.service.d/x.conf", "[Service]");
    symlink("/dev/null", places.host("/etc/systemd/system/a.service")).unwrap();
    place(&places, "/etc/init.d/a", "#!/bin/sh");
    let foreign = found(&places);
    let unit = UnitName::parse("a.service").unwrap();
    assert!(!foreign.is_in_the_way());
    assert_eq!(foreign.masked[&unit], Path::new("/etc/systemd/system/a.service"));
    assert_eq!(foreign.drop_ins.len(), 1);
    assert_eq!(foreign.drop_ins[&unit].len(), 2);
    assert_eq!(foreign.init_scripts[&unit], Path::new("/etc/init.d/a"));
    fs::remove_file(places.host("/etc/systemd/system/a.service")).unwrap();
    place(&places, "/etc/systemd/system/a.service", "");
    assert!(found(&places).masked.contains_key(&unit), "an empty file is a mask too");
}

#[test]
fn templates_cover_their_instances() {
    let (_root, places) = host();
    let template = bundle_of(&[("units/vllm-x@.service", "unit", None, "0644", "")]);
    place(&places, "/etc/systemd/system/vllm-x@b.service", "[Service]");
    place(&places, "/etc/systemd/system/vllm-x@.service.d/a.conf", "");
    place(&places, "/etc/systemd/system/vllm-.service.d/a.conf", "");
    let foreign = find(&places, None, &template.manifest).unwrap();
    assert_eq!(foreign.units[0].unit.as_str(), "vllm-x@b.service");
    assert_eq!(foreign.drop_ins.values().map(Vec::len).sum::<usize>(), 2);
}

#[test]
fn files_at_targets_are_foreign_unless_they_are_links_of_citadel() {
    let (_root, places) = host();
    place(&places, "/etc/app.conf", "theirs");
    let file = ForeignFile { file: "files/etc/app.conf".to_owned(), path: "/etc/app.conf".into() };
    assert_eq!(found(&places).files, [file]);
    fs::remove_file(places.host("/etc/app.conf")).unwrap();
    links::make(&places, &bundle("x").manifest).unwrap();
    assert_eq!(found(&places), Foreign::default());
}
