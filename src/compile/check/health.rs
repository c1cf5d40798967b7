//! Health probes: that there is one, and that each can work.

use crate::compile::config::{Probe, Runtime};
use crate::compile::finding::{Finding, OptionPath};
use crate::compile::system::ServiceView;

use super::codes::{NO_PROBE, PROBE};
use super::context::{Context, list};

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for service in &context.system.services {
        let runs_on = service.workload().is_some() && !service.is_oneshot();
        if service.health.is_empty() && runs_on && service.spec.runtime != Some(Runtime::Monitor) {
            findings.push(missing(service));
        }
        for (name, probe) in &service.health {
            // A probe that the workload brings along has no place of its own.
            let own = service.option("health").member(name);
            findings.extend(judge(service, probe, own));
        }
    }
}

fn missing(service: &ServiceView) -> Finding {
    let example = match service.spec.port {
        Some(_) => "health.http.http.path = \"/health\"",
        None => "health.alive.unit = {}",
    };
    Finding::error(NO_PROBE, format!("nothing tells whether {} works", service.key))
        .at(service.origin.clone(), "this service has no health probe")
        .note("a switch is only kept when the services that it touched are healthy")
        .help(format!("add a probe, such as `{example}`"))
}

fn judge(service: &ServiceView, probe: &Probe, place: OptionPath) -> Option<Finding> {
    let kinds: Vec<String> = [
        ("http", probe.http.is_some()),
        ("tcp", probe.tcp.is_some()),
        ("redis", probe.redis.is_some()),
        ("command", probe.command.is_some()),
        ("unit", probe.unit.is_some()),
        ("file", probe.file.is_some()),
        ("mount", probe.mount.is_some()),
        ("gpu_process", probe.gpu_process == Some(true)),
    ]
    .into_iter()
    .filter(|(_, present)| *present)
    .map(|(name, _)| name.to_owned())
    .collect();
    if kinds.len() != 1 {
        let finding = match kinds.len() {
            0 => Finding::error(PROBE, format!("{place} does not say what it probes")).at(place, "this probe"),
            _ => Finding::error(PROBE, format!("{place} probes {} at once", list(&kinds))).at(place, "this probe"),
        };
        return Some(finding.help(
            "give each probe one of `http`, `tcp`, `redis`, `command`, `unit`, `file`, `mount` and `gpu_process`",
        ));
    }
    let needs_port = match (&probe.http, &probe.tcp) {
        (Some(http), _) => http.port.is_none(),
        (_, Some(tcp)) => tcp.port.is_none(),
        _ => false,
    };
    // Of a server without a port lowering reports the port, and not each of its probes.
    let is_server = service.spec.vllm.is_some() || service.spec.gunicorn.is_some();
    if needs_port && service.spec.port.is_none() && !is_server {
        let kind = &kinds[0];
        return Some(
            Finding::error(PROBE, format!("{place} does not know which port to ask"))
                .at(place.clone(), "neither the probe nor the service has a port")
                .help(format!("give the service a `port`, or the probe one: `{kind}.port = 8000`")),
        );
    }
    if probe.gpu_process == Some(true) && !service.spec.gpu.devices.values().any(|on| *on) {
        return Some(
            Finding::error(PROBE, format!("{} has no GPU on which a process could be found", service.key))
                .at(place.join("gpu_process"), "looks for a process on a GPU")
                .help("name the GPU with `gpu.devices`, or remove the probe"),
        );
    }
    if probe.command.as_ref().is_some_and(|command| command.first().is_none_or(|program| !program.starts_with('/'))) {
        return Some(
            Finding::error(PROBE, format!("the program of {place} has no absolute path"))
                .at(place.join("command"), "this program")
                .help("write the whole path of the program as the first element, such as `\"/usr/bin/curl\"`"),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{found, service};

    fn probe(probe: Value) -> String {
        found(json!({ "services": { "a": service(json!({ "health": { "up": null, "p": probe } })) } })).join("\n")
    }

    #[test]
    fn a_long_running_service_has_a_probe() {
        let services = json!({ "a": { "exec": { "command": ["/usr/bin/a"] } } });
        assert_eq!(found(json!({ "services": services })), ["C0270 error services.a: nothing tells whether a works"]);
        let services = json!({ "a": { "exec": { "command": ["/usr/bin/a"], "type": "oneshot" } } });
        assert_eq!(found(json!({ "services": services })), [""; 0]);
    }

    #[test]
    fn a_probe_says_one_thing_and_can_do_it() {
        let table = [
            (json!({}), "services.a.health.p: services.a.health.p does not say what it probes"),
            (
                json!({ "tcp": { "port": 1 }, "file": "/x" }),
                "services.a.health.p: services.a.health.p probes tcp and file at once",
            ),
            (json!({ "http": {} }), "services.a.health.p: services.a.health.p does not know which port to ask"),
            (
                json!({ "gpu_process": true }),
                "services.a.health.p.gpu_process: a has no GPU on which a process could be found",
            ),
            (
                json!({ "command": ["curl"] }),
                "services.a.health.p.command: the program of services.a.health.p has no absolute path",
            ),
        ];
        for (patch, expected) in table {
            assert_eq!(probe(patch), format!("C0271 error {expected}"));
        }
        assert_eq!(probe(json!({ "http": { "port": 1 } })), "");
    }
}
