//! What changes a process restarts it, and nothing else does.

use crate::host::machine::Release;
use crate::site::{Site, site};

on_each_systemd! {
    what_systemd_applies_on_a_reload_restarts_nothing,
    a_changed_flag_of_a_model_restarts_that_model_and_what_needs_it,
    a_changed_environment_restarts_that_service,
    what_stops_and_starts_is_planned_unit_by_unit,
    a_service_that_can_reload_is_reloaded,
    a_service_that_is_to_be_kept_goes_on,
}

fn what_systemd_applies_on_a_reload_restarts_nothing(release: &Release) {
    let changes = [
        ("a memory limit", "{ services.queue.resources.memory_max = \"2G\" }"),
        ("a description", "{ services.phi.description = \"The small model\" }"),
        ("a restart delay", "{ services.api.restart.delay = \"7s\" }"),
        ("log rotation", "{ log_rotation.site.keep = 99 }"),
        ("a raw file", "{ files.\"/etc/site.conf\".text | force = \"colour = red\\n\" }"),
        ("a timer", "{ timers.report.calendar = \"*-02-02 00:00:00\" }"),
        ("a start timeout", "{ services.mistral.start_timeout = \"99s\" }"),
        ("the phase", "{ services.worker.phase = \"models\" }"),
    ];
    let first = site("{}");
    let Some(host) = Site::running(release, &[&first]) else { return };
    let before = host.runs(&first);
    for (what, change) in changes {
        let second = site(change);
        host.switch(&second, &[]).assert(0);
        host.assert_runs(&second);
        host.runs(&second).assert_touched(&before, &[]);
        host.switch(&first, &[]).assert(0);
        host.runs(&first).assert_touched(&before, &[]);
        if what == "a memory limit" {
            host.switch(&second, &[]).assert(0);
            let limit = host.host.show(&["MemoryMax"], &["queue.service"]);
            assert_eq!(limit[0].get("MemoryMax"), (2_u64 << 30).to_string());
            host.switch(&first, &[]).assert(0);
        }
    }
}

fn a_changed_flag_of_a_model_restarts_that_model_and_what_needs_it(release: &Release) {
    let first = site("{}");
    let (mistral, phi) =
        (site("{ services.mistral.vllm.max_model_len = 4096 }"), site("{ services.phi.vllm.max_model_len = 4096 }"));
    let Some(host) = Site::running(release, &[&first]) else { return };
    let before = host.runs(&first);
    host.switch(&mistral, &[]).assert(0);
    host.assert_runs(&mistral);
    host.runs(&mistral).assert_touched(&before, &["mistral.service"]);
    let before = host.runs(&mistral);
    host.switch(&first, &[]).assert(0);
    host.runs(&first).assert_touched(&before, &["mistral.service"]);
    // `Requires=` takes the API and the worker along.
    let before = host.runs(&first);
    host.switch(&phi, &[]).assert(0);
    host.assert_runs(&phi);
    host.runs(&phi).assert_touched(&before, &["api.service", "phi.service", "worker.service"]);
}

fn a_changed_environment_restarts_that_service(release: &Release) {
    let (first, second) = (site("{}"), site("{ services.web.environment.COLOUR = \"red\" }"));
    let Some(host) = Site::running(release, &[&first]) else { return };
    let before = host.runs(&first);
    host.switch(&second, &[]).assert(0);
    host.assert_runs(&second);
    host.runs(&second).assert_touched(&before, &["web.service"]);
}

fn what_stops_and_starts_is_planned_unit_by_unit(release: &Release) {
    let (first, second) = (
        site("{}"),
        site("{ services.web.environment.COLOUR = \"red\", services.queue.resources.memory_max = \"2G\" }"),
    );
    let Some(host) = Site::running(release, &[&first]) else { return };
    let plan = host.activate(&["plan", &host.copy(&second), "--json"]).assert(0);
    let plan: serde_json::Value = serde_json::from_str(&plan.out).expect("it is JSON");
    let action = |unit: &str| plan["plan"]["steps"][unit]["action"].as_str().unwrap_or("nothing").to_owned();
    assert_eq!(action("web.service"), "restart");
    assert_eq!(action("queue.service"), "reload_manager");
    assert_eq!(action("phi.service"), "nothing");
    let reason = plan["plan"]["steps"]["queue.service"]["reasons"][0].to_string();
    assert!(reason.contains("MemoryMax"), "{reason}");
}

fn a_service_that_can_reload_is_reloaded(release: &Release) {
    let change = "{ services.web = { environment.COLOUR = \"red\", on_change = 'reload } }";
    let (first, second) = (site("{}"), site(change));
    let Some(host) = Site::running(release, &[&first]) else { return };
    let before = host.runs(&first);
    assert_eq!(host.host.get("127.0.0.1", 7030, "/reloads").1, "0");
    host.switch(&second, &[]).assert(0);
    host.runs(&second).assert_touched(&before, &[]);
    assert_eq!(host.host.get("127.0.0.1", 7030, "/reloads").1, "1");
}

fn a_service_that_is_to_be_kept_goes_on(release: &Release) {
    let change = "{ services.mistral = { vllm.max_model_len = 4096, on_change = 'keep } }";
    let (first, second) = (site("{}"), site(change));
    let Some(host) = Site::running(release, &[&first]) else { return };
    let before = host.runs(&first);
    host.switch(&second, &[]).assert(0);
    host.runs(&second).assert_touched(&before, &[]);
    // The next start, whoever asks for it, takes the new definition.
    host.host.systemctl(&["restart", "mistral.service"]);
    host.assert_runs(&second);
}
