//! Runs an evaluation under a limit of memory and time, on a stack that nesting cannot overflow.
//!
//! Nickel recurses on the stack for nested terms, and a profile can run for ever. The evaluation gets a thread whose
//! stack is larger than the memory that it may use, so that the memory limit strikes first, and the calling thread
//! watches it.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// What an evaluation may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Resident memory of the whole process, in bytes.
    pub memory: u64,
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { memory: 1 << 30, time: Duration::from_secs(60) }
    }
}

/// Why an evaluation was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    Memory,
    Time,
    /// The system gave no thread for it.
    NoThread,
    /// It panicked, which is a defect of citadel or of Nickel.
    Panicked,
}

const POLL: Duration = Duration::from_millis(5);
const STACKS: [usize; 3] = [4 << 30, 1 << 30, 256 << 20];

/// Runs `work` and returns its result, unless it is given up first.
///
/// A thread cannot be killed: after `Stopped::Memory` or `Stopped::Time` it goes on, so the process should end soon.
pub fn run<T: Send + 'static>(limits: Limits, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Stopped> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let mut work = Some(move || {
        let _ = sender.send(work());
    });
    let (mut memory, mut started) = (limits.memory, false);
    // A machine may refuse to reserve a large stack.
    let slot = std::sync::Arc::new(std::sync::Mutex::new(work.take()));
    for stack in STACKS {
        let slot = slot.clone();
        let body = move || {
            let work = slot.lock().ok().and_then(|mut work| work.take());
            if let Some(work) = work {
                work();
            }
        };
        if thread::Builder::new().name("evaluate".to_owned()).stack_size(stack).spawn(body).is_ok() {
            memory = memory.min(stack as u64);
            started = true;
            break;
        }
    }
    drop(slot);
    if !started {
        return Err(Stopped::NoThread);
    }
    let deadline = Instant::now() + limits.time;
    loop {
        match receiver.recv_timeout(POLL) {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Disconnected) => return Err(Stopped::Panicked),
            Err(RecvTimeoutError::Timeout) if resident_memory() > memory => return Err(Stopped::Memory),
            Err(RecvTimeoutError::Timeout) if Instant::now() > deadline => return Err(Stopped::Time),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Returns the resident memory of this process in bytes, see proc(5); 0 when there is no `/proc`.
fn resident_memory() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok())
        .unwrap_or(0);
    pages * 4096
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_comes_back() {
        assert_eq!(run(Limits::default(), || 7), Ok(7));
    }

    #[test]
    fn work_that_never_ends_is_given_up() {
        let limits = Limits { time: Duration::from_millis(20), ..Limits::default() };
        assert_eq!(run(limits, || thread::sleep(Duration::from_secs(3600))), Err(Stopped::Time));
    }

    #[test]
    fn a_panic_is_no_crash() {
        assert_eq!(run::<()>(Limits::default(), || std::panic::resume_unwind(Box::new(()))), Err(Stopped::Panicked));
    }
}
