//! What the tools that will read a bundle say of it: every profile of the repository, on systemd 252 and 257.
//!
//! A bundle is installed on a throwaway machine (`support/machine.rs`), which asks its own tools once; each test looks
//! at one tool. Every profile is built as it is written, and for hosts that have just the release in question.

#![cfg(feature = "compiler")]
#![allow(clippy::expect_used, clippy::panic)]

#[path = "support/build.rs"]
mod build;
#[path = "support/machine.rs"]
mod machine;
#[path = "support/project.rs"]
mod project;
#[path = "support/skip.rs"]
mod skip;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use machine::{Answers, Release, SYSTEMD_252, SYSTEMD_257, keys, members, strings};
use serde_json::{Value, json};

/// A bundle, and what a machine says of it.
struct Installed {
    /// The profile, and which systemd its host has where that is not what is written.
    name: String,
    manifest: Value,
    profile: Value,
    /// The text of each unit.
    units: BTreeMap<String, String>,
    answers: Answers,
}

/// Installs all bundles on machines of a release, or says why that is left out.
fn installed(release: &'static Release) -> &'static [Installed] {
    static ON_252: OnceLock<Vec<Installed>> = OnceLock::new();
    static ON_257: OnceLock<Vec<Installed>> = OnceLock::new();
    let system = match release.system() {
        Ok(system) => system,
        Err(reason) => {
            skip::skipped(&format!("systemd {}: {reason}", release.systemd));
            return &[];
        }
    };
    let all = if release.systemd == SYSTEMD_252.systemd { &ON_252 } else { &ON_257 };
    all.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder is made");
        let [written, suited] = ["written", "suited"].map(|name| folder.path().join(name));
        project::copy(&written, |_| ());
        project::copy(&suited, |host| host["systemd"] = json!(release.systemd));
        let suited_name = format!(" for systemd {}", release.systemd);
        let builds = project::profiles().into_iter().flat_map(|profile| {
            [(&written, profile.clone(), profile.clone()), (&suited, profile.clone(), profile + &suited_name)]
        });
        let install = |(project, profile, name): (&std::path::PathBuf, String, String)| {
            let bundle = project.join("out").join(&profile);
            build::build(project, &profile, &bundle);
            runs_on(&bundle, project == &suited, release).then(|| install(release, &system, &bundle, name))
        };
        project::in_parallel(builds.collect(), install).into_iter().flatten().collect()
    })
}

/// Returns whether a bundle says that it runs on a release. As it is written, it says the same as suited to the release
/// where its host has just that, and needs no second look.
fn runs_on(bundle: &Path, suited: bool, release: &Release) -> bool {
    let required = &project::read_json(&bundle.join("manifest.json"))["requires"]["systemd"];
    let runs = required.as_u64().expect("a bundle requires a systemd") <= release.systemd;
    assert!(runs || !suited, "{} requires systemd {required}", bundle.display());
    let host = &project::read_json(&bundle.join("profile.json"))["host"]["systemd"];
    suited || (runs && *host != release.systemd)
}

fn install(release: &Release, system: &Path, bundle: &Path, name: String) -> Installed {
    let manifest = project::read_json(&bundle.join("manifest.json"));
    let text = |unit: &String| fs::read_to_string(bundle.join("units").join(unit)).expect("a unit is read");
    Installed {
        name,
        profile: project::read_json(&bundle.join("profile.json")),
        units: keys(&manifest["units"]).iter().map(|unit| (unit.clone(), text(unit))).collect(),
        manifest,
        answers: release.ask(system, bundle),
    }
}

/// Fails with all that tools print of bundles which they should have nothing to say about.
fn assert_silent(release: &'static Release, tools: &[&str]) {
    let said: String = installed(release)
        .iter()
        .flat_map(|bundle| tools.iter().map(move |tool| (bundle, tool)))
        .filter_map(|(bundle, tool)| Some(format!("{}, {tool}:\n{}\n\n", bundle.name, bundle.answers.complaint(tool)?)))
        .collect();
    assert!(said.is_empty(), "systemd {}:\n\n{said}", release.systemd);
}

#[test]
fn systemd_252_has_nothing_to_say_about_any_unit() {
    assert_silent(&SYSTEMD_252, &["verify", "verify_direct"]);
}

#[test]
fn systemd_257_has_nothing_to_say_about_any_unit() {
    assert_silent(&SYSTEMD_257, &["verify", "verify_direct"]);
}

