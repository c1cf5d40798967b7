//! Bundles start on a real systemd: every profile of the repository is booted on a throwaway host (`host/mod.rs`), where
//! one program (`host/program.py`) stands in for all that the units start.

#![cfg(feature = "compiler")]
#![allow(clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "tests/switch.rs uses the rest")]
mod host;
#[path = "boot/install.rs"]
mod install;

use std::collections::{BTreeMap, BTreeSet};

use host::bundle::Bundle;
use host::expected::STRANGER;
use host::machine::{Release, SYSTEMD_252, SYSTEMD_257};
use host::{Host, can_boot, project, skip};
use tempfile::TempDir;

/// A bundle, and a host that was booted with it.
struct Booted {
    bundle: Bundle,
    host: Host,
    _folder: TempDir,
}

/// Boots a profile; none where this machine cannot.
fn boot(profile: &str, release: &Release) -> Option<Booted> {
    boot_changed(profile, release, |_| ())
}

/// Boots a profile after a change to the files of its bundle.
fn boot_changed(profile: &str, release: &Release, change: impl Fn(&Bundle)) -> Option<Booted> {
    let system = match can_boot(release) {
        Ok(system) => system,
        Err(reason) => {
            skip::skipped(&format!("{profile} on systemd {}: {reason}", release.systemd));
            return None;
        }
    };
    let folder = tempfile::tempdir().expect("a temporary folder is made");
    let bundle = Bundle::build(profile, folder.path());
    change(&bundle);
    let host = install::boot(release, &system, &bundle);
    Some(Booted { bundle, host, _folder: folder })
}

macro_rules! boots {
    ($($name:ident: $profile:literal on $release:ident,)*) => {
        const BOOTED: &[(&str, u64)] = &[$(($profile, $release.systemd)),*];
        $(#[test]
        fn $name() {
            if let Some(booted) = boot($profile, &$release) {
                booted.assert_started();
                booted.assert_stops();
            }
        })*
    };
}

boots! {
    benchmark_on_252: "benchmark" on SYSTEMD_252,
    benchmark_on_257: "benchmark" on SYSTEMD_257,
    development_on_252: "development" on SYSTEMD_252,
    development_on_257: "development" on SYSTEMD_257,
    low_memory_on_252: "low_memory" on SYSTEMD_252,
    low_memory_on_257: "low_memory" on SYSTEMD_257,
    production_on_252: "production" on SYSTEMD_252,
    production_on_257: "production" on SYSTEMD_257,
    rtx4090_avatar_on_257: "rtx4090_avatar" on SYSTEMD_257,
    ultravox_benchmark_on_252: "ultravox/benchmark" on SYSTEMD_252,
    ultravox_benchmark_on_257: "ultravox/benchmark" on SYSTEMD_257,
    ultravox_development_on_252: "ultravox/development" on SYSTEMD_252,
    ultravox_development_on_257: "ultravox/development" on SYSTEMD_257,
    ultravox_low_memory_on_252: "ultravox/low_memory" on SYSTEMD_252,
    ultravox_low_memory_on_257: "ultravox/low_memory" on SYSTEMD_257,
    ultravox_production_on_252: "ultravox/production" on SYSTEMD_252,
    ultravox_production_on_257: "ultravox/production" on SYSTEMD_257,
    ultravox_remote_on_252: "ultravox/remote" on SYSTEMD_252,
    ultravox_remote_on_257: "ultravox/remote" on SYSTEMD_257,
}

#[test]
fn every_profile_is_booted_on_each_systemd_that_it_runs_on() {
    let folder = tempfile::tempdir().expect("a temporary folder is made");
    for profile in project::profiles() {
        let below = folder.path().join(&profile);
        std::fs::create_dir_all(&below).expect("a folder is made");
        let required = Bundle::build(&profile, &below).required_systemd();
        for release in [&SYSTEMD_252, &SYSTEMD_257] {
            let booted = BOOTED.contains(&(&profile, release.systemd));
            assert_eq!(booted, required <= release.systemd, "{profile} on systemd {}", release.systemd);
        }
    }
}

impl Booted {
    /// Fails unless the boot started what it has to, in order, as the right users, and nothing else.
    fn assert_started(&self) {
        self.assert_states();
        self.assert_order();
        self.assert_users();
        self.assert_answers();
        self.assert_calls_of_start();
        self.assert_journal();
    }

