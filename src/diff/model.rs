//! What a diff says, as data. Rendering comes last; the JSON of a diff is this, and `diff.schema.json` describes it.
//!
//! Everything is sorted, so equal bundles give equal diffs. Text is kept as it is in the bundles; making it harmless for
//! a terminal or a page is the business of each renderer.

use serde::Serialize;
use serde_json::Value;

use super::part::Part;
use crate::bundle::digest::Digest;
use crate::bundle::manifest::FileKind;
use crate::bundle::unit::UnitName;
use crate::plan::{Action, Reason};

/// What a move from one bundle to another changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Diff {
    pub old: Side,
    pub new: Side,
    /// Parts that nobody asked for. They are empty here, whatever differs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<Part>,
    /// What a reviewer has to see first.
    pub security: Security,
    /// What a switch would do, by the code that a host uses.
    pub plan: Disruption,
    pub budget: Budget,
    /// The change in the words of the profile.
    pub profile: Vec<Subject>,
    pub units: Vec<UnitChange>,
    /// Files that are no units.
    pub files: Vec<FileChange>,
    /// What else the manifest says: requirements, phases, groups, credentials.
    pub manifest: Vec<Change>,
    /// Files that the profile is made of and that differ.
    pub inputs: Vec<Input>,
}

impl Diff {
    /// Whether the two sides are the same, byte for byte.
    pub fn is_empty(&self) -> bool {
        self.old.bundle == self.new.bundle
    }
}

/// One of the two things that are compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Side {
    /// What a person calls it, such as `production at main`.
    pub label: String,
    /// The name of the profile that it was built from.
    pub profile: String,
    /// The identity of the bundle; none when there is no such profile on this side.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub bundle: Option<Digest>,
}

/// Whether something is on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum State {
    Added,
    Removed,
    Changed,
}

/// A value that differs, under its path from what it belongs to.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Change {
    /// Names joined by points, such as `vllm.max_model_len`.
    pub path: String,
    /// None when it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
    /// For lists: the elements that only the old one has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Value>,
    /// For lists: the elements that only the new one has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<Value>,
    /// Why a reader may pass over it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// Why a difference means less than it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// The same amount or length of time, written in another way.
    SameAmount,
    /// The same elements in another order.
    Reordered,
    /// Only the content of a file differs; that file has a place of its own in the diff.
    ContentOnly,
    /// Most of its kind have the same.
    Usual,
}

impl Note {
    /// Returns the note in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::SameAmount => "the same amount",
            Self::Reordered => "the order only",
            Self::ContentOnly => "the content of the file only",
            Self::Usual => "as most have it",
        }
    }
}

/// A service, a model or another named part of the profile that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Subject {
    /// What it is: `service`, `model`, `gpu`, or the option that it stands under.
    pub kind: String,
    pub name: String,
    pub state: State,
    /// Its name in the old profile, when it has another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<String>,
    pub changes: Vec<Change>,
}

/// A unit that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UnitChange {
    pub name: String,
    pub state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<String>,
    /// The name of the service in the profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// What a switch does with it; none for what systemd would not take for a unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<Planned>,
    pub directives: Vec<Directive>,
    /// Files of the bundle that it reads and that differ.
    pub files: Vec<String>,
    /// What the manifest says of it: phase, probes, policy, and mode or owner of its file.
    pub manifest: Vec<Change>,
    /// What differs in the file without meaning anything.
    pub not_shown: Vec<NotShown>,
}

/// A directive that says something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Directive {
    pub section: String,
    pub key: String,
    /// The assignments that count.
    pub old: Vec<String>,
    pub new: Vec<String>,
    /// For lists: the elements that only the old one has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// For lists: the elements that only the new one has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// Bytes that differ and are not shown, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum NotShown {
    /// Comments or blank lines differ.
    Comments,
    /// The same in another order, or with lines broken up in another way.
    Layout,
    /// These directives are written in another way and mean the same.
    SameMeaning { keys: Vec<String> },
    /// Paths in it name other content; the files themselves are shown.
    Digests,
}

impl NotShown {
    /// Returns a clause, such as `comments or blank lines`.
    pub fn words(&self) -> String {
        match self {
            Self::Comments => "comments or blank lines".to_owned(),
            Self::Layout => "the order of lines, or how they are broken up".to_owned(),
            Self::SameMeaning { keys } => format!("how {} is written, with the same meaning", keys.join(", ")),
            Self::Digests => "the content of files that it reads, see there".to_owned(),
        }
    }
}

/// A file that differs and is no unit.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FileChange {
    /// Its path in the bundle.
    pub path: String,
    #[cfg_attr(test, schemars(with = "String"))]
    pub kind: FileKind,
    pub state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<String>,
    /// Units that read it, on either side.
    pub read_by: Vec<String>,
    /// Mode, owner and place on the host.
    pub attributes: Vec<Change>,
    pub content: Content,
}

/// What differs in the content of a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "as", rename_all = "snake_case")]
pub enum Content {
    /// Nothing.
    Same,
    /// Values by their keys, for environment variables, JSON and YAML.
    Keys {
        changes: Vec<Change>,
        /// What differs besides.
        not_shown: Vec<NotShown>,
    },
    /// Lines of text.
    Lines { hunks: Vec<Hunk> },
    /// What is no text in UTF-8.
    Bytes { old: Option<Bytes>, new: Option<Bytes>, first_difference: u64, same_at_end: u64 },
}

