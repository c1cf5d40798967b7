//! The driver and the GPUs, as far as checks ask for them.

use std::time::Duration;

use crate::host::driver::Apart;
use crate::host::gpu::look;

/// Knows the GPUs of the machine.
pub trait Graphics: Send + Sync {
    /// Looks at the driver and all GPUs.
    ///
    /// # Errors
    ///
    /// Why there is no driver to ask, and what to do, for people.
    fn look(&self) -> Result<Cards, String>;
}

/// The driver and its GPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cards {
    pub driver: Option<String>,
    /// The newest CUDA that the driver knows.
    pub cuda: Option<String>,
    /// Those that answer to this user.
    pub cards: Vec<Card>,
}

/// A GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    pub index: u32,
    pub uuid: Option<String>,
    /// As the kernel writes it, such as `0000:01:00.0`.
    pub pci_address: Option<String>,
    /// None when it does not tell.
    pub free_bytes: Option<u64>,
}

/// The driver of this machine, which has so long for each answer.
#[derive(Clone, Copy, Debug)]
pub struct Driver(pub Duration);

impl Graphics for Driver {
    fn look(&self) -> Result<Cards, String> {
        let seen = look(&mut Apart::new(self.0)).map_err(|trouble| trouble.to_string())?;
        let card = |gpu: &crate::host::driver::Gpu| Card {
            index: gpu.index,
            uuid: gpu.uuid.clone(),
            pci_address: gpu.pci_address.clone(),
            free_bytes: gpu.memory_bytes.zip(gpu.now.memory_used_bytes).map(|(all, used)| all.saturating_sub(used)),
        };
        Ok(Cards { cards: seen.gpus.iter().map(card).collect(), driver: seen.driver.version, cuda: seen.driver.cuda })
    }
}
