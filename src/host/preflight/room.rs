//! Free disk and memory.

use std::path::Path;

use super::answer::{Answer, Failure};
use super::machine::Machine;
use crate::bundle::quantity::Size;
use crate::health::failure::plain;

pub fn disk(machine: &impl Machine, path: &Path, wanted: Size) -> Answer {
    let shown = path.display();
    let free = machine.free_disk(path).map_err(|error| {
        Failure::new(format!("the free disk at {shown} is not known: {}", plain(&error)), "check that the path exists")
    })?;
    enough(Size(free), wanted, &format!("of the disk at {shown}"), || {
        format!("remove what is not needed (`du -xh {shown} | sort -h | tail`), or ask for less")
    })
}

pub fn memory(machine: &impl Machine, wanted: Size) -> Answer {
    let free = machine.free_memory().map_err(|error| {
        Failure::new(format!("the free memory is not known: {}", plain(&error)), "check that /proc is mounted")
    })?;
    enough(Size(free), wanted, "of memory", || {
        "stop what takes it (`systemd-cgtop -m` shows which services do), or ask for less".to_owned()
    })
}

/// Compares what is free with what is wanted; `what` follows the amount.
pub fn enough(free: Size, wanted: Size, what: &str, help: impl FnOnce() -> String) -> Answer {
    let (shown, needed) = (free.gib(), wanted.gib());
    if free >= wanted {
        return Ok(format!("{shown} GiB {what} is free"));
    }
    // Rounded they may look the same.
    let (shown, needed, unit) =
        if shown == needed { (free.0.to_string(), wanted.0.to_string(), "bytes") } else { (shown, needed, "GiB") };
    Err(Failure::new(format!("only {shown} {unit} {what} is free, and {needed} {unit} is needed"), help()))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Fake, reason};
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn room_is_enough_or_not() {
        let machine = Fake { disk: Some(10 * GIB), memory: Some(8 * GIB), ..Fake::default() };
        let path = Path::new("/srv");
        assert_eq!(disk(&machine, path, Size(10 * GIB)), Ok("10.0 GiB of the disk at /srv is free".to_owned()));
        assert_eq!(
            reason(disk(&machine, path, Size(20 * GIB))),
            "only 10.0 GiB of the disk at /srv is free, and 20.0 GiB is needed"
        );
        assert_eq!(memory(&machine, Size(GIB)), Ok("8.0 GiB of memory is free".to_owned()));
        assert_eq!(
            reason(memory(&machine, Size(8 * GIB + 1))),
            "only 8589934592 bytes of memory is free, and 8589934593 bytes is needed"
        );
    }

    #[test]
    fn what_is_not_known_is_not_enough() {
        let machine = Fake::default();
        assert_eq!(
            reason(disk(&machine, Path::new("/srv"), Size(1))),
            "the free disk at /srv is not known: no such file or directory"
        );
        assert!(reason(memory(&machine, Size(1))).starts_with("the free memory is not known"));
    }
}
