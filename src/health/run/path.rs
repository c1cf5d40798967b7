//! Files and mount points.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::aside::aside;
use crate::health::failure::Reason;

pub(super) async fn exists(path: &Path) -> Result<(), Reason> {
    let path = path.to_owned();
    match aside(move || fs::metadata(path)).await? {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Reason::Missing),
        Err(error) => Err(Reason::unreachable(&error)),
    }
}

/// Looks for the path among the mounts that the kernel lists, which also knows binds within one file system and does not
/// wait for a server that is gone.
pub(super) async fn is_mounted(path: &Path) -> Result<(), Reason> {
    let path = path.to_owned();
    let mounted = aside(move || {
        let mounts = fs::read("/proc/self/mountinfo")?;
        // Only a path that leads over links has to be looked up on the file systems themselves.
        Ok(mount_points(&mounts).any(|point| point == path) || {
            let real = fs::canonicalize(&path)?;
            mount_points(&mounts).any(|point| point == real)
        })
    });
    match mounted.await? {
        Ok(true) => Ok(()),
        Ok(false) => Err(Reason::NotMounted),
        Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound => Err(Reason::Missing),
        Err(error) => Err(Reason::unreachable(&error)),
    }
}

/// Returns the mount points of a mountinfo file (proc_pid_mountinfo(5)). A place where something would only be mounted
/// when it is used (autofs) is none.
fn mount_points(text: &[u8]) -> impl Iterator<Item = PathBuf> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let point = fields.nth(4)?;
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        (kind != b"autofs").then(|| PathBuf::from(OsString::from_vec(unescape(point))))
    })
}

/// Undoes the kernel's escapes: a backslash and three octal digits for blanks and backslashes.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let octal = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        bytes.push(octal.unwrap_or(*first));
        rest = octal.map_or(tail, |_| &rest[4..]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_as_the_kernel_writes_them() {
        let text = b"36 35 98:0 /mnt1 /mnt/a\\040b\\134 rw,noatime master:1 - ext3 /dev/root rw\n\
            37 35 0:1 / /mnt/auto rw - autofs systemd-1 rw\n\
            38 35 0:2 / /mnt/auto/deep rw shared:1 shared:2 - nfs4 a:/b rw\n";
        let found: Vec<_> = mount_points(text).collect();
        assert_eq!(found, [Path::new("/mnt/a b\\"), Path::new("/mnt/auto/deep")]);
    }
}