    fn assert_states(&self) {
        let Booted { bundle, host, .. } = self;
        let failed = host.run(&["systemctl", "list-units", "--failed", "--plain", "--no-legend"]);
        assert!(failed.is_empty(), "{failed}\n{}", host.journal(&["--lines=200"]));
        let units: Vec<&str> = bundle.units.keys().map(String::as_str).collect();
        let mut wrong = String::new();
        for (unit, shown) in units.iter().zip(host.show(&["ActiveState", "SubState"], &units)) {
            let expected = bundle.state_after_boot(unit);
            let state = format!("{} {}", shown.get("ActiveState"), shown.get("SubState"));
            if state != expected {
                wrong += &format!("{unit} is {state}, not {expected}\n");
            }
        }
        assert!(wrong.is_empty(), "{wrong}{}", host.journal(&["--lines=200"]));
        let services = self.running();
        for (service, shown) in services.iter().zip(host.show(&["NRestarts"], &services)) {
            assert_eq!(shown.get("NRestarts"), "0", "{service} was restarted");
        }
    }

    /// The services that run after a boot.
    fn running(&self) -> Vec<&str> {
        let oneshot = |unit: &str| self.bundle.values(unit, "Type") == ["oneshot"];
        let services = self.bundle.at_boot().into_iter().filter(|unit| unit.ends_with(".service"));
        services.filter(|unit| !oneshot(unit)).collect()
    }

    /// Fails where a unit began to start before one that it is ordered after was there.
    fn assert_order(&self) {
        let units: Vec<&str> = self.bundle.at_boot().into_iter().collect();
        let properties = ["After", "InactiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic"];
        let shown: BTreeMap<&str, _> = units.iter().copied().zip(self.host.show(&properties, &units)).collect();
        let mut pairs = 0;
        for (unit, own) in &shown {
            let after = own.get("After").split(' ').filter_map(|other| shown.get_key_value(other));
            for (other, first) in after {
                let (there, began) =
                    (first.time("ActiveEnterTimestampMonotonic"), own.time("InactiveExitTimestampMonotonic"));
                assert!(there <= began, "{unit} began at {began}, {other} was there at {there}");
                pairs += 1;
            }
        }
        assert!(pairs >= units.len() - 1, "only {pairs} pairs of {units:?} are in order");
    }

    /// Fails where a process does not belong to the user and the group of its unit.
    fn assert_users(&self) {
        for unit in self.running() {
            let [user, group] =
                ["User", "Group"].map(|name| self.bundle.values(unit, name).last().copied().unwrap_or("root"));
            let owners = self.owners_of_processes(unit);
            assert_eq!(owners, BTreeSet::from([format!("{user}:{group}")]), "the processes of {unit}");
        }
    }

    fn owners_of_processes(&self, unit: &str) -> BTreeSet<String> {
        let group = self.host.show(&["ControlGroup"], &[unit])[0].get("ControlGroup").to_owned();
        let script = r#"sed 's:^:/proc/:' "/sys/fs/cgroup/$1/cgroup.procs" | xargs stat --format %U:%G"#;
        self.host.run(&["sh", "-c", script, "sh", &group]).lines().map(str::to_owned).collect()
    }

    /// Fails unless the host listens just where units say, and every probe is answered.
    fn assert_answers(&self) {
        let Booted { bundle, host, .. } = self;
        let said: BTreeSet<_> = bundle.at_boot().into_iter().flat_map(|unit| bundle.listens(unit)).collect();
        assert_eq!(host.listens(), said);
        for unit in self.running() {
            for probe in bundle.probes(unit) {
                let (status, _) = host.get(&probe.host, probe.port, &probe.path);
                assert_eq!(status, probe.status, "{unit}: {probe:?}");
            }
        }
    }

    fn assert_calls_of_start(&self) {
        self.assert_calls(|directive| !directive.starts_with("ExecStop"));
    }

