//! What runs on a throwaway host.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::future::Future;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use citadel::activate::Places;
use citadel::activate::manager::{BusErrorKind, Job, JobEvent, JobKind, JobOutcome, JobResult, Manager, Way};
use citadel::activate::progress::{Event, Outcome};
use citadel::activate::worker::{self, Followed};
use citadel::bundle::unit::UnitName;
use citadel::plan::{ActiveState, LoadState, Snapshot, UnitState};

use crate::run_inside::THROWAWAY;

const UNITS: &str = "/run/systemd/system";
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a test over each way to systemd.
fn over_both<F: Future<Output = ()>>(test: impl Fn(Manager) -> F) {
    if std::env::var_os(THROWAWAY).is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for way in [Way::Private, Way::SystemBus] {
        runtime.block_on(async {
            // A test may have gone on while the bus started.
            let manager = Manager::connect_by(way).await.unwrap_or_else(|error| panic!("{way:?}: {error}"));
            tokio::time::timeout(LIMIT, test(manager)).await.unwrap_or_else(|_| panic!("{way:?} hangs"));
        });
    }
}

fn name(unit: &str) -> UnitName {
    UnitName::parse(unit).expect("the name of a unit")
}

fn names(units: &[&str]) -> BTreeSet<UnitName> {
    units.iter().map(|unit| name(unit)).collect()
}

/// Writes units and has systemd read them; what runs of an earlier test ends.
async fn given(manager: &Manager, units: &[(&str, &str)]) {
    for (unit, text) in units {
        let _ = systemctl(&["stop", unit]);
        fs::write(Path::new(UNITS).join(unit), text).expect("a unit is written");
    }
    manager.reload().await.expect("a reload");
    for (unit, _) in units {
        if !unit.contains('@') {
            manager.reset_failed([name(unit)].iter()).await.expect("a reset");
        }
    }
}

