//! How units pull each other along in a switch.

use super::bundles::{bundle, order, shown, state};
use super::forward::check;
use crate::plan::{Snapshot, forward};

#[test]
fn dependants_restart_and_stop_too() {
    let a = |exec: &str| format!("[Service]\nExecStart={exec}");
    let b = ("b.service", "[Unit]\nRequires=a.service\n[Service]\nExecStart=/b");
    let c = ("c.service", "[Unit]\nPartOf=b.service\n[Service]\nExecStart=/c");
    let d = ("d.service", "[Unit]\nWants=a.service\n[Service]\nExecStart=/d");
    let down = ("down.service", "[Unit]\nBindsTo=a.service\n[Service]\nExecStart=/down");
    check(
        &[("a.service", &a("/a")), b, c, d, down],
        &[("a.service", &a("/new")), b, c, d, down],
        "a.service <foreign.service, b.service, c.service, d.service, down.service inactive, foreign.service",
        &[
            "a.service: restart, because ExecStart= changes",
            "b.service: restart, because it depends on a.service",
            "c.service: restart, because it depends on b.service",
            "foreign.service: restart, because it depends on a.service",
        ],
    );
    let b_alone = ("b.service", "[Service]\nExecStart=/b");
    check(
        &[("a.service", &a("/a")), b, c],
        &[b_alone, c],
        "a.service, b.service, c.service",
        &[
            "a.service: stop, because it is no longer in the bundle",
            "b.service: stop and start, because it depends on a.service, Requires= is gone",
            "c.service: stop and start, because it depends on b.service",
        ],
    );
    check(
        &[("a.service", &a("/a")), b],
        &[],
        "a.service, b.service",
        &[
            "a.service: stop, because it is no longer in the bundle",
            "b.service: stop, because it is no longer in the bundle",
        ],
    );
}

#[test]
fn a_restart_starts_what_it_needs() {
    let a = |exec: &str| format!("[Unit]\nRequires=b.service\nWants=c.service\n[Service]\nExecStart={exec}");
    let (b, c) = (("b.service", "[Service]\nExecStart=/b"), ("c.service", "[Service]\nExecStart=/c"));
    check(
        &[("a.service", &a("/a")), b, c],
        &[("a.service", &a("/new")), b, c],
        "a.service, b.service",
        &["a.service: restart, because ExecStart= changes", "c.service: start, because a.service wants it"],
    );
}

#[test]
fn sockets() {
    let socket = |port: &str| format!("[Socket]\nListenStream={port}\n[Install]\nWantedBy=multi-user.target");
    let service = |exec: &str| format!("[Service]\nExecStart={exec}");
    let both = |port: &str, exec: &str| [socket(port), service(exec)];
    let check_both = |old: [String; 2], new: [String; 2], before: &str, steps: &[&str]| {
        let units = |texts: &[String; 2]| bundle(&[("a.socket", &texts[0]), ("a.service", &texts[1])]);
        assert_eq!(shown(&forward(Some(&units(&old)), &units(&new), &state(before))), steps);
    };
    check_both(
        both("1", "/a"),
        both("2", "/a"),
        "a.socket, a.service",
        &[
            "a.service: stop and start, because it belongs to a.socket",
            "a.socket: stop and start, because ListenStream= changes",
        ],
    );
    check_both(
        both("1", "/a"),
        both("2", "/a"),
        "a.socket, a.service inactive",
        &["a.socket: stop and start, because ListenStream= changes"],
    );
    check_both(
        both("1", "/a"),
        both("1", "/b"),
        "a.socket, a.service",
        &["a.service: restart, because ExecStart= changes"],
    );
    check(
        &[("a.service", &service("/a"))],
        &[("a.service", &service("/a")), ("a.socket", &socket("1"))],
        "a.service",
        &[
            "a.service: stop and start, because it belongs to a.socket",
            "a.socket: start, because multi-user.target wants it, it is new",
        ],
    );
    check(
        &[("a@.service", &service("/a")), ("a.socket", "[Socket]\nListenStream=1\nAccept=yes")],
        &[("a@.service", &service("/a")), ("a.socket", "[Socket]\nListenStream=2\nAccept=yes")],
        "a@1.service, a.socket",
        &["a.socket: stop and start, because ListenStream= changes"],
    );
    // A client could otherwise wake the service under its old definition.
    check(
        &[
            ("a.socket", &socket("1")),
            ("a.service", &format!("[Unit]\nPartOf=b.service\n{}", service("/a"))),
            ("b.service", &service("/b")),
        ],
        &[("a.socket", &socket("1")), ("a.service", &service("/a"))],
        "a.socket, a.service, b.service",
        &[
            "a.service: stop and start, because it depends on b.service, PartOf= is gone",
            "a.socket: stop and start, because it belongs to a.service",
            "b.service: stop, because it is no longer in the bundle",
        ],
    );
}

