//! What it takes for a changed directive to take effect on a unit that runs.

use super::compare::Difference;
use crate::bundle::unit::UnitKind;
use crate::bundle::unit::directives::{Lookup, lookup};

/// What it takes, from the least to the most disruptive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// systemd does not look at it.
    None,
    /// systemd applies it when it reads its units again, or at the next start or stop.
    ManagerReload,
    /// The unit can take it over while it runs.
    Reload,
    /// It shapes the process, so there has to be a new one.
    Process,
    /// The unit has to stop under its old definition.
    StopFirst,
}

/// Returns what it takes for the difference to take effect.
pub fn effect(kind: UnitKind, difference: &Difference) -> Effect {
    let (section, key) = (difference.section.as_str(), difference.key.as_str());
    if section.starts_with("X-") || key.starts_with("X-") {
        return Effect::None;
    }
    match (section, kind) {
        ("Install", _) => Effect::ManagerReload,
        ("Unit", _) => match lookup(section, key, u32::MAX) {
            // It takes effect when the process gets its namespaces.
            _ if key == "JoinsNamespaceOf" => Effect::Process,
            Lookup::Unknown { .. } | Lookup::WrongSection { .. } => Effect::Process,
            _ => Effect::ManagerReload,
        },
        ("Slice" | "Path" | "Timer" | "Scope", _) => Effect::ManagerReload,
        ("Service", UnitKind::Service) => service(difference),
        ("Socket", UnitKind::Socket) => socket(key),
        ("Mount", UnitKind::Mount) => match key {
            "What" | "Where" | "Type" => Effect::StopFirst,
            "Options" | "ReadWriteOnly" => Effect::Reload,
            _ => known(section, key),
        },
        // Swap space cannot be reloaded.
        ("Swap", UnitKind::Swap) => match key {
            "What" | "Options" | "Priority" => Effect::StopFirst,
            _ => known(section, key),
        },
        ("Automount", UnitKind::Automount) => match key {
            "Where" | "ExtraOptions" => Effect::StopFirst,
            _ => known(section, key),
        },
        _ => Effect::Process,
    }
}

/// The commands of units that run no service but for a moment: what is known is used at the next one.
fn known(section: &str, key: &str) -> Effect {
    match lookup(section, key, u32::MAX) {
        Lookup::Unknown { .. } | Lookup::WrongSection { .. } => Effect::Process,
        _ => Effect::ManagerReload,
    }
}

fn service(difference: &Difference) -> Effect {
    let key = difference.key.as_str();
    let timing = ["Restart", "Timeout", "StartLimit"];
    if is_resource_control(key)
        || timing.iter().any(|prefix| key.starts_with(prefix))
        || AT_THE_NEXT_STOP.contains(&key)
    {
        return Effect::ManagerReload;
    }
    match key {
        "ExecStartPre" | "ExecStartPost" | "ExecCondition" if only_own_checks_differ(difference) => {
            Effect::ManagerReload
        }
        _ => Effect::Process,
    }
}

/// Directives of services that count when the service stops, fails or reloads.
const AT_THE_NEXT_STOP: [&str; 20] = [
    "ExecReload",
    "ExecReloadPost",
    "ExecStop",
    "ExecStopPost",
    "FailureAction",
    "FinalKillSignal",
    "KillMode",
    "KillSignal",
    "OOMPolicy",
    "RebootArgument",
    "RefreshOnReload",
    "ReloadSignal",
    "RuntimeDirectoryPreserve",
    "RuntimeMaxSec",
    "RuntimeRandomizedExtraSec",
    "SendSIGHUP",
    "SendSIGKILL",
    "SuccessExitStatus",
    "SurviveFinalKillSignal",
    "WatchdogSignal",
];