fn systemctl(arguments: &[&str]) -> String {
    let output = Command::new("systemctl").args(arguments).output().expect("systemctl starts");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Carries out jobs that are written as `start a.service`.
async fn run(manager: &Manager, jobs: &[&str], limit: Duration) -> BTreeMap<String, JobOutcome> {
    let job = |text: &&str| {
        let (kind, unit) = text.split_once(' ').expect("a kind and a unit");
        let kind = match kind {
            "start" => JobKind::Start,
            "stop" => JobKind::Stop,
            "restart" => JobKind::Restart,
            "reload" => JobKind::Reload,
            other => panic!("no job is called {other}"),
        };
        Job { unit: name(unit), kind }
    };
    let jobs: Vec<Job> = jobs.iter().map(job).collect();
    let mut ended = BTreeMap::new();
    let mut observe = |event: JobEvent| {
        if let JobEvent::Ended { unit, outcome, .. } = event {
            ended.insert(unit, outcome);
        }
    };
    let outcomes = manager.run(&jobs, limit, &mut observe).await.expect("systemd answers");
    assert_eq!(outcomes, ended, "what was observed is what is returned");
    assert_eq!(outcomes.len(), jobs.len());
    outcomes.into_iter().map(|(unit, outcome)| (unit.to_string(), outcome)).collect()
}

fn assert_ended(outcomes: &BTreeMap<String, JobOutcome>, unit: &str, result: JobResult, reason: &str) {
    let outcome = &outcomes[unit];
    assert_eq!((&outcome.result, outcome.reason.as_str()), (&result, reason), "{unit}");
}

const SLEEP: &str = "[Service]\nExecStart=/bin/sleep infinity\n";

#[test]
#[ignore = "runs on a throwaway host"]
fn states() {
    over_both(|manager| async move {
        let version = manager.version().await.expect("a version");
        assert_eq!(Ok(version.to_string()), std::env::var(THROWAWAY));
        given(
            &manager,
            &[
                ("main.service", &format!("[Unit]\nDescription=x\n{SLEEP}")),
                ("other.service", &format!("[Unit]\nBindsTo=main.service\nAfter=main.service\n{SLEEP}")),
                ("outer.service", &format!("[Unit]\nRequires=other.service\n{SLEEP}")),
                ("idle.service", &format!("[Unit]\nRequires=main.service\n{SLEEP}")),
                ("many@.service", SLEEP),
                ("masked.service", SLEEP),
            ],
        )
        .await;
        let _ = fs::remove_file(format!("{UNITS}/masked.service"));
        let _ = std::os::unix::fs::symlink("/dev/null", format!("{UNITS}/masked.service"));
        let _ = std::os::unix::fs::symlink("main.service", format!("{UNITS}/alias.service"));
        manager.reload().await.expect("a reload");
        systemctl(&["start", "outer.service", "many@a.service", "many@b.service", "alias.service"]);

        let wanted = names(&["main.service", "alias.service", "many@.service", "masked.service", "no.service"]);
        let mut snapshot = manager.units(&wanted).await.expect("a list");
        let known = |snapshot: &Snapshot| snapshot.units.keys().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(known(&snapshot), ["alias.service", "main.service", "many@a.service", "many@b.service"]);
        let main = snapshot.state(&name("main.service"));
        assert_eq!((main.load, main.active, main.sub.as_str()), (LoadState::Loaded, ActiveState::Active, "running"));

        manager.details(&mut snapshot, &wanted).await.expect("properties");
        let expected = [
            "alias.service",
            "main.service",
            "many@a.service",
            "many@b.service",
            "masked.service",
            "other.service",
            "outer.service",
        ];
        assert_eq!(known(&snapshot), expected);
        let main = snapshot.state(&name("main.service"));
        assert_eq!(main.fragment.as_deref(), Some(Path::new("/run/systemd/system/main.service")));
        assert_eq!(main.invocation, Some(systemctl(&["show", "--value", "-pInvocationID", "main.service"])));
        assert_eq!(main.main_pid.to_string(), systemctl(&["show", "--value", "-pMainPID", "main.service"]));
        assert_eq!((main.result.as_str(), main.restarts, main.job), ("success", 0, false));
        assert_eq!(main.dependants, names(&["other.service"]), "what depends on it and is in memory");
        assert_eq!(snapshot.state(&name("masked.service")).load, LoadState::Masked);
        let run = UnitState { fragment: None, dependants: BTreeSet::new(), ..main };
        assert_eq!(manager.unit(&name("main.service")).await, Ok(run));
        assert_eq!(manager.unit(&name("no.service")).await, Ok(Default::default()));

        fs::write(format!("{UNITS}/main.service"), SLEEP).expect("a unit is written");
        let outdated = manager.outdated(&wanted).await.expect("properties");
        assert!(outdated.contains(&name("main.service")), "{outdated:?}");
        assert_eq!(manager.reset_failed([name("no.service")].iter()).await, Ok(()));
    });
}

#[test]
#[ignore = "runs on a throwaway host"]
fn jobs_and_reasons() {
    over_both(|manager| async move {
        let fails = "[Service]\nType=oneshot\nExecStartPre=/bin/true\nExecStart=/bin/sh -c 'exit 3'\n";
        given(
            &manager,
            &[
                ("good.service", SLEEP),
                ("fails.service", fails),
                ("needs.service", &format!("[Unit]\nRequires=fails.service\nAfter=fails.service\n{SLEEP}")),
                ("pre.service", "[Service]\nExecStartPre=/bin/sh -c 'kill -9 $$$$'\nExecStart=/bin/sleep 9\n"),
                ("absent.service", "[Service]\nType=exec\nExecStart=/no/program\n"),
                (
                    "slow.service",
                    "[Service]\nType=notify\nTimeoutStartSec=200ms\nRestart=always\nExecStart=/bin/sleep 99\n",
                ),
                ("never.service", "[Service]\nType=notify\nTimeoutStartSec=infinity\nExecStart=/bin/sleep infinity\n"),
                ("condition.service", &format!("[Unit]\nConditionPathExists=/no/file\n{SLEEP}")),
                ("wants.target", "[Unit]\nWants=condition.service once.service\n"),
                ("once.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n"),
                ("reloads.service", &format!("{SLEEP}ExecReload=/bin/sh -c 'exit 4'\n")),
            ],
        )
        .await;
        let starts = [
            "start good.service",
            "start fails.service",
            "start needs.service",
            "start pre.service",
            "start absent.service",
            "start slow.service",
            "start wants.target",
            "start condition.service",
            "start once.service",
            "start reloads.service",
            "start no.service",
            "stop not-there.service",
        ];
        let outcomes = run(&manager, &starts, LIMIT).await;
        for unit in ["good.service", "wants.target", "once.service", "reloads.service", "not-there.service"] {
            assert_ended(&outcomes, unit, JobResult::Done, "");
        }
        assert_ended(&outcomes, "fails.service", JobResult::Failed, "it ended with exit code 3");
        let dependency = "fails.service, which it needs, did not start";
        assert_ended(&outcomes, "needs.service", JobResult::Dependency, dependency);
        let killed = "ExecStartPre=/bin/sh was killed by signal 9 (SIGKILL)";
        assert_ended(&outcomes, "pre.service", JobResult::Failed, killed);
        let absent = "it ended with exit code 203: its program cannot be executed";
        assert_ended(&outcomes, "absent.service", JobResult::Failed, absent);
        assert_ended(&outcomes, "slow.service", JobResult::Failed, "it was not ready in time");
        assert_ended(&outcomes, "condition.service", JobResult::Skipped, "a condition in its file does not hold");
        assert_ended(&outcomes, "no.service", JobResult::Refused, "Unit no.service not found.");

        let outcomes = run(&manager, &["reload reloads.service", "reload good.service"], LIMIT).await;
        assert_ended(&outcomes, "reloads.service", JobResult::Failed, "ExecReload=/bin/sh ended with exit code 4");
        assert_eq!(outcomes["good.service"].result, JobResult::Refused);
        assert!(outcomes["good.service"].reason.contains("not applicable"), "{outcomes:?}");

        let outcomes = run(&manager, &["start never.service", "stop good.service"], Duration::from_millis(500)).await;
        assert_ended(&outcomes, "never.service", JobResult::TimedOut, "it is still starting (start)");
        assert_ended(&outcomes, "good.service", JobResult::Done, "");
        assert!(!systemctl(&["list-jobs"]).contains("never.service"), "what is late was cancelled");
        let stops = ["stop never.service", "stop slow.service", "stop reloads.service"];
        for (unit, outcome) in run(&manager, &stops, LIMIT).await {
            assert_eq!(outcome.result, JobResult::Done, "{unit}: {}", outcome.reason);
        }
    });
}

#[test]
#[ignore = "runs on a throwaway host"]
fn restarts_are_one_transaction() {
    over_both(|manager| async move {
        let log = |unit: &str| {
            format!(
                "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo +{unit} >>/run/log-of-order'\n\
                 ExecStop=/bin/sh -c 'echo -{unit} >>/run/log-of-order'\n"
            )
        };
        given(
            &manager,
            &[
                ("r1.service", &log("r1")),
                ("r2.service", &format!("[Unit]\nAfter=r1.service\n{}", log("r2"))),
                ("r3.service", &format!("[Unit]\nAfter=r2.service\nRequires=r1.service\n{}", log("r3"))),
                ("down.service", &format!("[Unit]\nAfter=r3.service\n{}", log("down"))),
                ("foreign.service", &log("foreign")),
            ],
        )
        .await;
        let alias = format!("{UNITS}/r3-alias.service");
        let _ = std::os::unix::fs::symlink("r3.service", &alias);
        manager.reload().await.expect("a reload");
        systemctl(&["start", "r1.service", "r2.service", "r3-alias.service", "foreign.service"]);
        systemctl(&["set-property", "--runtime", "foreign.service", "Markers=needs-restart"]);
        fs::write("/run/log-of-order", "").expect("the log is emptied");

        // Given against their order, with one that does not run, under another name, and with one that starts.
        let jobs = ["restart r1.service", "restart r3-alias.service", "start down.service", "restart r2.service"];
        for (unit, outcome) in run(&manager, &jobs, LIMIT).await {
            assert_eq!(outcome.result, JobResult::Done, "{unit}: {}", outcome.reason);
        }
        let order = fs::read_to_string("/run/log-of-order").expect("a log");
        assert_eq!(order.split_whitespace().collect::<Vec<_>>(), ["-r3", "-r2", "-r1", "+r1", "+r2", "+r3", "+down"]);
        for unit in ["r1.service", "r2.service", "r3.service"] {
            assert_eq!(systemctl(&["show", "--value", "-pMarkers", unit]), "", "{unit} is marked");
        }
        assert_eq!(systemctl(&["show", "--value", "-pMarkers", "foreign.service"]), "needs-restart");
        systemctl(&["set-property", "--runtime", "foreign.service", "Markers="]);

        // What does not run is started by a restart, alone or among others.
        systemctl(&["stop", "r2.service", "down.service", "r1.service"]);
        for (unit, outcome) in run(&manager, &["restart r1.service", "restart r2.service"], LIMIT).await {
            assert_eq!(outcome.result, JobResult::Done, "{unit}: {}", outcome.reason);
            assert_eq!(systemctl(&["is-active", &unit]), "active", "{unit}");
        }
        systemctl(&["stop", "r1.service"]);
        fs::remove_file(&alias).expect("the link is removed");
    });
}

#[test]
#[ignore = "runs on a throwaway host"]
fn a_worker_is_followed() {
    over_both(|manager| async move {
        let places = Places::new("/");
        fs::create_dir_all("/run/citadel/switches").expect("a folder");
        let follow = async |id: &str| {
            let mut seen = Vec::new();
            let unit = worker::unit(id).expect("a name");
            let followed = worker::follow(&places, id, &unit, &mut |event| seen.push(event.clone())).await;
            let messages = seen.into_iter().filter_map(|event| match event {
                Event::Warning { message } => Some(message),
                _ => None,
            });
            (followed.expect("the log is read"), messages.collect::<Vec<_>>())
        };
        let start = async |id: &str, script: &str| {
            let _ = fs::remove_file(places.progress(id));
            let _ = fs::remove_file("/run/started");
            // It does nothing before systemd has said that it runs.
            let script = format!(
                "say() {{ echo \"$1\" >>/run/citadel/switches/{id}.jsonl; }}\n\
                 until [ -e /run/started ]; do sleep 0.01; done\n{script}"
            );
            let argv = ["/bin/sh", "-c", &script].map(str::to_owned);
            let environment = BTreeMap::from([("SAID".to_owned(), "by the worker".to_owned())]);
            worker::start(&manager, &worker::unit(id).expect("a name"), &argv, &environment).await.expect("it starts");
            fs::write("/run/started", "").expect("a file is written");
        };
        const WARN: &str = r#"say "{\"event\":\"warning\",\"message\":\"$SAID\"}""#;
        const FINISH: &str = r#"say '{"event":"finished","outcome":"done","summary":"","seconds":1.0}'"#;

        start("ends", &format!("{WARN}\n{FINISH}")).await;
        assert_eq!(follow("ends").await, (Followed::Finished(Outcome::Done), vec!["by the worker".to_owned()]));

        start("dies", &format!("{WARN}\nkill -9 $$")).await;
        assert_eq!(follow("dies").await, (Followed::Vanished, vec!["by the worker".to_owned()]));

        // Recovery goes on with the log.
        let line = r#"{"event":"finished","outcome":"rolled_back","summary":"","seconds":1.0}"#;
        fs::write("/run/last-line", format!("{line}\n")).expect("a line is written");
        let command = "cat /run/last-line >>/run/citadel/switches/taken-back.jsonl";
        let recovery =
            format!("[Service]\nType=oneshot\nExecStartPre=/bin/sleep 1\nExecStart=/bin/sh -c '{command}'\n");
        given(&manager, &[("citadel-recover.service", &recovery)]).await;
        start("taken-back", "kill -9 $$").await;
        assert_eq!(follow("taken-back").await.0, Followed::Finished(Outcome::RolledBack));
        fs::remove_file(format!("{UNITS}/citadel-recover.service")).expect("it is removed");

        let argv = ["/no/program".to_owned()];
        let error = worker::start(&manager, &worker::unit("absent").expect("a name"), &argv, &BTreeMap::new()).await;
        let said = error.expect_err("there is no such program").to_string();
        assert!(said.contains("journalctl --unit=citadel-switch-absent.service"), "{said}");

        // Whoever watches may go away.
        start("goes-on", "sleep 99").await;
        let interrupt = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let own = std::process::id().to_string();
            assert!(Command::new("/bin/kill").args(["-INT", &own]).status().is_ok_and(|status| status.success()));
        };
        let (followed, ()) = tokio::join!(follow("goes-on"), interrupt);
        assert_eq!(followed.0, Followed::Left);
        let unit = worker::unit("goes-on").expect("a name");
        assert_eq!(manager.unit(&unit).await.expect("a state").active, ActiveState::Active, "the switch goes on");
        systemctl(&["stop", unit.as_str()]);
    });
}

#[test]
#[ignore = "runs on a throwaway host"]
fn zz_a_lost_connection_is_an_error() {
    over_both(|manager| async move {
        let never = "[Service]\nType=notify\nTimeoutStartSec=infinity\nExecStart=/bin/sleep infinity\n";
        given(&manager, &[("lost.service", never)]).await;
        let mut observe = |_: JobEvent| {
            // systemd closes its private socket and leaves the bus when it is executed anew.
            systemctl(&["daemon-reexec"]);
        };
        let job = Job { unit: name("lost.service"), kind: JobKind::Start };
        let error = manager.run(&[job], LIMIT, &mut observe).await.expect_err("systemd went away");
        assert!(matches!(error.kind, BusErrorKind::Lost(_)), "{error}");
        systemctl(&["stop", "lost.service"]);
    });
}