#[test]
fn mounts() {
    let mount = |what: &str, options: &str| format!("[Mount]\nWhat={what}\nWhere=/data\nOptions={options}");
    let service = ("a.service", "[Unit]\nRequiresMountsFor=/data/models /x\n[Service]\nExecStart=/a");
    let other = ("b.service", "[Unit]\nRequiresMountsFor=/database\n[Service]\nExecStart=/a");
    let check = |new: &str, steps: &[&str]| {
        let old = mount("/dev/a", "ro");
        check(
            &[("data.mount", &old), service, other],
            &[("data.mount", new), service, other],
            "data.mount, a.service, b.service",
            steps,
        );
    };
    check(&mount("/dev/a", "rw"), &["data.mount: reload, because Options= changes"]);
    check(
        &mount("/dev/b", "ro"),
        &[
            "a.service: stop and start, because it depends on data.mount",
            "data.mount: stop and start, because What= changes",
        ],
    );
}

#[test]
fn a_port_is_free_before_another_takes_it() {
    let service = |port: u16| format!("#! listens=0.0.0.0:{port}\n[Service]\nExecStart=/x {port}");
    check(
        &[("a.service", &service(1)), ("b.service", &service(2))],
        &[("a.service", &service(2)), ("b.service", &service(1))],
        "a.service, b.service",
        &[
            "a.service: stop and start, because ExecStart= changes, b.service takes over 0.0.0.0:1",
            "b.service: stop and start, because ExecStart= changes, a.service takes over 0.0.0.0:2",
        ],
    );
    check(
        &[("a.service", &service(1))],
        &[("a.service", &service(2)), ("b.service", &format!("{}\n[Install]\nWantedBy=multi-user.target", service(1)))],
        "a.service",
        &[
            "a.service: stop and start, because ExecStart= changes, b.service takes over 0.0.0.0:1",
            "b.service: start, because multi-user.target wants it, it is new",
        ],
    );
    check(
        &[("a.service", &service(1)), ("b.service", &service(2))],
        &[("a.service", &service(3)), ("b.service", &service(4))],
        "a.service, b.service",
        &["a.service: restart, because ExecStart= changes", "b.service: restart, because ExecStart= changes"],
    );
}

#[test]
fn a_start_ends_what_it_excludes() {
    let a = "[Service]\nExecStart=/a";
    let new = "[Unit]\nConflicts=a.service\n[Service]\nExecStart=/new\n[Install]\nWantedBy=multi-user.target";
    let b = "[Unit]\nRequires=a.service\n[Service]\nExecStart=/b";
    let c = "[Unit]\nPartOf=a.service\n[Service]\nExecStart=/c";
    check(
        &[("a.service", a), ("b.service", b), ("c.service", c)],
        &[("a.service", a), ("b.service", b), ("c.service", c), ("new.service", new)],
        "a.service, b.service, c.service",
        &[
            "a.service: stop, because it cannot run together with new.service",
            "b.service: stop, because it depends on a.service",
            "c.service: stop and start, because it depends on a.service",
            "new.service: start, because multi-user.target wants it, it is new",
        ],
    );
}

#[test]
fn a_target_that_restarts_does_not_wake_what_something_else_excludes() {
    let gpu = |exec: &str| format!("[Service]\nExecStart={exec}");
    let models = "[Unit]\nRequires=gpu.service";
    let small = "[Service]\nExecStart=/small\n[Install]\nWantedBy=models.target";
    let large = "[Unit]\nRequires=gpu.service\nConflicts=small.service\n[Service]\nExecStart=/large";
    let rest = [("models.target", models), ("small.service", small), ("large.service", large)];
    let units = |gpu| -> Vec<_> { [("gpu.service", gpu)].into_iter().chain(rest).collect() };
    let (old, new) = (gpu("/a"), gpu("/b"));
    check(
        &units(&old),
        &units(&new),
        "gpu.service, models.target, large.service",
        &[
            "gpu.service: restart, because ExecStart= changes",
            "large.service: restart, because it depends on gpu.service",
            "models.target: restart, because it depends on gpu.service",
        ],
    );
}

#[test]
fn order_agrees_with_phases_and_dependencies() {
    let service = |phase: &str, unit: &str| {
        format!("#! {phase}\n[Unit]\n{unit}\n[Service]\nExecStart=/x\n[Install]\nWantedBy=main.target")
    };
    let new = bundle(&[
        ("a.service", &service("phase=two", "")),
        ("b.service", &service("phase=one", "After=c.service")),
        ("c.service", &service("phase=one", "")),
        ("d.service", &service("", "")),
        ("main.target", "[Install]\nWantedBy=multi-user.target"),
    ]);
    let plan = forward(None, &new, &Snapshot::default());
    assert_eq!(order(&plan), "c.service b.service a.service d.service main.target");
    assert_eq!(plan.phases, ["one", "two"]);
    assert_eq!(order(&forward(Some(&new), &new, &Snapshot::assumed(&new))), "");
}
