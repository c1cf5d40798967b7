//! Names that the profile gives: those of dictionaries, which no contract sees, and those that clash with the host.

use crate::bundle::unit::{UnitKind, UnitName};
use crate::compile::config::Set;
use crate::compile::finding::{Finding, OptionPath};
use crate::compile::system::DUPLICATE;

use super::codes::{ADDRESS, NAME, PATH};
use super::context::Context;
use super::known::is_system_unit;

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    check_unit_keys(context, findings);
    check_short_names(context, findings);
    check_paths(context, findings);
    check_addresses(context, findings);
    check_units_of_others(context, findings);
}

/// Names that become unit names.
fn check_unit_keys(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let profile = &context.system.profile;
    let named = [
        ("services", profile.services.keys().collect::<Vec<_>>(), UnitKind::Service),
        ("apps", profile.apps.keys().collect(), UnitKind::Service),
        ("targets", profile.targets.keys().collect(), UnitKind::Target),
        ("timers", profile.timers.keys().collect(), UnitKind::Timer),
        ("sockets", profile.sockets.keys().collect(), UnitKind::Socket),
        ("slices", profile.slices.keys().collect(), UnitKind::Slice),
    ];
    for (option, keys, kind) in named {
        for key in keys {
            if !is_name(key, 200) || UnitName::new(key, kind).is_none() {
                findings.push(wrong_name(OptionPath::new([option]).member(key), key));
            }
        }
    }
}

/// Names that become names of users, groups, files and headings.
fn check_short_names(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let profile = &context.system.profile;
    let named = [
        ("phases", profile.phases.keys().collect::<Vec<_>>(), 48),
        ("groups", profile.groups.keys().collect(), 48),
        ("gpus", profile.gpus.keys().collect(), 48),
        ("users", profile.users.keys().collect(), 31),
        ("user_groups", profile.user_groups.keys().collect(), 31),
        ("credentials", profile.credentials.keys().collect(), 48),
        ("log_rotation", profile.log_rotation.keys().collect(), 48),
    ];
    for (option, keys, longest) in named {
        for key in keys.into_iter().filter(|key| !is_name(key, longest)) {
            findings.push(wrong_name(OptionPath::new([option]).member(key), key));
        }
    }
    for service in &context.system.services {
        let dictionaries = [
            ("health", service.health.keys().collect::<Vec<_>>()),
            ("preflight", service.preflight.keys().collect()),
            ("extra_ports", service.spec.extra_ports.keys().collect()),
            ("exclusive", service.spec.exclusive.keys().collect()),
        ];
        for (option, keys) in dictionaries {
            for key in keys.into_iter().filter(|key| !is_name(key, 48)) {
                findings.push(wrong_name(service.option(option).member(key), key));
            }
        }
    }
}

/// Returns whether a name has only letters, digits, `-` and `_`, starts with a letter or `_`, and is not too long.
fn is_name(name: &str, longest: usize) -> bool {
    name.len() <= longest
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn wrong_name(place: OptionPath, name: &str) -> Finding {
    Finding::error(NAME, format!("{name:?} cannot be used as a name"))
        .at(place, "named here")
        .note("names go into the names of units, users and files")
        .help("use letters, digits, `-` and `_`, start with a letter, and keep it short")
}

/// Names that are paths.
fn check_paths(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let profile = &context.system.profile;
    let mut named: Vec<(OptionPath, &String)> = Vec::new();
    let mut add = |origin: OptionPath, keys: Vec<&'_ String>| {
        let places = keys.into_iter().map(|key| (origin.member(key), key));
        findings.extend(places.filter(|(_, key)| !is_plain_path(key)).map(|(place, key)| wrong_path(place, key)));
    };
    add(OptionPath::new(["storage", "mounts"]), profile.storage.mounts.keys().collect());
    add(OptionPath::new(["storage", "links"]), profile.storage.links.keys().collect());
    add(OptionPath::new(["directories"]), profile.directories.keys().collect());
    add(OptionPath::new(["monitor", "mounts"]), profile.monitor.mounts.keys().collect());
    add(OptionPath::new(["monitor", "disks"]), profile.monitor.disks.keys().collect());
    for service in &context.system.services {
        add(service.option("mounts"), service.spec.mounts.keys().collect());
        add(service.option("writable"), service.spec.writable.keys().collect());
    }
    for service in &context.system.services {
        let devices = service.option("sandbox.devices");
        named.extend(service.spec.sandbox.devices.keys().map(|key| (devices.member(key), key)));
    }
    for (place, key) in named.into_iter().filter(|(_, key)| !key.starts_with("/dev/") || !is_plain_path(key)) {
        findings.push(
            Finding::error(PATH, format!("{key:?} is not the path of a device"))
                .at(place, "written here")
                .help("write the path of its node, such as `\"/dev/ttyUSB0\"`"),
        );
    }
}

/// Returns whether a path is absolute and has no `.`, `..`, empty part or control character.
pub fn is_plain_path(path: &str) -> bool {
    path == "/"
        || path.strip_prefix('/').is_some_and(|rest| {
            rest.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
                && !rest.contains(|char: char| char.is_control())
        })
}

