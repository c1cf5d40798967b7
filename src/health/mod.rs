//! Probes, and what their answers over time say about a service.
//!
//! A [`Probe`] is one test of a service, as the manifest has it. [`run()`] carries it out once and [`once()`] all those of
//! several services, [`Tracker`] turns answers over time into a state, [`gate()`] waits until services are healthy or
//! one of them will not be, and [`ready`] is what a start waits for inside the service's sandbox. What systemd and the
//! driver of the GPUs know comes in through [`Host`], so nothing here speaks D-Bus.

pub mod failure;
pub mod gate;
pub mod host;
pub mod probe;
mod process;
pub mod ready;
pub mod run;
pub mod subject;
pub mod verdict;

pub use failure::{Failure, Reason};
pub use gate::{GateEvent, Verdict, Why, gate};
pub use host::{GpuProcesses, Host};
pub use probe::{InvalidProbe, Probe};
pub use run::{Answer, once, run};
pub use subject::Subject;
pub use verdict::{Health, Tracker};
