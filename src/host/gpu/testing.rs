//! GPUs that exist only in tests.

use std::collections::BTreeMap;

use crate::host::driver::{
    ComputeMode, Devices, Driver, Gpu, Kind, PowerLimits, Range, Refusal, RefusalKind, Sample, Setting, Trouble,
};

use super::seen::{Seen, look};

pub fn rtx4090(index: u32) -> Gpu {
    Gpu {
        index,
        name: Some("NVIDIA GeForce RTX 4090".to_owned()),
        uuid: Some(format!("GPU-00000000-0000-0000-0000-{index:012}")),
        pci_address: Some(format!("0000:{:02x}:00.0", index + 1)),
        minor: Some(index),
        memory_bytes: Some(24564 << 20),
        mig: None,
        persistence_mode: Some(false),
        power_limit_milliwatts: Some(450_000),
        power_limits_milliwatts: Some(PowerLimits { min: 150_000, max: 600_000, default_value: Some(450_000) }),
        graphics_clocks_mhz: Some(Range { min: 210, max: 3105 }),
        memory_clocks_mhz: Some(Range { min: 405, max: 10501 }),
        compute_mode: Some(ComputeMode::Default),
        now: Sample::default(),
        refused: BTreeMap::new(),
    }
}

/// A host with GPUs.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    pub gpus: Vec<Gpu>,
    /// What graphics and memory clocks are locked to.
    pub locked: Vec<(Option<Range>, Option<Range>)>,
    /// The change that fails, counted from 0.
    pub fail_at: Option<usize>,
    /// From this change on nothing answers any more, the change itself included.
    pub gone_at: Option<usize>,
    pub unsupported: Option<Kind>,
    sets: usize,
}

impl Machine {
    pub fn of(gpus: impl IntoIterator<Item = Gpu>) -> Self {
        let gpus: Vec<Gpu> = gpus.into_iter().collect();
        Machine { locked: vec![(None, None); gpus.len()], gpus, ..Machine::default() }
    }

    pub fn seen(mut self) -> Seen {
        look(&mut self).unwrap()
    }

    fn gone(&self) -> Result<(), Refusal> {
        let gone = self.gone_at.is_some_and(|at| self.sets > at);
        if gone { Err(Refusal::new(RefusalKind::Lost, "gone")) } else { Ok(()) }
    }
}

impl Devices for Machine {
    fn open(&mut self) -> Result<Driver, Trouble> {
        Ok(Driver { version: None, cuda: None, gpus: self.gpus.len() as u32 })
    }

    fn read(&mut self, gpu: u32) -> Result<Gpu, Refusal> {
        self.gone()?;
        Ok(self.gpus[gpu as usize].clone())
    }

    fn sample(&mut self, gpu: u32) -> Result<Sample, Refusal> {
        Ok(self.read(gpu)?.now)
    }

    fn set(&mut self, gpu: u32, setting: Setting) -> Result<(), Refusal> {
        self.sets += 1;
        self.gone()?;
        if self.fail_at.is_some_and(|at| at + 1 == self.sets) {
            return Err(Refusal::new(RefusalKind::Failed, "an unknown error"));
        }
        if self.unsupported == Some(setting.kind()) {
            return Err(Refusal::new(RefusalKind::Unsupported, "this GPU does not support it"));
        }
        let at = gpu as usize;
        match setting {
            Setting::PersistenceMode(on) => self.gpus[at].persistence_mode = Some(on),
            Setting::PowerLimitMilliwatts(limit) => self.gpus[at].power_limit_milliwatts = Some(limit),
            Setting::GraphicsClockMhz(range) => self.locked[at].0 = range,
            Setting::MemoryClockMhz(range) => self.locked[at].1 = range,
            Setting::ComputeMode(mode) => self.gpus[at].compute_mode = Some(mode),
        }
        Ok(())
    }
}
