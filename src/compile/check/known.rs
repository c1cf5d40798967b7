//! The names that a profile may refer to: its own, those of the host, and those that every systemd brings.

use std::collections::{BTreeMap, BTreeSet};

use crate::bundle::unit::UnitKind;
use crate::compile::config::{Start, members};
use crate::compile::lower::Lowered;
use crate::compile::system::System;

/// Units of systemd itself that a service may sensibly order itself by; see systemd.special(7).
const SYSTEM_UNITS: &[&str] = &[
    "basic.target",
    "bluetooth.target",
    "cryptsetup.target",
    "default.target",
    "emergency.target",
    "exit.target",
    "final.target",
    "getty.target",
    "graphical.target",
    "halt.target",
    "hibernate.target",
    "hybrid-sleep.target",
    "kexec.target",
    "local-fs-pre.target",
    "local-fs.target",
    "machines.target",
    "multi-user.target",
    "network-online.target",
    "network-pre.target",
    "network.target",
    "nss-lookup.target",
    "nss-user-lookup.target",
    "paths.target",
    "poweroff.target",
    "reboot.target",
    "remote-cryptsetup.target",
    "remote-fs-pre.target",
    "remote-fs.target",
    "rescue.target",
    "rpcbind.target",
    "shutdown.target",
    "sigpwr.target",
    "sleep.target",
    "slices.target",
    "sockets.target",
    "sound.target",
    "suspend-then-hibernate.target",
    "suspend.target",
    "swap.target",
    "sysinit.target",
    "time-set.target",
    "time-sync.target",
    "timers.target",
    "umount.target",
    "usb-gadget.target",
    "veritysetup.target",
    "dbus.service",
    "dbus.socket",
    "kmod-static-nodes.service",
    "-.mount",
    "-.slice",
    "machine.slice",
    "system.slice",
    "user.slice",
    "init.scope",
    "tmp.mount",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
];

/// Templates of systemd itself.
const SYSTEM_TEMPLATES: &[&str] =
    &["modprobe@", "getty@", "serial-getty@", "autovt@", "user@", "user-runtime-dir@", "systemd-"];

/// Users that every system has (systemd's `basic.conf`).
const SYSTEM_USERS: &[&str] = &["root", "nobody"];

/// Groups that every system has (systemd's `basic.conf` and `systemd-journal.conf`).
const SYSTEM_GROUPS: &[&str] = &[
    "root",
    "adm",
    "audio",
    "cdrom",
    "clock",
    "dialout",
    "disk",
    "input",
    "kmem",
    "kvm",
    "lp",
    "render",
    "sgx",
    "systemd-journal",
    "tape",
    "tty",
    "users",
    "utmp",
    "video",
    "wheel",
];

pub struct Known<'a> {
    /// Services of the profile by key.
    pub services: BTreeMap<&'a str, usize>,
    /// Every unit that the profile makes, by whole name.
    pub made: BTreeSet<String>,
    pub users: BTreeSet<&'a str>,
    pub groups: BTreeSet<&'a str>,
    /// Mount points of the host and of the profile, but for `/`.
    pub mounts: BTreeSet<&'a str>,
    system: &'a System,
}

impl<'a> Known<'a> {
    pub fn new(system: &'a System, lowered: &'a Lowered) -> Self {
        let profile = &system.profile;
        let host = &profile.host;
        let users: BTreeSet<&str> = (profile.users.keys().map(String::as_str))
            .chain(members(&host.users))
            .chain(SYSTEM_USERS.iter().copied())
            .chain(system.services.iter().filter(|service| made_here(system, service)).map(|it| it.user.user.as_str()))
            .collect();
        let groups: BTreeSet<&str> = (profile.user_groups.keys().map(String::as_str))
            .chain(members(&host.groups))
            .chain(SYSTEM_GROUPS.iter().copied())
            .chain(profile.users.iter().filter(|(_, user)| user.group.is_none()).map(|(name, _)| name.as_str()))
            .chain(system.services.iter().filter(|service| made_here(system, service)).map(|it| it.user.user.as_str()))
            .collect();
        Known {
            services: system.services.iter().enumerate().map(|(at, service)| (service.key.as_str(), at)).collect(),
            made: made(system).chain(lowered.units.iter().map(|unit| unit.name.to_string())).collect(),
            users,
            groups,
            mounts: (profile.storage.mounts.keys())
                .chain(host.mounts.keys())
                .map(String::as_str)
                .filter(|path| *path != "/")
                .collect(),
            system,
        }
    }

