//! One setting of a GPU.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Range;

/// How many processes may compute on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ComputeMode {
    Default,
    ExclusiveProcess,
    Prohibited,
    /// Of the time before CUDA 8; it can only be read.
    ExclusiveThread,
}

/// What a setting is about. The order is that of applying: without persistence the driver forgets the others as soon as
/// nobody uses the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    PersistenceMode,
    PowerLimit,
    GraphicsClock,
    MemoryClock,
    ComputeMode,
}

/// A setting with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    PersistenceMode(bool),
    PowerLimitMilliwatts(u32),
    /// The range that the graphics clock is locked to; none for not locked.
    GraphicsClockMhz(Option<Range>),
    /// The same for the memory clock.
    MemoryClockMhz(Option<Range>),
    ComputeMode(ComputeMode),
}

impl Setting {
    pub fn kind(self) -> Kind {
        match self {
            Setting::PersistenceMode(_) => Kind::PersistenceMode,
            Setting::PowerLimitMilliwatts(_) => Kind::PowerLimit,
            Setting::GraphicsClockMhz(_) => Kind::GraphicsClock,
            Setting::MemoryClockMhz(_) => Kind::MemoryClock,
            Setting::ComputeMode(_) => Kind::ComputeMode,
        }
    }
}

impl fmt::Display for ComputeMode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            ComputeMode::Default => "any number of processes",
            ComputeMode::ExclusiveProcess => "one process",
            ComputeMode::Prohibited => "no process",
            ComputeMode::ExclusiveThread => "one thread",
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Kind::PersistenceMode => "persistence mode",
            Kind::PowerLimit => "power limit",
            Kind::GraphicsClock => "graphics clock",
            Kind::MemoryClock => "memory clock",
            Kind::ComputeMode => "compute mode",
        })
    }
}

/// Writes the value alone.
impl fmt::Display for Setting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setting::PersistenceMode(on) => out.write_str(if *on { "on" } else { "off" }),
            Setting::PowerLimitMilliwatts(milliwatts) => write!(out, "{} W", f64::from(*milliwatts) / 1000.0),
            Setting::GraphicsClockMhz(None) | Setting::MemoryClockMhz(None) => out.write_str("not locked"),
            Setting::GraphicsClockMhz(Some(range)) | Setting::MemoryClockMhz(Some(range)) => {
                write!(out, "locked to {range}")
            }
            Setting::ComputeMode(mode) => mode.fmt(out),
        }
    }
}
