//! Plans for small bundles, and for random ones on a systemd that is simulated.

mod bundles;
mod connections;
mod forward;
mod properties;
mod rollback;
mod simulator;
mod together;
