//! Programs of the host that make what a bundle declares outside of units.

use super::error::DiskError;
use super::generation::Generation;
use super::places::Places;
use crate::bundle::Bundle;

/// Checks log rotation with `logrotate -d`; returns warnings, such as that logrotate is not there.
pub async fn validate_logrotate(
    places: &Places,
    generation: Generation,
    bundle: &Bundle,
) -> Result<Vec<String>, DiskError> {
    let _ = (places, generation, bundle);
    todo!()
}

/// Makes users, directories and links, loads modules and tells udev, for what differs from the old bundle; records what
/// did not exist before. Returns warnings. Does nothing on a host that does not run.
pub async fn apply(
    places: &Places,
    old: Option<&Bundle>,
    generation: Generation,
    new: &Bundle,
) -> Result<Vec<String>, DiskError> {
    let _ = (places, old, generation, new);
    todo!()
}
