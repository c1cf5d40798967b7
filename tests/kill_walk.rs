//! A switch that is interrupted at any of its system calls leaves the host wholly old or wholly new.
//!
//! The worker of a switch is killed just before each call that changes something; then recovery runs, or the host boots
//! anew after a power cut. Calls that touch the disk also fail, with EIO, ENOSPC and EROFS.
//!
//! These tests take a sample of the points; `tests/walk` takes all of them.

#![cfg(feature = "compiler")]
#![allow(clippy::expect_used, clippy::panic)]

#[path = "kill_walk/durable.rs"]
mod durable;
#[allow(dead_code, reason = "tests/boot.rs uses the rest")]
mod host;
#[path = "kill_walk/interrupted.rs"]
mod interrupted;
#[path = "kill_walk/points.rs"]
mod points;
#[path = "switch/promises.rs"]
mod promises;
#[path = "switch/runs.rs"]
#[allow(dead_code, reason = "tests/switch.rs uses the rest")]
mod runs;
#[path = "switch/site.rs"]
#[allow(dead_code, reason = "tests/switch.rs uses the rest")]
mod site;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::Arc;

use citadel::bundle::digest::Digest;

use host::bundle::Bundle;
use host::machine::{Release, SYSTEMD_252, SYSTEMD_257};
use interrupted::Struck;
use points::Point;
use site::{Ended, Site, site};

/// Which points are tried: every so many, from one on.
#[derive(Clone, Copy, Debug)]
struct Sample {
    every: usize,
    first: usize,
}

impl Sample {
    /// Returns the sample that `CITADEL_WALK` asks for: `all`, or `EVERY/FIRST` such as `15/4`.
    ///
    /// Without a word it is every 40th point, from one on that changes with the program, so that in time all have their turn.
    fn wanted() -> Self {
        let wanted = std::env::var("CITADEL_WALK").unwrap_or_default();
        let number = |text: &str| text.parse().expect("CITADEL_WALK is `all` or two numbers such as 15/4");
        match wanted.split_once('/') {
            Some((every, first)) => Sample { every: number(every), first: number(first) },
            None if wanted == "all" => Sample { every: 1, first: 0 },
            None => {
                let program = std::fs::read(env!("CARGO_BIN_EXE_citadel-activate")).expect("the activator is read");
                let digest = Digest::of(&program).to_string();
                let first = usize::from_str_radix(&digest[..4], 16).expect("a digest is hexadecimal") % 40;
                Sample { every: 40, first }
            }
        }
    }

    fn of<T>(self, points: Vec<T>) -> Vec<T> {
        points.into_iter().skip(self.first).step_by(self.every).collect()
    }
}

/// What happens at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Blow {
    /// The worker is killed, and systemd starts recovery.
    KillThenRecovery,
    /// The worker is killed, power fails, and the host boots.
    KillThenPowerCut,
    /// The disk fails a call.
    Error(&'static str),
}

const ERRORS: [Blow; 3] = [Blow::Error("EIO"), Blow::Error("ENOSPC"), Blow::Error("EROFS")];

/// A small site, so that a step does not take long: a service and files that are there on one side only, a service that
/// has to be restarted, one that must not be, a socket, a timer.
fn side(change: &str) -> Arc<Bundle> {
    site(&format!(
        r#"{{
            services = {{
                phi.enable = false, mistral.enable = false, api.enable = false, worker.enable = false,
                web = {{ wants.api = false, exec.reload_signal = 'HUP }},
            }},
        }} & {change}"#
    ))
}

fn old() -> Arc<Bundle> {
    side(r#"{ files."/etc/only-old.conf".text = "old\n", directories."/srv/old" = {} }"#)
}

fn new() -> Arc<Bundle> {
    side(
        r#"{
            services = {
                queue.resources.memory_max = "2G",
                web.environment.SIDE = "new",
                shop = {
                    port = 7040,
                    exec.command = ["/opt/site/bin/web", "--host", "127.0.0.1", "--port", "7040"],
                    health.http = { http = {}, interval = "100ms" },
                    phase = "applications",
                },
            },
            files."/etc/only-new.conf".text = "new\n",
            files."/etc/site.conf".text | force = "colour = red\n",
            log_rotation.site.keep = 9,
        }"#,
    )
}

