//! How to come back from a switch.

use super::bundles::{bundle, name, shown, state};
use crate::bundle::Bundle;
use crate::plan::{Action, Plan, Snapshot, forward, mismatch, rollback, surplus};

struct Switch {
    from: Option<Bundle>,
    to: Bundle,
    before: Snapshot,
    trial: Plan,
}

impl Switch {
    fn new(from: Option<&[(&str, &str)]>, to: &[(&str, &str)], before: &str) -> Self {
        let (from, to, before) = (from.map(bundle), bundle(to), state(before));
        let trial = forward(from.as_ref(), &to, &before);
        Switch { from, to, before, trial }
    }

    fn back(&self, now: &str) -> Vec<String> {
        shown(&rollback(&[&self.trial], self.from.as_ref(), Some(&self.to), &self.before, &state(now)))
    }

    /// As `back`, when the bundle that is left cannot be read.
    fn back_blind(&self, now: &str) -> Vec<String> {
        shown(&rollback(&[&self.trial], self.from.as_ref(), None, &self.before, &state(now)))
    }

    fn mismatch(&self, now: &str) -> Vec<String> {
        let found = mismatch(self.from.as_ref(), &self.before, &state(now), &[&self.trial]);
        found.iter().map(ToString::to_string).collect()
    }
}

const A: &str = "[Service]\nExecStart=/a";
const NEW: &str = "[Service]\nExecStart=/new";

#[test]
fn what_runs_decides() {
    let switch = Switch::new(Some(&[("a.service", A)]), &[("a.service", NEW)], "a.service");
    let applied = "a.service: apply without restart, because ExecStart= changes";
    let restarted = "a.service: restart, because it ran before, ExecStart= changes";
    for (now, step) in [
        ("a.service run1", applied),
        ("a.service run2", restarted),
        ("a.service run2 activating", restarted),
        ("a.service run2 failed", "a.service: start, because it ran before"),
        ("a.service run1 inactive", "a.service: start, because it ran before"),
        ("", "a.service: start, because it ran before"),
    ] {
        assert_eq!(switch.back(now), [step], "{now}");
    }
    // The dependency restarted it; its own definition is the same.
    let b = ("b.service", "[Unit]\nRequires=a.service\n[Service]\nExecStart=/b");
    let switch = Switch::new(Some(&[("a.service", A), b]), &[("a.service", A), b], "a.service, b.service");
    assert_eq!(switch.back("a.service run2, b.service run2"), [""; 0]);
}

#[test]
fn what_was_taken_over_is_given_back_though_its_target_goes_away() {
    let target = ("t.target", "[Install]\nWantedBy=multi-user.target");
    let taken = ("a.service", "[Unit]\nPartOf=t.target\n[Service]\nExecStart=/new\n[Install]\nWantedBy=t.target");
    let switch = Switch::new(None, &[target, taken], "a.service @/etc/systemd/system/a.service");
    assert_eq!(
        switch.back("t.target run2, a.service run2"),
        [
            "a.service: stop and start, because it ran before",
            "t.target: stop, because it is no longer in the bundle"
        ]
    );
}

#[test]
fn what_did_not_run_stops_when_the_switch_started_it() {
    let wanted = |exec: &str| format!("[Service]\nExecStart={exec}\n[Install]\nWantedBy=multi-user.target");
    let switch = Switch::new(Some(&[]), &[("a.service", &wanted("/a"))], "");
    assert_eq!(switch.back("a.service run2"), ["a.service: stop, because it is no longer in the bundle"]);
    assert_eq!(switch.back(""), [""; 0]);

    let switch = Switch::new(
        Some(&[("a.service", A), ("b.service", A)]),
        &[("a.service", A), ("b.service", NEW)],
        "a.service inactive, b.service inactive",
    );
    // A client woke both up.
    assert_eq!(switch.back("a.service run2, b.service run2"), ["b.service: stop, because it did not run before"]);
    assert_eq!(
        switch.back("a.service failed"),
        ["b.service: apply without restart, because it does not run, ExecStart= changes",]
    );
}

#[test]
fn failed_units_stay_failed() {
    let wanted = |exec: &str| format!("[Service]\nExecStart={exec}\n[Install]\nWantedBy=multi-user.target");
    let (old, new) = (wanted("/a"), wanted("/b"));
    let switch = Switch::new(Some(&[("a.service", &old)]), &[("a.service", &new)], "a.service failed");
    assert_eq!(switch.trial.action(&name("a.service")), Action::Start);
    assert_eq!(
        switch.back("a.service failed run2"),
        ["a.service: apply without restart, because it does not run, ExecStart= changes",]
    );
    assert_eq!(switch.back("a.service run2"), ["a.service: stop, because it did not run before"]);
}

#[test]
fn units_of_others_come_back() {
    let before = "a.service @/etc/systemd/system/a.service <other.service, other.service";
    let switch = Switch::new(None, &[("a.service", A)], before);
    assert_eq!(switch.back(before), [""; 0]);
    assert_eq!(
        switch.back(""),
        ["a.service: start, because it ran before", "other.service: start, because it ran before",]
    );
    assert_eq!(
        switch.back("a.service run2 @/run/systemd/generator/a.service <other.service, other.service run2"),
        [
            "a.service: stop and start, because it ran before",
            "other.service: stop and start, because it depends on a.service",
        ]
    );
}

#[test]
fn a_reload_is_done_again() {
    let text = |value: &str| format!("#! on_change=reload\n[Service]\nExecStart=/a\nEnvironment={value}");
    let (old, new) = (text("A=1"), text("A=2"));
    let switch = Switch::new(Some(&[("a.service", &old)]), &[("a.service", &new)], "a.service");
    assert_eq!(switch.back("a.service"), ["a.service: reload, because it ran before, Environment= changes"]);
}