fn socket(key: &str) -> Effect {
    let at_the_next_event =
        ["MaxConnections", "MaxConnectionsPerSource", "RemoveOnStop", "FinalKillSignal", "KillMode", "KillSignal"];
    let harmless = is_resource_control(key)
        || ["Exec", "Timeout", "TriggerLimit", "PollLimit", "SendSIG"].iter().any(|prefix| key.starts_with(prefix))
        || at_the_next_event.contains(&key);
    if harmless { Effect::ManagerReload } else { Effect::StopFirst }
}

/// Whether systemd writes it into the control group of a running unit when it reads its units again.
///
/// Those of systemd.resource-control(5), without what a control group or process only gets when it is made: `Slice=`,
/// `Delegate=`, `DelegateSubgroup=` and the files for pressure, which a process learns by environment variables.
fn is_resource_control(key: &str) -> bool {
    const GROUPS: [&str; 17] = [
        "AllowedCPUs",
        "AllowedMemoryNodes",
        "BPFProgram",
        "BindNetworkInterface",
        "BlockIO",
        "CPUAccounting",
        "CPUQuota",
        "CPUSetPartition",
        "CPUShares",
        "CPUWeight",
        "Device",
        "DisableControllers",
        "IPAddress",
        "ManagedOOM",
        "NFTSet",
        "SocketBind",
        "Tasks",
    ];
    const SINGLE: [&str; 28] = [
        "CoredumpReceive",
        "DefaultMemoryLow",
        "DefaultMemoryMin",
        "DefaultStartupMemoryLow",
        "IOAccounting",
        "IODeviceLatencyTargetSec",
        "IODeviceWeight",
        "IOReadBandwidthMax",
        "IOReadIOPSMax",
        "IOWeight",
        "IOWriteBandwidthMax",
        "IOWriteIOPSMax",
        "IPAccounting",
        "IPEgressFilterPath",
        "IPIngressFilterPath",
        "MemoryAccounting",
        "MemoryHigh",
        "MemoryLimit",
        "MemoryLow",
        "MemoryMax",
        "MemoryMin",
        "MemorySwapMax",
        "MemoryZSwapMax",
        "MemoryZSwapWriteback",
        "NetClass",
        "OOMRules",
        "RestrictNetworkInterfaces",
        "StartupIOWeight",
    ];
    key.starts_with("Startup") || GROUPS.iter().any(|group| key.starts_with(group)) || SINGLE.contains(&key)
}

/// Whether the command lines differ only in checks of citadel itself, which change nothing about the process.
fn only_own_checks_differ(difference: &Difference) -> bool {
    let others =
        |lines: &[String]| -> Vec<String> { lines.iter().filter(|line| !is_own_check(line)).cloned().collect() };
    others(&difference.old) == others(&difference.new)
}

