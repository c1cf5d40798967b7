//! Units that are not plain services, and units that come, go and change their names.

use crate::host::machine::Release;
use crate::site::{Site, site};

on_each_systemd! {
    a_new_service_starts_and_a_removed_one_stops,
    a_renamed_service_stops_under_its_old_name,
    a_port_moves_from_one_service_to_another,
    a_service_on_demand_stays_on_demand,
    a_socket_that_changes_is_opened_anew,
    a_timer_follows_its_calendar,
    instances_started_by_hand_follow_their_template,
    a_masked_unit_is_left_alone,
    a_service_becomes_one_on_demand,
    the_main_target_changes_its_name,
}

fn a_new_service_starts_and_a_removed_one_stops(release: &Release) {
    let first = site("{}");
    let second = site(
        r#"{ services = { web.enable = false, shop = {
        port = 7040,
        exec.command = ["/opt/site/bin/web", "--host", "127.0.0.1", "--port", "7040"],
        health.http = { http = {}, interval = "100ms" }, phase = "applications" } } }"#,
    );
    let Some(host) = Site::running(release, &[&first, &second]) else { return };
    let before = host.runs(&first);
    host.switch(&second, &[]).assert(0);
    host.assert_runs(&second);
    assert_eq!(host.host.state("web.service"), "inactive");
    assert!(!host.host.listens().contains(&("127.0.0.1".to_owned(), 7030)));
    host.runs(&second).assert_untouched(
        &before,
        &["api.service", "mistral.service", "phi.service", "queue.service", "worker.service"],
    );
    host.rollback(&[]).assert(0);
    host.assert_runs(&first);
    assert_eq!(host.host.state("shop.service"), "inactive");
}

fn a_renamed_service_stops_under_its_old_name(release: &Release) {
    let (first, second) = (site("{}"), site(r#"{ services.web.unit = "www" }"#));
    let Some(host) = Site::running(release, &[&first, &second]) else { return };
    host.switch(&second, &[]).assert(0);
    host.assert_runs(&second);
    assert_eq!(host.host.state("web.service"), "inactive");
    host.switch(&first, &[]).assert(0);
    host.assert_runs(&first);
}

fn a_port_moves_from_one_service_to_another(release: &Release) {
    let moved = |name: &str, port: u16| {
        format!(
            r#"{name} = {{ port = {port},
            exec.command = ["/opt/site/bin/{name}", "--host", "127.0.0.1", "--port", "{port}"] }}"#
        )
    };
    let second = format!("{{ services = {{ {}, {} }} }}", moved("web", 7021), moved("worker", 7030));
    let (first, second) = (site("{}"), site(&second));
    let Some(host) = Site::running(release, &[&first, &second]) else { return };
    for bundle in [&second, &first] {
        host.switch(bundle, &[]).assert(0);
        host.assert_runs(bundle);
        let port = if bundle.units["web.service"].contains("7021") { 7021 } else { 7030 };
        assert_eq!(host.host.get("127.0.0.1", port, "/health").1, "web");
        // Neither of them had to be started twice.
        let shown = host.host.show(&["NRestarts"], &["web.service", "worker.service"]);
        assert!(shown.iter().all(|unit| unit.get("NRestarts") == "0"), "{shown:?}");
    }
}

fn a_service_on_demand_stays_on_demand(release: &Release) {
    let (first, second) = (site("{}"), site("{ services.coder.vllm.max_model_len = 4096 }"));
    let Some(host) = Site::running(release, &[&first, &second]) else { return };
    // Nobody asked for it yet, so nothing starts.
    host.switch(&second, &[]).assert(0);
    host.assert_runs(&second);
    assert_eq!(host.host.state("coder.service"), "inactive");
    assert_eq!(host.host.get("127.0.0.1", 7012, "/health").1, "coder");
    // It runs now, so it runs under its new definition afterwards, and its socket listens throughout.
    let before = host.runs(&second);
    host.switch(&first, &[]).assert(0);
    host.assert_runs(&first);
    host.runs(&first).assert_untouched(&before, &["coder-proxy.socket"]);
    assert_eq!(host.host.get("127.0.0.1", 7012, "/health").1, "coder");
    host.assert_runs(&first);
}

