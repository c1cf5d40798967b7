//! What a unit may do, read from its file and from the manifest, and how that changes.
//!
//! This is what a reviewer has to know whatever a score says. It needs no systemd, so it is the same everywhere.

use std::collections::BTreeSet;

use super::budget::listen;
use super::model::{Effect, Power, SecurityChange};
use super::rename::Renames;
use super::units;
use crate::bundle::Bundle;
use crate::bundle::manifest::{FileKind, UnitEntry};
use crate::bundle::unit::UnitFile;

/// Returns what is gained or lost, what is weaker first.
pub fn compare(
    old: &Bundle,
    new: &Bundle,
    renames: &Renames,
    changed: &[super::model::UnitChange],
) -> Vec<SecurityChange> {
    let mut changes = Vec::new();
    for unit in changed {
        let old_name = renames.old_unit(&unit.name).unwrap_or(&unit.name);
        let both = old.manifest.units.contains_key(old_name) && new.manifest.units.contains_key(&unit.name);
        let (before, after) = (facts(old, old_name, both), facts(new, &unit.name, both));
        push(&unit.name, &before, &after, &mut changes);
    }
    modes(old, new, &mut changes);
    changes.sort();
    changes
}

/// Something that a unit may do, or must not although it otherwise might.
type Fact = (Power, String, bool);

fn push(unit: &str, before: &BTreeSet<Fact>, after: &BTreeSet<Fact>, changes: &mut Vec<SecurityChange>) {
    let gained = after.difference(before).map(|fact| (fact, true));
    let lost = before.difference(after).map(|fact| (fact, false));
    for ((kind, what, forbids), gained) in gained.chain(lost) {
        let effect = if gained == *forbids { Effect::Stronger } else { Effect::Weaker };
        changes.push(SecurityChange { effect, kind: *kind, unit: unit.to_owned(), what: what.clone() });
    }
}

fn facts(bundle: &Bundle, name: &str, both: bool) -> BTreeSet<Fact> {
    let Some(entry) = bundle.manifest.units.get(name) else { return BTreeSet::new() };
    let mut facts = Facts(BTreeSet::new());
    for listened in &entry.listens {
        facts.may(Power::OpenPort, listen(&listened.address, listened.port));
    }
    if name.ends_with(".service")
        && let Some(unit) = units::read(units::content(bundle, entry))
    {
        facts.service(&unit, both);
    }
    credentials(entry, &mut facts);
    facts.0
}

fn credentials(entry: &UnitEntry, facts: &mut Facts) {
    for credential in &entry.credentials {
        facts.may(Power::Credential, credential.clone());
    }
}

struct Facts(BTreeSet<Fact>);

impl Facts {
    fn may(&mut self, power: Power, what: impl Into<String>) {
        self.0.insert((power, what.into(), false));
    }

    fn must_not(&mut self, power: Power, what: impl Into<String>) {
        self.0.insert((power, what.into(), true));
    }

    /// `both` is whether the unit is on both sides; for a new one, each protection that it lacks would be noise.
    fn service(&mut self, unit: &UnitFile, both: bool) {
        let value = |key| unit.value("Service", key);
        if value("User").is_none_or(|user| matches!(user, "root" | "0")) && !is_on(value("DynamicUser")) {
            self.may(Power::Root, "");
        }
        self.commands(unit);
        self.filter(unit, "CapabilityBoundingSet", Power::Capability);
        for capability in words(unit, "AmbientCapabilities") {
            self.may(Power::Capability, format!("{capability} from the start"));
        }
        self.network(unit);
        self.paths(unit);
        self.devices(unit);
        for key in ["LoadCredential", "LoadCredentialEncrypted", "SetCredential", "SetCredentialEncrypted"] {
            for value in lines(unit, key) {
                self.may(Power::Credential, value.split(':').next().unwrap_or_default());
            }
        }
        for group in words(unit, "SupplementaryGroups") {
            self.may(Power::Group, group);
        }
        self.filter(unit, "SystemCallFilter", Power::SystemCalls);
        self.filter(unit, "RestrictAddressFamilies", Power::AddressFamily);
        for key in PROTECTIONS {
            if !is_on(value(key)) && (both || key == "NoNewPrivileges") {
                self.may(Power::Unprotected, key);
            }
        }
        if !both {
            // Of a unit that is new, what is forbidden and what every filter lets through says nothing.
            let filtered = |power: Power| matches!(power, Power::SystemCalls | Power::AddressFamily);
            self.0.retain(|(power, what, forbids)| !forbids && (!filtered(*power) || what == "all"));
        }
    }

