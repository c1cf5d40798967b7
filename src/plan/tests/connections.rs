//! Instances that serve one connection of a socket with `Accept=yes`.

use super::bundles::{bundle, name, shown, state};
use super::forward::{Units, check};
use crate::plan::{Snapshot, forward, mismatch, rollback};

const ACCEPT: (&str, &str) = ("a.socket", "[Socket]\nListenStream=1\nAccept=yes");
const OLD: (&str, &str) = ("a@.service", "[Service]\nExecStart=/old");
const NEW: (&str, &str) = ("a@.service", "[Service]\nExecStart=/new");
const APPLIED: &str = "a@.service: apply without restart, because ExecStart= changes";
const KEPT: &str = "a@5-10.0.0.1:80-10.0.0.2:99.service: keep, because it is an instance of a@.service, it serves one \
                    connection of a.socket and ends with it, ExecStart= changes";
const UP: &str = "a.socket, a@5-10.0.0.1:80-10.0.0.2:99.service";

#[test]
fn a_connection_outlives_a_change_of_its_template() {
    check(&[ACCEPT, OLD], &[ACCEPT, NEW], UP, &[APPLIED, KEPT]);
    let restart = ("a@.service", "#! on_change=restart\n[Service]\nExecStart=/new");
    check(&[ACCEPT, OLD], &[ACCEPT, restart], UP, &[APPLIED, KEPT]);
    // The socket goes, or is taken over from somebody else.
    check(&[ACCEPT, OLD], &[NEW], UP, &["a.socket: stop, because it is no longer in the bundle", APPLIED, KEPT]);
    check(
        &[],
        &[ACCEPT, NEW],
        "a@7-8-9.service @/etc/systemd/system/a@.service",
        &[
            "a@7-8-9.service: keep, because it is an instance of a@.service, it serves one connection of a.socket and ends \
           with it, /etc/systemd/system/a@.service defined it until now",
        ],
    );
    // Without its template it has no definition.
    check(
        &[OLD, ACCEPT],
        &[],
        "a@7-8-9.service",
        &["a@7-8-9.service: stop, because it is an instance of a@.service, it is no longer in the bundle"],
    );
}

#[test]
fn other_instances_restart_with_their_template() {
    let not_accepting = ("a.socket", "[Socket]\nListenStream=1\nService=b.service");
    let another = ("b.socket", ACCEPT.1);
    for (socket, instance) in
        [(not_accepting, "a@7-8-9.service"), (another, "a@7-8-9.service"), (ACCEPT, "a@x-8.service")]
    {
        let restarted = format!("{instance}: restart, because it is an instance of a@.service, ExecStart= changes");
        check(&[socket, OLD], &[socket, NEW], instance, &[APPLIED, &restarted]);
    }
}

#[test]
fn a_connection_ends_with_what_it_depends_on() {
    let template = ("a@.service", "[Unit]\nRequires=b.service\n[Service]\nExecStart=/a");
    check(
        &[ACCEPT, template, ("b.service", OLD.1)],
        &[ACCEPT, template, ("b.service", NEW.1)],
        "a.socket, a@7-8-9.service, b.service",
        &["a@7-8-9.service: stop, because it depends on b.service", "b.service: restart, because ExecStart= changes"],
    );
}

#[test]
fn no_rollback_starts_a_connection() {
    let template = |exec: &str| format!("[Unit]\nRequires=b.service\n[Service]\nExecStart={exec}");
    let (old, new) = (template("/old"), template("/new"));
    let old: Units<'_> = &[ACCEPT, ("a@.service", &old), ("b.service", OLD.1)];
    let new: Units<'_> = &[ACCEPT, ("a@.service", &new), ("b.service", NEW.1)];
    let ours = "a.socket, a@7-8-9.service, b.service";
    let theirs = "a@7-8-9.service @/etc/systemd/system/a@.service";
    let connection = name("a@7-8-9.service");
    for (from, before) in [(Some(bundle(old)), state(ours)), (None, state(theirs))] {
        let to = bundle(new);
        let trial = forward(from.as_ref(), &to, &before);
        for end in [None, Some("inactive"), Some("failed"), Some("run2")] {
            let mut now: Snapshot = before.clone();
            now.units.remove(&connection);
            let end = end.map(|end| state(&format!("a@7-8-9.service {end}")));
            now.units.extend(end.into_iter().flat_map(|end| end.units));
            for left in [Some(&to), None] {
                let plan = rollback(&[&trial], from.as_ref(), left, &before, &now);
                assert!(!plan.order.contains(&connection), "{:?}", shown(&plan));
                assert_eq!(mismatch(from.as_ref(), &before, &now, &[&trial, &plan]), []);
            }
        }
    }
    // It goes on where nothing ended it.
    let (from, to, before) = (bundle(old), bundle(new), state(ours));
    let trial = forward(Some(&from), &to, &before);
    let plan = rollback(&[&trial], Some(&from), Some(&to), &before, &before);
    assert!(plan.order.is_empty(), "{:?}", shown(&plan));
}
