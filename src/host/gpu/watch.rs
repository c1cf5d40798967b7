//! What GPUs do from second to second.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::host::driver::{Devices, Refusal, RefusalKind, Sample, Trouble};

use super::drift::{Drift, clocks};
use super::saved::{Entry, Saved};

/// One look at one GPU.
#[derive(Debug, Serialize)]
pub struct Sight {
    pub gpu: u32,
    #[serde(flatten)]
    pub sample: Option<Sample>,
    /// Clocks that are not what citadel locked them to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drift>,
    /// Why there is nothing to see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
}

/// Samples all GPUs again and again, `times` times or for ever, until `tell` says that nobody listens any more.
///
/// # Errors
///
/// When there is no driver at the beginning. Later troubles are told like everything else.
pub fn watch(
    devices: &mut impl Devices,
    saved: Option<&Saved>,
    interval: Duration,
    times: Option<u64>,
    tell: &mut impl FnMut(&Sight) -> bool,
) -> Result<(), Trouble> {
    let seen = super::look(devices)?;
    let changed = |index: u32| -> Vec<Entry> {
        let gpu = seen.gpus.iter().find(|gpu| gpu.index == index);
        gpu.and_then(|gpu| Some(saved?.of(gpu).to_vec())).unwrap_or_default()
    };
    let changed: Vec<(u32, Vec<Entry>)> = (0..seen.driver.gpus).map(|index| (index, changed(index))).collect();
    let mut next = Instant::now();
    let mut round = 0;
    while times.is_none_or(|times| round < times) {
        for (gpu, changed) in &changed {
            let sight = match devices.sample(*gpu) {
                Ok(sample) => Sight { gpu: *gpu, drift: clocks(&sample, changed), sample: Some(sample), refusal: None },
                Err(refusal) => Sight { gpu: *gpu, drift: Vec::new(), sample: None, refusal: Some(refusal) },
            };
            if !tell(&sight) {
                return Ok(());
            }
        }
        round += 1;
        if times.is_none_or(|times| round < times) {
            // What was missed is not made up for.
            next = (next + interval).max(Instant::now());
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }
    Ok(())
}

impl fmt::Display for Sight {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "GPU {}", self.gpu)?;
        if let Some(sample) = &self.sample {
            let mut part = |value: Option<String>| value.map_or(Ok(()), |value| write!(out, "  {value}"));
            part(sample.temperature_celsius.map(|it| format!("{it:3} C")))?;
            part(sample.power_milliwatts.map(|it| format!("{:5.1} W", f64::from(it) / 1000.0)))?;
            part(sample.utilization_percent.map(|it| format!("{it:3} %")))?;
            part(sample.memory_used_bytes.map(|it| format!("{:6} MiB", it >> 20)))?;
            part(sample.graphics_clock_mhz.map(|it| format!("{it:4} MHz")))?;
            part(sample.memory_clock_mhz.map(|it| format!("memory {it:5} MHz")))?;
            part(sample.throttle.as_ref().map(|it| it.join(" ")).filter(|it| !it.is_empty()))?;
        }
        for drift in &self.drift {
            write!(out, "  drift: the {} was {}, and {}", drift.applied.kind(), drift.applied, drift.seen)?;
        }
        match &self.refusal {
            Some(refusal) if refusal.kind == RefusalKind::Hung => write!(out, "  does not answer"),
            Some(refusal) => write!(out, "  {refusal}"),
            None => Ok(()),
        }
    }
}
