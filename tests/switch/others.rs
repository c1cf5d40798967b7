//! What belongs to others on the host: it is noticed before anything changes, and comes back.

use crate::host::bundle::Bundle;
use crate::host::machine::Release;
use crate::site::{Site, site};

on_each_systemd! {
    a_unit_of_somebody_else_refuses_the_switch,
    adopted_units_come_back_at_uninstall,
    a_failed_first_switch_gives_adopted_units_back,
    a_first_switch_that_fails_late_gives_adopted_units_back,
    a_file_of_somebody_else_refuses_the_switch,
    drift_is_found,
    uninstall_keeps_what_it_did_not_start,
}

const OLD_WEB: &str = "[Unit]\nDescription=The old web server\n[Service]\nExecStart=/opt/site/bin/web --host 127.0.0.1 --port 7030\n\
                       [Install]\nWantedBy=multi-user.target\n";

/// Gives the host a unit of its own with the name of one of the bundle, enabled and running.
fn old_web(host: &Site) {
    std::fs::write(host.host.path("/etc/systemd/system/web.service"), OLD_WEB).expect("a unit is written");
    host.host.run(&["systemctl", "enable", "--now", "web.service"]);
    host.host.until("the old web server", || Ok(host.host.state("web.service") == "active"));
}

fn a_unit_of_somebody_else_refuses_the_switch(release: &Release) {
    let bundle = site("{}");
    let Some(host) = Site::boot(release, &[&bundle]) else { return };
    old_web(&host);
    let before = host.runs(&bundle);
    host.switch(&bundle, &[]).assert(7).says(&["/etc/systemd/system/web.service", "--adopt"]);
    host.runs(&bundle).assert_touched(&before, &[]);
    assert!(!host.host.path("/etc/citadel/current").exists());
}

fn adopted_units_come_back_at_uninstall(release: &Release) {
    let bundle = site("{}");
    let Some(mut host) = Site::boot(release, &[&bundle]) else { return };
    old_web(&host);
    host.copy(&bundle);
    let (disk, units) = (host.host.disk(), host.host.units());
    host.switch(&bundle, &["--adopt"]).assert(0);
    host.assert_runs(&bundle);
    host.host.reboot();
    host.assert_runs(&bundle);
    host.activate(&["uninstall", "--purge"]).assert(0);
    assert_eq!(host.changes_since(&disk), Vec::<String>::new());
    assert_eq!(host.host.units(), units);
    assert_eq!(host.host.state("web.service"), "active");
    let shown = host.host.show(&["Description"], &["web.service"]);
    assert_eq!(shown[0].get("Description"), "The old web server");
}

fn a_failed_first_switch_gives_adopted_units_back(release: &Release) {
    let broken = site(
        r#"{ services.queue = {
            exec.command = ["/opt/site/bin/queue", "--host", "127.0.0.1", "--port", "7001", "--behave", "503"],
            health.http.start_period = "1s" } }"#,
    );
    gives_adopted_units_back(release, &broken);
}

fn a_first_switch_that_fails_late_gives_adopted_units_back(release: &Release) {
    // The new web server runs already when the worker fails.
    let broken = site(
        r#"{ services.worker = {
            after.web = true,
            exec.command = ["/opt/site/bin/worker", "--host", "127.0.0.1", "--port", "7021", "--behave", "503"],
            health.http.start_period = "1s" } }"#,
    );
    gives_adopted_units_back(release, &broken);
}

fn gives_adopted_units_back(release: &Release, broken: &Bundle) {
    let Some(mut host) = Site::boot(release, &[broken]) else { return };
    old_web(&host);
    let ended = host.switch(broken, &["--adopt"]).assert(8);
    let old_runs = |host: &Site| {
        let shown = host.host.show(&["Description", "ActiveState", "UnitFileState"], &["web.service"]);
        assert_eq!(shown[0].get("Description"), "The old web server", "{ended:?}");
        assert_eq!((shown[0].get("ActiveState"), shown[0].get("UnitFileState")), ("active", "enabled"), "{ended:?}");
        assert_eq!(host.host.listens().into_iter().map(|(_, port)| port).collect::<Vec<_>>(), [7030]);
    };
    old_runs(&host);
    host.host.reboot();
    old_runs(&host);
}

fn a_file_of_somebody_else_refuses_the_switch(release: &Release) {
    let bundle = site("{}");
    let Some(host) = Site::boot(release, &[&bundle]) else { return };
    std::fs::write(host.host.path("/etc/site.conf"), "mine\n").expect("a file is written");
    host.switch(&bundle, &[]).assert(7).says(&["/etc/site.conf"]);
    host.switch(&bundle, &["--adopt"]).assert(0);
    host.assert_runs(&bundle);
    host.activate(&["uninstall"]).assert(0);
    assert_eq!(host.host.run(&["cat", "/etc/site.conf"]), "mine\n");
}

fn drift_is_found(release: &Release) {
    let bundle = site("{}");
    let Some(host) = Site::running(release, &[&bundle]) else { return };
    host.activate(&["verify"]).assert(0);
    let found = |what: &str, script: &str, undo: &str| {
        host.host.run(&["sh", "-c", script]);
        host.activate(&["verify"]).assert(12).says(&[what]);
        host.host.run(&["sh", "-c", undo]);
        host.host.systemctl(&["daemon-reload"]);
        host.activate(&["verify"]).assert(0);
    };
    let unit = "/etc/citadel/generations/1/units/web.service";
    found(unit, &format!("cp {unit} /srv/kept && echo '# mine' >>{unit}"), &format!("cat /srv/kept >{unit}"));
    found(unit, &format!("mv {unit} /srv/kept"), &format!("mv /srv/kept {unit}"));
    found("/etc/site.conf", "mv /etc/site.conf /srv/kept && echo mine >/etc/site.conf", "mv /srv/kept /etc/site.conf");
    let folder = "/etc/systemd/system/web.service.d";
    found(
        "web.service.d/mine.conf",
        &format!("mkdir {folder} && echo '[Unit]' >{folder}/mine.conf && systemctl daemon-reload"),
        &format!("rm -r {folder}"),
    );
    found(
        "web.service",
        "ln -s /dev/null /etc/systemd/system/web.service && systemctl daemon-reload",
        "rm /etc/systemd/system/web.service",
    );
}

fn uninstall_keeps_what_it_did_not_start(release: &Release) {
    let bundle = site("{}");
    let Some(host) = Site::boot(release, &[&bundle]) else { return };
    let other = "[Service]\nExecStart=/opt/site/bin/web --host 127.0.0.1 --port 7099\n";
    std::fs::write(host.host.path("/etc/systemd/system/other.service"), other).expect("a unit is written");
    host.host.systemctl(&["daemon-reload"]);
    host.host.systemctl(&["start", "other.service"]);
    let process = || host.host.show(&["MainPID"], &["other.service"])[0].get("MainPID").to_owned();
    let before = process();
    host.switch(&bundle, &[]).assert(0);
    host.activate(&["uninstall"]).assert(0);
    assert_eq!(process(), before);
    let left = host.host.listens();
    assert_eq!(left.into_iter().map(|(_, port)| port).collect::<Vec<_>>(), [7099]);
}
