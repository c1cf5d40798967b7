//! Sockets of the profile, on which systemd listens for a service.

use super::draft::{Draft, word};
use super::install::{describe, into_system_target};
use super::machine::Machine;
use super::on_demand::is_network_address;
use super::process::endpoint;
use super::{Output, WIRING};
use crate::bundle::manifest::Listen;
use crate::bundle::unit::Value;
use crate::compile::finding::{Finding, OptionPath};

pub(super) fn lower(machine: &Machine<'_>, out: &mut Output) {
    let system = machine.system;
    for (key, socket) in &system.profile.sockets {
        // A socket without a service is a dangling reference, which the checks report.
        let (Some(name), Some(service)) = (system.sockets.get(key), machine.service(&socket.service)) else { continue };
        let origin = OptionPath::new(["sockets", key]);
        let mut draft = Draft::new(origin.clone(), "Socket");
        describe(&mut draft, socket.description.as_deref(), || format!("{key} (socket of {})", service.key));
        into_system_target(&mut draft, machine.targets_of(&service.spec.part_of), "sockets.target");
        if let Some(port) = socket.port {
            draft.own("ListenStream", word(endpoint(&socket.address, port)), "port");
            if is_network_address(&socket.address) {
                draft.own("FreeBind", Value::Bool(true), "address");
            }
        }
        if let Some(path) = &socket.path {
            draft.own("ListenStream", Value::Path(path.clone()), "path");
            draft.own("SocketMode", word(&socket.mode), "mode");
            draft.own_if("SocketUser", socket.user.as_ref().map(word), "user");
            draft.own_if("SocketGroup", socket.group.as_ref().map(word), "group");
        }
        if socket.port.is_none() && socket.path.is_none() {
            draft.report(
                Finding::error(WIRING, format!("the socket {key} listens nowhere"))
                    .at(origin.clone(), "neither a port nor a path")
                    .help("add a `port` or a `path`"),
            );
        }
        if socket.accept {
            draft.own("Accept", Value::Bool(true), "accept");
            // For `Accept=yes` systemd demands a template of the same name.
            let template = format!("{}@", name.stem());
            if service.unit.stem() != template {
                draft.report(
                    Finding::error(WIRING, format!("systemd cannot start {} once for each connection", service.unit))
                        .at(origin.join("accept"), "one process a connection")
                        .at(service.origin.clone(), "its unit is not the template of the socket")
                        .help(format!("write `unit = {template:?}` in the service")),
                );
            }
        } else {
            draft.own("Service", word(service.unit.as_str()), "service");
        }
        let listens = socket.port.map(|port| Listen { address: socket.address.clone(), port });
        draft.finish(name.clone(), out, |entry| {
            entry.service = Some(key.clone());
            entry.phase.clone_from(&service.phase);
            entry.listens = listens.into_iter().collect();
        });
    }
}
