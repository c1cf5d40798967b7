//! The manifest: everything that a bundle contains and asks for, in one versioned file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::digest::Digest;

/// The version of the manifest that this program writes.
pub const VERSION: u32 = 1;

/// The name of the manifest's file in a bundle.
pub const FILE_NAME: &str = "manifest.json";

/// Where content-addressed files lie on a host.
pub const STORE: &str = "/etc/citadel/store";

/// The state directory, below `/var/lib`, of the service that applies settings of GPUs: what they had before is there.
pub const GPU_STATE: &str = "citadel-gpu";

/// Where systemd looks for credentials that are encrypted, and for those that are not.
pub const ENCRYPTED_CREDENTIALS: &str = "/etc/credstore.encrypted";
pub const PLAIN_CREDENTIALS: &str = "/etc/credstore";

/// Returns where a host keeps a credential.
pub fn credential_path(name: &str, encrypted: bool) -> String {
    format!("{}/{name}", if encrypted { ENCRYPTED_CREDENTIALS } else { PLAIN_CREDENTIALS })
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this format.
    pub version: u32,
    /// The name of the profile, such as `production`.
    pub profile: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub compiler: Compiler,
    pub requires: Requirements,
    /// The target that contains all units.
    pub main_target: String,
    /// Every file of the bundle but the manifest, by its path in the bundle.
    pub files: BTreeMap<String, FileEntry>,
    /// Every unit by its whole name.
    pub units: BTreeMap<String, UnitEntry>,
    /// The deployment phases, in their order.
    pub phases: Vec<PhaseEntry>,
    /// Names for several services, for commands.
    pub groups: BTreeMap<String, Vec<String>>,
    pub credentials: BTreeMap<String, CredentialEntry>,
    pub budget: Budget,
    /// The profile and everything that it imports, by path from the project's root; those of the module library begin
    /// with `citadel:`.
    pub inputs: BTreeMap<String, Digest>,
}

impl Manifest {
    /// Returns what is left without the lists that grow with the number of services: files, units, budget and inputs.
    pub fn without_lists(&self) -> Self {
        Manifest {
            version: self.version,
            profile: self.profile.clone(),
            description: self.description.clone(),
            compiler: self.compiler.clone(),
            requires: self.requires.clone(),
            main_target: self.main_target.clone(),
            files: BTreeMap::new(),
            units: BTreeMap::new(),
            phases: self.phases.clone(),
            groups: self.groups.clone(),
            credentials: self.credentials.clone(),
            budget: Budget::default(),
            inputs: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Compiler {
    pub citadel: String,
    pub nickel: String,
}

/// What a host must have for the bundle to work there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Requirements {
    /// The lowest version of systemd that knows every directive of the bundle.
    pub systemd: u32,
    /// The name of the host in the profile; for people.
    pub host: String,
    pub cpus: u32,
    pub memory_bytes: u64,
    pub gpus: Vec<RequiredGpu>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cuda: Option<String>,
    /// Mount points that units need.
    pub mounts: Vec<String>,
    /// Units that others must bring.
    pub units: Vec<String>,
    /// Users and groups that others must bring.
    pub users: Vec<String>,
    pub groups: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RequiredGpu {
    pub name: String,
    pub index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pci_address: Option<String>,
    pub memory_bytes: u64,
}

/// What a file of the bundle is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A unit file.
    Unit,
    /// Environment variables of a unit.
    Env,
    /// A configuration file that a unit reads.
    Config,
    Logrotate,
    Udev,
    Tmpfiles,
    Sysusers,
    ModulesLoad,
    /// A file that the profile wrote out itself.
    Raw,
    /// The evaluated profile; it is installed nowhere and serves people and tools.
    Profile,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    pub kind: FileKind,
    /// Where the file belongs on a host; none for units, which the generator links, and for the profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Permission bits in octal.
    pub mode: String,
    pub owner: String,
    pub group: String,
    pub size: u64,
    pub sha256: Digest,
}

/// What a switch does with a unit whose process would change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangePolicy {
    Auto,
    Restart,
    Reload,
    Keep,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UnitEntry {
    /// Its file in the bundle.
    pub file: String,
    /// The name of the service, timer, ... in the profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The units that start it at boot (`WantedBy=`); the generator makes the links.
    pub wanted_by: Vec<String>,
    /// Files of the bundle that it reads, by their path in the bundle.
    pub files: Vec<String>,
    pub credentials: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    pub on_change: ChangePolicy,
    /// Whether it can read its configuration again without a restart.
    pub can_reload: bool,
    /// Ports that it listens on.
    pub listens: Vec<Listen>,
    /// Names of GPUs that it uses.
    pub gpus: Vec<String>,
    /// Health probes by name, as in the profile, with ports filled in.
    pub health: BTreeMap<String, Value>,
    /// Checks before a start by name, as in the profile.
    pub preflight: BTreeMap<String, Value>,
    /// The probe that a start waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    pub address: String,
    pub port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseEntry {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub deadline_seconds: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub encrypted: bool,
    /// Where the host keeps it.
    pub path: String,
    /// Units that need it.
    pub units: Vec<String>,
}

/// What the services take from the machine at most, at the same time.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    pub gpus: Vec<GpuBudget>,
    pub memory: MemoryBudget,
    pub ports: Vec<PortUse>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GpuBudget {
    /// Its name in the profile.
    pub name: String,
    pub device: String,
    pub index: u32,
    pub total_bytes: u64,
    pub reserved_bytes: u64,
    /// The most that services which can run at the same time take.
    pub committed_bytes: u64,
    /// What each service takes, and whether it starts at boot, on demand or by hand.
    pub services: Vec<GpuShare>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GpuShare {
    pub service: String,
    pub bytes: u64,
    /// `boot`, `on_demand` or `manual`.
    pub start: String,
    /// Exclusion groups.
    pub exclusive: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryBudget {
    pub total_bytes: u64,
    /// The sum of the `memory_max` of services that can run at the same time.
    pub committed_bytes: u64,
    /// Services without a `memory_max`.
    pub unlimited: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PortUse {
    pub port: u16,
    pub address: String,
    pub service: String,
}
