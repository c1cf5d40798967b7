//! What a service is kept from: the strictest sandbox that lets CUDA, vLLM and Python services work.
//!
//! What breaks them, and therefore depends on the service:
//! - `PrivateDevices=` hides the GPUs; a service with GPUs gets a list of device nodes instead.
//! - `MemoryDenyWriteExecute=` breaks PyTorch (pytorch#143651) and every just-in-time compiler, and what a program of the
//!   profile is cannot be known; it is on for the parts of citadel itself only.
//! - `ProcSubset=pid` hides `/proc/meminfo` and the driver's files; services with GPUs and citadel's own need those.
//! - `~@resources` contains what pins threads and binds memory (`sched_setaffinity`, `mbind`); it is off the list only for
//!   servers that do neither.
//! - `RestrictAddressFamilies=` without netlink breaks `if_nameindex()`, which torch.distributed calls (vllm#12474).
//! - `IPAddressDeny=any` needs localhost and the address that the service itself listens on.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::draft::{Draft, word, words};
use super::gpu;
use super::on_demand::is_network_address;
use crate::bundle::manifest::Listen;
use crate::bundle::unit::Value;
use crate::compile::config::{DeviceAccess, ProtectHome, ProtectSystem, Runtime, Set, Start, members};
use crate::compile::system::{ServiceView, System, Workload};

pub(super) fn lower(draft: &mut Draft, system: &System, service: &ServiceView) {
    let kind = Kind::of(service);
    files(draft, system, service);
    devices(draft, system, service);
    privileges(draft, service, kind);
    kernel(draft, system, service, kind);
    network(draft, system, service, kind);
    system_calls(draft, service, kind);
}

/// What the sandbox has to make room for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A program that may do anything a program does.
    Program,
    /// A server that is known to neither pin threads nor open ports besides its own.
    Server,
    /// A part of citadel that listens or asks services over the network.
    Watch,
    /// A part of citadel that only touches devices and files.
    Tool,
}

impl Kind {
    fn of(service: &ServiceView) -> Self {
        match service.workload() {
            Some(Workload::Gunicorn(_)) => Kind::Server,
            Some(Workload::Runtime(Runtime::Monitor)) => Kind::Watch,
            Some(Workload::Runtime(Runtime::Gpu | Runtime::Storage)) => Kind::Tool,
            Some(Workload::Exec(_) | Workload::Vllm(_) | Workload::Celery(_)) | None => Kind::Program,
        }
    }

    fn is_citadel(self) -> bool {
        matches!(self, Kind::Watch | Kind::Tool)
    }
}

fn files(draft: &mut Draft, system: &System, service: &ServiceView) {
    let sandbox = &service.spec.sandbox;
    let protect_system = match sandbox.protect_system {
        ProtectSystem::Strict => "strict",
        ProtectSystem::Full => "full",
        ProtectSystem::Yes => "yes",
        ProtectSystem::No => "no",
    };
    let protect_home = match sandbox.protect_home {
        ProtectHome::Yes => "yes",
        ProtectHome::ReadOnly => "read-only",
        ProtectHome::Tmpfs => "tmpfs",
        ProtectHome::No => "no",
    };
    draft.own("UMask", word("0077"), "");
    draft.own("ProtectSystem", word(protect_system), "sandbox.protect_system");
    draft.own("ProtectHome", word(protect_home), "sandbox.protect_home");
    let (optional, certain): (Vec<String>, Vec<String>) =
        members(&service.spec.writable).map(str::to_owned).partition(|path| may_be_missing(system, path));
    for (paths, optional) in [(certain, false), (optional, true)] {
        if !paths.is_empty() {
            draft.own("ReadWritePaths", Value::Paths { paths, optional }, "writable");
        }
    }
    draft.own("PrivateTmp", Value::Bool(sandbox.private_tmp), "sandbox.private_tmp");
    draft.own("PrivateMounts", Value::Bool(true), "");
}

/// Returns whether a writable path lies on another file system and nobody is known to make it there. A missing path that
/// is not marked so keeps the service from starting, which is wanted when citadel itself makes the path.
fn may_be_missing(system: &System, path: &str) -> bool {
    let profile = &system.profile;
    !profile.directories.contains_key(path) && profile.storage.mounts.keys().any(|mount| is_below(path, mount))
}

/// Returns whether a path is a directory or lies in it.
pub(super) fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn devices(draft: &mut Draft, system: &System, service: &ServiceView) {
    let sandbox = &service.spec.sandbox;
    let gpus = gpu::visible(system, service);
    let needs_some = !gpus.is_empty() || !sandbox.devices.is_empty();
    let private = sandbox.private_devices.unwrap_or(!needs_some);
    draft.own("PrivateDevices", Value::Bool(private), "sandbox.private_devices");
    if private || needs_some {
        draft.own("DevicePolicy", word("closed"), "");
    }
    if !gpus.is_empty() {
        for node in gpu::device_nodes(system, &gpus) {
            draft.own("DeviceAllow", node, "gpu.devices");
        }
    }
    for (path, access) in &sandbox.devices {
        let access = match access {
            DeviceAccess::Read => "r",
            DeviceAccess::ReadWrite => "rw",
        };
        draft.own("DeviceAllow", words([path.as_str(), access]), "sandbox.devices");
    }
}

