//! What a switch does.

use super::bundles::{add_file, bundle, line, shown, state};
use crate::bundle::manifest::{FileKind, STORE};
use crate::plan::{Snapshot, forward};

pub(super) type Units<'a> = &'a [(&'a str, &'a str)];

/// Checks the plan from one bundle to another; steps that do nothing are left out.
#[track_caller]
pub(super) fn check(old: Units<'_>, new: Units<'_>, before: &str, steps: &[&str]) {
    assert_eq!(shown(&forward(Some(&bundle(old)), &bundle(new), &state(before))), steps);
}

#[test]
fn a_changed_service() {
    let old = "[Unit]\nDescription=a\n[Service]\nExecStart=/a\nMemoryMax=1G\n";
    let check =
        |new: &str, before: &str, step: &[&str]| check(&[("a.service", old)], &[("a.service", new)], before, step);
    check(old, "a.service", &[]);
    check(&old.replace("=/a", "=/b"), "a.service", &["a.service: restart, because ExecStart= changes"]);
    check(&old.replace("=/a", "=/b"), "a.service activating", &["a.service: restart, because ExecStart= changes"]);
    check(&old.replace("=1G", "=2G"), "a.service", &["a.service: apply without restart, because MemoryMax= changes"]);
    check(&old.replace("=1G", "=1024M"), "a.service", &[]);
    check(
        &old.replace("=/a", "=/b").replace("=1G", "=2G"),
        "a.service",
        &["a.service: restart, because ExecStart= changes, MemoryMax= changes"],
    );
    check(&format!("{old}User=x"), "a.service", &["a.service: restart, because User= is new"]);
    check(
        "[Service]\nExecStart=/a\nMemoryMax=1G",
        "a.service",
        &["a.service: apply without restart, because Description= is gone"],
    );
    check(&format!("{old}X-Note=x"), "a.service", &[]);
    check(
        &old.replace("=/a", "=/b"),
        "a.service inactive",
        &["a.service: apply without restart, because it does not run, ExecStart= changes"],
    );
    check(&old.replace("=/a", "=/b"), "a.service masked", &[]);
}

#[test]
fn policies() {
    let check = |policy: &str, old: &str, new: &str, step: &str| {
        let text = |exec: &str| format!("#! {policy}\n[Service]\nExecStart={exec}");
        check(&[("a.service", &text(old))], &[("a.service", &text(new))], "a.service", &[step]);
    };
    check("on_change=keep", "/a", "/b", "a.service: keep, because the profile says so, ExecStart= changes");
    check("on_change=reload", "/a", "/b", "a.service: reload, because the profile says so, ExecStart= changes");
    check("on_change=restart", "/a", "/b", "a.service: restart, because ExecStart= changes");
    check("can_reload", "/a", "/b", "a.service: restart, because ExecStart= changes");
    check("on_change=keep", "/a", "/a\nMemoryMax=1G", "a.service: apply without restart, because MemoryMax= is new");
}

#[test]
fn files_that_a_service_reads() {
    let with = |policy: &str, text: &str| {
        let unit = format!("#! files=files/etc/a.conf {policy}\n[Service]\nExecStart=/a");
        let mut bundle = bundle(&[("a.service", &unit)]);
        add_file(&mut bundle, "files/etc/a.conf", Some("/etc/a.conf"), FileKind::Raw, text);
        bundle
    };
    let stored = |digit: &str| {
        let target = format!("{STORE}/{}-a.yaml", digit.repeat(20));
        let unit = format!("#! can_reload\n[Service]\nExecStart=/a --config {target}");
        let mut bundle = bundle(&[("a.service", &unit)]);
        add_file(&mut bundle, "config/a.yaml", Some(&target), FileKind::Config, digit);
        bundle
    };
    for (old, new, step) in [
        (with("", "1"), with("", "2"), "a.service: restart, because files/etc/a.conf changes"),
        (with("can_reload", "1"), with("can_reload", "2"), "a.service: reload, because files/etc/a.conf changes"),
        (with("can_reload on_change=restart", "1"), with("can_reload on_change=restart", "2"), {
            "a.service: restart, because the profile says so, files/etc/a.conf changes"
        }),
        (stored("1"), stored("2"), "a.service: restart, because config/a.yaml changes"),
    ] {
        assert_eq!(shown(&forward(Some(&old), &new, &state("a.service"))), [step]);
    }
}