fn is_own_check(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let program = words.next().unwrap_or_default();
    program.rsplit('/').next() == Some("citadel-activate") && matches!(words.next(), Some("preflight" | "wait-ready"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: UnitKind, section: &str, key: &str) -> Effect {
        let values = |text: &str| vec![text.to_owned()];
        let difference =
            Difference { section: section.to_owned(), key: key.to_owned(), old: values("1"), new: values("2") };
        effect(kind, &difference)
    }

    #[test]
    fn directives_of_services() {
        use Effect::{ManagerReload, None, Process};
        for (section, key, expected) in [
            ("Unit", "Description", ManagerReload),
            ("Unit", "After", ManagerReload),
            ("Unit", "OnFailure", ManagerReload),
            ("Unit", "StartLimitBurst", ManagerReload),
            ("Unit", "ConditionPathExists", ManagerReload),
            ("Unit", "JoinsNamespaceOf", Process),
            ("Unit", "Descriptoin", Process),
            ("Install", "WantedBy", ManagerReload),
            ("X-Mine", "Anything", None),
            ("Service", "X-Note", None),
            ("Service", "MemoryMax", ManagerReload),
            ("Service", "StartupCPUWeight", ManagerReload),
            ("Service", "DeviceAllow", ManagerReload),
            ("Service", "IPAddressAllow", ManagerReload),
            ("Service", "MemoryPressureWatch", Process),
            ("Service", "MemoryDenyWriteExecute", Process),
            ("Service", "IOSchedulingClass", Process),
            ("Service", "CPUAffinity", Process),
            ("Service", "CPUSchedulingPolicy", Process),
            ("Service", "Slice", Process),
            ("Service", "Delegate", Process),
            ("Service", "RestartSec", ManagerReload),
            ("Service", "RestrictNamespaces", Process),
            ("Service", "TimeoutStartSec", ManagerReload),
            ("Service", "ExecStop", ManagerReload),
            ("Service", "ExecStart", Process),
            ("Service", "ExecStartPre", Process),
            ("Service", "KillMode", ManagerReload),
            ("Service", "Environment", Process),
            ("Service", "EnvironmentFile", Process),
            ("Service", "User", Process),
            ("Service", "LimitNOFILE", Process),
            ("Service", "LoadCredential", Process),
            ("Service", "WatchdogSec", Process),
            ("Service", "WatchdogSignal", ManagerReload),
            ("Service", "Type", Process),
            ("Service", "StandardOutput", Process),
            ("Service", "Invented", Process),
            ("Invented", "Key", Process),
        ] {
            assert_eq!(of(UnitKind::Service, section, key), expected, "[{section}] {key}=");
        }
    }

    #[test]
    fn directives_of_other_units() {
        use Effect::{ManagerReload, Process, Reload, StopFirst};
        for (kind, section, key, expected) in [
            (UnitKind::Socket, "Socket", "ListenStream", StopFirst),
            (UnitKind::Socket, "Socket", "SocketMode", StopFirst),
            (UnitKind::Socket, "Socket", "TimeoutSec", ManagerReload),
            (UnitKind::Socket, "Socket", "ExecStartPre", ManagerReload),
            (UnitKind::Socket, "Socket", "IPAddressAllow", ManagerReload),
            (UnitKind::Socket, "Unit", "Description", ManagerReload),
            (UnitKind::Timer, "Timer", "OnCalendar", ManagerReload),
            (UnitKind::Path, "Path", "PathExists", ManagerReload),
            (UnitKind::Slice, "Slice", "MemoryMax", ManagerReload),
            (UnitKind::Target, "Unit", "Wants", ManagerReload),
            (UnitKind::Mount, "Mount", "What", StopFirst),
            (UnitKind::Mount, "Mount", "Options", Reload),
            (UnitKind::Mount, "Mount", "TimeoutSec", ManagerReload),
            (UnitKind::Mount, "Mount", "Invented", Process),
            (UnitKind::Swap, "Swap", "What", StopFirst),
            (UnitKind::Swap, "Swap", "Options", StopFirst),
            (UnitKind::Automount, "Automount", "Where", StopFirst),
            (UnitKind::Automount, "Automount", "TimeoutIdleSec", ManagerReload),
        ] {
            assert_eq!(of(kind, section, key), expected, "{kind:?} [{section}] {key}=");
        }
    }

    #[test]
    fn checks_of_citadel_do_not_shape_the_process() {
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let preflight = "/usr/local/bin/citadel-activate preflight a";
        let ready = "/usr/local/bin/citadel-activate wait-ready a --main-pid $MAINPID";
        for (key, old, new, expected) in [
            ("ExecStartPre", lines(&[]), lines(&[preflight]), Effect::ManagerReload),
            ("ExecStartPost", lines(&[ready]), lines(&["/bin/a", ready]), Effect::Process),
            ("ExecStartPost", lines(&["/bin/a", ready]), lines(&["/bin/a"]), Effect::ManagerReload),
            ("ExecStartPre", lines(&[]), lines(&["/usr/local/bin/citadel-activate gpu apply"]), Effect::Process),
            ("ExecStart", lines(&[]), lines(&[preflight]), Effect::Process),
        ] {
            let difference = Difference { section: "Service".to_owned(), key: key.to_owned(), old, new };
            assert_eq!(effect(UnitKind::Service, &difference), expected, "{difference:?}");
        }
    }
}
