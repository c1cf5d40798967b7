//! Probes, and what their answers over time say about a service.

pub mod probe;