fn privileges(draft: &mut Draft, service: &ServiceView, kind: Kind) {
    let sandbox = &service.spec.sandbox;
    let mut capabilities: BTreeSet<&str> = members(&sandbox.capabilities).collect();
    if service.spec.runtime == Some(Runtime::Gpu) {
        // The driver lets only its holders set power limits and clocks.
        capabilities.insert("CAP_SYS_ADMIN");
    }
    draft.own("NoNewPrivileges", Value::Bool(sandbox.no_new_privileges), "sandbox.no_new_privileges");
    if capabilities.is_empty() {
        draft.own_empty("CapabilityBoundingSet");
        draft.own_empty("AmbientCapabilities");
    } else {
        draft.own("CapabilityBoundingSet", words(capabilities.iter().copied()), "sandbox.capabilities");
        if !service.is_root() {
            draft.own("AmbientCapabilities", words(capabilities.iter().copied()), "sandbox.capabilities");
        }
    }
    // In a user namespace of its own a capability would be worth nothing outside it.
    let private_users = sandbox.private_users && capabilities.is_empty();
    draft.own("PrivateUsers", Value::Bool(private_users), "sandbox.private_users");
    draft.own("RestrictSUIDSGID", Value::Bool(true), "");
    draft.own("KeyringMode", word("private"), "");
    let no_new_code = sandbox.memory_deny_write_execute.unwrap_or(kind.is_citadel());
    draft.own("MemoryDenyWriteExecute", Value::Bool(no_new_code), "sandbox.memory_deny_write_execute");
}

fn kernel(draft: &mut Draft, system: &System, service: &ServiceView, kind: Kind) {
    let sandbox = &service.spec.sandbox;
    let gpus = gpu::visible(system, service);
    let reads_proc = kind.is_citadel()
        || !gpus.is_empty()
        || sandbox.private_devices == Some(false)
        || service.preflight.values().any(|check| check.memory_free.is_some());
    draft.own("ProtectProc", word("invisible"), "");
    draft.own("ProcSubset", word(if reads_proc { "all" } else { "pid" }), "");
    // Up to systemd 251 it shuts out every device that is not listed.
    let all_devices = sandbox.private_devices == Some(false) && gpus.is_empty() && sandbox.devices.is_empty();
    draft.own("ProtectClock", Value::Bool(system.profile.host.systemd >= 252 || !all_devices), "");
    for key in [
        "ProtectControlGroups",
        "ProtectHostname",
        "ProtectKernelLogs",
        "ProtectKernelModules",
        "ProtectKernelTunables",
        "LockPersonality",
        "RestrictNamespaces",
        "RestrictRealtime",
        "RemoveIPC",
    ] {
        draft.own(key, Value::Bool(true), "");
    }
    if system.profile.host.systemd >= 248 {
        draft.own("PrivateIPC", Value::Bool(true), "");
    }
}

fn network(draft: &mut Draft, system: &System, service: &ServiceView, kind: Kind) {
    let spec = &service.spec;
    if kind == Kind::Tool {
        draft.own("PrivateNetwork", Value::Bool(true), "");
    }
    let base: &[&str] =
        if kind == Kind::Tool { &["AF_UNIX"] } else { &["AF_INET", "AF_INET6", "AF_NETLINK", "AF_UNIX"] };
    let families: BTreeSet<&str> = base.iter().copied().chain(members(&spec.sandbox.address_families)).collect();
    draft.own("RestrictAddressFamilies", words(families), "sandbox.address_families");
    if spec.network.outbound {
        return;
    }
    draft.own("IPAddressDeny", word("any"), "");
    draft.own("IPAddressAllow", words(reachable(system, service, kind).iter().map(String::as_str)), "network.allow");
    // vLLM's worker processes meet on ports that the kernel picks, and a program may do so too.
    let is_closed = matches!(kind, Kind::Server | Kind::Watch);
    if is_closed && system.profile.host.systemd >= 249 && system.profile.host.cgroup == 2 {
        draft.own("SocketBindDeny", word("any"), "");
        let ports: BTreeSet<u16> = listens(system, service).into_iter().map(|listen| listen.port).collect();
        for port in ports {
            draft.own("SocketBindAllow", word(format!("tcp:{port}")), "port");
        }
    }
}

/// Returns the networks that a service may exchange packets with. A packet to an address of the machine itself counts
/// under that address and not as localhost, so the addresses that services listen on are among them.
fn reachable(system: &System, service: &ServiceView, kind: Kind) -> BTreeSet<String> {
    let is_own = |address: &str| exists(address) && is_network_address(address);
    let allowed = members(&service.spec.network.allow).filter(|network| exists(network));
    let mut networks: BTreeSet<String> = allowed.map(str::to_owned).collect();
    networks.insert("localhost".to_owned());
    networks.extend(Some(&service.spec.address).filter(|address| is_own(address)).cloned());
    if kind == Kind::Watch {
        let all = system.services.iter().map(|service| &service.spec.address);
        networks.extend(all.filter(|address| is_own(address)).cloned());
    }
    networks
}