#[test]
fn udev_257_accepts_the_rules() {
    assert_silent(&SYSTEMD_257, &["udev"]);
}

/// The worst exposure of services that run for long, and of those that end and need root.
const LONG_RUNNING: f64 = 2.0;
const ROOT_ONESHOT: f64 = 4.5;

#[test]
fn services_are_shut_in_on_systemd_252() {
    assert_shut_in(&SYSTEMD_252);
}

#[test]
fn services_are_shut_in_on_systemd_257() {
    assert_shut_in(&SYSTEMD_257);
}

fn assert_shut_in(release: &'static Release) {
    let mut table = String::new();
    let mut open = 0;
    for bundle in installed(release) {
        let exposures = exposures(bundle.answers.of("security"));
        for (unit, text) in bundle.units.iter().filter(|(unit, _)| unit.ends_with(".service")) {
            let exposure = exposures.get(unit.as_str()).unwrap_or_else(|| panic!("{unit} of {} has none", bundle.name));
            let limit = if is_root_oneshot(text) { ROOT_ONESHOT } else { LONG_RUNNING };
            open += usize::from(*exposure > limit);
            let mark = if *exposure > limit { "  TOO OPEN" } else { "" };
            table += &format!("{exposure:4.1} of {limit:3.1}  {:<40} {unit}{mark}\n", bundle.name);
        }
    }
    assert!(open == 0, "systemd {}: {open} services are too open\n\n{table}", release.systemd);
}

/// Reads `→ Overall exposure level for citadel-gpu.service: 1.2 OK`.
fn exposures(report: &str) -> BTreeMap<&str, f64> {
    report
        .lines()
        .filter_map(|line| {
            let (unit, rest) = line.split_once("Overall exposure level for ")?.1.split_once(": ")?;
            Some((unit, rest.split(' ').next()?.parse().ok()?))
        })
        .collect()
}

fn is_root_oneshot(unit: &str) -> bool {
    let user = assignments(unit, "User").next();
    unit.lines().any(|line| line == "Type=oneshot") && user.is_none_or(|user| user == "root")
}

/// Returns the values of a directive of a unit.
fn assignments<'a>(unit: &'a str, directive: &'a str) -> impl Iterator<Item = &'a str> {
    unit.lines().filter_map(move |line| line.strip_prefix(directive)?.strip_prefix('='))
}

#[test]
fn sysusers_of_systemd_252_makes_the_users_that_units_run_as() {
    assert_users_exist(&SYSTEMD_252);
}

#[test]
fn sysusers_of_systemd_257_makes_the_users_that_units_run_as() {
    assert_users_exist(&SYSTEMD_257);
}

fn assert_users_exist(release: &'static Release) {
    for Installed { name, profile, units, answers, .. } in installed(release) {
        let made = |line: &&str| line.starts_with("Creating user '") || line.starts_with("Creating group '");
        let said: Vec<&str> = answers.of("sysusers").lines().filter(|line| !made(line)).collect();
        assert!(said.is_empty(), "{name}: {said:#?}");

        let users = accounts(answers.of("passwd"));
        let groups = accounts(answers.of("group"));
        for (unit, text) in units {
            let missing: Vec<&str> = [("User", &users), ("Group", &groups), ("SupplementaryGroups", &groups)]
                .into_iter()
                .flat_map(|(directive, known)| {
                    let names = assignments(text, directive).flat_map(str::split_ascii_whitespace);
                    names.filter(|name| !known.contains_key(name))
                })
                .collect();
            assert!(missing.is_empty(), "{name}: {unit} needs {missing:?}");
        }
        for (user, options) in members(&profile["users"]).filter(|(_, options)| options["existing"] != true) {
            let account = users.get(user.as_str()).unwrap_or_else(|| panic!("{name}: there is no user {user}"));
            assert!(account[6].ends_with("nologin"), "{name}: {user} can log in: {account:?}");
            if let Some(home) = options["home"].as_str() {
                assert_eq!(account[5], home, "{name}: the home of {user}");
            }
        }
    }
}

/// Reads `passwd` or `group`: the fields of each line, by the first one.
fn accounts(file: &str) -> BTreeMap<&str, Vec<&str>> {
    let fields = file.lines().map(|line| line.split(':').collect::<Vec<_>>());
    fields.filter_map(|fields| Some((*fields.first()?, fields))).collect()
}

