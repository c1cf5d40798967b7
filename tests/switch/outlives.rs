//! A switch needs neither its terminal nor the one who asked for it, and there is only one at a time.

use crate::host::background::Background;
use crate::host::bundle::Bundle;
use crate::host::machine::Release;
use crate::site::{Ended, Site, site};

on_each_systemd! {
    a_second_switch_is_refused_at_once,
    a_second_switch_can_wait,
    a_killed_client_does_not_stop_a_switch,
    a_lost_terminal_does_not_stop_a_switch,
    a_killed_client_does_not_stop_a_rollback,
    a_client_that_does_not_wait_returns_at_once,
    a_killed_switch_is_taken_back,
    a_switch_that_is_told_to_stop_goes_back,
    a_power_cut_in_the_middle_boots_the_old_bundle,
    a_reboot_in_the_middle_boots_the_old_bundle,
}

/// A switch that stands still until `proceed`: the model loads, and loads.
fn slow() -> std::sync::Arc<Bundle> {
    site("{ services.mistral.vllm.max_model_len = 4096, services.web.environment.SIZE = 2 }")
}

fn start(host: &Site, bundle: &Bundle) -> Background {
    host.behave("mistral", "load");
    let client = host.spawn("client", &["switch", &host.copy(bundle)]);
    host.host.until("the model to load", || {
        let shown = host.host.show(&["ActiveState"], &["mistral.service"]);
        Ok(shown[0].get("ActiveState") == "activating")
    });
    client
}

fn proceed(host: &Site) {
    host.behave("mistral", "serve");
}

fn a_second_switch_is_refused_at_once(release: &Release) {
    let (first, slow, third) = (site("{}"), slow(), site("{ services.web.environment.SIZE = 3 }"));
    let Some(host) = Site::running(release, &[&first]) else { return };
    let client = start(&host, &slow);
    host.switch(&third, &[]).assert(11);
    host.rollback(&[]).assert(11);
    host.activate(&["uninstall"]).assert(11);
    proceed(&host);
    Ended::of(&client.wait()).assert(0);
    host.assert_runs(&slow);
}

fn a_second_switch_can_wait(release: &Release) {
    let (first, slow, third) = (site("{}"), slow(), site("{ services.web.environment.SIZE = 3 }"));
    let Some(host) = Site::running(release, &[&first]) else { return };
    let client = start(&host, &slow);
    let mut second = host.spawn("second", &["switch", &host.copy(&third), "--wait-lock", "2min"]);
    host.switch(&third, &["--wait-lock", "1s"]).assert(11);
    assert!(second.is_running());
    proceed(&host);
    Ended::of(&client.wait()).assert(0);
    Ended::of(&second.wait()).assert(0);
    host.assert_runs(&third);
}

fn a_killed_client_does_not_stop_a_switch(release: &Release) {
    let (first, slow) = (site("{}"), slow());
    let Some(host) = Site::running(release, &[&first]) else { return };
    let client = start(&host, &slow);
    host.host.signal(&client, "KILL");
    client.wait();
    proceed(&host);
    host.until_stage(None);
    host.assert_runs(&slow);
}

fn a_lost_terminal_does_not_stop_a_switch(release: &Release) {
    let (first, slow) = (site("{}"), slow());
    let Some(host) = Site::running(release, &[&first]) else { return };
    host.behave("mistral", "load");
    // Closes the terminal as soon as the model loads.
    let script = r#"
import os, subprocess, sys, time
child, terminal = os.forkpty()
if child == 0:
    os.execv(sys.argv[1], sys.argv[1:])
while subprocess.run(["systemctl", "is-active", "mistral.service"], capture_output=True).stdout != b"activating\n":
    time.sleep(0.05)
os.close(terminal)
os.waitpid(child, 0)
"#;
    let ended = host.host.call(&["python3", "-c", script, crate::site::PROGRAM, "switch", &host.copy(&slow)]);
    Ended::of(&ended).assert(0);
    proceed(&host);
    host.until_stage(None);
    host.assert_runs(&slow);
}

fn a_killed_client_does_not_stop_a_rollback(release: &Release) {
    let (first, slow) = (site("{}"), slow());
    let Some(host) = Site::running(release, &[&first]) else { return };
    let client = start(&host, &slow);
    host.host.signal(&client, "KILL");
    client.wait();
    host.behave("mistral", "exit 3");
    host.until_stage(Some("rolling_back"));
    host.behave("mistral", "serve");
    host.until_stage(None);
    host.assert_runs(&first);
}

fn a_client_that_does_not_wait_returns_at_once(release: &Release) {
    let (first, slow) = (site("{}"), slow());
    let Some(host) = Site::running(release, &[&first]) else { return };
    host.behave("mistral", "load");
    host.switch(&slow, &["--no-wait"]).assert(0);
    host.until_stage(Some("applying"));
    proceed(&host);
    host.until_stage(None);
    host.assert_runs(&slow);
}

fn a_killed_switch_is_taken_back(release: &Release) {
    let (first, slow) = (site("{}"), slow());
    let Some(host) = Site::running(release, &[&first]) else { return };
    let before = host.runs(&first);
    let client = start(&host, &slow);
    proceed(&host);
    host.host.run(&["systemctl", "kill", "--signal=KILL", "citadel-switch-*.service"]);
    Ended::of(&client.wait()).assert(8).says(&["interrupted"]);
    host.assert_runs(&first);
    host.runs(&first).assert_untouched(&before, &["api.service", "phi.service", "queue.service"]);
}

fn a_switch_that_is_told_to_stop_goes_back(release: &Release) {
    let (first, slow) = (site("{}"), slow());
    let Some(host) = Site::running(release, &[&first]) else { return };
    let client = start(&host, &slow);
    proceed(&host);
    host.host.run(&["systemctl", "stop", "citadel-switch-*.service"]);
    Ended::of(&client.wait()).assert(8);
    host.assert_runs(&first);
}

fn a_power_cut_in_the_middle_boots_the_old_bundle(release: &Release) {
    let (first, slow) = (site("{}"), slow());
    let Some(mut host) = Site::running(release, &[&first]) else { return };
    let client = start(&host, &slow);
    proceed(&host);
    host.host.cut_power();
    client.wait();
    host.host.boot();
    host.assert_runs(&first);
    host.switch(&slow, &[]).assert(0);
    host.assert_runs(&slow);
}

fn a_reboot_in_the_middle_boots_the_old_bundle(release: &Release) {
    let (first, slow) = (site("{}"), slow());
    let Some(mut host) = Site::running(release, &[&first]) else { return };
    let client = start(&host, &slow);
    proceed(&host);
    host.host.reboot();
    client.wait();
    host.assert_runs(&first);
}
