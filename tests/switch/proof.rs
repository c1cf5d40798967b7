//! What is not proven does not last: `--confirm` and `--boot`.

use crate::host::machine::Release;
use crate::site::{Ended, Site, site};

on_each_systemd! {
    a_switch_that_is_confirmed_stays,
    a_switch_that_nobody_confirms_goes_back,
    a_switch_that_nobody_confirmed_before_a_reboot_goes_back,
    a_switch_that_nobody_confirmed_before_a_power_cut_goes_back,
    there_is_nothing_to_confirm,
    the_next_boot_tries_a_bundle_once,
    the_next_boot_goes_back_when_it_is_not_healthy,
    a_power_cut_while_a_boot_tries_a_bundle_goes_back,
    a_switch_replaces_one_that_waits_for_a_boot,
}

const CHANGE: &str = "{ services.web.environment.SIZE = 2, services.mistral.vllm.max_model_len = 4096 }";

fn a_switch_that_is_confirmed_stays(release: &Release) {
    let (first, second) = (site("{}"), site(CHANGE));
    let Some(mut host) = Site::running(release, &[&first]) else { return };
    let client = host.spawn("client", &["switch", &host.copy(&second), "--confirm", "1h"]);
    host.until_stage(Some("confirming"));
    host.activate(&["confirm"]).assert(0);
    Ended::of(&client.wait()).assert(0);
    host.assert_runs(&second);
    host.host.cut_power();
    host.host.boot();
    host.assert_runs(&second);
}

fn a_switch_that_nobody_confirms_goes_back(release: &Release) {
    let (first, second) = (site("{}"), site(CHANGE));
    let Some(host) = Site::running(release, &[&first]) else { return };
    host.switch(&second, &["--confirm", "1s"]).assert(8).says(&["confirm"]);
    host.assert_runs(&first);
    host.activate(&["confirm"]).assert(7);
}

fn waits_for_confirmation(release: &Release, off: fn(&mut crate::host::Host)) {
    let (first, second) = (site("{}"), site(CHANGE));
    let Some(mut host) = Site::running(release, &[&first]) else { return };
    host.switch(&second, &["--confirm", "1h", "--no-wait"]).assert(0);
    host.until_stage(Some("confirming"));
    off(&mut host.host);
    host.host.boot();
    host.assert_runs(&first);
    host.activate(&["confirm"]).assert(7);
    host.switch(&second, &[]).assert(0);
    host.assert_runs(&second);
}

fn a_switch_that_nobody_confirmed_before_a_reboot_goes_back(release: &Release) {
    waits_for_confirmation(release, crate::host::Host::turn_off);
}

fn a_switch_that_nobody_confirmed_before_a_power_cut_goes_back(release: &Release) {
    waits_for_confirmation(release, crate::host::Host::cut_power);
}

fn there_is_nothing_to_confirm(release: &Release) {
    let first = site("{}");
    let Some(host) = Site::running(release, &[&first]) else { return };
    host.activate(&["confirm"]).assert(7);
    host.activate(&["recover"]).assert(0);
    host.assert_runs(&first);
}

fn the_next_boot_tries_a_bundle_once(release: &Release) {
    let (first, second) = (site("{}"), site(CHANGE));
    let Some(mut host) = Site::running(release, &[&first]) else { return };
    let before = host.runs(&first);
    host.switch(&second, &["--boot"]).assert(0);
    host.runs(&first).assert_touched(&before, &[]);
    host.host.reboot();
    host.until_stage(None);
    host.assert_runs(&second);
    host.host.cut_power();
    host.host.boot();
    host.assert_runs(&second);
}

const BROKEN: &str = r#"{ services.queue = {
    exec.command = ["/opt/site/bin/queue", "--host", "127.0.0.1", "--port", "7001", "--behave", "503"],
    health.http.start_period = "1s" } }"#;

fn the_next_boot_goes_back_when_it_is_not_healthy(release: &Release) {
    let (first, broken) = (site("{}"), site(BROKEN));
    let Some(mut host) = Site::running(release, &[&first]) else { return };
    host.switch(&broken, &["--boot"]).assert(0);
    host.host.reboot();
    host.until_stage(None);
    host.assert_runs(&first);
    host.host.reboot();
    host.assert_runs(&first);
}

fn a_power_cut_while_a_boot_tries_a_bundle_goes_back(release: &Release) {
    let (first, second) = (site("{}"), site(CHANGE));
    let Some(mut host) = Site::running(release, &[&first]) else { return };
    host.switch(&second, &["--boot"]).assert(0);
    host.behave("mistral", "load");
    host.host.turn_off();
    host.host.begin_boot();
    host.until_stage(Some("booting"));
    host.behave("mistral", "serve");
    host.host.cut_power();
    host.host.boot();
    host.assert_runs(&first);
}

fn a_switch_replaces_one_that_waits_for_a_boot(release: &Release) {
    let (first, second, third) = (site("{}"), site(CHANGE), site("{ services.web.environment.SIZE = 3 }"));
    let Some(mut host) = Site::running(release, &[&first]) else { return };
    host.switch(&second, &["--boot"]).assert(0);
    host.switch(&third, &[]).assert(0);
    host.assert_runs(&third);
    host.host.reboot();
    host.assert_runs(&third);
}
