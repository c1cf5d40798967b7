//! What a host is and has: its facts, the settings of its GPUs, and what has to be right before a service starts.
//!
//! The driver of the GPUs is reached through [`driver::Devices`], and nothing here knows of generations. Decisions are
//! functions of what was read; [`gpu::apply`](mod@gpu::apply) and [`gpu::restore`](mod@gpu::restore) alone change something.

pub mod driver;
pub mod facts;
pub mod gpu;
pub mod preflight;
