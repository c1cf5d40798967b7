//! Switches that are interrupted at a given system call.
//!
//! The worker of a switch runs in a service of its own. A drop-in for all such services puts `strace` in front of the
//! worker, and nothing else about the switch is different.

use std::fs;

use crate::durable::unsynced;
use crate::host::bundle::Bundle;
use crate::points::{CALLS, Point, last_place, points, points_in_threads};
use crate::site::{Ended, PROGRAM, Site};

/// Puts `strace` in front of the worker, with the options in /srv/walk/options; without this file it runs as ever.
const WRAPPER: &str = r#"#!/bin/sh
options=$(cat /srv/walk/options 2>/dev/null) || exec PROGRAM "$@"
rm /srv/walk/options
exec strace -y -s 300 -o /srv/walk/trace -e trace=CALLS $options PROGRAM "$@"
"#;

/// Deletes all generations but the current one, with the files that only they use, so that each switch writes what the
/// first one wrote.
const FORGET: &str = r#"
current=$(basename "$(readlink /etc/citadel/current)")
for generation in $(ls /etc/citadel/generations 2>/dev/null); do
    [ "$generation" = "$current" ] || PROGRAM generations delete "$generation"
done
PROGRAM generations gc
"#;

const DROP_IN: &str = "[Service]\nBindReadOnlyPaths=/srv/walk/wrapper:/usr/local/bin/citadel-activate\n";

/// How the worker of an interrupted switch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Struck {
    /// At the call.
    Here,
    /// At another call of the same name: it made one more or less of them than the switch that they were counted in.
    Elsewhere,
    /// It never came to the call.
    Nowhere,
}

impl Site {
    /// Makes it possible to interrupt switches.
    pub fn prepare_interruptions(&self) {
        let write = |path: &str, text: &str| fs::write(self.host.path(path), text).expect("a file is written");
        self.host.run(&["mkdir", "-p", "/srv/walk", "/etc/systemd/system/citadel-switch-.service.d"]);
        write("/srv/walk/wrapper", &WRAPPER.replace("PROGRAM", PROGRAM).replace("CALLS", CALLS));
        self.host.run(&["chmod", "0755", "/srv/walk/wrapper"]);
        write("/etc/systemd/system/citadel-switch-.service.d/walk.conf", DROP_IN);
        self.host.systemctl(&["daemon-reload"]);
    }

    /// Switches to a bundle, and returns the calls that changed something; those of other threads than the first
    /// come last. Fails when what a commit relies on was not on disk before it.
    pub fn list_points(&self, bundle: &Bundle, arguments: &[&str], code: i32, again: &dyn Fn()) -> Vec<Point> {
        self.trace(bundle, arguments, "").assert(code);
        let mut found = points(&self.trace_text());
        assert!(found.len() > 20, "a switch needs more than these: {found:#?}");
        again();
        self.trace(bundle, arguments, "-f").assert(code);
        let unsynced = unsynced(&self.trace_text());
        assert!(unsynced.is_empty(), "a power cut could lose these:\n{}", unsynced.join("\n"));
        found.extend(points_in_threads(&self.trace_text()));
        again();
        found
    }

    /// Switches to a bundle and kills the worker just before a call.
    pub fn switch_killed(&self, bundle: &Bundle, arguments: &[&str], point: &Point) -> (Ended, Struck) {
        let ended = self.trace(bundle, arguments, &inject(point, "signal=SIGKILL"));
        let trace = self.trace_text();
        let struck = match last_place(&trace) {
            _ if !trace.contains("+++ killed by SIGKILL +++") => Struck::Nowhere,
            Some((call, place)) if call == point.call && place == point.place || point.in_thread => Struck::Here,
            _ => Struck::Elsewhere,
        };
        (ended, struck)
    }

    /// Switches to a bundle and lets a call of the worker fail.
    pub fn switch_with_error(
        &self,
        bundle: &Bundle,
        arguments: &[&str],
        point: &Point,
        error: &str,
    ) -> (Ended, Struck) {
        let ended = self.trace(bundle, arguments, &inject(point, &format!("error={error}")));
        let trace = self.trace_text();
        let struck = match trace.lines().find(|line| line.ends_with("(INJECTED)")).and_then(last_place) {
            None => Struck::Nowhere,
            Some((_, place)) if place == point.place || point.in_thread => Struck::Here,
            Some(_) => Struck::Elsewhere,
        };
        (ended, struck)
    }

    /// Makes the host forget generations that it does not run.
    pub fn forget_generations(&self) {
        self.host.run(&["sh", "-c", &FORGET.replace("PROGRAM", PROGRAM)]);
    }

    fn trace(&self, bundle: &Bundle, arguments: &[&str], options: &str) -> Ended {
        self.host.run(&["rm", "-f", "/srv/walk/trace"]);
        fs::write(self.host.path("/srv/walk/options"), options).expect("a file is written");
        let ended = self.activate(&[&["switch", &self.copy(bundle)], arguments].concat());
        self.host.until("the end of recovery", || {
            let units = ["citadel-recover.service", "citadel-switch-*.service"];
            let busy = self.host.run(&[&["systemctl", "list-units", "--plain", "--no-legend"], &units[..]].concat());
            let is_over = !busy.contains(" activating ") && !busy.contains(" running ");
            if is_over { Ok(true) } else { Err(busy) }
        });
        ended
    }

    fn trace_text(&self) -> String {
        fs::read_to_string(self.host.path("/srv/walk/trace")).unwrap_or_default()
    }
}

/// Returns the options for `strace` that do something at a point.
fn inject(point: &Point, what: &str) -> String {
    let follow = if point.in_thread { "-f " } else { "" };
    format!("{follow}-e inject={}:{what}:when={}", point.call, point.number)
}