/// A site that is not healthy in its last phase, when everything else was done.
fn broken() -> Arc<Bundle> {
    side(
        r#"{
            services = {
                queue.environment.SIDE = "broken",
                web = {
                    exec.command
                        | force
                        = ["/opt/site/bin/web", "--host", "127.0.0.1", "--port", "7030", "--behave", "503"],
                    health.http.start_period = "100ms",
                },
            },
            files."/etc/only-broken.conf".text = "broken\n",
        }"#,
    )
}

/// What was tried, for people: by blow, exit code, what the host runs, and where the blow struck.
#[derive(Debug, Default)]
struct Tally(BTreeMap<(Blow, Option<i32>, &'static str, &'static str), Vec<Point>>);

impl Tally {
    fn add(&mut self, blow: Blow, ended: &Ended, outcome: &'static str, struck: Struck, point: &Point) {
        let place = match struck {
            Struck::Here => "",
            Struck::Elsewhere => ", struck at another call",
            Struck::Nowhere => ", not struck",
        };
        self.0.entry((blow, ended.code, outcome, place)).or_default().push(point.clone());
    }

    /// Writes it past the test harness, which hides what passing tests print.
    fn report(&self, what: &str, release: &Release, points: usize, sample: Sample) {
        let all: usize = self.0.values().map(Vec::len).sum();
        let mut text = format!(
            "walk: {what}, systemd {}: {points} points; {all} tried (CITADEL_WALK={}/{})\n",
            release.systemd, sample.every, sample.first
        );
        for ((blow, code, outcome, place), points) in &self.0 {
            let code = code.map_or("none".to_owned(), |code| code.to_string());
            text += &format!("walk:   {blow:?}: {} times exit code {code}, then {outcome}{place}\n", points.len());
            // The switch itself could not say how it ended.
            for point in points.iter().filter(|_| code == "9" || !place.is_empty()) {
                text += &format!("walk:     {} number {}: {}\n", point.call, point.number, point.text);
            }
        }
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

/// Strikes at a point of a switch.
fn strike(site: &mut Site, to: &Bundle, arguments: &[&str], point: &Point, blow: Blow) -> (Ended, Struck) {
    match blow {
        Blow::KillThenRecovery => site.switch_killed(to, arguments, point),
        Blow::KillThenPowerCut => {
            // Forgotten with the power.
            site.host.run(&["systemctl", "mask", "--runtime", "citadel-recover.service"]);
            let (mut ended, struck) = site.switch_killed(to, &[arguments, &["--no-wait"]].concat(), point);
            // Nobody waited for it.
            ended.code = None;
            site.host.cut_power();
            site.host.boot();
            (ended, struck)
        }
        Blow::Error(error) => site.switch_with_error(to, arguments, point, error),
    }
}

/// Says at which point something went wrong when a test fails there.
struct Here<'a>(&'a Point, Blow);

impl Drop for Here<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Point { call, number, text, .. } = self.0;
            let _ = writeln!(std::io::stderr(), "walk: {:?} at {call} number {number}: {text}", self.1);
        }
    }
}

/// Returns the points that another run of the same switch has as well: how often it speaks with systemd is not quite the
/// same.
fn in_both(points: Vec<Point>, again: &[Point]) -> Vec<Point> {
    let key = |point: &Point| (point.call.clone(), point.number, point.in_thread, point.place.clone());
    let again: BTreeSet<_> = again.iter().map(key).collect();
    points.into_iter().filter(|point| point.in_thread || again.contains(&key(point))).collect()
}

/// What to try: each point with each blow that makes sense there.
fn todo(points: &[Point], blows: &[Blow], sample: Sample) -> Vec<(Point, Blow)> {
    let makes_sense = |point: &Point, blow: &Blow| point.is_on_disk || !matches!(blow, Blow::Error(_));
    let all = points
        .iter()
        .flat_map(|point| blows.iter().filter(|blow| makes_sense(point, blow)).map(|blow| (point.clone(), *blow)));
    sample.of(all.collect())
}