fn wrong_path(place: OptionPath, path: &str) -> Finding {
    Finding::error(PATH, format!("{path:?} is not a plain absolute path"))
        .at(place, "written here")
        .help("write a path that starts with `/`, does not end in `/`, and has no `.`, `..` or empty part")
}

/// Addresses and networks that are none.
fn check_addresses(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let mut judge = |place: OptionPath, address: &str| {
        if address.parse::<std::net::IpAddr>().is_err() {
            findings.push(
                Finding::error(ADDRESS, format!("{address:?} is not an IP address"))
                    .at(place, "written here")
                    .help("write an IPv4 or IPv6 address, such as `\"127.0.0.1\"` or `\"::1\"`"),
            );
        }
    };
    for service in &context.system.services {
        judge(service.option("address"), &service.spec.address);
    }
    for (key, socket) in &context.system.profile.sockets {
        judge(OptionPath::new(["sockets", key, "address"]), &socket.address);
    }
    for service in &context.system.services {
        check_networks(&service.option("network.allow"), &service.spec.network.allow, findings);
    }
}

fn check_networks(origin: &OptionPath, networks: &Set, findings: &mut Vec<Finding>) {
    for network in networks.keys().filter(|network| !is_network(network)) {
        findings.push(
            Finding::error(ADDRESS, format!("{network:?} is not a network"))
                .at(origin.member(network), "written here")
                .help("write an address with a prefix length, such as `\"192.168.10.0/24\"`"),
        );
    }
}

fn is_network(network: &str) -> bool {
    let named = ["any", "localhost", "link-local", "multicast"].contains(&network);
    let (address, prefix) = match network.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (network, None),
    };
    let fits = |longest: u8| prefix.is_none_or(|prefix| prefix.parse::<u8>().is_ok_and(|length| length <= longest));
    named
        || match address.parse() {
            Ok(std::net::IpAddr::V4(_)) => fits(32),
            Ok(std::net::IpAddr::V6(_)) => fits(128),
            Err(_) => false,
        }
}

/// Units of the profile that would hide one of the host or of systemd, or one another.
fn check_units_of_others(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let system = context.system;
    let origins = (system.services.iter().map(|service| (service.unit.as_str(), service.origin.clone())))
        .chain(system.targets.iter().map(|(key, unit)| (unit.as_str(), OptionPath::new(["targets", key]))))
        .chain(system.timers.iter().map(|(key, unit)| (unit.as_str(), OptionPath::new(["timers", key]))))
        .chain(system.sockets.iter().map(|(key, unit)| (unit.as_str(), OptionPath::new(["sockets", key]))))
        .chain(system.slices.iter().map(|(key, unit)| (unit.as_str(), OptionPath::new(["slices", key]))))
        .chain([(system.main_target.as_str(), OptionPath::new(["target"]))])
        .chain(system.profile.units.keys().map(|name| (name.as_str(), OptionPath::new(["units"]).member(name))));
    for (unit, origin) in origins {
        let theirs = if system.profile.host.units.get(unit) == Some(&true) { "the host" } else { "systemd" };
        if theirs == "the host" || (is_system_unit(unit) && UnitName::parse(unit).is_some_and(is_no_resource)) {
            findings.push(
                Finding::error(DUPLICATE, format!("{unit} is the name of a unit of {theirs} already"))
                    .at(origin, "this would hide it")
                    .help("give it another name with `unit`, or refer to the other one by its whole name"),
            );
        }
    }
}

fn is_no_resource(unit: UnitName) -> bool {
    !matches!(unit.kind(), UnitKind::Mount | UnitKind::Automount | UnitKind::Swap | UnitKind::Device | UnitKind::Scope)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{found, service};

    #[test]
    fn names_that_cannot_be_units_are_refused() {
        assert_eq!(
            found(json!({
                "services": { "bad name": service(json!({})) },
            })),
            ["C0104 error services.\"bad name\": \"bad name\" cannot be used as a name"]
        );
    }

    #[test]
    fn paths_must_be_plain() {
        assert_eq!(
            found(json!({ "directories": { "srv/../x": {}, "/srv/x": {} } })),
            ["C0105 error directories.\"srv/../x\": \"srv/../x\" is not a plain absolute path"]
        );
    }

    #[test]
    fn addresses_and_networks_must_exist() {
        let lines = found(json!({ "services": { "web": service(json!({
            "address": "127.0.0.300",
            "network": { "allow": { "10.0.0.0/8": true, "10.0.0.0/33": true } },
        })) } }));
        assert_eq!(
            lines,
            [
                "C0106 error services.web.address: \"127.0.0.300\" is not an IP address",
                "C0106 error services.web.network.allow.\"10.0.0.0/33\": \"10.0.0.0/33\" is not a network",
            ]
        );
    }

    #[test]
    fn a_unit_of_the_host_is_not_hidden() {
        assert_eq!(
            found(json!({
                "host": { "units": { "redis.service": true } },
                "services": { "redis": service(json!({})), "web": service(json!({})) },
            })),
            ["C0102 error services.redis: redis.service is the name of a unit of the host already"]
        );
    }
}
