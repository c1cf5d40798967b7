//! Work that may hang in the kernel or in a name service, done where it holds nobody up.
//!
//! A look-up of a name or of a user, and a look at a file of a dead network file system, cannot be given up. They get a
//! thread that is left behind when nobody waits any more; a runtime's own pool would make the program wait for it at its
//! end. How many may hang is limited, so that probing a dead mount every minute does not use up the process.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::sync::oneshot;

use crate::health::failure::{Reason, plain};

/// How many may be at work at once, hanging ones included.
const MOST: usize = 256;

/// What getaddrinfo(3) and its plug-ins need, with room to spare.
const STACK: usize = 512 * 1024;

static AT_WORK: AtomicUsize = AtomicUsize::new(0);

/// Counts itself as long as it lives.
struct Slot;

impl Slot {
    fn take() -> Option<Self> {
        let slot = (AT_WORK.fetch_add(1, Ordering::SeqCst) < MOST).then_some(Slot);
        if slot.is_none() {
            AT_WORK.fetch_sub(1, Ordering::SeqCst);
        }
        slot
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        AT_WORK.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Does blocking work on a thread of its own. A result that nobody waits for any more is dropped there.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Reason> {
    let slot = Slot::take().ok_or(Reason::TooManyHang(MOST))?;
    let (sender, receiver) = oneshot::channel();
    let work = move || {
        // A result that is not wanted is dropped before the slot is free again.
        let _slot = slot;
        let _ = sender.send(work());
    };
    let thread = thread::Builder::new().name("probe".to_owned()).stack_size(STACK).spawn(work);
    thread.map_err(|error| Reason::Unknown(plain(&error)))?;
    receiver.await.map_err(|_| Reason::Unknown("its thread ended early".to_owned()))
}