#[test]
fn sockets_come_back_with_their_service() {
    let socket = |port: u16| format!("[Socket]\nListenStream={port}");
    let (old, new) = (socket(1), socket(2));
    let units = |socket| [("a.service", A), ("a.socket", socket)].to_vec();
    let switch = Switch::new(Some(&units(&old)), &units(&new), "a.socket, a.service");
    assert_eq!(
        switch.back("a.socket run2, a.service run2"),
        [
            "a.service: stop and start, because it belongs to a.socket",
            "a.socket: stop and start, because it ran before, ListenStream= changes",
        ]
    );
    assert_eq!(
        switch.back("a.socket run2, a.service inactive"),
        [
            "a.service: start, because it ran before",
            "a.socket: stop and start, because it ran before, ListenStream= changes",
        ]
    );
}

#[test]
fn work_that_is_done_is_not_done_again() {
    let copy = "[Service]\nType=oneshot\nExecStart=/copy";
    let switch = Switch::new(Some(&[("a.service", copy)]), &[("a.service", copy)], "a.service activating");
    assert_eq!(switch.back("a.service inactive"), [""; 0]);
    assert_eq!(switch.mismatch("a.service inactive"), [""; 0]);
    assert_eq!(switch.back("a.service failed"), ["a.service: start, because it ran before"]);

    // A switch that takes the unit away stops it half way.
    let switch = Switch::new(Some(&[("a.service", copy)]), &[], "a.service activating");
    assert_eq!(switch.back("a.service inactive"), ["a.service: start, because it ran before"]);
    assert_eq!(switch.back(""), ["a.service: start, because it ran before"]);
    assert_eq!(switch.mismatch("a.service inactive"), ["a.service ran before and is inactive now"]);
    let now = state("");
    let back = rollback(&[&switch.trial], switch.from.as_ref(), Some(&switch.to), &switch.before, &now);
    assert_eq!(mismatch(switch.from.as_ref(), &switch.before, &now, &[&switch.trial, &back]), []);

    let proxy = [("a.service", A), ("a.socket", "[Socket]\nListenStream=1")];
    let switch = Switch::new(Some(&proxy), &proxy, "a.service, a.socket");
    assert_eq!(switch.back("a.service inactive, a.socket"), [""; 0]);
}

#[test]
fn the_proof_names_what_is_different() {
    let switch = Switch::new(
        Some(&[("a.service", A), ("b.service", A)]),
        &[("a.service", NEW), ("b.service", A)],
        "a.service, b.service, c.service inactive",
    );
    assert_eq!(switch.mismatch("a.service run2, b.service, c.service"), [""; 0]);
    assert_eq!(
        switch.mismatch("a.service run2 activating, b.service run2"),
        [
            "a.service ran before and is activating now",
            "b.service was started anew, although nothing was planned for it",
        ]
    );
    assert_eq!(
        switch.mismatch("b.service run1 failed"),
        ["a.service ran before and is inactive now", "b.service ran before and is failed now",]
    );
}

#[test]
fn what_a_restart_started_with_it_is_left_over() {
    let target = ("all.target", "[Unit]\nRequires=a.service\nWants=b.service");
    let b = ("b.service", A);
    let switch = Switch::new(
        Some(&[("a.service", A), target, b]),
        &[("a.service", NEW), target, b],
        "a.service, all.target, b.service inactive",
    );
    let now = "a.service run2, all.target run2, b.service run2";
    let left = surplus(switch.from.as_ref(), &switch.before, &state(now), &[&switch.trial]);
    assert_eq!(left, [name("b.service")]);
    assert_eq!(switch.mismatch(now), ["b.service did not run before and runs now"]);
}

#[test]
fn a_bundle_that_cannot_be_read_is_left_as_its_plan_tells() {
    let wanted = |exec: &str| format!("[Service]\nExecStart={exec}\n[Install]\nWantedBy=multi-user.target");
    let (a, new_a, brought) = (wanted("/a"), wanted("/new"), wanted("/brought"));
    let dependant = ("dependant.service", "[Unit]\nRequires=a.service\n[Service]\nExecStart=/d");
    let from = [("a.service", a.as_str()), dependant, ("gone.service", A), ("idle.service", A), ("t@.service", A)];
    let to = [
        ("a.service", new_a.as_str()),
        dependant,
        ("idle.service", NEW),
        ("t@.service", NEW),
        ("brought.service", &brought),
        ("new@.service", A),
        ("taken.service", A),
    ];
    let before = "a.service, dependant.service, gone.service, idle.service inactive, t@1.service, \
                  taken.service @/etc/systemd/system/taken.service <other.service, other.service";
    let switch = Switch::new(Some(&from), &to, before);
    for now in [
        before,
        "",
        "a.service run2, dependant.service run2, brought.service run2, new@1.service run2, idle.service run2, \
         t@1.service run2, t@2.service run2, taken.service run2 <other.service, other.service run2",
        "a.service run2 failed, brought.service failed, taken.service failed",
        "a.service run2 activating, dependant.service inactive, gone.service run2, other.service run2",
    ] {
        assert_eq!(switch.back_blind(now), switch.back(now), "{now}");
    }
    let some = switch.back_blind("brought.service run2, idle.service run2");
    for step in [
        "a.service: start, because it ran before",
        "brought.service: stop, because it is no longer in the bundle",
        "idle.service: stop, because it did not run before",
    ] {
        assert!(some.iter().any(|line| line == step), "{some:?}");
    }
}
