//! Secrets: a service gets what the host has, and a host that lacks one keeps what it runs.

use crate::host::machine::Release;
use crate::site::{PROGRAM, Site, site};

on_each_systemd! {
    a_secret_has_to_be_there_first,
}

const VALUE: &str = "a-value-that-nobody-may-see";

/// A service that reads its secret, as its own user.
const READER: &str = r#"{
    credentials.token.description = "Token of the shop",
    services.reader = {
        exec = {
            command = ["/bin/cp", "/run/credentials/reader.service/token", "/var/lib/reader/copy"],
            type = 'oneshot,
            remain_after_exit = true,
        },
        credentials.token = true,
        phase = "applications",
    },
}"#;

fn a_secret_has_to_be_there_first(release: &Release) {
    let (first, second) = (site("{}"), site(READER));
    let Some(host) = Site::running(release, &[&first, &second]) else { return };
    let before = host.runs(&first);
    let needs = ["reader.service needs token", "sudo citadel secrets set token"];
    let bundle = host.copy(&second);
    host.activate(&["plan", &bundle]).assert(7).says(&needs);
    host.switch(&second, &[]).assert(7).says(&needs);
    host.runs(&first).assert_untouched(&before, &["web.service", "api.service"]);
    host.assert_runs(&first);
    host.activate(&["secrets", "check", &bundle]).assert(7).says(&["reader.service needs it", needs[1]]);

    host.host.run(&["sh", "-c", &format!("echo {VALUE} | {PROGRAM} secrets set --bundle {bundle} token")]);
    host.activate(&["secrets", "check", &bundle]).assert(0);
    let kept = host.host.run(&["cat", "/etc/credstore.encrypted/token"]);
    assert!(!kept.contains(VALUE), "{kept}");
    let listed = host.activate(&["secrets", "list", &bundle]).assert(0);
    assert_eq!(listed.out, "token: present (encrypted), for reader.service - Token of the shop\n");

    host.switch(&second, &[]).assert(0);
    host.assert_runs(&second);
    assert_eq!(host.host.run(&["cat", "/var/lib/reader/copy"]), VALUE);
    let journal = host.host.run(&["journalctl", "--no-pager", "--output=cat"]);
    assert!(!journal.contains(VALUE), "the value is in the journal");
    // Without a bundle it is the one that the host runs.
    host.activate(&["secrets", "check"]).assert(0).says(&["1 secret wanted, none is missing"]);
}
