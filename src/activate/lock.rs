//! One switch at a time.

use std::os::fd::OwnedFd;
use std::time::Duration;

use super::error::DiskError;
use super::places::Places;

/// Held while this lives, and by nobody after this process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: OwnedFd,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another switch is running{holder}; wait for it with `--wait`, or see `citadel status`")]
    Busy { holder: String },
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Lock {
    /// Takes the lock, or says at once who has it.
    pub fn try_take(places: &Places) -> Result<Self, LockError> {
        let _ = places;
        todo!()
    }

    /// Takes the lock, and waits for it at most so long.
    pub async fn take_within(places: &Places, limit: Duration) -> Result<Self, LockError> {
        let _ = (places, limit);
        todo!()
    }
}
