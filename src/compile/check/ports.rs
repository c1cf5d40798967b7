//! Ports: who listens where, and who is in whose way.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::compile::config::{Runtime, Start};
use crate::compile::finding::{Finding, OptionPath};
use crate::compile::system::{ServiceView, System};

use super::codes::PORT_CONFLICT;
use super::context::Context;

/// A place where something listens for TCP connections.
pub struct Endpoint<'a> {
    pub address: &'a str,
    pub port: u16,
    /// Who it is, for people.
    pub owner: String,
    pub origin: OptionPath,
    /// The service that listens itself and so only while it runs; none for sockets and programs that are always there.
    pub service: Option<&'a ServiceView>,
}

/// Returns the endpoints of a profile.
pub fn endpoints(system: &System) -> Vec<Endpoint<'_>> {
    let mut found = Vec::new();
    for service in &system.services {
        let spec = &service.spec;
        let endpoint = |port, origin, listens_itself: bool| Endpoint {
            address: spec.address.as_str(),
            port,
            owner: service.key.clone(),
            origin,
            service: listens_itself.then_some(service),
        };
        found.extend(spec.port.map(|port| endpoint(port, service.option("port"), spec.start != Start::OnDemand)));
        let extra = service.option("extra_ports");
        found.extend(spec.extra_ports.iter().map(|(name, port)| endpoint(*port, extra.member(name), true)));
        if spec.runtime == Some(Runtime::Monitor) {
            let monitor = &system.profile.monitor;
            for (name, port) in [("metrics_port", monitor.metrics_port), ("api_port", monitor.api_port)] {
                let origin = OptionPath::new(["monitor", name]);
                found.extend(port.map(|port| Endpoint { address: "127.0.0.1", ..endpoint(port, origin, true) }));
            }
        }
    }
    for (key, socket) in &system.profile.sockets {
        found.extend(socket.port.map(|port| Endpoint {
            address: socket.address.as_str(),
            port,
            owner: key.clone(),
            origin: OptionPath::new(["sockets", key, "port"]),
            service: None,
        }));
    }
    found
}

/// Returns the ports that others on the host listen on; at which address is not known.
fn endpoints_of_others<'a>(system: &'a System, own: &[Endpoint<'_>]) -> Vec<Endpoint<'a>> {
    let is_own = |name: &str| own.iter().any(|endpoint| endpoint.owner == name);
    let ports = system.profile.host.ports.iter().filter(|(name, _)| !is_own(name));
    ports
        .map(|(name, port)| Endpoint {
            address: "::",
            port: *port,
            owner: format!("{name} of the host"),
            origin: OptionPath::new(["host", "ports"]).member(name),
            service: None,
        })
        .collect()
}

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let system = context.system;
    let own = endpoints(system);
    let others = endpoints_of_others(system, &own);
    let mut by_port: BTreeMap<u16, Vec<&Endpoint<'_>>> = BTreeMap::new();
    for endpoint in own.iter().chain(&others) {
        by_port.entry(endpoint.port).or_default().push(endpoint);
    }
    for (port, endpoints) in &by_port {
        let in_conflict = |one: &Endpoint<'_>| {
            endpoints.iter().any(|other| !std::ptr::eq(one, *other) && conflict(system, one, other))
        };
        let mut blamed: Vec<&Endpoint<'_>> = endpoints.iter().copied().filter(|one| in_conflict(one)).collect();
        // What the profile can change comes first.
        blamed.sort_by_key(|endpoint| is_of_host(endpoint));
        if blamed.is_empty() {
            continue;
        }
        let (one, other) = (blamed[0], blamed[1]);
        let message = match blamed.len() {
            2 if one.owner == other.owner => format!("{} listens on port {port} twice", one.owner),
            2 => format!("{} and {} both listen on port {port}", one.owner, other.owner),
            count => format!("{count} services listen on port {port}"),
        };
        let mut finding = Finding::error(PORT_CONFLICT, message);
        for endpoint in blamed.iter().take(6) {
            finding = finding.at(endpoint.origin.clone(), format!("{} listens at {}", endpoint.owner, shown(endpoint)));
        }
        let is_socket = |it: &&&Endpoint<'_>| it.service.is_none() && !is_of_host(it);
        if let Some(socket) = blamed.iter().find(is_socket).filter(|_| blamed.iter().all(|it| !is_of_host(it))) {
            finding = finding.note(format!(
                "systemd listens for {} even while it does not run, so excluding each other does not help",
                socket.owner
            ));
        }
        let free = (*port..=u16::MAX).find(|port| !by_port.contains_key(port));
        findings.push(finding.help(match free {
            Some(free) => format!("give one of them a port of its own, such as {free}"),
            None => "give one of them a port of its own".to_owned(),
        }));
    }
}

