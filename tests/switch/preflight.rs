//! Preflight checks in the units themselves, as their user and in their sandbox.

use crate::host::machine::Release;
use crate::site::{Site, site};

on_each_systemd! {
    a_start_waits_for_what_has_to_be_right,
}

/// What is right, in the strictest sandbox: the site's own programs are all that is not Debian's.
const RIGHT: &str = r#"
    user.user = "citadel-web",
    config.file = "/etc/site.conf",
    folder.directory = "/srv/behave",
    program.executable = "/opt/site/bin/web",
    disk.disk_free = { path = "/srv", size = "1K" },
    memory.memory_free = "1M",
    port.port_free = 7030,
    python.python = { interpreter = "/usr/bin/python3", modules.json = true },
    mcp = { http = "http://127.0.0.1:3010", severity = 'warning },
"#;

fn web(checks: &str) -> String {
    format!(
        r#"{{ runtime | force = "/usr/local/bin/citadel-activate",
            host.mounts."/srv/models" = {{ type = "ext4", size = "100G" }},
            directories."/srv/models" = {{ mode = "0755" }},
            services.web = {{ writable."/srv/models" = true, preflight = {{ {checks} }} }} }}"#
    )
}

fn a_start_waits_for_what_has_to_be_right(release: &Release) {
    let right = site(&web(RIGHT));
    // The sandbox makes a mount of what the service may write to; nothing is mounted there all the same.
    let wrong = site(&web(&format!("{RIGHT} models.mount = \"/srv/models\",")));
    let Some(host) = Site::running(release, &[&right, &wrong]) else { return };
    let log = |host: &Site| host.host.run(&["journalctl", "--no-pager", "--output=cat", "--unit=web.service"]);
    let said = log(&host);
    for line in [
        "web: ok       user: runs as citadel-web",
        "web: ok       config: /etc/site.conf can be read",
        "web: ok       port: nobody listens on port 7030",
        "web: ok       python: /usr/bin/python3 imports json",
        "web: warning  mcp: GET http://127.0.0.1:3010/: connection refused; start what answers there",
        "9 checks, 0 failed, 1 warning",
    ] {
        assert!(said.contains(line), "nothing is said of {line:?}:\n{said}");
    }
    // By hand, while it runs: it holds its port itself, and what it wants runs and answers.
    host.activate(&["preflight", "web"])
        .assert(0)
        .says(&["port: web.service itself listens on port 7030", "ok       needs api.service: api.service is active"]);

    // A new check is not worth a restart: it counts from the next start on.
    host.switch(&wrong, &[]).assert(0);
    host.activate(&["preflight", "web"]).assert(14).says(&["failed   models: /srv/models is not a mount point"]);
    let started = host.host.call(&["systemctl", "restart", "web.service"]);
    assert!(!started.status.success());
    let said = log(&host);
    assert!(
        said.contains("web: failed   models: /srv/models is not a mount point; mount it: systemctl start"),
        "{said}"
    );
    host.host.run(&["mount", "-t", "tmpfs", "tmpfs", "/srv/models"]);
    host.host.call(&["systemctl", "reset-failed", "web.service"]);
    host.host.systemctl(&["restart", "web.service"]);
    assert_eq!(host.host.state("web.service"), "active");
}