/// Interrupts switches from one side to the other and back.
fn there_and_back(release: &Release, blows: &[Blow]) {
    let (sides, sample) = ([old(), new()], Sample::wanted());
    let Some(mut site) = Site::running(release, &[&sides[0], &sides[1]]) else { return };
    site.prepare_interruptions();
    let list = |site: &Site, at: usize| {
        let (from, to) = (&sides[at], &sides[1 - at]);
        let again = || {
            site.switch(from, &[]).assert(0);
            site.forget_generations();
        };
        site.forget_generations();
        let points = in_both(site.list_points(to, &[], 0, &again), &site.list_points(to, &[], 0, &again));
        site.switch(to, &[]).assert(0);
        points
    };
    let points = [list(&site, 0), list(&site, 1)];
    let mut todo = points.each_ref().map(|points| todo(points, blows, sample).into_iter());
    let (mut tally, mut at) = (Tally::default(), 0);
    while todo.iter().any(|rest| rest.len() > 0) {
        let (from, to) = (&sides[at], &sides[1 - at]);
        if let Some((point, blow)) = todo[at].next() {
            let _here = Here(&point, blow);
            site.forget_generations();
            let (ended, struck) = strike(&mut site, to, &[], &point, blow);
            let is_new = std::ptr::eq(site.assert_runs_one_of(&[from, to]), &raw const **to);
            assert!(is_new || ended.code != Some(0), "it says that it is done:\n{ended:?}");
            assert!(!is_new || ended.code != Some(8), "it says that it went back:\n{ended:?}");
            let outcome = if is_new { "new" } else { "old" };
            tally.add(blow, &ended, outcome, struck, &point);
        }
        site.switch(to, &[]).assert(0);
        site.assert_runs(to);
        at = 1 - at;
    }
    tally.report("there and back", release, points.iter().map(Vec::len).sum(), sample);
}

/// Interrupts switches to something that is not healthy, so that the way back is interrupted too.
fn on_the_way_back(release: &Release, blows: &[Blow]) {
    let (sides, broken, sample) = ([old(), new()], broken(), Sample::wanted());
    let Some(mut site) = Site::running(release, &[&sides[0], &sides[1]]) else { return };
    site.prepare_interruptions();
    let list = |at: usize| {
        let again = || site.forget_generations();
        again();
        let points = in_both(site.list_points(&broken, &[], 8, &again), &site.list_points(&broken, &[], 8, &again));
        site.assert_runs(&sides[at]);
        site.switch(&sides[1 - at], &[]).assert(0);
        points
    };
    let points = [list(0), list(1)];
    let mut todo = points.each_ref().map(|points| todo(points, blows, sample).into_iter());
    let (mut tally, mut at) = (Tally::default(), 0);
    while todo.iter().any(|rest| rest.len() > 0) {
        if let Some((point, blow)) = todo[at].next() {
            let _here = Here(&point, blow);
            site.forget_generations();
            let (ended, struck) = strike(&mut site, &broken, &[], &point, blow);
            site.assert_runs(&sides[at]);
            assert_ne!(ended.code, Some(0), "it says that it is done:\n{ended:?}");
            tally.add(blow, &ended, "old", struck, &point);
        }
        at = 1 - at;
        site.switch(&sides[at], &[]).assert(0);
        site.assert_runs(&sides[at]);
    }
    tally.report("on the way back", release, points.iter().map(Vec::len).sum(), sample);
}

/// Interrupts the first switch of a host, on which others have a unit and a file of the same names.
fn the_first_switch(release: &Release, blows: &[Blow]) {
    let (bundle, sample) = (old(), Sample::wanted());
    let Some(mut site) = Site::boot(release, &[&bundle]) else { return };
    let unit = "[Service]\nExecStart=/opt/site/bin/web --host 127.0.0.1 --port 7030 --the-old-one\n\
                [Install]\nWantedBy=multi-user.target\n";
    for (file, text) in [("/etc/systemd/system/web.service", unit), ("/etc/site.conf", "mine\n")] {
        std::fs::write(site.host.path(file), text).expect("a file is written");
    }
    site.host.run(&["systemctl", "enable", "--now", "web.service"]);
    site.prepare_interruptions();
    site.activate(&["install"]).assert(0);
    let list = || site.list_points(&bundle, &["--adopt"], 0, &|| _ = site.activate(&["uninstall"]).assert(0));
    let points = in_both(list(), &list());
    let mut tally = Tally::default();
    for (point, blow) in todo(&points, blows, sample) {
        let _here = Here(&point, blow);
        site.assert_is_as_before();
        let (ended, struck) = strike(&mut site, &bundle, &["--adopt"], &point, blow);
        let is_new = site.host.path("/etc/citadel/current").is_symlink();
        if is_new {
            site.assert_runs(&bundle);
        } else {
            site.assert_is_as_before();
            assert_ne!(ended.code, Some(0), "it says that it is done:\n{ended:?}");
        }
        let outcome = if is_new { "new" } else { "old" };
        tally.add(blow, &ended, outcome, struck, &point);
        site.switch(&bundle, &["--adopt"]).assert(0);
        site.assert_runs(&bundle);
        site.activate(&["uninstall"]).assert(0);
    }
    site.assert_is_as_before();
    tally.report("the first switch", release, points.len(), sample);
}

