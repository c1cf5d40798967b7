use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::bundle::testing::{bundle, bundle_of};

/// Returns what is wrong with a good bundle after one value in its manifest has been replaced.
fn changed(pointer: &str, value: Value) -> Vec<Problem> {
    let mut bundle = bundle("x");
    let mut manifest = serde_json::to_value(&bundle.manifest).unwrap();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = manifest.pointer_mut(parent).unwrap();
    parent[key.replace("~1", "/")] = value;
    bundle.manifest = serde_json::from_value(manifest).unwrap();
    problems(&bundle, Some(252))
}

#[test]
fn what_the_compiler_makes_is_admitted() {
    assert_eq!(problems(&bundle("x"), Some(252)), []);
    assert_eq!(problems(&bundle("x"), None), []);
    let kinds = bundle_of(&[
        ("units/a.service", "unit", None, "0644", ""),
        ("udev/citadel.rules", "udev", Some("/etc/udev/rules.d/70-citadel-gpu.rules"), "0644", ""),
        ("tmpfiles/citadel.conf", "tmpfiles", Some("/etc/tmpfiles.d/citadel.conf"), "0644", ""),
        ("sysusers/citadel.conf", "sysusers", Some("/etc/sysusers.d/citadel.conf"), "0644", ""),
        ("modules-load/citadel.conf", "modules_load", Some("/etc/modules-load.d/citadel.conf"), "0644", ""),
        ("logrotate/citadel.conf", "logrotate", Some("/etc/logrotate.d/citadel"), "0644", ""),
        ("files/etc/systemd/system.conf.d/a.conf", "raw", Some("/etc/systemd/system.conf.d/a.conf"), "0755", ""),
        ("profile.json", "profile", None, "0644", ""),
    ]);
    assert_eq!(problems(&kinds, Some(252)), []);
}

#[test]
fn one_wrong_value_is_one_problem() {
    let env = "/files/env~1a.env";
    let raw = "/files/files~1etc~1app.conf";
    let unit = "/units/a.service";
    let cases = [
        (format!("{raw}/target"), json!("/etc/../root/x")),
        (format!("{raw}/target"), json!("etc/x")),
        (format!("{raw}/target"), json!("/etc//x")),
        (format!("{raw}/target"), json!("/etc/x\n")),
        (format!("{raw}/target"), json!("/usr/local/bin/citadel-activate")),
        (format!("{raw}/target"), json!("/proc/sys/kernel/core_pattern")),
        (format!("{raw}/target"), json!("/run/x")),
        (format!("{raw}/target"), json!("/etc/citadel/current")),
        (format!("{raw}/target"), json!("/etc/systemd/system/a.service")),
        (format!("{raw}/target"), json!("/etc/systemd/system-generators/x")),
        (format!("{raw}/target"), json!("/etc/credstore/x")),
        (format!("{raw}/target"), Value::Null),
        (format!("{raw}/mode"), json!("4755")),
        (format!("{raw}/mode"), json!("0666")),
        (format!("{raw}/mode"), json!("0664")),
        (format!("{raw}/mode"), json!("rw")),
        (format!("{raw}/mode"), json!("+0644")),
        (format!("{raw}/owner"), json!("root:x")),
        (format!("{raw}/owner"), json!("")),
        (format!("{raw}/group"), json!("-x")),
        (format!("{raw}/kind"), json!("env")),
        (format!("{env}/target"), json!("/etc/citadel/store/a.env")),
        (format!("{env}/target"), json!("/etc/citadel/store/../current")),
        (format!("{unit}/file"), json!("env/a.env")),
        (format!("{unit}/file"), json!("../a.service")),
        (format!("{unit}/wanted_by"), json!(["../multi-user.target"])),
        (format!("{unit}/files"), json!(["env/b.env"])),
        (format!("{unit}/phase"), json!("models")),
        (format!("{unit}/ready"), json!("http")),
        (format!("{unit}/health"), json!({"http": {"frobnicate": {}}})),
        ("/requires/systemd".to_owned(), json!(253)),
        ("/requires/host".to_owned(), json!("")),
        ("/profile".to_owned(), json!("\u{1b}[31mred")),
        ("/main_target".to_owned(), json!("b.target")),
        (
            "/credentials".to_owned(),
            json!({"a/b": {"encrypted": true, "path": "/etc/credstore.encrypted/a/b", "units": []}}),
        ),
        ("/credentials".to_owned(), json!({"a": {"encrypted": true, "path": "/etc/credstore/a", "units": []}})),
        ("/credentials".to_owned(), json!({"a": {"encrypted": false, "path": "/etc/shadow", "units": []}})),
    ];
    for (pointer, value) in cases {
        let found = changed(&pointer, value.clone());
        let wrong_kind = pointer.ends_with("kind");
        assert!(found.len() == 1 || wrong_kind && found.len() == 2, "{pointer} = {value}: {found:?}");
    }
}

