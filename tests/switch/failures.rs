//! A bundle that does not work ends on the one before, with everything as it was.

use crate::host::bundle::Bundle;
use crate::host::machine::Release;
use crate::runs::Runs;
use crate::site::{Ended, Site, site};

on_each_systemd! {
    a_service_that_answers_with_an_error_goes_back,
    a_service_that_never_answers_goes_back,
    a_program_that_fails_at_start_goes_back,
    a_start_that_takes_too_long_goes_back,
    a_service_that_is_restarted_for_ever_goes_back,
    a_service_that_ends_again_and_again_goes_back,
    a_service_that_fails_after_its_phase_goes_back,
    a_phase_that_fails_half_way_goes_back,
    a_service_that_takes_its_dependants_along_goes_back,
    a_first_bundle_that_does_not_work_leaves_nothing_running,
    what_an_operator_stopped_stays_stopped,
    an_old_wound_does_not_fail_a_switch,
    a_unit_that_was_removed_runs_again,
}

/// Switches to something that does not work, and makes sure that the host is where it was.
fn goes_back(release: &Release, change: &str, untouched: &[&str], says: &[&str]) {
    let first = site("{}");
    let Some(host) = Site::running(release, &[&first]) else { return };
    let before = host.runs(&first);
    let ended = fails(&host, &first, change);
    ended.says(says);
    host.runs(&first).assert_untouched(&before, untouched);
    // And a switch that works still works.
    let works = site("{ services.web.environment.COLOUR = \"red\" }");
    host.switch(&works, &[]).assert(0);
    host.assert_runs(&works);
}

fn fails(host: &Site, first: &Bundle, change: &str) -> Ended {
    let ended = host.switch(&site(change), &[]).assert(8);
    host.assert_runs(first);
    ended
}

/// A service that does not behave, and is given little time.
fn misbehaving(name: &str, port: u16, how: &str) -> String {
    format!(
        r#"{{ services.{name} = {{
            exec.command = ["/opt/site/bin/{name}", "--host", "127.0.0.1", "--port", "{port}", "--behave", "{how}"],
            health.http = {{ start_period = "1s", timeout = "1s" }},
        }} }}"#
    )
}

const OTHERS: [&str; 5] = ["api.service", "disk.service", "mistral.service", "phi.service", "queue.service"];

fn a_service_that_answers_with_an_error_goes_back(release: &Release) {
    goes_back(release, &misbehaving("web", 7030, "503"), &OTHERS, &["web.service", "503", "generation 1"]);
}

fn a_service_that_never_answers_goes_back(release: &Release) {
    goes_back(release, &misbehaving("web", 7030, "hang"), &OTHERS, &["web.service", "generation 1"]);
}

fn a_program_that_fails_at_start_goes_back(release: &Release) {
    goes_back(release, &misbehaving("web", 7030, "exit 3"), &OTHERS, &["web.service", "generation 1"]);
}

fn a_start_that_takes_too_long_goes_back(release: &Release) {
    let change = r#"{ services.mistral = {
        vllm.extra.behave = "load", start_timeout = "2s", restart.policy = 'never }, allow.C0261 = "on purpose" }"#;
    let others = ["api.service", "disk.service", "phi.service", "queue.service", "web.service", "worker.service"];
    goes_back(release, change, &others, &["mistral.service", "generation 1"]);
}

fn a_service_that_is_restarted_for_ever_goes_back(release: &Release) {
    // It never says that it is ready, and systemd never gives up.
    let change = r#"{ services.mistral = {
        vllm.extra.behave = "load", start_timeout = "1s", restart = { max_starts = 1000, window = "1s" } },
        allow.C0260 = "on purpose" }"#;
    let others = ["api.service", "disk.service", "phi.service", "queue.service", "web.service", "worker.service"];
    goes_back(release, change, &others, &["mistral.service", "generation 1"]);
}

fn a_service_that_ends_again_and_again_goes_back(release: &Release) {
    // It answers well for a moment each time, so only its restarts tell; and the worker takes its time.
    let change = r#"{ services = {
        web = {
            exec.command = ["/opt/site/bin/web", "--host", "127.0.0.1", "--port", "7030", "--behave", "flap 300"],
            restart = { max_starts = 1000, window = "1s", delay = "1ms" },
        },
        worker.exec.command = ["/opt/site/bin/worker", "--host", "127.0.0.1", "--port", "7021", "--behave", "load"],
        }, allow.C0260 = "on purpose" }"#;
    goes_back(release, change, &OTHERS, &["web.service", "restarted", "generation 1"]);
}