fn a_socket_that_changes_is_opened_anew(release: &Release) {
    let (first, second) = (site("{}"), site("{ services.coder.port = 7099 }"));
    let Some(host) = Site::running(release, &[&first, &second]) else { return };
    assert_eq!(host.host.get("127.0.0.1", 7012, "/health").1, "coder");
    host.switch(&second, &[]).assert(0);
    host.assert_runs(&second);
    assert_eq!(host.host.get("127.0.0.1", 7099, "/health").1, "coder");
    assert!(!host.host.listens().contains(&("127.0.0.1".to_owned(), 7012)));
    host.switch(&first, &[]).assert(0);
    assert_eq!(host.host.get("127.0.0.1", 7012, "/health").1, "coder");
}

fn a_timer_follows_its_calendar(release: &Release) {
    let (first, second) = (site("{}"), site(r#"{ timers.report.calendar = "*-06-06 06:06:06" }"#));
    let Some(host) = Site::running(release, &[&first, &second]) else { return };
    host.switch(&second, &[]).assert(0);
    host.assert_runs(&second);
    let timer = host.host.show(&["TimersCalendar", "NextElapseUSecRealtime"], &["report.timer"]);
    assert!(timer[0].get("TimersCalendar").contains("*-06-06 06:06:06"), "{timer:?}");
    assert!(timer[0].get("NextElapseUSecRealtime").contains("-06-06 06:06:06"), "{timer:?}");
    // The service that it starts did not run meanwhile.
    assert_eq!(host.host.state("report.service"), "inactive");
}

fn instances_started_by_hand_follow_their_template(release: &Release) {
    let (first, second) =
        (site("{}"), site(r#"{ units."job@.service".sections.Service.Environment | force = "SIZE=2" }"#));
    let third = site(r#"{ units."job@.service".sections.Unit.Description | force = "A job" }"#);
    let Some(host) = Site::running(release, &[&first, &second]) else { return };
    host.host.systemctl(&["start", "job@one.service", "job@two.service"]);
    let before = host.runs(&first);
    host.switch(&second, &[]).assert(0);
    host.runs(&second).assert_touched(&before, &["job@one.service", "job@two.service"]);
    let process = host.host.show(&["MainPID"], &["job@one.service"])[0].get("MainPID").to_owned();
    let environment = host.host.run(&["cat", &format!("/proc/{process}/environ")]);
    assert!(environment.contains("SIZE=2"), "{environment}");
    let before = host.runs(&second);
    host.rollback(&[]).assert(0);
    host.runs(&first).assert_touched(&before, &["job@one.service", "job@two.service"]);
    // A description restarts no instance either.
    let before = host.runs(&first);
    host.switch(&third, &[]).assert(0);
    host.runs(&third).assert_touched(&before, &[]);
}

fn a_masked_unit_is_left_alone(release: &Release) {
    let (first, second) =
        (site("{}"), site("{ services = { web.environment.SIZE = 2, mistral.environment.SIZE = 2 } }"));
    let Some(host) = Site::running(release, &[&first, &second]) else { return };
    host.host.systemctl(&["stop", "web.service"]);
    host.host.run(&["systemctl", "mask", "--runtime", "web.service"]);
    host.switch(&second, &[]).assert(0);
    assert_eq!(host.host.state("web.service"), "inactive");
    host.host.run(&["systemctl", "unmask", "--runtime", "web.service"]);
    host.host.systemctl(&["start", "web.service"]);
    host.assert_runs(&second);
}

fn a_service_becomes_one_on_demand(release: &Release) {
    let (first, second) = (site("{}"), site("{ services.mistral = { start = 'on_demand, idle_timeout = \"1h\" } }"));
    let Some(host) = Site::running(release, &[&first, &second]) else { return };
    for bundle in [&second, &first, &second] {
        host.switch(bundle, &[]).assert(0);
        host.assert_runs(bundle);
        assert_eq!(host.host.get("127.0.0.1", 7011, "/health").1, "mistral");
    }
}

fn the_main_target_changes_its_name(release: &Release) {
    let (first, second) = (site("{}"), site(r#"{ target.unit | force = "place" }"#));
    let Some(mut host) = Site::running(release, &[&first, &second]) else { return };
    host.switch(&second, &[]).assert(0);
    host.assert_runs(&second);
    assert_eq!(host.host.state("site.target"), "inactive");
    host.host.reboot();
    host.assert_runs(&second);
}