/// Some bytes that are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Bytes {
    pub size: u64,
    #[cfg_attr(test, schemars(with = "String"))]
    pub sha256: Digest,
}

/// Lines that differ, with those around them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Hunk {
    /// The number of the first line in the old text, counted from 1; 0 when the old text has none.
    pub old_start: usize,
    pub new_start: usize,
    pub lines: Vec<Line>,
}

/// A line, in pieces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Line {
    pub sign: Sign,
    pub pieces: Vec<Piece>,
    /// Whether the text ends here without a line end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_line_end: bool,
}

/// Which side a line is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    Both,
    Old,
    New,
}

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Piece {
    pub text: String,
    /// Whether it is what differs from the other side's line.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub marked: bool,
}

/// A file that a profile is made of and that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Input {
    pub path: String,
    pub state: State,
}

/// What a switch does to the units of a host.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Disruption {
    /// The units that are acted on, in the order of the switch.
    pub steps: Vec<PlannedUnit>,
    /// The phases that have something to do, in their order.
    pub phases: Vec<String>,
}

/// A unit that is acted on.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlannedUnit {
    #[cfg_attr(test, schemars(with = "String"))]
    pub unit: UnitName,
    /// The name of the service in the profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    #[serde(flatten)]
    pub step: Planned,
}

/// What happens to a unit, why, and what it costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Planned {
    pub action: Action,
    /// The most important first.
    pub reasons: Vec<Why>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Units that are acted on before it can start.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub waits_for: Vec<UnitName>,
    /// How long it took to start last time, in seconds, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_start_seconds: Option<u64>,
    /// How long systemd waits for its start at most, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_timeout_seconds: Option<u64>,
}

/// A reason, for programs and in words.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Why {
    /// Continues `restart, because ...`.
    pub words: String,
    #[serde(flatten)]
    pub reason: Reason,
}

/// What services take from the machine, before and after.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Budget {
    pub gpus: Vec<GpuChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryChange>,
    pub ports: Vec<PortChange>,
}

/// The memory of a GPU whose use differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GpuChange {
    /// Its name in the profile.
    pub name: String,
    pub old: Option<GpuUse>,
    pub new: Option<GpuUse>,
    /// The services whose share differs.
    pub services: Vec<ShareChange>,
}

/// The memory of a GPU on one side, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GpuUse {
    pub device: String,
    pub total_bytes: u64,
    pub reserved_bytes: u64,
    /// The most that is taken at the same time.
    pub committed_bytes: u64,
}

/// What a service takes of a GPU, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ShareChange {
    pub service: String,
    pub old_bytes: Option<u64>,
    pub new_bytes: Option<u64>,
    /// `boot`, `on_demand` or `manual`.
    pub old_start: Option<String>,
    pub new_start: Option<String>,
}

/// RAM on both sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MemoryChange {
    pub old: MemoryUse,
    pub new: MemoryUse,
}

/// RAM on one side, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MemoryUse {
    pub total_bytes: u64,
    pub committed_bytes: u64,
    /// Services without a limit.
    pub unlimited: Vec<String>,
}

/// The ports of a service that differ, each as `address:port`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PortChange {
    pub service: String,
    pub old: Vec<String>,
    pub new: Vec<String>,
}

/// What changes for whoever wants to break in.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Security {
    /// What is weaker comes first.
    pub changes: Vec<SecurityChange>,
    pub exposure: Exposure,
}

/// One thing that a unit may do now and might not before, or the other way round.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SecurityChange {
    pub effect: Effect,
    pub kind: Power,
    pub unit: String,
    /// What it is about: a capability, a path, an address and port.
    pub what: String,
}

/// Whether a machine is safer or less safe for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    Weaker,
    Stronger,
}

/// What a unit may do, by how much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// Runs as root, or a command of it does.
    Root,
    Capability,
    /// Listens on an address and port.
    OpenPort,
    /// Exchanges packets with a network.
    Network,
    /// Writes below a path.
    WritablePath,
    Device,
    Credential,
    Group,
    /// A protection of systemd is off.
    Unprotected,
    /// Calls that the kernel takes from it.
    SystemCalls,
    AddressFamily,
    /// Who may read or write a file.
    FileMode,
}

impl Power {
    /// Returns what it is called in front of what it is about.
    pub fn words(self) -> &'static str {
        match self {
            Self::Root => "runs as root",
            Self::Capability => "capability",
            Self::OpenPort => "listens on",
            Self::Network => "reaches network",
            Self::WritablePath => "writes to",
            Self::Device => "device",
            Self::Credential => "credential",
            Self::Group => "group",
            Self::Unprotected => "without",
            Self::SystemCalls => "system calls",
            Self::AddressFamily => "address family",
            Self::FileMode => "file mode",
        }
    }
}

/// The exposure of units that `systemd-analyze security` computes, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Exposure {
    NotComputed(String),
    /// By unit, from 0 (safe) to 10.
    Computed(Vec<ExposureChange>),
}

impl Default for Exposure {
    fn default() -> Self {
        Self::NotComputed("only with --exposure".to_owned())
    }
}

/// The exposure of a unit that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExposureChange {
    pub unit: String,
    pub old: Option<f64>,
    pub new: Option<f64>,
}