/// Returns whether two endpoints of one port are in each other's way.
fn conflict(system: &System, one: &Endpoint<'_>, other: &Endpoint<'_>) -> bool {
    let never_together = match (one.service, other.service) {
        (Some(one), Some(other)) => system.exclude_each_other(one, other),
        _ => false,
    };
    !never_together && overlap(one.address, other.address)
}

/// Returns whether sockets at two addresses exclude each other: `::` takes IPv4 as well (`net.ipv6.bindv6only = 0`).
fn overlap(one: &str, other: &str) -> bool {
    let (Ok(one), Ok(other)) = (one.parse::<IpAddr>(), other.parse::<IpAddr>()) else { return one == other };
    let takes = |one: IpAddr, other: IpAddr| one.is_unspecified() && (one.is_ipv6() || other.is_ipv4());
    one == other || takes(one, other) || takes(other, one)
}

fn is_of_host(endpoint: &Endpoint<'_>) -> bool {
    endpoint.origin.0.first().is_some_and(|first| first == "host")
}

fn shown(endpoint: &Endpoint<'_>) -> String {
    if is_of_host(endpoint) {
        return "an address that is not known".to_owned();
    }
    match endpoint.address.contains(':') {
        true => format!("[{}]:{}", endpoint.address, endpoint.port),
        false => format!("{}:{}", endpoint.address, endpoint.port),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{found, service};
    use super::overlap;

    fn two(one: Value, other: Value) -> Vec<String> {
        let found = found(json!({ "services": { "a": service(one), "b": service(other) } }));
        found.into_iter().filter(|line| line.starts_with("C0201")).collect()
    }

    #[test]
    fn addresses_overlap_as_the_kernel_sees_it() {
        for (one, other, expected) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("0.0.0.0", "10.0.0.1", true),
            ("0.0.0.0", "::1", false),
            ("::", "10.0.0.1", true),
            ("::", "0.0.0.0", true),
            ("::1", "::1", true),
        ] {
            assert_eq!(overlap(one, other), expected, "{one} {other}");
            assert_eq!(overlap(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn two_services_cannot_have_one_port() {
        let port = json!({ "port": 8000 });
        assert_eq!(two(port.clone(), port), ["C0201 error services.a.port: a and b both listen on port 8000"]);
        assert_eq!(two(json!({ "port": 8000 }), json!({ "port": 8000, "address": "127.0.0.2" })), [""; 0]);
        assert_eq!(
            two(json!({ "port": 8000 }), json!({ "extra_ports": { "metrics": 8000 } })),
            ["C0201 error services.a.port: a and b both listen on port 8000"]
        );
    }

    #[test]
    fn services_that_exclude_each_other_may_share_a_port() {
        let manual = json!({ "port": 8000, "exclusive": { "big": true }, "start": "manual" });
        assert_eq!(two(manual.clone(), manual.clone()), [""; 0]);
        let on_demand = json!({ "port": 8000, "exclusive": { "big": true }, "start": "on_demand" });
        assert_eq!(two(manual, on_demand), ["C0201 error services.a.port: a and b both listen on port 8000"]);
    }

    #[test]
    fn ports_of_others_and_of_sockets_count() {
        let lines = found(json!({
            "host": { "ports": { "redis": 6379, "web": 8000 } },
            "services": { "web": service(json!({ "port": 8000 })), "cache": service(json!({ "port": 6379 })) },
            "sockets": { "in": { "service": "web", "port": 6379 } },
        }));
        assert_eq!(lines, ["C0201 error services.cache.port: 3 services listen on port 6379"]);
    }

    #[test]
    fn a_service_does_not_use_a_port_twice() {
        let lines = found(json!({ "services": { "web": service(json!({ "port": 1, "extra_ports": { "m": 1 } })) } }));
        assert_eq!(lines, ["C0201 error services.web.port: web listens on port 1 twice"]);
    }
}