    /// Fails unless units that are started at boot have called `citadel-activate` with just the arguments that they say,
    /// in these directives.
    fn assert_calls(&self, directives: impl Fn(&str) -> bool) {
        const PROGRAM: &str = "/usr/local/bin/citadel-activate ";
        let services: Vec<&str> = self.bundle.at_boot().into_iter().filter(|unit| unit.ends_with(".service")).collect();
        for (unit, shown) in services.iter().zip(self.host.show(&["ExecMainPID"], &services)) {
            let commands = self.bundle.commands(unit).filter(|(directive, _)| directives(directive));
            let expected: BTreeSet<String> = commands
                .filter_map(|(_, command)| command.strip_prefix(PROGRAM))
                .map(|arguments| arguments.replace("$MAINPID", shown.get("ExecMainPID")))
                .collect();
            let journal = self.host.journal(&["--unit", unit]);
            let calls = journal.lines().filter_map(|line| line.split_once(": citadel-activate "));
            let calls: BTreeSet<String> = calls.map(|(_, arguments)| arguments.to_owned()).collect();
            assert_eq!(calls, expected, "the calls of {unit}");
        }
    }

    /// Fails where systemd did not understand a unit, or left one out to break a circle.
    fn assert_journal(&self) {
        // What is said before the journal is there is on the console.
        let journal = self.host.console() + &self.host.journal(&[]);
        let about_bundle = |line: &str| self.bundle.units.keys().any(|unit| line.contains(unit.as_str()));
        let complaints: Vec<&str> = journal
            .lines()
            .filter(|line| {
                line.contains("ordering cycle")
                    || ["Unknown key", "ignoring", "Ignoring", "Failed", "failed", "not supported", "does not support"]
                        .iter()
                        .any(|word| line.contains(word) && about_bundle(line))
            })
            .collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    /// Fails unless the end of the main target is the end of everything that belongs to the bundle.
    fn assert_stops(&self) {
        let Booted { bundle, host, .. } = self;
        host.systemctl(&["stop", bundle.main_target()]);
        let units: Vec<&str> = bundle.units.keys().map(String::as_str).collect();
        host.until("the end of all units", || {
            let shown = host.show(&["ActiveState"], &units);
            let left: Vec<_> = shown.iter().filter(|unit| unit.get("ActiveState") != "inactive").collect();
            if left.is_empty() { Ok(true) } else { Err(format!("{left:?}")) }
        });
        let mut users = bundle.words_of_all("User");
        users.remove("root");
        let owners = host.run(&["sh", "-c", "stat --format '%U %n' /proc/[0-9]* 2>/dev/null"]);
        let left: Vec<&str> =
            owners.lines().filter(|line| line.split(' ').next().is_some_and(|user| users.contains(user))).collect();
        assert!(left.is_empty(), "processes of {users:?} are left: {left:?}");
        self.assert_calls(|_| true);
    }
}

const ADDRESS: &str = "192.168.10.35";
const CODER: u16 = 11405;
const VISION: u16 = 11500;
const PHI3: u16 = 11403;

#[test]
fn models_take_turns_on_252() {
    boot("production", &SYSTEMD_252).iter().for_each(models_take_turns);
}

#[test]
fn models_take_turns_on_257() {
    boot("production", &SYSTEMD_257).iter().for_each(models_take_turns);
}

fn models_take_turns(Booted { bundle, host, .. }: &Booted) {
    let both = || [host.state("citadel-coder.service"), host.state("citadel-vision.service")];
    assert_eq!(both(), ["inactive", "inactive"]);

    // A request starts the model, and waits for it.
    assert_eq!(host.get(ADDRESS, CODER, "/health"), (200, "coder".to_owned()));
    assert_eq!(both(), ["active", "inactive"]);

    // The GPU has room for one of the two; the sockets of both go on listening.
    assert_eq!(host.get(ADDRESS, VISION, "/health"), (200, "vision".to_owned()));
    assert_eq!(both(), ["inactive", "active"]);
    assert_eq!(host.get(ADDRESS, CODER, "/health"), (200, "coder".to_owned()));
    assert_eq!(both(), ["active", "inactive"]);

    // When the proxy has nothing to do any more, neither has the model.
    host.systemctl(&["stop", "citadel-coder-proxy.service"]);
    host.until("the end of coder", || Ok(both() == ["inactive", "inactive"]));

    // The largest model needs both GPUs.
    assert_eq!(host.get(ADDRESS, VISION, "/health"), (200, "vision".to_owned()));
    let excluded = bundle.words("citadel-mixtral.service", "Conflicts");
    let running = excluded.iter().filter(|unit| host.state(unit) == "active").count();
    assert!(running >= 3, "{running} of {excluded:?} run");
    host.systemctl(&["start", "citadel-mixtral.service"]);
    assert_eq!(host.state("citadel-mixtral.service"), "active");
    for unit in excluded {
        assert_eq!(host.state(unit), "inactive", "{unit} beside mixtral");
    }
    let failed = host.run(&["systemctl", "list-units", "--failed", "--plain", "--no-legend"]);
    assert!(failed.is_empty(), "{failed}");
}

#[test]
fn a_model_is_shut_in_on_252() {
    boot("production", &SYSTEMD_252).iter().for_each(a_model_is_shut_in);
}

#[test]
fn a_model_is_shut_in_on_257() {
    boot("production", &SYSTEMD_257).iter().for_each(a_model_is_shut_in);
}

fn a_model_is_shut_in(Booted { bundle, host, .. }: &Booted) {
    let phi3 = |question: &str| host.get(ADDRESS, PHI3, question).1;

    // It writes to its own folders and to no other.
    assert_eq!(phi3("/write/mnt/citadel-models/cache/phi3/file"), "yes");
    assert_eq!(phi3("/write/var/lib/citadel-phi3/file"), "yes");
    assert_eq!(phi3("/write/tmp/file"), "yes");
    assert!(host.run(&["ls", "/tmp/file"]).contains("No such file"), "it shares /tmp with the host");
    let read_only = ["/opt/citadel", "/opt/citadel/models", "/mnt/citadel-models", "/etc", "/usr", "/var/lib"];
    for folder in read_only {
        assert_eq!(phi3(&format!("/write{folder}/file")), "EROFS", "{folder}");
    }
    for folder in ["/mnt/citadel-models/cache/coder", "/home", "/root"] {
        assert_eq!(phi3(&format!("/write{folder}/file")), "EACCES", "{folder}");
    }

    // It sees its own processes only.
    let seen = phi3("/processes");
    let main = host.show(&["MainPID"], &["citadel-phi3.service"])[0].get("MainPID").to_owned();
    assert_eq!(seen, main);

    // It uses its GPU and not the other one; no driver is behind either.
    let outcomes = ["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"]
        .map(|node| (node, phi3(&format!("/open/dev/{node}"))));
    let allowed = bundle.words("citadel-phi3.service", "DeviceAllow");
    for (node, outcome) in outcomes {
        let expected = if allowed.contains(format!("/dev/{node}").as_str()) { "ENXIO" } else { "EPERM" };
        assert_eq!(outcome, expected, "/dev/{node}");
    }
    assert!(!allowed.contains("/dev/nvidia0"), "both GPUs are allowed: {allowed:?}");

    // It reaches its own network only.
    assert_eq!(phi3(&format!("/connect/{ADDRESS}/{CODER}")), "yes");
    assert_eq!(phi3(&format!("/connect/{STRANGER}/{CODER}")), "ETIMEDOUT");
    assert!(host.run(&["bash", "-c", &format!("</dev/tcp/{STRANGER}/{CODER}")]).contains("refused"));
}

/// A part of a unit, what takes its place, and what has to notice it.
type Fault = (&'static str, &'static str, &'static str, fn(&Booted));

/// The assertions are no use if they overlook faults.
#[test]
fn faults_are_noticed() {
    let faults: [Fault; 5] = [
        ("citadel-storage.service", "RemainAfterExit=yes", "RemainAfterExit=no", Booted::assert_states),
        ("citadel-phi3.service", "Group=citadel-phi3\n", "Group=daemon\n", Booted::assert_users),
        ("citadel-gpu.service", " gpu apply ", " gpu check ", Booted::assert_calls_of_start),
        ("citadel-models.target", "[Unit]\n", "[Unit]\nBefore=sysinit.target\n", Booted::assert_journal),
        ("citadel-monitor.service", "[Unit]\n", "[Unit]\nAftr=local-fs.target\n", Booted::assert_journal),
    ];
    let spoil = |bundle: &Bundle| {
        for (unit, part, faulty, _) in faults {
            let sound = &bundle.units[unit];
            assert!(sound.contains(part), "{unit} has no {part:?}");
            let spoilt = sound.replacen(part, faulty, 1);
            std::fs::write(bundle.folder.join("units").join(unit), spoilt).expect("the unit is changed");
        }
    };
    if let Some(booted) = boot_changed("low_memory", &SYSTEMD_252, spoil) {
        for (unit, _, faulty, assertion) in faults {
            let noticed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| assertion(&booted)));
            let said = noticed.expect_err("the assertion fails").downcast::<String>().expect("an assertion says why");
            assert!(said.contains(unit), "said of {faulty:?} in {unit}: {said}");
        }
    }
}
