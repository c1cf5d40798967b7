//! What root runs, and who else can change it.
//!
//! A path can be changed by whoever may write to it or to a directory above it. Citadel knows of the directories that it
//! makes for a user, of what a service may write to, of home directories and of `/tmp`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::compile::config::members;
use crate::compile::finding::{Finding, OptionPath};
use crate::compile::system::{ServiceView, Workload};

use super::codes::{ROOT_RUNS_FOREIGN, WRITABLE_PROGRAM};
use super::context::Context;

/// Where root keeps what it runs or obeys; below `/etc` only what is known to be so.
const OF_ROOT: &[&str] = &[
    "/bin",
    "/boot",
    "/etc/citadel",
    "/etc/cron.d",
    "/etc/cron.daily",
    "/etc/cron.hourly",
    "/etc/cron.monthly",
    "/etc/cron.weekly",
    "/etc/ld.so.conf.d",
    "/etc/modprobe.d",
    "/etc/modules-load.d",
    "/etc/pam.d",
    "/etc/polkit-1",
    "/etc/profile.d",
    "/etc/ssh",
    "/etc/sudoers.d",
    "/etc/systemd",
    "/etc/sysusers.d",
    "/etc/tmpfiles.d",
    "/etc/udev",
    "/lib",
    "/lib64",
    "/root",
    "/run/systemd",
    "/sbin",
    "/usr/bin",
    "/usr/lib",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/local/bin",
    "/usr/local/lib",
    "/usr/local/sbin",
    "/usr/sbin",
    "/var/lib/systemd",
    "/var/spool/cron",
];

/// Why a directory can be changed by somebody other than root.
struct Writer {
    who: String,
    place: Option<OptionPath>,
}

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    check_system_paths(context, findings);
    let writers = writers(context);
    let runtime = &context.system.profile.runtime;
    if let Some((directory, writer)) = writer_of(&writers, runtime) {
        findings.push(foreign("citadel", runtime, directory, writer, OptionPath::new(["runtime"])));
    }
    for unit in &context.lowered.units {
        let service = context.service_of(&unit.name);
        if service.is_some_and(|service| service.spec.runtime.is_some()) {
            continue;
        }
        let as_root = service.map_or_else(|| is_root_by_text(unit), ServiceView::is_root);
        for entry in unit.unit.sections.iter().filter(|section| section.name == "Service").flat_map(|it| &it.entries) {
            if !entry.key.starts_with("Exec") || entry.key == "ExecPaths" {
                continue;
            }
            // Commands with these prefixes run as root whatever `User=` says.
            let prefix = entry.value.split(['/', '"']).next();
            if !as_root && !prefix.is_some_and(|prefix| prefix.contains(['+', '!'])) {
                continue;
            }
            let written = unit.written_out.iter().find(|(section, key, _)| section == "Service" && *key == entry.key);
            let place =
                written.map(|(_, _, place)| place.clone()).or_else(|| service.map(|it| command_option(it, &entry.key)));
            let place = place.unwrap_or_else(|| unit.origin.clone());
            let found = words(&entry.value).into_iter().find_map(|path| Some((writer_of(&writers, &path)?, path)));
            findings.extend(
                found.map(|((directory, writer), path)| foreign(unit.name.as_str(), &path, directory, writer, place)),
            );
        }
    }
    for service in context.system.services.iter().filter(|service| !service.is_root()) {
        findings.extend(check_own(service));
    }
}

