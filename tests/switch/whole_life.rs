//! From nothing to everything, on to another bundle, back, and away again.

use std::path::Path;

use crate::host::machine::Release;
use crate::site::{Site, repository, site};

on_each_systemd! {
    a_host_without_citadel_starts_everything,
    the_bundle_that_runs_changes_nothing,
    rollback_brings_the_earlier_bundle_back,
    an_archive_is_as_good_as_a_directory,
    a_dry_run_changes_nothing,
    uninstall_leaves_no_trace_of_the_small_site,
    production_development_rollback_uninstall,
}

fn a_host_without_citadel_starts_everything(release: &Release) {
    let bundle = site("{}");
    let Some(host) = Site::boot(release, &[&bundle]) else { return };
    host.switch(&bundle, &[]).assert(0).says(&["generation 1"]);
    host.assert_runs(&bundle);
    // A boot finds the same.
    let mut host = host;
    host.host.reboot();
    host.assert_runs(&bundle);
}

fn the_bundle_that_runs_changes_nothing(release: &Release) {
    let bundle = site("{}");
    let Some(host) = Site::running(release, &[&bundle]) else { return };
    let (before, disk, reloads) = (host.runs(&bundle), host.host.disk(), host.reloads());
    host.switch(&bundle, &[]).assert(0).says(&["nothing to do"]);
    host.switch(&bundle, &["--exit-code"]).assert(10);
    host.runs(&bundle).assert_touched(&before, &[]);
    assert_eq!(host.reloads(), reloads);
    assert_eq!(host.changes_since(&disk), Vec::<String>::new());
}

fn rollback_brings_the_earlier_bundle_back(release: &Release) {
    let (first, second, third) =
        (site("{}"), site("{ services.web.environment.A = 1 }"), site("{ services.web.environment.A = 2 }"));
    let Some(host) = Site::running(release, &[&first, &second, &third]) else { return };
    host.rollback(&[]).assert(3).says(&["no earlier generation"]);
    host.switch(&second, &[]).assert(0);
    host.rollback(&[]).assert(0);
    host.assert_runs(&first);
    host.switch(&second, &[]).assert(0);
    host.switch(&third, &[]).assert(0);
    host.rollback(&["1"]).assert(0);
    host.assert_runs(&first);
    host.rollback(&["1"]).assert(0).says(&["nothing to do"]);
    host.rollback(&["77"]).assert(3);
    host.assert_runs(&first);
}

fn an_archive_is_as_good_as_a_directory(release: &Release) {
    let (first, second) = (site("{}"), site("{ services.web.environment.A = 1 }"));
    let Some(host) = Site::running(release, &[&first, &second]) else { return };
    let place = host.copy(&second);
    host.host.run(&["tar", "--create", "--gzip", "--file=/srv/second.tar.gz", "--directory", &place, "."]);
    host.activate(&["switch", "/srv/second.tar.gz"]).assert(0);
    host.assert_runs(&second);
}

fn a_dry_run_changes_nothing(release: &Release) {
    let (first, second) = (site("{}"), site("{ services.web.environment.A = 1 }"));
    let Some(host) = Site::running(release, &[&first, &second]) else { return };
    host.copy(&second);
    let (before, disk, reloads) = (host.runs(&first), host.host.disk(), host.reloads());
    host.switch(&second, &["--dry-run"]).assert(0).says(&["web.service", "restart"]);
    host.activate(&["plan", &host.copy(&second)]).assert(0).says(&["web.service", "restart"]);
    host.runs(&first).assert_touched(&before, &[]);
    assert_eq!((host.reloads(), host.changes_since(&disk)), (reloads, Vec::new()));
    host.assert_runs(&first);
}

fn uninstall_leaves_no_trace_of_the_small_site(release: &Release) {
    let bundle = site("{}");
    let Some(host) = Site::boot(release, &[&bundle]) else { return };
    host.copy(&bundle);
    let (disk, units) = (host.host.disk(), host.host.units());
    host.switch(&bundle, &[]).assert(0);
    host.assert_runs(&bundle);
    host.activate(&["uninstall", "--purge"]).assert(0);
    assert_eq!(host.changes_since(&disk), Vec::<String>::new());
    assert_eq!(host.host.units_changed_since(&units), Vec::<String>::new());
}

fn production_development_rollback_uninstall(release: &Release) {
    let (production, development) = (repository("production"), repository("development"));
    let Some(host) = Site::boot(release, &[&production, &development]) else { return };
    host.copy(&production);
    host.copy(&development);
    // What the units want and others bring is there on a real host.
    host.host.systemctl(&["start", "redis-server.service", "nvidia-persistenced.service", "network-online.target"]);
    let (disk, units) = (host.host.disk(), host.host.units());
    host.switch(&production, &[]).assert(0);
    host.assert_runs(&production);
    host.switch(&development, &[]).assert(0);
    host.assert_runs(&development);
    host.rollback(&[]).assert(0);
    host.assert_runs(&production);
    host.activate(&["uninstall", "--purge"]).assert(0);
    assert_eq!(host.changes_since(&disk), Vec::<String>::new());
    assert_eq!(host.host.units_changed_since(&units), Vec::<String>::new());
}

impl Site {
    /// Returns what changed on the disk, but for what every Debian host writes by itself.
    pub fn changes_since(&self, before: &crate::host::disk::Disk) -> Vec<String> {
        const OWN: [&str; 10] = [
            // What the tools that make and remove users keep of the file before.
            "/etc/group-",
            "/etc/gshadow-",
            "/etc/passwd-",
            "/etc/shadow-",
            "/var/log/journal",
            "/var/log/wtmp",
            "/var/log/btmp",
            "/var/log/lastlog",
            "/var/lib/systemd",
            "/var/tmp",
        ];
        let ignore = |path: &Path| OWN.iter().any(|own| path.starts_with(own));
        self.host.disk().changes_since(before, ignore)
    }
}