    /// Commands with full privileges in a service that has fewer.
    fn commands(&mut self, unit: &UnitFile) {
        for entry in unit.section("Service").filter(|entry| entry.key.starts_with("Exec")) {
            let prefix: String = entry.value.chars().take_while(|it| "@-:+!|".contains(*it)).collect();
            if prefix.contains(['+', '!']) {
                let command = super::store::mask(&entry.value);
                self.may(Power::Root, format!("{}={command}", entry.key));
            }
        }
    }

    /// A list of what is allowed; without one everything is. What stands behind `~` is taken out of it.
    fn filter(&mut self, unit: &UnitFile, key: &str, power: Power) {
        let mut any = false;
        for value in unit.values("Service", key) {
            any = true;
            let (denies, words) = match value.strip_prefix('~') {
                Some(words) => (true, words),
                None => (false, value),
            };
            if value.is_empty() {
                self.0.retain(|(other, ..)| *other != power);
                any = key == "CapabilityBoundingSet";
            }
            for word in words.split_whitespace() {
                match denies {
                    true => self.must_not(power, format!("all but {word}")),
                    false => self.may(power, word),
                }
            }
        }
        if !any {
            self.may(power, "all");
        }
    }

    fn network(&mut self, unit: &UnitFile) {
        if is_on(unit.value("Service", "PrivateNetwork")) {
            return;
        }
        let allowed = words(unit, "IPAddressAllow");
        if words(unit, "IPAddressDeny").iter().any(|word| word == "any") {
            // The host itself is no network.
            let networks = allowed.into_iter().filter(|network| network != "localhost");
            networks.for_each(|network| self.may(Power::Network, network));
        } else {
            self.may(Power::Network, "any");
        }
    }

    fn paths(&mut self, unit: &UnitFile) {
        if unit.value("Service", "ProtectSystem") != Some("strict") {
            self.may(Power::WritablePath, "what its user may write, because ProtectSystem is not strict");
        }
        for key in ["ReadWritePaths", "BindPaths"] {
            for path in words(unit, key) {
                self.may(Power::WritablePath, path.trim_start_matches(['-', '+', '"']).trim_end_matches('"'));
            }
        }
        for (key, place) in [
            ("StateDirectory", "/var/lib"),
            ("CacheDirectory", "/var/cache"),
            ("LogsDirectory", "/var/log"),
            ("RuntimeDirectory", "/run"),
            ("ConfigurationDirectory", "/etc"),
        ] {
            for name in words(unit, key) {
                self.may(Power::WritablePath, format!("{place}/{name}"));
            }
        }
    }

    fn devices(&mut self, unit: &UnitFile) {
        let closed = matches!(unit.value("Service", "DevicePolicy"), Some("closed" | "strict"));
        let allowed = lines(unit, "DeviceAllow");
        if allowed.is_empty() && !closed && !is_on(unit.value("Service", "PrivateDevices")) {
            self.may(Power::Device, "all");
        }
        allowed.into_iter().for_each(|device| self.may(Power::Device, device));
    }
}

/// Protections that are on or off.
const PROTECTIONS: [&str; 20] = [
    "LockPersonality",
    "MemoryDenyWriteExecute",
    "NoNewPrivileges",
    "PrivateDevices",
    "PrivateIPC",
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
    "ProtectSystem",
];

fn is_on(value: Option<&str>) -> bool {
    value.is_some_and(|value| !matches!(value.to_ascii_lowercase().as_str(), "0" | "no" | "n" | "false" | "f" | "off"))
}

/// Returns the assignments of a list that count: those behind the last empty one.
fn lines(unit: &UnitFile, key: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for value in unit.values("Service", key) {
        match value.is_empty() {
            true => lines.clear(),
            false => lines.push(super::store::mask(value)),
        }
    }
    lines
}

fn words(unit: &UnitFile, key: &str) -> Vec<String> {
    lines(unit, key).iter().flat_map(|line| line.split_whitespace()).map(str::to_owned).collect()
}

/// Files that more than root may write, or everybody may read although others of the kind are closed.
fn modes(old: &Bundle, new: &Bundle, changes: &mut Vec<SecurityChange>) {
    let facts = |bundle: &Bundle| -> BTreeSet<Fact> {
        let mut facts = Facts(BTreeSet::new());
        for (path, entry) in &bundle.manifest.files {
            let bits = u32::from_str_radix(&entry.mode, 8).unwrap_or(0o7777);
            let foreign = entry.owner != "root" || (entry.group != "root" && bits & 0o020 != 0);
            if entry.kind != FileKind::Profile && (bits & 0o7002 != 0 || foreign) {
                let what = format!("{} {}:{} {path}", entry.mode, entry.owner, entry.group);
                facts.may(Power::FileMode, what);
            }
        }
        facts.0
    };
    push("", &facts(old), &facts(new), changes);
}
