//! The GPUs as they are, with what citadel did to them.

use std::fmt;

use serde::Serialize;

use crate::host::driver::{Devices, Driver, Gpu, Kind, Setting, Trouble};

use super::drift::{Drift, drift};
use super::saved::{Entry, Saved};
use super::seen::Silent;

/// The driver and its GPUs.
#[derive(Debug, Serialize)]
pub struct Status {
    pub driver: Driver,
    pub gpus: Vec<GpuStatus>,
    /// GPUs that do not answer.
    pub silent: Vec<Silent>,
}

/// A GPU, and what citadel did to it.
#[derive(Debug, Serialize)]
pub struct GpuStatus {
    #[serde(flatten)]
    pub gpu: Gpu,
    /// What citadel changed in this boot, and what was there before.
    pub changed: Vec<Entry>,
    pub drift: Vec<Drift>,
}

impl Status {
    /// Whether a GPU has not what citadel gave it.
    pub fn has_drift(&self) -> bool {
        self.gpus.iter().any(|gpu| !gpu.drift.is_empty())
    }
}

/// Looks at all GPUs; `saved` is what was written in this boot.
pub fn status(devices: &mut impl Devices, saved: Option<&Saved>) -> Result<Status, Trouble> {
    let seen = super::look(devices)?;
    let gpus = seen.gpus.into_iter().map(|gpu| {
        let changed = saved.map_or(&[][..], |saved| saved.of(&gpu)).to_vec();
        GpuStatus { drift: drift(&gpu, &changed), changed, gpu }
    });
    Ok(Status { gpus: gpus.collect(), driver: seen.driver, silent: seen.silent })
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown = "unknown";
        let driver = &self.driver;
        let version = driver.version.as_deref().unwrap_or(unknown);
        writeln!(out, "driver {version}, CUDA {}", driver.cuda.as_deref().unwrap_or(unknown))?;
        if driver.gpus == 0 {
            writeln!(out, "the driver finds no GPU")?;
        }
        for gpu in &self.gpus {
            gpu.fmt(out)?;
        }
        for silent in &self.silent {
            writeln!(out, "\nGPU {} does not answer: {}", silent.index, silent.refusal)?;
        }
        Ok(())
    }
}

impl fmt::Display for GpuStatus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gpu = &self.gpu;
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
        writeln!(out, "\nGPU {}: {}", gpu.index, text(&gpu.name))?;
        writeln!(out, "  {}, {}", text(&gpu.uuid), text(&gpu.pci_address))?;
        if gpu.mig == Some(true) {
            writeln!(out, "  MIG is on")?;
        }
        let now = &gpu.now;
        let clock = |clock: Option<u32>| clock.map_or_else(|| "unknown".to_owned(), |clock| format!("{clock} MHz"));
        for (kind, seen) in [
            (Kind::PersistenceMode, None),
            (Kind::PowerLimit, None),
            (Kind::GraphicsClock, Some(clock(now.graphics_clock_mhz))),
            (Kind::MemoryClock, Some(clock(now.memory_clock_mhz))),
            (Kind::ComputeMode, None),
        ] {
            let value = seen.or_else(|| gpu.value(kind).map(|value| value.to_string()));
            let value = value.or_else(|| gpu.refusal(kind).map(|refusal| format!("unknown: {refusal}")));
            write!(out, "  {kind:18}{}", value.unwrap_or_else(|| "unknown".to_owned()))?;
            let entry = self.changed.iter().find(|entry| entry.applied.kind() == kind);
            match entry.map(|entry| (entry.applied, entry.before)) {
                Some((applied @ (Setting::GraphicsClockMhz(_) | Setting::MemoryClockMhz(_)), _)) => {
                    write!(out, ", {applied}")?;
                }
                Some((_, before)) => write!(out, ", before citadel {before}")?,
                None => {}
            }
            writeln!(out)?;
        }
        for drift in &self.drift {
            writeln!(out, "  drift: the {} was {}, and {}", drift.applied.kind(), drift.applied, drift.seen)?;
        }
        Ok(())
    }
}