#[test]
fn names_that_belong_to_citadel_or_to_nobody_are_refused() {
    for name in [
        "citadel-recover.service",
        "citadel-boot.service",
        "citadel-switch-1.service",
        "a.device",
        "a.scope",
        "a",
        "../a.service",
        ".service",
    ] {
        let mut bundle = bundle("x");
        let mut unit = bundle.manifest.units["a.service"].clone();
        let file = bundle.manifest.files["units/a.service"].clone();
        unit.file = format!("units/{name}");
        bundle.manifest.files.insert(unit.file.clone(), file);
        bundle.manifest.units.insert(name.to_owned(), unit);
        assert!(problems(&bundle, None).iter().any(|problem| problem.at == name), "{name}");
    }
}

#[test]
fn no_two_files_have_one_place() {
    let two = bundle_of(&[
        ("units/a.service", "unit", None, "0644", ""),
        ("files/etc/a", "raw", Some("/etc/a"), "0644", ""),
        ("files/etc/b", "raw", Some("/etc/a"), "0644", ""),
        ("files/etc/c", "raw", Some("/etc/c"), "0644", ""),
        ("files/etc/d/e", "raw", Some("/etc/c/e"), "0644", ""),
        ("files/etc/f", "raw", Some("/etc/f"), "0644", ""),
        ("files/etc/f/g", "raw", Some("/etc/g"), "0644", ""),
    ]);
    let found = problems(&two, None);
    assert_eq!(found.iter().map(|problem| &*problem.at).collect::<Vec<_>>(), ["files/etc/b", "files/etc/f", "/etc/c"]);
}

proptest! {
    /// What is admitted stays where it belongs, however it is written.
    #[test]
    fn an_admitted_target_is_below_etc(target in "(/|etc|\\.\\.|\\.|a|citadel|x\n|systemd|system){1,8}") {
        let mut bundle = bundle("x");
        bundle.manifest.files.get_mut("files/etc/app.conf").unwrap().target = Some(target.clone());
        if problems(&bundle, None).is_empty() {
            prop_assert!(target.starts_with("/etc/"));
            prop_assert!(!target.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")));
            prop_assert!(!target.starts_with("/etc/citadel/"));
        }
    }
}

#[test]
fn phases_are_few_and_end() {
    let phase = |name: String, seconds: u64| json!({"name": name, "deadline_seconds": seconds});
    let phases = |count: u64, seconds: u64| (0..count).map(|it| phase(it.to_string(), seconds)).collect::<Vec<_>>();
    assert_eq!(changed("/phases", json!(phases(100, 604_800))), []);
    assert_eq!(changed("/phases", json!(phases(101, 604_800))).len(), 1);
    assert_eq!(changed("/phases", json!(phases(1, 604_801))).len(), 1);
    assert_eq!(changed("/phases", json!(phases(1, u64::MAX))).len(), 1);
}

#[test]
fn the_user_of_a_command_is_known() {
    let with = |text: &str, probe: Value| {
        let mut bundle = bundle_of(&[("units/a.service", "unit", None, "0644", text)]);
        bundle.manifest.units.get_mut("a.service").unwrap().health.insert("ready".to_owned(), probe);
        problems(&bundle, None).len()
    };
    let times = |mut probe: Value| {
        for (key, value) in [("interval", json!("1s")), ("timeout", json!("1s")), ("start_period", json!("1s"))] {
            probe[key] = value;
        }
        probe["retries"] = json!(1);
        probe
    };
    let command = || times(json!({"command": ["/bin/true"]}));
    let file = || times(json!({"file": "/run/ready"}));
    assert_eq!(with("[Service]\nUser=a\n", command()), 0);
    assert_eq!(with("[Service]\nUser=%i\n", command()), 1);
    assert_eq!(with("[Service]\nGroup=%u\n", command()), 1);
    assert_eq!(with("[Service]\nUser=%i\n", file()), 0);
}
