//! What a GPU makes of a setting.

use serde::Serialize;

use crate::host::driver::{Gpu, Kind, Range, RefusalKind, Setting};

/// What comes of a setting on a GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Verdict {
    /// It has this value.
    Same,
    /// It can get this value.
    Change,
    /// The GPU does not know the setting.
    Unsupported { reason: String },
    /// The GPU does not accept the value, or cannot be asked.
    Refused { reason: String },
}

/// Judges a setting by what was read of the GPU.
pub fn judge(gpu: &Gpu, setting: Setting) -> Verdict {
    if gpu.mig == Some(true) && setting.kind() == Kind::ComputeMode {
        return Verdict::Unsupported { reason: "MIG is on, and its parts have no compute mode".to_owned() };
    }
    if let Some(refusal) = gpu.refusal(setting.kind()) {
        let reason = refusal.message.clone();
        return match refusal.kind {
            RefusalKind::Unsupported => Verdict::Unsupported { reason },
            _ => Verdict::Refused { reason },
        };
    }
    if gpu.value(setting.kind()) == Some(setting) {
        return Verdict::Same;
    }
    match outside(gpu, setting) {
        Some(reason) => Verdict::Refused { reason },
        None => Verdict::Change,
    }
}

fn outside(gpu: &Gpu, setting: Setting) -> Option<String> {
    match setting {
        Setting::PowerLimitMilliwatts(wanted) => {
            let limits = gpu.power_limits_milliwatts?;
            let watts = |milliwatts: u32| f64::from(milliwatts) / 1000.0;
            (wanted < limits.min || wanted > limits.max)
                .then(|| format!("the GPU accepts {} to {} W", watts(limits.min), watts(limits.max)))
        }
        Setting::GraphicsClockMhz(Some(wanted)) => clock_outside(wanted, gpu.graphics_clocks_mhz),
        Setting::MemoryClockMhz(Some(wanted)) => clock_outside(wanted, gpu.memory_clocks_mhz),
        _ => None,
    }
}

fn clock_outside(wanted: Range, known: Option<Range>) -> Option<String> {
    if wanted.min > wanted.max {
        return Some(format!("the lowest clock, {} MHz, is above the highest, {} MHz", wanted.min, wanted.max));
    }
    let known = known?;
    (wanted.min < known.min || wanted.max > known.max).then(|| format!("the GPU knows clocks from {known}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::driver::{ComputeMode, Refusal};
    use crate::host::gpu::testing::rtx4090;

    #[test]
    fn values_stay_within_what_the_gpu_accepts() {
        let gpu = rtx4090(0);
        let clock = |min, max| Setting::GraphicsClockMhz(Some(Range { min, max }));
        let table = [
            (Setting::PowerLimitMilliwatts(450_000), "Same"),
            (Setting::PowerLimitMilliwatts(300_000), "Change"),
            (Setting::PowerLimitMilliwatts(149_000), "the GPU accepts 150 to 600 W"),
            (Setting::PowerLimitMilliwatts(601_000), "the GPU accepts 150 to 600 W"),
            (clock(210, 2520), "Change"),
            (clock(2520, 210), "the lowest clock, 2520 MHz, is above the highest, 210 MHz"),
            (clock(210, 4000), "the GPU knows clocks from 210 to 3105 MHz"),
            (Setting::MemoryClockMhz(Some(Range { min: 1, max: 10501 })), "the GPU knows clocks from 405 to 10501 MHz"),
            (Setting::GraphicsClockMhz(None), "Change"),
            (Setting::ComputeMode(ComputeMode::Default), "Same"),
        ];
        for (setting, expected) in table {
            let said = match judge(&gpu, setting) {
                Verdict::Refused { reason } => reason,
                other => format!("{other:?}"),
            };
            assert_eq!(said, expected, "{setting:?}");
        }
    }

    #[test]
    fn what_a_gpu_does_not_know_is_told_apart_from_what_it_does_not_accept() {
        let mut gpu = rtx4090(0);
        gpu.power_limit_milliwatts = None;
        let refusal = |kind| Refusal::new(kind, "no");
        gpu.refused.insert("power_limit_milliwatts".to_owned(), refusal(RefusalKind::Unsupported));
        let limit = Setting::PowerLimitMilliwatts(300_000);
        assert!(matches!(judge(&gpu, limit), Verdict::Unsupported { .. }));
        gpu.refused.insert("power_limit_milliwatts".to_owned(), refusal(RefusalKind::NoPermission));
        assert!(matches!(judge(&gpu, limit), Verdict::Refused { .. }));
        gpu.mig = Some(true);
        let mode = Setting::ComputeMode(ComputeMode::ExclusiveProcess);
        assert!(matches!(judge(&gpu, mode), Verdict::Unsupported { .. }));
    }
}
