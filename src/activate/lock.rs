//! One switch at a time.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::error::DiskError;
use super::files::{Folder, Through};
use super::places::Places;

/// The only switch of a host; held while this lives, and by nobody after this process has ended, however it ended.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another switch is running{holder}; wait for it with `--wait-lock`, or see `citadel status`")]
    Busy {
        /// Who has it since when, to stand behind a word; empty when that is not known.
        holder: String,
    },
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Between two attempts: the kernel can wait for a lock, but not only for a while.
const PAUSE: Duration = Duration::from_millis(50);

impl Lock {
    /// Takes the lock, or says at once who has it.
    pub fn try_take(places: &Places) -> Result<Self, LockError> {
        let folder = Folder::make(places, Path::new("/run/citadel"), Through::Links, &mut Vec::new())?;
        let failed = |doing| move |error: std::io::Error| DiskError::doing(doing, places.lock())(error);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Whoever can read a file can lock it, and so keep root from every switch.
        let private = Mode::from_raw_mode(0o600);
        let file = rustix::fs::openat(&folder, "lock", flags, private).map_err(|error| failed("open")(error.into()))?;
        rustix::fs::fchmod(&file, private).map_err(|error| failed("set the mode of")(error.into()))?;
        let mut file = File::from(file);
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::AGAIN) => {
                let mut holder = String::new();
                let _ = (&file).take(200).read_to_string(&mut holder);
                return Err(LockError::Busy { holder: holder.lines().next().unwrap_or_default().to_owned() });
            }
            Err(error) => return Err(failed("lock")(error.into()).into()),
        }
        // `uninstall` takes the file away at its end: whoever had opened it before would hold a lock that nobody sees.
        let held = rustix::fs::fstat(&file).map_err(|error| failed("look at")(error.into()))?;
        if folder.stat("lock")?.is_none_or(|named| (named.st_dev, named.st_ino) != (held.st_dev, held.st_ino)) {
            return Err(LockError::Busy { holder: String::new() });
        }
        let mut tell = || -> std::io::Result<()> {
            file.set_len(0)?;
            file.rewind()?;
            let now = jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default();
            writeln!(file, " (process {}, since {now})", std::process::id())
        };
        tell().map_err(failed("write"))?;
        Ok(Lock { _file: file })
    }

    /// Takes the lock, and waits for it at most so long.
    pub async fn take_within(places: &Places, limit: Duration) -> Result<Self, LockError> {
        let end = tokio::time::Instant::now() + limit;
        loop {
            match Self::try_take(places) {
                Err(LockError::Busy { holder }) if tokio::time::Instant::now() >= end => {
                    return Err(LockError::Busy { holder });
                }
                Err(LockError::Busy { .. }) => tokio::time::sleep(PAUSE).await,
                other => return other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activate::testing::{block_on, host};

    #[test]
    fn one_has_it_and_the_others_know_who() {
        let (_root, places) = host();
        let lock = Lock::try_take(&places).unwrap();
        let error = Lock::try_take(&places).unwrap_err().to_string();
        assert!(error.contains(&format!("(process {}, since 20", std::process::id())), "{error}");
        assert!(matches!(block_on(Lock::take_within(&places, Duration::ZERO)), Err(LockError::Busy { .. })));
        drop(lock);
        Lock::try_take(&places).unwrap();
    }

    #[test]
    fn nobody_else_can_hold_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_root, places) = host();
        std::fs::create_dir_all(places.lock().parent().unwrap()).unwrap();
        std::fs::write(places.lock(), "").unwrap();
        std::fs::set_permissions(places.lock(), std::fs::Permissions::from_mode(0o644)).unwrap();
        let _lock = Lock::try_take(&places).unwrap();
        assert_eq!(std::fs::metadata(places.lock()).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn who_waits_gets_it() {
        let (_root, places) = host();
        let lock = Lock::try_take(&places).unwrap();
        let waiting = Lock::take_within(&places, Duration::from_secs(600));
        let release = async {
            tokio::task::yield_now().await;
            drop(lock);
        };
        let (taken, ()) = block_on(async { tokio::join!(waiting, release) });
        taken.unwrap();
    }
}
