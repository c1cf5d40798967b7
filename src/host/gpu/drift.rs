//! Whether GPUs still have what citadel gave them.
//!
//! Nobody can ask a GPU what its clocks are locked to. So a lock is judged by the clock that is seen: above the highest
//! there is no lock any more; below the lowest there is none either, unless heat, power or idleness push the clock down.

use serde::Serialize;

use crate::host::driver::{Gpu, Range, Sample, Setting};

use super::saved::Entry;

/// Clocks come in steps of 15 MHz, and a lock is rounded to one; a deviation of one step says nothing.
const STEP_MHZ: u32 = 15;

/// A setting that is not what it was set to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// What citadel set.
    pub applied: Setting,
    /// What is seen, for people.
    pub seen: String,
}

/// Compares a GPU with what it got.
pub fn drift(gpu: &Gpu, applied: &[Entry]) -> Vec<Drift> {
    let judge = |entry: &Entry| {
        let seen = match entry.applied {
            Setting::GraphicsClockMhz(Some(range)) => clock(range, gpu.now.graphics_clock_mhz, &gpu.now),
            Setting::MemoryClockMhz(Some(range)) => clock(range, gpu.now.memory_clock_mhz, &gpu.now),
            applied => gpu.value(applied.kind()).filter(|now| *now != applied).map(|now| format!("it is {now}")),
        };
        seen.map(|seen| Drift { applied: entry.applied, seen })
    };
    applied.iter().filter_map(judge).collect()
}

/// Compares what was sampled with what the clocks are locked to.
pub fn clocks(sample: &Sample, applied: &[Entry]) -> Vec<Drift> {
    let clocks = applied
        .iter()
        .filter(|entry| matches!(entry.applied, Setting::GraphicsClockMhz(_) | Setting::MemoryClockMhz(_)));
    let clocks: Vec<Entry> = clocks.copied().collect();
    drift(&Gpu { now: sample.clone(), ..Gpu::default() }, &clocks)
}

fn clock(locked: Range, now: Option<u32>, sample: &Sample) -> Option<String> {
    let now = now?;
    let throttle = sample.throttle.as_deref().unwrap_or_default();
    // The driver reports a lock as a limit by the settings of applications clocks.
    let pushed = throttle.iter().any(|reason| reason != "applications_clocks_setting") || sample.throttle.is_none();
    if now > locked.max.saturating_add(STEP_MHZ) {
        Some(format!("it runs at {now} MHz"))
    } else if now.saturating_add(STEP_MHZ) < locked.min && !pushed {
        Some(format!("it runs at {now} MHz, and nothing slows it down"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::gpu::testing::rtx4090;

    fn seen(clock: u32, throttle: &[&str]) -> Vec<String> {
        let mut gpu = rtx4090(0);
        gpu.now.graphics_clock_mhz = Some(clock);
        gpu.now.throttle = Some(throttle.iter().map(|reason| (*reason).to_owned()).collect());
        let applied = Setting::GraphicsClockMhz(Some(Range { min: 1500, max: 2520 }));
        let entry = Entry { before: Setting::GraphicsClockMhz(None), applied };
        drift(&gpu, &[entry]).into_iter().map(|drift| drift.seen).collect()
    }

    #[test]
    fn a_lock_is_judged_by_the_clock_and_what_slows_it_down() {
        assert_eq!(seen(2520, &[]), [""; 0]);
        assert_eq!(seen(2535, &["applications_clocks_setting"]), [""; 0]);
        assert_eq!(seen(2550, &[]), ["it runs at 2550 MHz"]);
        assert_eq!(seen(1400, &["sw_power_cap"]), [""; 0]);
        assert_eq!(seen(210, &["gpu_idle"]), [""; 0]);
        assert_eq!(seen(1400, &["applications_clocks_setting"]), ["it runs at 1400 MHz, and nothing slows it down"]);
    }

    #[test]
    fn what_can_be_read_is_compared() {
        let mut gpu = rtx4090(0);
        let limit = Setting::PowerLimitMilliwatts;
        let entry = Entry { before: limit(450_000), applied: limit(300_000) };
        assert_eq!(drift(&gpu, &[entry])[0].seen, "it is 450 W");
        gpu.power_limit_milliwatts = Some(300_000);
        assert!(drift(&gpu, &[entry]).is_empty());
    }
}
