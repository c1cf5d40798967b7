//! A service that starts with the first connection to its port.
//!
//! systemd listens on the port (`X-proxy.socket`); a connection starts `X-proxy.service`, which needs the service itself
//! and hands bytes to its socket. The proxy ends when it was idle for long enough, and then nobody needs the service any
//! more (`StopWhenUnneeded=`). The first client waits until the service is ready; its own timeout has to allow for that.

use super::draft::{Draft, word, words};
use super::install::into_targets;
use super::machine::Machine;
use super::process::endpoint;
use super::sandbox::exists;
use super::{NO_PORT, Output};
use crate::bundle::manifest::Listen;
use crate::bundle::unit::{UnitKind, UnitName, Value};
use crate::compile::config::members;
use crate::compile::finding::Finding;
use crate::compile::system::ServiceView;

const PROXY: &str = "/usr/lib/systemd/systemd-socket-proxyd";
/// Clients at the same time; more wait. systemd's own default of 256 is little for a server that batches.
const CONNECTIONS: &str = "1024";

pub(super) fn lower(machine: &Machine<'_>, service: &ServiceView, out: &mut Output) {
    let (Some(port), Some(backend)) = (service.spec.port, service.backend_socket()) else {
        // A vLLM or Gunicorn server without a port is reported by its own lowering too, but not an `exec`.
        out.findings.push(
            Finding::error(NO_PORT, format!("{} starts on demand, but has no port", service.origin))
                .at(service.option("start"), "the first connection to its port would start it")
                .help("add a `port`, or write `start = 'manual`"),
        );
        return;
    };
    let stem = format!("{}-proxy", service.unit.stem());
    let name = |kind| UnitName::new(&stem, kind);
    let (Some(socket_name), Some(proxy_name)) = (name(UnitKind::Socket), name(UnitKind::Service)) else { return };
    socket(machine, service, port, socket_name, out);
    proxy(machine, service, &backend, proxy_name, out);
}

fn socket(machine: &Machine<'_>, service: &ServiceView, port: u16, name: UnitName, out: &mut Output) {
    let address = &service.spec.address;
    let mut draft = Draft::new(service.origin.clone(), "Socket");
    draft.unit("Description", Value::Text(format!("{} (port, on demand)", service.key)), "");
    into_targets(&mut draft, machine, &service.spec.part_of, true);
    draft.own("ListenStream", word(endpoint(address, port)), "address");
    if is_network_address(address) {
        // The address may come up later than the socket.
        draft.own("FreeBind", Value::Bool(true), "address");
    }
    packets(&mut draft, service);
    let listens = vec![Listen { address: address.clone(), port }];
    draft.finish(name, out, |entry| {
        entry.service = Some(service.key.clone());
        entry.phase.clone_from(&service.phase);
        entry.listens = listens;
    });
}

fn proxy(machine: &Machine<'_>, service: &ServiceView, backend: &str, name: UnitName, out: &mut Output) {
    let systemd = machine.system.profile.host.systemd;
    let mut draft = Draft::new(service.origin.clone(), "Service");
    draft.unit("Description", Value::Text(format!("{} (proxy, on demand)", service.key)), "");
    let needed = || [service.unit.clone()].into_iter().collect();
    draft.units("Requires", needed());
    draft.units("After", needed());
    into_targets(&mut draft, machine, &service.spec.part_of, false);
    // The proxy says when it is ready since systemd 254 only.
    draft.own("Type", word(if systemd >= 254 { "notify" } else { "exec" }), "");
    let idle = format!("--exit-idle-time={}", service.spec.idle_timeout);
    let connections = format!("--connections-max={CONNECTIONS}");
    let command = [PROXY, &connections, &idle, backend].map(str::to_owned).to_vec();
    draft.own("ExecStart", Value::Command(command), "idle_timeout");
    // The user of the service: nobody else may connect to its socket.
    draft.own("User", word(&service.user.user), "user");
    draft.own("Group", word(&service.user.group), "group");
    draft.own("LimitNOFILE", Value::Number(65536), "");
    draft.own("LimitCORE", Value::Number(0), "");
    draft.own("SyslogIdentifier", Value::Text(name.stem().to_owned()), "");
    draft.own("UMask", word("0077"), "");
    draft.own("ProtectSystem", word("strict"), "");
    draft.own("DevicePolicy", word("closed"), "");
    draft.own_empty("CapabilityBoundingSet");
    draft.own_empty("AmbientCapabilities");
    draft.own("KeyringMode", word("private"), "");
    draft.own("ProtectProc", word("invisible"), "");
    draft.own("ProcSubset", word("pid"), "");
    for key in HARDENING.into_iter().chain((systemd >= 248).then_some("PrivateIPC")) {
        draft.own(key, Value::Bool(true), "");
    }
    draft.own("RestrictAddressFamilies", words(["AF_INET", "AF_INET6", "AF_UNIX"]), "");
    packets(&mut draft, service);
    draft.own("SystemCallArchitectures", word("native"), "");
    draft.own("SystemCallFilter", words(["@system-service"]), "");
    draft.own("SystemCallFilter", words(["~@privileged", "@resources"]), "");
    draft.own("SystemCallErrorNumber", word("EPERM"), "");
    draft.finish(name, out, |entry| {
        entry.service = Some(service.key.clone());
        entry.phase.clone_from(&service.phase);
    });
}

