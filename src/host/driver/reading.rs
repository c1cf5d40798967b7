//! What the driver says of itself and of a GPU.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ComputeMode, Kind, Refusal, Setting};

/// A driver that answers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Driver {
    /// Its version, such as `580.95.05`.
    pub version: Option<String>,
    /// The newest CUDA that it knows, such as `13.0`.
    pub cuda: Option<String>,
    /// How many GPUs it has, those included that this process may not open.
    pub gpus: u32,
}

/// The lowest and the highest value, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    pub min: u32,
    pub max: u32,
}

/// Writes clocks.
impl fmt::Display for Range {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} to {} MHz", self.min, self.max)
    }
}

/// The power limits that a GPU accepts, in milliwatts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PowerLimits {
    pub min: u32,
    pub max: u32,
    /// The one that it has by itself.
    pub default_value: Option<u32>,
}

/// A GPU. What it does not tell is none, and stands in `refused` with the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Gpu {
    pub index: u32,
    pub name: Option<String>,
    pub uuid: Option<String>,
    /// As the kernel writes it, such as `0000:01:00.0`.
    pub pci_address: Option<String>,
    /// The number of its device node, `/dev/nvidiaN`.
    pub minor: Option<u32>,
    pub memory_bytes: Option<u64>,
    pub mig: Option<bool>,
    pub persistence_mode: Option<bool>,
    pub power_limit_milliwatts: Option<u32>,
    pub power_limits_milliwatts: Option<PowerLimits>,
    /// The lowest and the highest clock that it knows.
    pub graphics_clocks_mhz: Option<Range>,
    pub memory_clocks_mhz: Option<Range>,
    pub compute_mode: Option<ComputeMode>,
    pub now: Sample,
    /// By the name of the field.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, Refusal>,
}

/// What changes from second to second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Sample {
    pub temperature_celsius: Option<u32>,
    pub power_milliwatts: Option<u32>,
    pub utilization_percent: Option<u32>,
    pub memory_used_bytes: Option<u64>,
    pub graphics_clock_mhz: Option<u32>,
    pub memory_clock_mhz: Option<u32>,
    /// Why the clocks are not higher, such as `sw_power_cap`; none where the GPU does not tell.
    pub throttle: Option<Vec<String>>,
}

impl Gpu {
    /// Returns the value of a setting. Nobody can ask a GPU what its clocks are locked to.
    pub fn value(&self, kind: Kind) -> Option<Setting> {
        match kind {
            Kind::PersistenceMode => self.persistence_mode.map(Setting::PersistenceMode),
            Kind::PowerLimit => self.power_limit_milliwatts.map(Setting::PowerLimitMilliwatts),
            Kind::ComputeMode => self.compute_mode.map(Setting::ComputeMode),
            Kind::GraphicsClock | Kind::MemoryClock => None,
        }
    }

    /// Returns why the value of a setting is not known.
    pub fn refusal(&self, kind: Kind) -> Option<&Refusal> {
        self.refused.get(match kind {
            Kind::PersistenceMode => "persistence_mode",
            Kind::PowerLimit => "power_limit_milliwatts",
            Kind::ComputeMode => "compute_mode",
            Kind::GraphicsClock | Kind::MemoryClock => return None,
        })
    }

    /// Returns what to call it in messages.
    pub fn title(&self) -> String {
        let name = self.name.as_deref().unwrap_or("of an unknown model");
        format!("GPU {} ({name})", self.index)
    }
}
