//! What a host is and has: its facts, and the settings of its GPUs.
//!
//! The driver of the GPUs is reached through [`driver::Devices`], and nothing here knows of generations. Decisions are
//! functions of what was read; [`gpu::apply`](mod@gpu::apply) and [`gpu::restore`](mod@gpu::restore) alone change something.

pub mod driver;
pub mod facts;
pub mod gpu;
