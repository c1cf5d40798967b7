//! All GPUs of a host as they are.

use serde::Serialize;

use crate::host::driver::{Devices, Driver, Gpu, Refusal, Trouble};

/// The driver and its GPUs.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    pub driver: Driver,
    pub gpus: Vec<Gpu>,
    /// GPUs that do not answer, and why.
    pub silent: Vec<Silent>,
}

/// A GPU that does not answer.
#[derive(Clone, Debug, Serialize)]
pub struct Silent {
    pub index: u32,
    #[serde(flatten)]
    pub refusal: Refusal,
}

/// Reads the driver and all GPUs.
///
/// # Errors
///
/// When there is no driver. A GPU that does not answer keeps nobody from reading the others.
pub fn look(devices: &mut impl Devices) -> Result<Seen, Trouble> {
    let driver = devices.open()?;
    let mut seen = Seen { gpus: Vec::new(), silent: Vec::new(), driver };
    for index in 0..seen.driver.gpus {
        match devices.read(index) {
            Ok(gpu) => seen.gpus.push(gpu),
            Err(refusal) => seen.silent.push(Silent { index, refusal }),
        }
    }
    Ok(seen)
}

/// Returns what a GPU is known by for as long as it exists.
pub fn identity(gpu: &Gpu) -> Option<&str> {
    gpu.uuid.as_deref().or(gpu.pci_address.as_deref())
}