#[test]
fn tmpfiles_of_systemd_252_makes_directories_and_links() {
    assert_directories_exist(&SYSTEMD_252);
}

#[test]
fn tmpfiles_of_systemd_257_makes_directories_and_links() {
    assert_directories_exist(&SYSTEMD_257);
}

fn assert_directories_exist(release: &'static Release) {
    assert_silent(release, &["tmpfiles"]);
    for Installed { name, profile, answers, .. } in installed(release) {
        let expected: String = members(&profile["directories"])
            .map(|(path, options)| {
                let field = |key: &str| options[key].as_str().unwrap_or("root");
                let mode = field("mode").trim_start_matches('0');
                format!("{path}\tdirectory\t{mode}\t{}\t{}\n", field("user"), field("group"))
            })
            .collect();
        assert_eq!(answers.complaint("paths").unwrap_or_default(), expected.trim_end(), "{name}");

        let targets = members(&profile["storage"]["links"])
            .map(|(_, link)| format!("{}\n", link["target"].as_str().unwrap_or_default()));
        assert_eq!(answers.complaint("links").unwrap_or_default(), targets.collect::<String>().trim_end(), "{name}");
    }
}

#[test]
fn logrotate_rotates_the_logs() {
    for release in [&SYSTEMD_252, &SYSTEMD_257] {
        assert_silent(release, &["logrotate"]);
        for Installed { name, answers, profile, .. } in installed(release) {
            if members(&profile["log_rotation"]).next().is_none() {
                continue;
            }
            let wrong: Vec<&str> = answers
                .of("logrotate_debug")
                .lines()
                .filter(|line| ["error", "warning", "exit status"].iter().any(|start| line.starts_with(start)))
                .filter(|line| !line.contains("logrotate in debug mode does nothing"))
                .collect();
            assert!(wrong.is_empty(), "{name}: {wrong:#?}");
        }
    }
}

#[test]
fn the_manifest_names_every_unit_that_the_host_has_to_bring() {
    let own_of_systemd = |unit: &str| unit.ends_with(".target") || unit.starts_with("modprobe@");
    for Installed { name, manifest, units, .. } in installed(&SYSTEMD_252) {
        let brought: BTreeSet<String> = strings(&manifest["requires"]["units"]).into_iter().collect();
        for (unit, text) in units {
            let needed = ["Requires", "BindsTo", "Requisite"]
                .into_iter()
                .flat_map(|directive| assignments(text, directive).flat_map(str::split_ascii_whitespace));
            let unknown: Vec<&str> = needed
                .filter(|needed| !units.contains_key(*needed) && !brought.contains(*needed) && !own_of_systemd(needed))
                .collect();
            assert!(unknown.is_empty(), "{name}: {unit} needs {unknown:?}");
        }
    }
}

/// The machines are no use as witnesses if they overlook faults.
#[test]
fn faults_are_noticed() {
    let faults = [
        ("verify", "[Service]\n", "[Service]\nRestrtSec=5\n", "RestrtSec"),
        ("verify_direct", "[Service]\n", "[Service]\nTimeoutStopSec=soon\n", "soon"),
        ("verify", "[Unit]\n", "[Unit]\nRequires=absent.service\nAfter=absent.service\n", "absent.service"),
        ("verify", "[Unit]\n", "[Unit]\nAfter=citadel-models.target\n", "ordering cycle"),
        ("verify_direct", "ExecStart=/", "ExecStart=/usr/lib/systemd/absent\nExecStart=/", "/usr/lib/systemd/absent"),
    ];
    for release in [&SYSTEMD_252, &SYSTEMD_257] {
        let Ok(system) = release.system() else {
            return skip::skipped("there is no throwaway machine to try faults on");
        };
        let folder = tempfile::tempdir().expect("a temporary folder is made");
        project::copy(folder.path(), |_| ());
        let bundle = folder.path().join("bundle");
        build::build(folder.path(), "low_memory", &bundle);
        let unit = bundle.join("units/citadel-gpu.service");
        let sound = fs::read_to_string(&unit).expect("low_memory has a GPU");
        for (tool, part, faulty, complaint) in faults {
            assert!(sound.contains(part), "the unit has no {part:?}");
            fs::write(&unit, sound.replacen(part, faulty, 1)).expect("the unit is changed");
            let answers = release.ask(&system, &bundle);
            let said = answers.of(tool);
            assert!(said.contains(complaint), "systemd {} says of {faulty:?}: {said:?}", release.systemd);
        }
    }
}
