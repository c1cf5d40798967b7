//! Waiting for the end of a process without reaping it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A process that is watched through its pidfd, so that its number can meanwhile belong to nobody else.
pub(super) struct Watched(AsyncFd<OwnedFd>);

impl Watched {
    /// Opens a pidfd. It does not need the runtime, which [`Watched::new`] does.
    ///
    /// # Errors
    ///
    /// `ESRCH` when there is no such process.
    pub(super) fn open(pid: Pid) -> io::Result<OwnedFd> {
        Ok(pidfd_open(pid, PidfdFlags::empty())?)
    }

    pub(super) fn new(pidfd: &impl AsFd) -> io::Result<Self> {
        let pidfd = pidfd.as_fd().try_clone_to_owned()?;
        #[expect(deprecated, reason = "its replacement is unsafe, for types that close or change what they give out")]
        Ok(Watched(AsyncFd::with_interest(pidfd, Interest::READABLE)?))
    }

    /// Waits until the process has ended; whether it is reaped makes no difference.
    pub(super) async fn ended(&self) {
        // It fails only where the runtime itself ends.
        let _ = self.0.readable().await;
    }
}
