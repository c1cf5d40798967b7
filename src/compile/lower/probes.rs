//! Health probes and preflight checks as the manifest and the monitor's configuration have them: nothing left to guess.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::compile::system::ServiceView;

/// Returns the probes of a service with its port, its address or socket, and its start period filled in.
///
/// A service on demand is asked through the socket behind its proxy, so that a probe does not wake it.
pub(super) fn health(service: &ServiceView) -> BTreeMap<String, Json> {
    let socket = service.backend_socket();
    let entry = |(name, probe): (&String, _)| {
        let mut json = serde_json::to_value(probe).unwrap_or_default();
        if json.get("start_period").is_none() {
            json["start_period"] = json!(service.start_timeout);
        }
        for kind in ["http", "tcp"] {
            let Some(test) = json.get_mut(kind).and_then(Json::as_object_mut) else { continue };
            if test.contains_key("port") {
                test.entry("host").or_insert_with(|| json!(reachable(&service.spec.address)));
                continue;
            }
            match &socket {
                Some(socket) => {
                    test.remove("host");
                    test.insert("socket".to_owned(), json!(socket));
                }
                None => {
                    test.insert("host".to_owned(), json!(reachable(&service.spec.address)));
                    test.extend(service.spec.port.map(|port| ("port".to_owned(), json!(port))));
                }
            }
        }
        (name.clone(), json)
    };
    service.health.iter().map(entry).collect()
}

/// Returns the checks before a start, as in the profile.
pub(super) fn preflight(service: &ServiceView) -> BTreeMap<String, Json> {
    let checks = service.preflight.iter();
    checks.map(|(name, check)| (name.clone(), serde_json::to_value(check).unwrap_or_default())).collect()
}

/// Returns the address under which this machine reaches what listens on an address.
fn reachable(address: &str) -> &str {
    match address {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        address => address,
    }
}