/// Reports services that may write, and directories that belong to others, where root keeps what it runs.
fn check_system_paths(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let profile = &context.system.profile;
    let root_path = |path: &str| {
        let at_or_below = |inner: &str, outer: &str| Path::new(inner).starts_with(outer);
        let paths = OF_ROOT.iter().copied().chain([profile.runtime.as_str()]);
        paths.into_iter().find(|known| at_or_below(path, known) || at_or_below(known, path)).map(str::to_owned)
    };
    let report = |who: &str, path: &str, known: String, place: OptionPath| {
        Finding::error(ROOT_RUNS_FOREIGN, format!("{who} could change what root runs or obeys"))
            .at(place, format!("{path} reaches {known}"))
            .help("use a directory of its own, such as one below `/var/lib`, `/srv` or `/opt`")
    };
    for service in context.system.services.iter().filter(|service| !service.is_root()) {
        for path in members(&service.spec.writable) {
            let who = format!("the service {}", service.key);
            let place = service.option("writable").member(path);
            findings.extend(root_path(path).map(|known| report(&who, path, known, place)));
        }
    }
    for (path, directory) in &profile.directories {
        let place = OptionPath::new(["directories"]).member(path);
        let open = u32::from_str_radix(&directory.mode, 8).is_ok_and(|mode| mode & 0o022 != 0);
        let found = match () {
            () if directory.user != "root" => ("user", format!("the user {}", directory.user)),
            () if open => ("mode", "others than root".to_owned()),
            () if directory.max_age.is_some() => ("max_age", "the removal of old files".to_owned()),
            () => continue,
        };
        findings.extend(root_path(path).map(|known| report(&found.1, path, known, place.join(found.0))));
    }
}

fn is_root_by_text(unit: &crate::compile::lower::LoweredUnit) -> bool {
    let entries = unit.unit.sections.iter().filter(|section| section.name == "Service").flat_map(|it| &it.entries);
    let user = entries.clone().rfind(|entry| entry.key == "User").map(|entry| entry.value.as_str());
    let dynamic = entries
        .clone()
        .any(|entry| entry.key == "DynamicUser" && ["yes", "true", "on", "1"].contains(&entry.value.as_str()));
    !dynamic && matches!(user, None | Some("" | "root" | "0"))
}

fn command_option(service: &ServiceView, key: &str) -> OptionPath {
    match (service.workload(), key) {
        (Some(Workload::Exec(_)), "ExecStart") => service.option("exec.command"),
        (Some(Workload::Exec(exec)), "ExecStop") if exec.stop.is_some() => service.option("exec.stop"),
        (Some(Workload::Exec(exec)), "ExecReload") if exec.reload.is_some() => service.option("exec.reload"),
        (Some(Workload::Vllm(_)), _) => service.option("vllm.executable"),
        (Some(Workload::Gunicorn(_)), _) => service.option("gunicorn.executable"),
        (Some(Workload::Celery(_)), _) => service.option("celery.executable"),
        _ => service.origin.clone(),
    }
}

/// Returns the absolute paths in a command, those behind `--option=` included.
fn words(command: &str) -> Vec<String> {
    let plain = |word: &str| {
        let word = word.trim_matches(['"', '\'']).trim_start_matches(['-', '@', ':', '+', '!', '|', '"']);
        let path = word.find('/').map_or("", |at| if at == 0 || word[..at].ends_with('=') { &word[at..] } else { "" });
        path.trim_matches(['"', '\'', ';']).to_owned()
    };
    command.split_ascii_whitespace().map(plain).filter(|path| path.len() > 1).collect()
}