#[test]
fn a_run_that_ends_by_itself_is_left_alone() {
    let text = |exec: &str, more: &str| format!("[Service]\nType=oneshot\nExecStart={exec}\n{more}");
    check(
        &[("a.service", &text("/a", ""))],
        &[("a.service", &text("/b", ""))],
        "a.service activating",
        &["a.service: keep, because it ends by itself, and its next run uses the new definition, ExecStart= changes"],
    );
    let stays = "RemainAfterExit=yes";
    check(
        &[("a.service", &text("/a", stays))],
        &[("a.service", &text("/b", stays))],
        "a.service",
        &["a.service: restart, because ExecStart= changes"],
    );
}

#[test]
fn what_comes_to_run_on_demand_stops_until_it_is_asked_for() {
    let proxy = "[Unit]\nRequires=a.service\n[Service]\nExecStart=/p";
    let socket = "[Socket]\nListenStream=/run/a\nService=p.service\n[Install]\nWantedBy=multi-user.target";
    let always = "[Service]\nExecStart=/a\n[Install]\nWantedBy=multi-user.target";
    for exec in ["/a", "/b"] {
        let on_demand = format!("[Unit]\nStopWhenUnneeded=yes\n[Service]\nExecStart={exec}");
        let new: Units<'_> = &[("a.service", &on_demand), ("p.service", proxy), ("p.socket", socket)];
        let plan = forward(Some(&bundle(&[("a.service", always)])), &bundle(new), &state("a.service"));
        assert!(line(&plan, "a.service").starts_with("a.service: stop, because "), "{}", line(&plan, "a.service"));
        assert!(line(&plan, "p.socket").starts_with("p.socket: start, "));
        // Where it is on demand already, something needs it: that is why it runs.
        let plan = forward(Some(&bundle(new)), &bundle(new), &state("a.service, p.service, p.socket"));
        assert_eq!(shown(&plan), [""; 0]);
    }
}

#[test]
fn what_runs_on_demand_stops_with_what_needs_it() {
    let model = "[Unit]\nStopWhenUnneeded=yes\n[Service]\nExecStart=/a";
    let proxy = "[Unit]\nRequires=a.service\n[Service]\nExecStart=/p";
    let other = "[Unit]\nWants=a.service\n[Service]\nExecStart=/o";
    let socket = |port: u16| format!("[Socket]\nListenStream={port}\nService=p.service");
    let (one, two) = (socket(1), socket(2));
    let units = |socket| [("a.service", model), ("o.service", other), ("p.service", proxy), ("p.socket", socket)];
    let planned =
        |new: Units<'_>, before: &str| shown(&forward(Some(&bundle(&units(&one))), &bundle(new), &state(before)));
    let (moved, gone) = (units(&two), [("a.service", model), ("o.service", other)]);
    assert_eq!(
        planned(&moved, "a.service, p.service, p.socket"),
        [
            "a.service: stop and start, because p.service needs it",
            "p.service: stop and start, because it belongs to p.socket",
            "p.socket: stop and start, because ListenStream= changes",
        ]
    );
    assert_eq!(
        planned(&gone, "a.service, p.service, p.socket")[0],
        "a.service: stop, because it is started by hand or on demand"
    );
    // From now on it runs always.
    let always = [("a.service", "[Service]\nExecStart=/a\n[Install]\nWantedBy=multi-user.target")];
    assert_eq!(
        planned(&always, "a.service, p.service, p.socket, multi-user.target")[0],
        "a.service: stop and start, because multi-user.target wants it, WantedBy= is new, StopWhenUnneeded= is gone"
    );
    // Something else needs it as well, or nothing did.
    for before in ["a.service, o.service, p.service, p.socket", "a.service, p.socket"] {
        let all = [planned(&moved, before), planned(&gone, before)].concat();
        assert!(!all.iter().any(|line| line.starts_with("a.service")), "{before}: {all:?}");
    }
}

