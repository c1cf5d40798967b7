//! The NVIDIA driver, as far as citadel uses it.
//!
//! NVML, NVIDIA's library, may hang for ever when a GPU has fallen off the bus, and a thread that hangs in the kernel keeps
//! its whole process from ending. So the library is never loaded into the process that somebody waits for: [`Apart`] asks
//! a second process of the same program, with a deadline for each question, and kills it when the deadline has passed.
//! [`Nvml`] is what answers there.

mod answer;
mod apart;
mod nvml;
mod reading;
mod setting;
mod trouble;

pub use answer::answer;
pub use apart::Apart;
pub use nvml::Nvml;
pub use reading::{Driver, Gpu, PowerLimits, Range, Sample};
pub use setting::{ComputeMode, Kind, Setting};
pub use trouble::{Refusal, RefusalKind, Trouble};

/// The GPUs of a host. They are numbered as the driver numbers them, in the order of their PCI addresses.
pub trait Devices {
    /// Connects to the driver, and says which it is and how many GPUs it has.
    fn open(&mut self) -> Result<Driver, Trouble>;

    /// Reads all that is known of a GPU.
    fn read(&mut self, gpu: u32) -> Result<Gpu, Refusal>;

    /// Reads what changes from second to second.
    fn sample(&mut self, gpu: u32) -> Result<Sample, Refusal>;

    /// Changes one setting.
    fn set(&mut self, gpu: u32, setting: Setting) -> Result<(), Refusal>;
}
