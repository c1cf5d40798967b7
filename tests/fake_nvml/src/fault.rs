//! What goes wrong: a file with a line `WHERE WHAT` for each fault.
//!
//! WHERE is the name of a function, the same with `@GPU`, or `#N` for the N-th call of the process, counted from 1.
//! WHAT is `error CODE`, `hang`, `kill` (the caller and who started it, before the call), `kill-after` (the same, behind
//! it), or `kill-caller` (the caller alone).

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::machine::folder;

static CALLS: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" {
    fn kill(process: i32, signal: i32) -> i32;
    fn getppid() -> i32;
    fn getpid() -> i32;
}

/// Goes through a call: what happens before it, the call, and what happens behind it.
pub fn through(name: &str, gpu: Option<usize>, call: impl FnOnce() -> Result<(), u32>) -> u32 {
    let number = CALLS.fetch_add(1, Ordering::SeqCst) + 1;
    if !folder().join("quiet").exists() {
        if let Ok(mut list) = OpenOptions::new().append(true).create(true).open(folder().join("calls")) {
            let _ = writeln!(list, "{name}");
        }
    }
    let fault = fault(name, gpu, number);
    match fault.as_deref() {
        Some("hang") => loop {
            std::thread::sleep(Duration::from_secs(3600));
        },
        Some("kill") => die(true),
        Some("kill-caller") => die(false),
        Some(other) => {
            if let Some(code) = other.strip_prefix("error ").and_then(|code| code.parse().ok()) {
                return code;
            }
        }
        None => {}
    }
    let code = call().err().unwrap_or_default();
    if fault.as_deref() == Some("kill-after") {
        die(true);
    }
    code
}

fn fault(name: &str, gpu: Option<usize>, number: usize) -> Option<String> {
    let faults = fs::read_to_string(folder().join("faults")).ok()?;
    let of_gpu = gpu.map(|gpu| format!("{name}@{gpu}"));
    faults.lines().find_map(|line| {
        let (place, what) = line.split_once(' ')?;
        let here = place == name || place == format!("#{number}") || of_gpu.as_deref() == Some(place);
        here.then(|| what.to_owned())
    })
}

fn die(parent_too: bool) -> ! {
    const SIGKILL: i32 = 9;
    // SAFETY: these calls take and return plain numbers.
    unsafe {
        if parent_too {
            kill(getppid(), SIGKILL);
        }
        kill(getpid(), SIGKILL);
    }
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}
