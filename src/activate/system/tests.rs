use super::*;
use crate::activate::testing::{block_on, host};
use crate::bundle::testing::bundle_of;

fn with(kind: &str, path: &str, target: &str, text: &str) -> Bundle {
    bundle_of(&[(path, kind, Some(target), "0644", text)])
}

fn rotating(text: &str) -> Bundle {
    with("logrotate", "logrotate/citadel.conf", "/etc/logrotate.d/citadel", text)
}

#[test]
fn what_a_program_says_is_in_the_error() {
    assert!(block_on(run("true", [""; 0])).is_ok());
    let error = block_on(run("sh", ["-c", "echo it broke >&2; exit 3"])).unwrap_err().to_string();
    assert_eq!(error, "sh failed (exit status: 3): it broke");
    // More than a pipe holds.
    let error = block_on(run("sh", ["-c", "yes x | head -c 1000000 >&2; exit 4"])).unwrap_err();
    assert!(
        matches!(error, DiskError::Program { status, stderr, .. } if status == "exit status: 4" && stderr.len() == 16 << 10)
    );
    let error = block_on(run("citadel-no-such-program", [""; 0])).unwrap_err().to_string();
    assert_eq!(error, "citadel-no-such-program failed (it is not installed)");
}

#[test]
fn nothing_is_applied_on_a_host_that_does_not_run() {
    let (_root, places) = host();
    let bundle = with("sysusers", "sysusers/citadel.conf", "/etc/sysusers.d/citadel.conf", "u nobody-of-citadel -\n");
    assert_eq!(block_on(apply(&places, None, Generation(1), &bundle)).unwrap(), Vec::<String>::new());
    assert_eq!(Record::read(&places).unwrap(), Record::default());
}

#[test]
fn only_what_differs_is_applied() {
    let (_root, places) = host();
    let [one, two] =
        ["u a -\n", "u b -\n"].map(|text| with("sysusers", "sysusers/c.conf", "/etc/sysusers.d/c.conf", text));
    let file = places.generation(Generation(2)).join("sysusers/c.conf");
    let changed = |old: Option<&Bundle>, new| changed(&places, old, (Generation(2), new), FileKind::Sysusers);
    assert_eq!(changed(None, &one), Some(vec![file.clone()]));
    assert_eq!(changed(Some(&one), &one), None);
    assert_eq!(changed(Some(&one), &two), Some(vec![file]));
    assert_eq!(changed(Some(&one), &bundle_of(&[])), Some(Vec::new()));
}

#[test]
fn what_does_not_exist_yet_is_recorded() {
    let (_root, places) = host();
    std::fs::create_dir(places.host("/opt")).unwrap();
    let bundle = bundle_of(&[
        ("sysusers/c.conf", "sysusers", Some("/etc/sysusers.d/c.conf"), "0644", "u root -\nu nobody-of-citadel -\n"),
        (
            "tmpfiles/c.conf",
            "tmpfiles",
            Some("/etc/tmpfiles.d/c.conf"),
            "0644",
            "d /opt/a/b 0755 - - -\nd /opt 0755 - - -\n",
        ),
    ]);
    record_missing(&places, &bundle).unwrap();
    let record = Record::read(&places).unwrap();
    assert_eq!(record.users, ["nobody-of-citadel".to_owned()].into());
    assert_eq!(record.groups, ["nobody-of-citadel".to_owned()].into());
    assert_eq!(record.data, ["/opt/a/b"].map(PathBuf::from).into());
    assert_eq!(record.folders, ["/opt/a"].map(PathBuf::from).into());
}

#[test]
fn udev_is_told_of_the_devices_that_rules_name() {
    let text = "# SUBSYSTEM==\"net\"\n\
        ACTION==\"add\", DEVPATH==\"/bus/pci/drivers/nvidia\", TAG+=\"systemd\"\n\
        ACTION==\"add|bind\", SUBSYSTEM==\"pci\", KERNEL==\"0000:41:00.0\", ATTR{power/control}=\"on\"\n\
        ACTION==\"add|bind\", SUBSYSTEM==\"pci\", KERNEL==\"0000:41:00.0\", ATTR{x}=\"y\"\n\
        SUBSYSTEM==\"drm\", MODE=\"0660\"\n\
        ACTION==\"remove\", SUBSYSTEM==\"block\"\n";
    let bundle = with("udev", "udev/citadel.rules", "/etc/udev/rules.d/70-citadel-gpu.rules", text);
    let expected = [
        vec!["--action=add", "--subsystem-match=pci", "--sysname-match=0000:41:00.0"],
        vec!["--action=change", "--subsystem-match=drm"],
    ];
    assert_eq!(triggers(&bundle), expected.map(|it| it.into_iter().map(str::to_owned).collect()).into());
}

#[test]
fn log_rotation_is_checked_by_logrotate_itself() {
    if find("logrotate").is_none() {
        return;
    }
    let (_root, places) = host();
    let check = |bundle: &Bundle, old: Option<&Bundle>| block_on(validate_logrotate(&places, old, bundle));
    let good = rotating("\"/var/log/citadel-test/*.log\" {\n    daily\n    missingok\n    su root root\n}\n");
    assert_eq!(check(&good, None).unwrap(), Vec::<String>::new());
    let bad = rotating("\"/var/log/citadel-test/*.log\" {\n    frobnicate 3\n    rotate many\n}\n");
    let error = check(&bad, None).unwrap_err().to_string();
    assert!(error.contains("bad rotation count"), "{error}");
    assert!(check(&bad, Some(&bad)).is_ok(), "what runs already is not judged again");
    assert!(std::fs::read_dir(places.host("/run/citadel")).unwrap().next().is_none());

    let mut new_user = rotating("\"/var/log/citadel-test/*.log\" {\n    missingok\n    su nobody-of-citadel root\n}\n");
    assert!(check(&new_user, None).is_err());
    let made = with("sysusers", "sysusers/c.conf", "/etc/sysusers.d/c.conf", "u nobody-of-citadel -\n");
    new_user.manifest.files.extend(made.manifest.files);
    new_user.files.extend(made.files);
    assert!(check(&new_user, None).is_ok(), "the bundle makes the user");
}

#[test]
fn a_folder_above_what_is_declared_is_not_data() {
    let (_root, places) = host();
    std::fs::create_dir(places.host("/opt")).unwrap();
    let paths = ["/opt/ai/models", "/opt/ai/models/phi3", "/opt", "/var/lib/private/a"].map(PathBuf::from);
    let (data, folders) = missing(&places, paths.into_iter());
    assert_eq!(data, ["/opt/ai/models", "/opt/ai/models/phi3", "/var/lib/private/a"].map(PathBuf::from).into());
    assert_eq!(folders, ["/opt/ai", "/var/lib", "/var"].map(PathBuf::from).into());
}
