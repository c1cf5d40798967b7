//! Switches that are interrupted at a given system call.
//!
//! The worker of a switch runs in a service of its own. A drop-in for all such services puts `strace` in front of the
//! worker, and nothing else about the switch is different.

use std::fs;

use crate::host::bundle::Bundle;
use crate::points::{CALLS, Point, points};
use crate::site::{Ended, PROGRAM, Site};

/// Puts `strace` in front of the worker, with the options in /srv/walk/options; without this file it runs as ever.
const WRAPPER: &str = r#"#!/bin/sh
options=$(cat /srv/walk/options 2>/dev/null) || exec PROGRAM "$@"
rm /srv/walk/options
exec strace -y -o /srv/walk/trace -e trace=CALLS $options PROGRAM "$@"
"#;

const DROP_IN: &str = "[Service]\nBindReadOnlyPaths=/srv/walk/wrapper:/usr/local/bin/citadel-activate\n";

/// How the worker of an interrupted switch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Struck {
    /// At the call.
    Yes,
    /// It never came to the call, because it made fewer of them than the switch that they were counted in.
    No,
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

    /// Switches to a bundle, and returns the calls that changed something.
    pub fn list_points(&self, bundle: &Bundle, arguments: &[&str], code: i32) -> Vec<Point> {
        self.trace(bundle, arguments, "").assert(code);
        let points = points(&self.trace_text());
        assert!(points.len() > 20, "a switch needs more than these: {points:#?}");
        points
    }

    /// Switches to a bundle and kills the worker just before a call.
    pub fn switch_killed(&self, bundle: &Bundle, arguments: &[&str], point: &Point) -> (Ended, Struck) {
        let options = format!("-e inject={}:signal=SIGKILL:when={}", point.call, point.number);
        let ended = self.trace(bundle, arguments, &options);
        let struck = if self.trace_text().contains("+++ killed by SIGKILL +++") { Struck::Yes } else { Struck::No };
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
        let options = format!("-e inject={}:error={error}:when={}", point.call, point.number);
        let ended = self.trace(bundle, arguments, &options);
        let on_disk = |line: &str| line.ends_with("(INJECTED)") && points(line).iter().any(|point| point.is_on_disk);
        let struck = if self.trace_text().lines().any(on_disk) { Struck::Yes } else { Struck::No };
        (ended, struck)
    }

    fn trace(&self, bundle: &Bundle, arguments: &[&str], options: &str) -> Ended {
        self.host.run(&["rm", "-f", "/srv/walk/trace"]);
        fs::write(self.host.path("/srv/walk/options"), options).expect("a file is written");
        let ended = self.switch(bundle, arguments);
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