/// Returns whether there is such a network; the checks report one that there cannot be.
pub(super) fn exists(network: &str) -> bool {
    let (address, length) =
        network.split_once('/').map_or((network, None), |(address, length)| (address, Some(length)));
    let longest = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return network == "localhost",
    };
    length.is_none_or(|length| length.parse::<u8>().is_ok_and(|length| length <= longest))
}

/// Returns the TCP ports that a service opens itself.
pub(super) fn listens(system: &System, service: &ServiceView) -> BTreeSet<Listen> {
    let spec = &service.spec;
    let own = spec.port.filter(|_| spec.start != Start::OnDemand);
    let own = own.into_iter().chain(spec.extra_ports.values().copied());
    let own = own.map(|port| Listen { address: spec.address.clone(), port });
    let monitor = &system.profile.monitor;
    let watch = [monitor.metrics_port, monitor.api_port].into_iter().flatten();
    let watch = watch.filter(|_| spec.runtime == Some(Runtime::Monitor));
    own.chain(watch.map(|port| Listen { address: "127.0.0.1".to_owned(), port })).collect()
}

fn system_calls(draft: &mut Draft, service: &ServiceView, kind: Kind) {
    let own: &Set = &service.spec.sandbox.system_calls;
    let mut allowed = BTreeSet::from(["@system-service"]);
    let mut denied = BTreeSet::from(["@privileged"]);
    if kind != Kind::Program {
        denied.insert("@resources");
    }
    for (group, on) in own {
        if *on {
            denied.remove(group.as_str());
            allowed.insert(group);
        } else {
            allowed.remove(group.as_str());
            denied.insert(group);
        }
    }
    draft.own("SystemCallArchitectures", word("native"), "");
    draft.own("SystemCallFilter", words(allowed), "sandbox.system_calls");
    if !denied.is_empty() {
        // Only the first word carries the mark; it counts for the whole line.
        let mut words: Vec<String> = denied.into_iter().map(str::to_owned).collect();
        words[0].insert(0, '~');
        draft.own("SystemCallFilter", Value::Words(words), "sandbox.system_calls");
    }
    draft.own("SystemCallErrorNumber", word("EPERM"), "");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::compile::lower::testing::{text, values};

    #[test]
    fn a_service_with_gpus_sees_those_and_no_other_hardware() {
        let patch = json!({
            "host": { "gpus": [
                { "name": "a", "memory": "24G", "minor": 3, "uuid": "GPU-00000000-0000-0000-0000-000000000001" },
                { "name": "b", "memory": "24G" },
            ] },
            "gpus": { "first": { "index": 0 }, "second": { "index": 1 } },
            "services": { "a": { "gpu": { "devices": { "first": true } } } },
        });
        let unit = text(patch, "a.service");
        assert_eq!(
            values(&unit, "DeviceAllow"),
            ["/dev/nvidia3 rw", "/dev/nvidiactl rw", "/dev/nvidia-uvm rw", "/dev/nvidia-uvm-tools rw"]
        );
        assert_eq!(values(&unit, "DevicePolicy"), ["closed"]);
        assert_eq!(values(&unit, "PrivateDevices"), ["no"]);
        assert_eq!(values(&unit, "ProcSubset"), ["all"]);
        assert_eq!(values(&unit, "SystemCallFilter"), ["@system-service", "~@privileged"]);
    }

    #[test]
    fn a_server_reaches_what_it_may_and_binds_its_own_port_only() {
        let patch = json!({ "services": { "web": {
            "gunicorn": { "app": "web:app" },
            "address": "10.0.0.5",
            "port": 8000,
            "network": { "allow": { "10.0.0.0/24": true, "10.0.0.0/33": true } },
        } } });
        let unit = text(patch, "web.service");
        assert_eq!(values(&unit, "IPAddressDeny"), ["any"]);
        assert_eq!(values(&unit, "IPAddressAllow"), ["10.0.0.0/24 10.0.0.5 localhost"]);
        assert_eq!(values(&unit, "SocketBindAllow"), ["tcp:8000"]);
        assert_eq!(values(&unit, "SystemCallFilter"), ["@system-service", "~@privileged @resources"]);
    }

    #[test]
    fn capabilities_end_the_own_user_namespace() {
        let patch = json!({ "services": { "a": { "sandbox": {
            "capabilities": { "CAP_NET_BIND_SERVICE": true },
            "system_calls": { "@privileged": true, "@debug": false },
        } } } });
        let unit = text(patch, "a.service");
        assert_eq!(values(&unit, "CapabilityBoundingSet"), ["CAP_NET_BIND_SERVICE"]);
        assert_eq!(values(&unit, "AmbientCapabilities"), ["CAP_NET_BIND_SERVICE"]);
        assert_eq!(values(&unit, "PrivateUsers"), ["no"]);
        assert_eq!(values(&unit, "SystemCallFilter"), ["@privileged @system-service", "~@debug"]);
    }
}
