use super::*;
use crate::activate::files::Folder;
use crate::activate::testing::{host, trial};
use crate::activate::trial::Stage;
use crate::activate::{adopt, store};
use crate::bundle::testing::bundle;

/// Returns everything in the folder for units, with where links lead.
fn generated(places: &Places, boot: Option<&str>) -> (BTreeMap<String, String>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let wrong = generate(places, folder.path(), boot, Path::new("/usr/local/bin/citadel-activate"));
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder.path()).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            for below in fs::read_dir(entry.path()).unwrap().flatten() {
                let name = format!("{}/{}", entry.file_name().display(), below.file_name().display());
                found.insert(name, fs::read_link(below.path()).unwrap().display().to_string());
            }
        } else {
            let text =
                fs::read_link(entry.path()).map_or_else(|_| "file".to_owned(), |text| text.display().to_string());
            found.insert(entry.file_name().display().to_string(), text);
        }
    }
    (found, wrong)
}

fn expected(more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let own = [
        ("citadel-boot.service", "file"),
        ("citadel-recover.service", "file"),
        ("multi-user.target.wants/citadel-boot.service", "../citadel-boot.service"),
        ("sysinit.target.wants/citadel-recover.service", "../citadel-recover.service"),
    ];
    own.iter().chain(more).map(|(path, to)| ((*path).to_owned(), (*to).to_owned())).collect()
}

const FIRST: [(&str, &str); 2] = [
    ("a.service", "/etc/citadel/generations/1/units/a.service"),
    ("multi-user.target.wants/a.service", "../a.service"),
];

fn two_generations() -> (tempfile::TempDir, Places) {
    let (root, places) = host();
    store::import(&places, &bundle("one")).unwrap();
    store::import(&places, &bundle("two")).unwrap();
    current::set(&places, Some(Generation(1))).unwrap();
    (root, places)
}

#[test]
fn the_generation_that_counts_is_linked() {
    let (_root, places) = two_generations();
    assert_eq!(generated(&places, Some("b")), (expected(&FIRST), Vec::new()));
    current::set(&places, None).unwrap();
    assert_eq!(generated(&places, Some("b")), (expected(&[]), Vec::new()));
}

#[test]
fn a_trial_of_another_boot_is_not_trusted() {
    let (_root, places) = two_generations();
    current::set(&places, Some(Generation(2))).unwrap();
    trial(Some(Generation(1)), Generation(2)).write(&places).unwrap();
    assert_eq!(generated(&places, Some("b")).0["a.service"], "/etc/citadel/generations/2/units/a.service");
    assert_eq!(generated(&places, Some("c")), (expected(&FIRST), Vec::new()));
    trial(None, Generation(2)).write(&places).unwrap();
    assert_eq!(generated(&places, Some("c")), (expected(&[]), Vec::new()));
    assert_eq!(generated(&places, None).0["a.service"], "/etc/citadel/generations/2/units/a.service");
}

#[test]
fn the_next_boot_tries_what_was_asked_for() {
    let (_root, places) = two_generations();
    Trial { stage: Stage::NextBoot, ..trial(Some(Generation(1)), Generation(2)) }.write(&places).unwrap();
    assert_eq!(generated(&places, Some("b")), (expected(&FIRST), Vec::new()));
    assert_eq!(generated(&places, Some("c")).0["a.service"], "/etc/citadel/generations/2/units/a.service");
}

#[test]
fn units_that_were_set_aside_count_until_they_are_back() {
    let (root, places) = two_generations();
    let system = root.path().join("etc/systemd/system");
    fs::create_dir_all(system.join("multi-user.target.wants")).unwrap();
    fs::write(system.join("a.service"), "[Service]").unwrap();
    symlink("../a.service", system.join("multi-user.target.wants/a.service")).unwrap();
    symlink("a.service", system.join("b.service")).unwrap();
    let units = ["a.service", "multi-user.target.wants/a.service", "b.service"];
    let set_aside: Vec<_> = units
        .iter()
        .map(|name| SetAside {
            path: Path::new("/etc/systemd/system").join(name),
            kept: Path::new("/etc/citadel/adopted/1/etc/systemd/system").join(name),
        })
        .collect();
    Trial { set_aside: set_aside.clone(), ..trial(None, Generation(2)) }.write(&places).unwrap();
    assert_eq!(generated(&places, Some("c")), (expected(&[]), Vec::new()), "they have not moved yet");
    adopt::set_aside(&places, &set_aside).unwrap();
    let kept = [
        ("a.service", "/etc/citadel/adopted/1/etc/systemd/system/a.service"),
        ("b.service", "a.service"),
        ("multi-user.target.wants/a.service", "../a.service"),
    ];
    assert_eq!(generated(&places, Some("c")), (expected(&kept), Vec::new()));
    assert_eq!(generated(&places, Some("b")).0.get("b.service"), None, "this boot still switches");
}

#[test]
fn whatever_is_broken_the_rest_is_linked() {
    let (_root, places) = two_generations();
    let generation = places.generation(Generation(1));
    fs::write(places.trial(), "{").unwrap();
    let (found, wrong) = generated(&places, Some("c"));
    assert_eq!((found, wrong.len()), (expected(&FIRST), 1));
    fs::remove_file(places.trial()).unwrap();

    let manifest = fs::read_to_string(generation.join(FILE_NAME)).unwrap();
    fs::write(generation.join(FILE_NAME), &manifest[..manifest.len() / 2]).unwrap();
    let (found, wrong) = generated(&places, Some("b"));
    assert_eq!((found, wrong.len()), (expected(&FIRST[..1]), 1));

    fs::remove_file(generation.join("units/a.service")).unwrap();
    fs::write(generation.join(FILE_NAME), &manifest).unwrap();
    assert_eq!(generated(&places, Some("b")).0, expected(&[]));
    Folder::own(&places, places.generations()).unwrap().remove_all("1").unwrap();
    let (found, wrong) = generated(&places, Some("b"));
    assert_eq!((found, wrong.len()), (expected(&[]), 1));
    fs::remove_file(places.current()).unwrap();
    fs::write(places.current(), "").unwrap();
    let (found, wrong) = generated(&places, Some("b"));
    assert_eq!((found, wrong.len()), (expected(&[]), 1));
    let nowhere = generate(&places, Path::new("/proc/nowhere"), Some("b"), Path::new(PROGRAM));
    assert!(!nowhere.is_empty());
}

#[test]
fn a_manifest_that_asks_for_more_than_units_gets_none() {
    let (_root, places) = two_generations();
    let path = places.generation(Generation(1)).join(FILE_NAME);
    fs::write(
        &path,
        r#"{"units": {"../x.service": {}, "citadel-boot.service": {}, "a.service": {"wanted_by": ["../../x.target", "b.target"]}}}"#,
    )
    .unwrap();
    let (found, wrong) = generated(&places, Some("b"));
    assert_eq!(found, expected(&[FIRST[0], ("b.target.wants/a.service", "../a.service")]));
    assert_eq!(wrong.len(), 2);
}

#[test]
fn the_units_run_the_program_that_made_them() {
    for (name, _, text) in OWN {
        assert!(text.contains("ExecStart=@PROGRAM@ recover --"), "{name}");
    }
    assert_eq!(
        plain_program(Path::new("/opt/citadel-0.1/bin/citadel-activate")),
        "/opt/citadel-0.1/bin/citadel-activate"
    );
    for odd in ["/a b", "/a%n", "/a$b", "citadel", "", "/a;b"] {
        assert_eq!(plain_program(Path::new(odd)), PROGRAM);
    }
}