/// What a program that only moves bytes between sockets can do without.
const HARDENING: [&str; 18] = [
    "LockPersonality",
    "MemoryDenyWriteExecute",
    "NoNewPrivileges",
    "PrivateDevices",
    "PrivateMounts",
    "PrivateTmp",
    "PrivateUsers",
    "ProtectClock",
    "ProtectControlGroups",
    "ProtectHome",
    "ProtectHostname",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "RemoveIPC",
    "RestrictNamespaces",
    "RestrictRealtime",
    "RestrictSUIDSGID",
];

/// Writes who may exchange packets through the port; for a socket that systemd opens, the socket's unit decides.
fn packets(draft: &mut Draft, service: &ServiceView) {
    if service.spec.network.outbound {
        return;
    }
    let address = Some(service.spec.address.as_str()).filter(|address| exists(address) && is_network_address(address));
    let mut allowed: Vec<&str> = members(&service.spec.network.allow)
        .filter(|network| exists(network))
        .chain(address)
        .chain(["localhost"])
        .collect();
    allowed.sort_unstable();
    allowed.dedup();
    draft.own("IPAddressDeny", word("any"), "");
    draft.own("IPAddressAllow", words(allowed), "network.allow");
}

/// Returns whether an address belongs to a network interface, rather than to the machine itself or to all of them.
pub(super) fn is_network_address(address: &str) -> bool {
    !["0.0.0.0", "::", "::1"].contains(&address) && !address.starts_with("127.")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use crate::compile::lower::testing::{lowered, text, values};

    fn patch(systemd: u32) -> Json {
        json!({
            "host": { "systemd": systemd },
            "services": { "model": {
                "vllm": { "model": "/srv/model" },
                "start": "on_demand",
                "port": 8000,
            } },
        })
    }

    #[test]
    fn a_connection_starts_the_proxy_and_the_proxy_the_service() {
        let socket = text(patch(257), "model-proxy.socket");
        assert_eq!(values(&socket, "ListenStream"), ["127.0.0.1:8000"]);
        assert_eq!(values(&socket, "WantedBy"), ["citadel.target"]);
        let proxy = text(patch(257), "model-proxy.service");
        assert_eq!(values(&proxy, "Requires"), ["model.service"]);
        assert_eq!(values(&proxy, "After"), ["model.service"]);
        assert_eq!(
            values(&proxy, "ExecStart"),
            ["/usr/lib/systemd/systemd-socket-proxyd --connections-max=1024 --exit-idle-time=10min \
                /run/model/backend.sock"]
        );
        let model = text(patch(257), "model.service");
        assert_eq!(values(&model, "StopWhenUnneeded"), ["yes"]);
        assert_eq!(values(&model, "RuntimeDirectory"), ["model"]);
        assert_eq!(values(&model, "WantedBy"), Vec::<&str>::new());
    }

    #[test]
    fn before_systemd_254_the_proxy_does_not_say_that_it_is_ready() {
        assert_eq!(values(&text(patch(252), "model-proxy.service"), "Type"), ["exec"]);
        assert_eq!(values(&text(patch(254), "model-proxy.service"), "Type"), ["notify"]);
    }

    #[test]
    fn a_probe_does_not_wake_the_service() {
        let lowered = lowered(patch(257));
        let model = lowered.units.iter().find(|unit| unit.name.as_str() == "model.service").unwrap();
        assert_eq!(model.entry.health["http"]["http"]["socket"], json!("/run/model/backend.sock"));
        assert_eq!(model.entry.health["http"]["http"].get("port"), None);
        assert!(model.entry.listens.is_empty());
        let yaml = lowered.files.iter().find(|file| file.path == "config/model.yaml").unwrap();
        assert!(yaml.content.contains("uds: \"/run/model/backend.sock\"\n") && !yaml.content.contains("port:"));
    }
}