/// Returns who other than root can change directories, by directory.
fn writers(context: &Context<'_>) -> BTreeMap<String, Writer> {
    let profile = &context.system.profile;
    let mut found: BTreeMap<String, Writer> = BTreeMap::new();
    for directory in ["/tmp", "/var/tmp", "/dev/shm"] {
        found.insert(directory.to_owned(), Writer { who: "everybody".to_owned(), place: None });
    }
    for service in context.system.services.iter().filter(|service| !service.is_root()) {
        let writable = service.option("writable");
        for path in members(&service.spec.writable) {
            let writer = Writer { who: format!("the service {}", service.key), place: Some(writable.member(path)) };
            found.entry(path.to_owned()).or_insert(writer);
        }
        for path in own_directories(service) {
            let writer = Writer { who: format!("the service {}", service.key), place: Some(service.origin.clone()) };
            found.entry(path).or_insert(writer);
        }
    }
    for (path, directory) in &profile.directories {
        let place = OptionPath::new(["directories"]).member(path);
        let digit = |from_right: usize| {
            let digits = directory.mode.bytes().rev().nth(from_right);
            digits.is_some_and(|digit| (digit.wrapping_sub(b'0')) & 2 != 0)
        };
        let (who, option) = if directory.user != "root" {
            (format!("the user {}", directory.user), "user")
        } else if digit(0) {
            ("everybody".to_owned(), "mode")
        } else if digit(1) && directory.group != "root" {
            (format!("the group {}", directory.group), "group")
        } else {
            continue;
        };
        found.insert(path.clone(), Writer { who, place: Some(place.join(option)) });
    }
    for (name, user) in profile.users.iter().filter(|(name, _)| *name != "root") {
        if let Some(home) = user.home.as_ref().filter(|home| *home != "/") {
            let place = OptionPath::new(["users"]).member(name).join("home");
            found.insert(home.clone(), Writer { who: format!("the user {name}"), place: Some(place) });
        }
    }
    found
}

/// Returns the directories that systemd makes for a service.
fn own_directories(service: &ServiceView) -> Vec<String> {
    let stem = service.unit.stem();
    let own = &service.spec.directories;
    [(own.state, "/var/lib"), (own.cache, "/var/cache"), (own.logs, "/var/log"), (own.runtime, "/run")]
        .into_iter()
        .filter(|(made, _)| *made)
        .map(|(_, parent)| format!("{parent}/{stem}"))
        .collect()
}

/// Returns the directory above a path, or the path itself, that somebody can change.
fn writer_of<'a>(writers: &'a BTreeMap<String, Writer>, path: &str) -> Option<(&'a str, &'a Writer)> {
    let above = Path::new(path).ancestors().filter_map(Path::to_str);
    let known = above.into_iter().find_map(|directory| writers.get_key_value(directory));
    known.map(|(directory, writer)| (directory.as_str(), writer))
}

fn foreign(unit: &str, path: &str, directory: &str, writer: &Writer, place: OptionPath) -> Finding {
    let mut finding = Finding::error(ROOT_RUNS_FOREIGN, format!("root runs {path}, which {} can change", writer.who))
        .at(place, format!("run as root by {unit}"));
    if let Some(place) = &writer.place {
        finding = finding.at(place.clone(), format!("{} may write to {directory}", writer.who));
    }
    finding
        .note("whoever changes it becomes root at the next start")
        .help("put it where only root may write, such as `/usr/local/lib`, or run the service as a user of its own")
}

/// Reports a service that may write to the program that it runs.
fn check_own(service: &ServiceView) -> Option<Finding> {
    let (option, program) = match service.workload()? {
        Workload::Exec(exec) => ("exec.command", exec.command.first()?.as_str()),
        Workload::Vllm(vllm) if vllm.trust_remote_code && is_writable(service, &vllm.model).is_some() => {
            ("vllm.model", vllm.model.as_str())
        }
        Workload::Vllm(vllm) => ("vllm.executable", vllm.executable.as_str()),
        Workload::Gunicorn(gunicorn) => ("gunicorn.executable", gunicorn.executable.as_str()),
        Workload::Celery(celery) => ("celery.executable", celery.executable.as_str()),
        Workload::Runtime(_) => return None,
    };
    let writable = is_writable(service, program)?;
    Some(
        Finding::warning(WRITABLE_PROGRAM, format!("{} can change {program}, which it runs", service.key))
            .at(service.option(option), "run by the service")
            .at(writable, "writable for the service")
            .note("whoever breaks into the service can stay in it")
            .help("let it write to directories for data only, and let root own its program"),
    )
}