#[test]
fn new_units_start_when_something_wants_them() {
    let wanted = |by: &str| format!("[Service]\nExecStart=/a\n[Install]\nWantedBy={by}");
    for (before, by, step) in [
        ("", "multi-user.target", Some("a.service: start, because multi-user.target wants it, it is new")),
        ("multi-user.target inactive", "multi-user.target", None),
        ("", "rare.target", None),
        ("rare.target", "rare.target", Some("a.service: start, because rare.target wants it, it is new")),
        ("a.service failed", "multi-user.target", {
            Some("a.service: start, because multi-user.target wants it, it is new")
        }),
        ("a.service inactive masked", "multi-user.target", None),
        ("a.service", "multi-user.target", Some("a.service: restart, because it is new")),
    ] {
        check(&[], &[("a.service", &wanted(by))], before, step.as_slice());
    }
    let plan = forward(None, &bundle(&[("a.service", "[Service]\nExecStart=/a")]), &Snapshot::default());
    assert_eq!(line(&plan, "a.service"), "a.service: nothing, because it is started by hand or on demand, it is new");
    assert!(plan.changes);
}

#[test]
fn starts_follow_each_other() {
    check(
        &[],
        &[
            ("a.target", "[Unit]\nRequires=b.service\n[Install]\nWantedBy=multi-user.target"),
            ("b.service", "[Unit]\nWants=c.service\n[Service]\nExecStart=/b"),
            ("c.service", "[Service]\nExecStart=/c"),
            ("d.service", "[Service]\nExecStart=/d"),
        ],
        "",
        &[
            "a.target: start, because multi-user.target wants it, it is new",
            "b.service: start, because a.target needs it, it is new",
            "c.service: start, because b.service wants it, it is new",
        ],
    );
}

#[test]
fn what_an_operator_stopped_stays_stopped() {
    let a = "[Service]\nExecStart=/a\n[Install]\nWantedBy=main.target";
    let main = "[Unit]\nDescription=main";
    check(
        &[("a.service", a), ("main.target", main)],
        &[("a.service", &a.replace("=/a", "=/b")), ("main.target", main)],
        "main.target, a.service inactive",
        &["a.service: apply without restart, because it does not run, ExecStart= changes"],
    );
}

#[test]
fn a_new_link_starts_a_unit() {
    let a = "[Service]\nExecStart=/a";
    check(
        &[("a.service", a), ("main.target", "[Unit]")],
        &[("a.service", &format!("{a}\n[Install]\nWantedBy=main.target")), ("main.target", "[Unit]")],
        "main.target",
        &["a.service: start, because main.target wants it, WantedBy= is new"],
    );
    check(
        &[("a.service", a), ("main.target", "[Unit]")],
        &[("a.service", a), ("main.target", "[Unit]\nRequires=a.service")],
        "main.target",
        &[
            "a.service: start, because main.target needs it",
            "main.target: apply without restart, because Requires= is new",
        ],
    );
    check(
        &[("a.service", a), ("main.target", "[Unit]")],
        &[("a.service", a), ("main.target", "[Unit]\nRequires=a.service")],
        "main.target inactive",
        &["main.target: apply without restart, because it does not run, Requires= is new"],
    );
}

#[test]
fn failed_units_are_retried_when_they_changed() {
    let a = "[Unit]\nDescription=a\n[Service]\nExecStart=/a\n[Install]\nWantedBy=multi-user.target";
    let b = "[Unit]\nRequires=a.service\n[Service]\nExecStart=/b\n[Install]\nWantedBy=multi-user.target";
    let c = "[Unit]\nRequires=a.service\n[Service]\nExecStart=/c";
    let check = |new: &str, steps: &[&str]| {
        let units = |a| [("a.service", a), ("b.service", b), ("c.service", c)];
        check(&units(a), &units(new), "a.service failed, b.service inactive", steps);
    };
    check(a, &[]);
    check(
        &a.replace("Description=a", "Description=b"),
        &["a.service: apply without restart, because it does not run, Description= changes"],
    );
    check(
        &a.replace("=/a", "=/new"),
        &[
            "a.service: start, because it failed before, ExecStart= changes",
            "b.service: start, because it depends on a.service",
        ],
    );
    check(
        &a.replace("=/a", "=/new").replace("multi-user", "rare"),
        &["a.service: apply without restart, because it does not run, ExecStart= changes, WantedBy= changes"],
    );
}

#[test]
fn removed_units_stop() {
    let a = "[Service]\nExecStart=/a";
    check(&[("a.service", a)], &[], "a.service", &["a.service: stop, because it is no longer in the bundle"]);
    check(&[("a.service", a)], &[], "a.service inactive", &[]);
    check(&[("a.service", a)], &[], "a.service @/etc/systemd/system/a.service", &[]);
    check(
        &[("a.service", a)],
        &[],
        "a.service @/run/systemd/generator/a.service",
        &["a.service: stop, because it is no longer in the bundle"],
    );
}