impl Site {
    /// Fails unless the host runs nothing of citadel, and what others had.
    fn assert_is_as_before(&self) {
        // In a boot that took the switch back, systemd knows what was set aside by another path until it looks again.
        self.host.systemctl(&["daemon-reload"]);
        let shown = self.host.show(&["ActiveState", "FragmentPath", "UnitFileState", "MainPID"], &["web.service"]);
        let web = ["ActiveState", "FragmentPath", "UnitFileState"].map(|property| shown[0].get(property));
        assert_eq!(web, ["active", "/etc/systemd/system/web.service", "enabled"], "{}", self.host.journal(&[]));
        let command = std::fs::read(self.host.path(&format!("/proc/{}/cmdline", shown[0].get("MainPID"))));
        let command = String::from_utf8_lossy(&command.unwrap_or_default()).into_owned();
        assert!(command.contains("--the-old-one"), "another web server runs: {command}");
        assert_eq!(self.host.run(&["cat", "/etc/site.conf"]), "mine\n");
        assert!(!self.host.path("/etc/citadel/trial.json").exists());
        self.host.until("the end of all others", || {
            let ports: Vec<u16> = self.host.listens().into_iter().map(|(_, port)| port).collect();
            if ports == [7030] { Ok(true) } else { Err(format!("{ports:?}")) }
        });
    }
}

macro_rules! walks {
    ($($name:ident: $walk:ident($release:ident, $blows:expr),)*) => {
        $(#[test]
        fn $name() {
            $walk(&$release, $blows);
        })*
    };
}

walks! {
    there_and_back_killed_then_recovery_on_252: there_and_back(SYSTEMD_252, &[Blow::KillThenRecovery]),
    there_and_back_killed_then_recovery_on_257: there_and_back(SYSTEMD_257, &[Blow::KillThenRecovery]),
    there_and_back_killed_then_power_cut_on_252: there_and_back(SYSTEMD_252, &[Blow::KillThenPowerCut]),
    there_and_back_killed_then_power_cut_on_257: there_and_back(SYSTEMD_257, &[Blow::KillThenPowerCut]),
    there_and_back_with_errors_on_252: there_and_back(SYSTEMD_252, &ERRORS),
    there_and_back_with_errors_on_257: there_and_back(SYSTEMD_257, &ERRORS),
    on_the_way_back_killed_then_recovery_on_252: on_the_way_back(SYSTEMD_252, &[Blow::KillThenRecovery]),
    on_the_way_back_killed_then_recovery_on_257: on_the_way_back(SYSTEMD_257, &[Blow::KillThenRecovery]),
    on_the_way_back_killed_then_power_cut_on_252: on_the_way_back(SYSTEMD_252, &[Blow::KillThenPowerCut]),
    on_the_way_back_killed_then_power_cut_on_257: on_the_way_back(SYSTEMD_257, &[Blow::KillThenPowerCut]),
    on_the_way_back_with_errors_on_252: on_the_way_back(SYSTEMD_252, &ERRORS),
    on_the_way_back_with_errors_on_257: on_the_way_back(SYSTEMD_257, &ERRORS),
    the_first_switch_killed_then_recovery_on_252: the_first_switch(SYSTEMD_252, &[Blow::KillThenRecovery]),
    the_first_switch_killed_then_recovery_on_257: the_first_switch(SYSTEMD_257, &[Blow::KillThenRecovery]),
    the_first_switch_killed_then_power_cut_on_252: the_first_switch(SYSTEMD_252, &[Blow::KillThenPowerCut]),
    the_first_switch_killed_then_power_cut_on_257: the_first_switch(SYSTEMD_257, &[Blow::KillThenPowerCut]),
    the_first_switch_with_errors_on_252: the_first_switch(SYSTEMD_252, &ERRORS),
    the_first_switch_with_errors_on_257: the_first_switch(SYSTEMD_257, &ERRORS),
}