/// Returns the option that makes a path writable for a service.
fn is_writable(service: &ServiceView, path: &str) -> Option<OptionPath> {
    Path::new(path).ancestors().filter_map(Path::to_str).find_map(|above| {
        if service.spec.writable.get(above) == Some(&true) {
            return Some(service.option("writable").member(above));
        }
        own_directories(service).iter().any(|own| own == above).then(|| service.option("directories"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{found, service};

    fn root(command: Value) -> Value {
        service(json!({ "user": "root", "exec": { "command": command } }))
    }

    #[test]
    fn nobody_but_root_writes_where_root_looks() {
        let of = |patch: Value| found(patch).into_iter().filter(|line| line.starts_with("C0252")).collect::<Vec<_>>();
        for path in ["/etc/citadel", "/etc/cron.d", "/etc", "/usr/bin/x", "/", "/var/lib", "/usr/local/bin"] {
            let lines = of(json!({ "services": { "a": service(json!({ "writable": { path: true } })) } }));
            let said =
                format!("C0252 error services.a.writable.{path:?}: the service a could change what root runs or obeys");
            assert!(lines.contains(&said), "{lines:?}");
        }
        for (directory, option) in [
            (json!({ "user": "agent" }), "user"),
            (json!({ "mode": "0777" }), "mode"),
            (json!({ "max_age": "1d" }), "max_age"),
        ] {
            let lines = of(json!({ "users": { "agent": {} }, "directories": { "/etc/cron.d": directory } }));
            assert!(
                lines.len() == 1
                    && lines[0].starts_with(&format!("C0252 error directories.\"/etc/cron.d\".{option}: ")),
                "{lines:?}"
            );
        }
        let fine = json!({
            "services": { "a": service(json!({ "writable": { "/srv/a": true, "/etc/app": true, "/var/lib/a": true } })) },
            "directories": { "/etc/cron.d": {}, "/var/lib/a": { "max_age": "1d" } },
        });
        assert_eq!(of(fine), [""; 0]);
    }

    #[test]
    fn root_runs_nothing_that_others_can_change() {
        let of = |command: Value| {
            found(json!({
                "users": { "agent": { "home": "/home/agent" } },
                "directories": { "/opt/app": { "user": "agent" }, "/opt/safe": {} },
                "services": {
                    "a": root(command),
                    "b": service(json!({ "writable": { "/srv/data": true } })),
                },
            }))
            .join("\n")
        };
        for (command, path, who) in [
            (json!(["/opt/app/bin/x"]), "/opt/app/bin/x", "the user agent"),
            (json!(["/bin/sh", "/srv/data/x.sh"]), "/srv/data/x.sh", "the service b"),
            (json!(["/bin/x", "--config=/home/agent/x"]), "/home/agent/x", "the user agent"),
            (json!(["/tmp/x"]), "/tmp/x", "everybody"),
        ] {
            let lines = of(command);
            let expected = format!("C0252 error services.a.exec.command: root runs {path}, which {who} can change");
            assert!(lines.contains(&expected), "{lines}");
        }
        assert_eq!(of(json!(["/opt/safe/bin/x", "/usr/bin/y", "https://example.org/tmp/x"])), "");
    }

    #[test]
    fn raw_units_and_privileged_commands_count() {
        let units = json!({ "x.service": { "sections": { "Service": { "ExecStart": "/tmp/x" } } } });
        assert_eq!(
            found(json!({ "units": units })),
            [
                "C0252 error units.\"x.service\".sections.Service.ExecStart: root runs /tmp/x, which everybody can change"
            ]
        );
        let before = json!({ "systemd": { "Service": { "ExecStartPre": "+/tmp/x" } } });
        assert_eq!(
            found(json!({ "services": { "a": service(before) } })),
            ["C0252 error services.a.systemd.Service.ExecStartPre: root runs /tmp/x, which everybody can change"]
        );
    }

    #[test]
    fn a_service_does_not_write_to_its_program() {
        let own = json!({ "exec": { "command": ["/opt/app/bin/x"] }, "writable": { "/opt/app": true } });
        assert_eq!(
            found(json!({ "services": { "a": service(own) } })),
            ["C0253 warning services.a.exec.command: a can change /opt/app/bin/x, which it runs"]
        );
    }
}
