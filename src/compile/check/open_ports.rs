//! Ports that others than this machine can reach, and who checks the clients there.

use std::net::IpAddr;

use crate::compile::config::{Authentication, members};
use crate::compile::finding::{Finding, OptionPath};
use crate::compile::system::ServiceView;

use super::codes::{HALF_AUTHENTICATED, OPEN_TO_ALL, OPEN_TO_NETWORK};
use super::context::Context;

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for service in &context.system.services {
        let listens = service.spec.port.is_some() || !service.spec.extra_ports.is_empty();
        if listens {
            findings.extend(judge(service, &service.spec.address, service.option("address")));
        }
    }
    for (key, socket) in &context.system.profile.sockets {
        let service =
            context.known.services.get(socket.service.as_str()).and_then(|at| context.system.services.get(*at));
        if let Some(service) = service.filter(|_| socket.port.is_some()) {
            findings.extend(judge(service, &socket.address, OptionPath::new(["sockets", key, "address"])));
        }
    }
}

/// Judges one address that clients of a service come to.
fn judge(service: &ServiceView, address: &str, place: OptionPath) -> Option<Finding> {
    let parsed = address.parse::<IpAddr>().ok()?;
    if parsed.is_loopback() {
        return None;
    }
    let key = &service.key;
    let unchecked = service.spec.authentication == Authentication::None;
    let no_network = members(&service.spec.network.allow).next().is_none();
    if unchecked && parsed.is_unspecified() {
        return Some(
            Finding::error(OPEN_TO_ALL, format!("{key} listens on every address and nobody checks its clients"))
                .at(place, "every network of this machine reaches it")
                .note("`authentication` of the service is `'none`")
                .help(
                    "listen on `127.0.0.1` behind a proxy that checks clients, or on one address, and say who checks \
                     them with `authentication`",
                ),
        );
    }
    if unchecked && no_network {
        return Some(
            Finding::warning(OPEN_TO_NETWORK, format!("{key} listens on {address} and nobody checks its clients"))
                .at(place, "others than this machine reach it")
                .note("`authentication` of the service is `'none`, and `network.allow` names no network")
                .help("name the networks that may use it with `network.allow`, or say who checks its clients with `authentication`"),
        );
    }
    if service.spec.vllm.is_some() && service.spec.authentication == Authentication::Application {
        return Some(
            Finding::warning(HALF_AUTHENTICATED, format!("the key of vLLM protects only a part of what {key} offers at {address}"))
                .at(service.option("authentication"), "the program checks its clients itself")
                .note("without the key anybody may still use /invocations, /pooling, /tokenize, /pause, /abort_requests and /metrics")
                .help("listen on `127.0.0.1` behind a proxy that lets through only what clients need, and write `authentication = 'proxy`"),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{found, service};

    fn of(patch: Value) -> Vec<String> {
        found(json!({ "services": { "web": service(patch) } }))
    }

    #[test]
    fn only_open_ports_without_authentication_are_found() {
        let table = [
            (json!({ "port": 1 }), ""),
            (json!({ "address": "0.0.0.0" }), ""),
            (json!({ "port": 1, "address": "::1" }), ""),
            (
                json!({ "port": 1, "address": "0.0.0.0" }),
                "C0202 error services.web.address: web listens on every address and nobody checks its clients",
            ),
            (
                json!({ "extra_ports": { "m": 1 }, "address": "::" }),
                "C0202 error services.web.address: web listens on every address and nobody checks its clients",
            ),
            (json!({ "port": 1, "address": "0.0.0.0", "authentication": "proxy" }), ""),
            (
                json!({ "port": 1, "address": "10.0.0.1" }),
                "C0203 warning services.web.address: web listens on 10.0.0.1 and nobody checks its clients",
            ),
            (json!({ "port": 1, "address": "10.0.0.1", "network": { "allow": { "10.0.0.0/8": true } } }), ""),
        ];
        for (patch, expected) in table {
            assert_eq!(of(patch).join("\n"), expected);
        }
    }

    #[test]
    fn a_socket_is_judged_by_its_service() {
        let lines = found(json!({
            "services": { "web": service(json!({})) },
            "sockets": { "in": { "service": "web", "port": 1, "address": "0.0.0.0" } },
        }));
        assert_eq!(
            lines,
            ["C0202 error sockets.in.address: web listens on every address and nobody checks its clients"]
        );
    }
}
