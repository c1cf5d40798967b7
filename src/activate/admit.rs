//! The manifest as root's input.

use crate::bundle::manifest::Manifest;

/// Something in a manifest that root must not act on.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// What it is about: a unit, a file of the bundle, a phase.
    pub at: String,
    pub message: String,
}

/// Returns everything that is wrong. `systemd` is the version of the host, none when it is not known.
pub fn problems(manifest: &Manifest, systemd: Option<u32>) -> Vec<Problem> {
    let _ = (manifest, systemd);
    todo!()
}
