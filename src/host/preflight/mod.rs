//! Preflight checks: what has to be right before a service starts.
//!
//! A unit runs them as `ExecStartPre=`, as its user and inside its sandbox: what they see is what the service will see. A
//! person runs them as root, and then they take on the user of the service, but not its sandbox. Each check is a function
//! of what [`machine::Machine`] or [`graphics::Graphics`] say; [`run()`] alone looks at this machine.

pub mod answer;
pub mod check;
mod gpu;
pub mod graphics;
mod live;
pub mod machine;
mod needs;
mod network;
mod paths;
mod port;
mod python;
mod room;
mod run;
mod service;
mod sockets;
#[cfg(test)]
mod testing;
mod user;
mod version;

pub use answer::{Failure, Finding, Outcome};
pub use run::{Limits, Report, run};
pub use service::{Service, Unusable};