    /// Returns whether a name in `after`, `requires`, ... means something: a key of the profile or a known unit.
    pub fn is_unit_reference(&self, name: &str) -> bool {
        let system = self.system;
        self.services.contains_key(name)
            || system.targets.contains_key(name)
            || system.timers.contains_key(name)
            || system.sockets.contains_key(name)
            || self.is_unit(name)
    }

    /// Returns whether a unit of this whole name is there: made here, on the host, or part of systemd.
    pub fn is_unit(&self, name: &str) -> bool {
        let template = || name.split_once('@').and_then(|(stem, _)| Some((stem, name.rsplit_once('.')?.1)));
        let has = |name: &str| self.made.contains(name) || self.system.profile.host.units.get(name) == Some(&true);
        has(name) || is_system_unit(name) || template().is_some_and(|(stem, suffix)| has(&format!("{stem}@.{suffix}")))
    }

    /// Returns names that a reference to a unit may use, for suggestions.
    pub fn unit_names(&self) -> impl Iterator<Item = &str> {
        self.system
            .keys()
            .chain(self.made.iter().map(String::as_str))
            .chain(members(&self.system.profile.host.units))
            .chain(SYSTEM_UNITS.iter().copied())
    }
}

/// Returns whether citadel makes the user of a service: its own, or the one of its application.
fn made_here(system: &System, service: &crate::compile::system::ServiceView) -> bool {
    let of_app = || {
        let [apps, name, _] = service.origin.0.as_slice() else { return false };
        apps == "apps"
            && service.user.user == format!("citadel-{name}")
            && system.profile.apps.get(name).is_some_and(|app| app.user.is_none())
    };
    service.user.own || of_app()
}

/// Returns whether systemd brings the unit, or makes it of something that is no file.
pub fn is_system_unit(name: &str) -> bool {
    let made_by_itself = [".device", ".scope", ".swap", ".mount", ".automount"];
    SYSTEM_UNITS.contains(&name)
        || SYSTEM_TEMPLATES.iter().any(|stem| name.starts_with(stem))
        || made_by_itself.iter().any(|suffix| name.ends_with(suffix))
        || (name.starts_with("user-") && name.ends_with(".slice"))
}

/// Returns the names of the units that follow from the profile, raw ones aside.
pub fn generated(system: &System) -> impl Iterator<Item = String> {
    let on_demand =
        system.services.iter().filter(|service| service.spec.start == Start::OnDemand).flat_map(|service| {
            let stem = service.unit.stem();
            [
                format!("{stem}.{}", UnitKind::Socket.suffix()),
                format!("{stem}-proxy.{}", UnitKind::Socket.suffix()),
                format!("{stem}-proxy.{}", UnitKind::Service.suffix()),
            ]
        });
    (system.services.iter().map(|service| service.unit.to_string()))
        .chain(system.targets.values().map(ToString::to_string))
        .chain(system.timers.values().map(ToString::to_string))
        .chain(system.sockets.values().map(ToString::to_string))
        .chain(system.slices.values().map(ToString::to_string))
        .chain([system.main_target.to_string()])
        .chain(on_demand)
}

fn made(system: &System) -> impl Iterator<Item = String> {
    generated(system).chain(system.profile.units.keys().cloned())
}