#[test]
fn units_of_others_stop_under_their_own_file() {
    let a = "[Service]\nExecStart=/a";
    check(
        &[],
        &[("a.service", a)],
        "a.service @/etc/systemd/system/a.service <other.service, other.service",
        &[
            "a.service: stop and start, because /etc/systemd/system/a.service defined it until now",
            "other.service: stop and start, because it depends on a.service",
        ],
    );
    check(&[], &[("a.service", a)], "a.service inactive @/etc/systemd/system/a.service", &[]);
}

#[test]
fn instances_follow_their_template() {
    let text = |exec: &str| format!("[Service]\nExecStart={exec} %i");
    let before = "a@1.service, a@2.service inactive, a@3.service @/etc/systemd/system/a@3.service";
    check(
        &[("a@.service", &text("/a"))],
        &[("a@.service", &text("/b"))],
        before,
        &[
            "a@.service: apply without restart, because ExecStart= changes",
            "a@1.service: restart, because it is an instance of a@.service, ExecStart= changes",
            "a@2.service: apply without restart, because it is an instance of a@.service, it does not run, ExecStart= \
         changes",
        ],
    );
    check(&[("a@.service", &text("/a"))], &[("a@.service", &text("/a"))], before, &[]);
    check(
        &[("a@.service", &text("/a"))],
        &[],
        before,
        &["a@1.service: stop, because it is an instance of a@.service, it is no longer in the bundle"],
    );
    check(
        &[("a@.service", &text("/a"))],
        &[("a@1.service", &text("/b")), ("a@.service", &text("/a"))],
        before,
        &["a@1.service: restart, because ExecStart= changes"],
    );
    check(
        &[],
        &[
            ("a@.service", &text("/a")),
            ("main.target", "[Unit]\nWants=a@7.service\n[Install]\nWantedBy=multi-user.target"),
        ],
        "",
        &[
            "a@7.service: start, because main.target wants it, it is new",
            "main.target: start, because multi-user.target wants it, it is new",
        ],
    );
}

#[test]
fn timers_paths_slices_and_targets_are_applied_by_a_reload() {
    for (name, old, new, key) in [
        ("a.timer", "[Timer]\nOnCalendar=daily", "[Timer]\nOnCalendar=weekly", "OnCalendar"),
        ("a.path", "[Path]\nPathExists=/a", "[Path]\nPathExists=/b", "PathExists"),
        ("a.slice", "[Slice]\nMemoryMax=1G", "[Slice]\nMemoryMax=2G", "MemoryMax"),
        ("a.target", "[Unit]\nWants=b.target", "[Unit]\nWants=c.target", "Wants"),
    ] {
        check(
            &[(name, old)],
            &[(name, new)],
            name,
            &[&format!("{name}: apply without restart, because {key}= changes")],
        );
    }
}

#[test]
fn what_only_describes_the_build_changes_nothing() {
    let old = bundle(&[("a.service", "[Service]\nExecStart=/a")]);
    let mut new = old.clone();
    new.manifest.description = Some("else".to_owned());
    new.manifest.compiler.citadel = "9".to_owned();
    add_file(&mut new, "profile.json", None, FileKind::Profile, "{}");
    assert!(!forward(Some(&old), &new, &Snapshot::default()).changes);
    add_file(&mut new, "udev/a.rules", Some("/etc/udev/rules.d/a.rules"), FileKind::Udev, "x");
    assert!(forward(Some(&old), &new, &Snapshot::default()).changes);
}

#[test]
fn a_host_is_assumed_to_run_what_is_wanted_at_boot() {
    let bundle = bundle(&[
        ("main.target", "[Install]\nWantedBy=multi-user.target"),
        ("a.service", "[Unit]\nRequires=b.service\n[Service]\nExecStart=/a\n[Install]\nWantedBy=main.target"),
        ("b.service", "[Service]\nExecStart=/b"),
        ("c.service", "[Service]\nExecStart=/c"),
        ("copy.service", "[Service]\nType=oneshot\nExecStart=/d\n[Install]\nWantedBy=main.target"),
        ("t@.service", "[Service]\nExecStart=/t"),
    ]);
    let assumed = Snapshot::assumed(&bundle);
    let up: Vec<_> = assumed.units.keys().map(|unit| unit.as_str()).collect();
    assert_eq!(up, ["a.service", "b.service", "main.target"]);
}