fn a_service_that_fails_after_its_phase_goes_back(release: &Release) {
    // The queue is healthy when its phase ends, and what comes later breaks it.
    let change = r#"{ services = {
        queue.environment.SIZE = 2,
        breaker = {
            exec = {
                command = ["/bin/sh", "-c", "umask 22; echo 503 >/srv/behave/queue"],
                stop = ["/bin/sh", "-c", "umask 22; echo serve >/srv/behave/queue"],
                type = 'oneshot,
                remain_after_exit = true,
            },
            user = "root",
            writable."/srv/behave" = true,
            phase = "applications",
        },
    } }"#;
    let first = site("{}");
    let Some(host) = Site::running(release, &[&first]) else { return };
    let before = host.runs(&first);
    let ended = host.switch(&site(change), &[]).assert(8);
    ended.says(&["queue.service", "503", "generation 1"]);
    host.assert_runs(&first);
    host.runs(&first).assert_untouched(&before, &["disk.service", "mistral.service", "phi.service", "web.service"]);
}

fn a_phase_that_fails_half_way_goes_back(release: &Release) {
    // Infrastructure and canary are done when the models fail; the applications are not reached.
    let change = r#"{ services = {
        queue.environment.SIZE = 2,
        phi.vllm.max_model_len = 4096,
        mistral = { vllm.extra.behave = "exit 3", restart.policy = 'never },
        web.environment.SIZE = 2,
    }, allow.C0261 = "on purpose" }"#;
    goes_back(release, change, &["disk.service", "web.service"], &["mistral.service", "models", "generation 1"]);
}

fn a_service_that_takes_its_dependants_along_goes_back(release: &Release) {
    // The API needs the queue, and the worker needs the API: systemd stops all three.
    let change = r#"{ services.queue = {
        exec.command = ["/opt/site/bin/queue", "--host", "127.0.0.1", "--port", "7001", "--behave", "exit 3"],
        restart.policy = 'never, health.http.start_period = "1s" } }"#;
    let others = ["disk.service", "mistral.service", "phi.service", "web.service"];
    goes_back(release, change, &others, &["queue.service", "generation 1"]);
}

fn a_first_bundle_that_does_not_work_leaves_nothing_running(release: &Release) {
    let (broken, works) = (site(&misbehaving("web", 7030, "exit 3")), site("{}"));
    let Some(host) = Site::boot(release, &[&broken]) else { return };
    host.switch(&broken, &[]).assert(8).says(&["web.service"]);
    let listening = host.host.listens();
    assert!(listening.is_empty(), "{listening:?}");
    let units =
        host.host.run(&["systemctl", "list-units", "--plain", "--no-legend", "site.target", "web*", "phi*", "api*"]);
    assert!(units.is_empty(), "{units}");
    assert!(!host.host.path("/etc/citadel/trial.json").exists());
    host.switch(&works, &[]).assert(0);
    host.assert_runs(&works);
}

fn what_an_operator_stopped_stays_stopped(release: &Release) {
    let first = site("{}");
    let both = site("{ services.web.environment.SIZE = 2, services.mistral.environment.SIZE = 2 }");
    let Some(host) = Site::running(release, &[&first]) else { return };
    let stopped = |runs: &Runs| !runs.is_running("web.service");
    host.host.systemctl(&["stop", "web.service"]);
    host.switch(&both, &[]).assert(0);
    assert!(stopped(&host.runs(&both)), "the switch started it");
    host.switch(&site(&misbehaving("queue", 7001, "exit 3")), &[]).assert(8);
    assert!(stopped(&host.runs(&both)), "the rollback started it");
    host.rollback(&["1"]).assert(0);
    assert!(stopped(&host.runs(&first)), "the way back started it");
    host.host.systemctl(&["start", "web.service"]);
    host.assert_runs(&first);
}

fn an_old_wound_does_not_fail_a_switch(release: &Release) {
    let (first, second) = (site("{}"), site("{ services.mistral.environment.SIZE = 2 }"));
    let Some(host) = Site::running(release, &[&first]) else { return };
    let before = host.runs(&first);
    host.behave("web", "503");
    host.switch(&second, &[]).assert(0);
    host.runs(&second).assert_touched(&before, &["mistral.service"]);
    host.behave("web", "serve");
    host.assert_runs(&second);
}

fn a_unit_that_was_removed_runs_again(release: &Release) {
    let change = r#"{ services.web.enable = false,
        services.queue = {
            exec.command = ["/opt/site/bin/queue", "--host", "127.0.0.1", "--port", "7001", "--behave", "503"],
            health.http.start_period = "1s" } }"#;
    goes_back(release, change, &["disk.service", "mistral.service", "phi.service"], &["queue.service"]);
}
