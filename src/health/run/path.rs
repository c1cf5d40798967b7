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
        let points = mount_points(&mounts);
        // Only a path that leads over links has to be looked up on the file systems themselves.
        Ok(points.contains(&path) || points.contains(&fs::canonicalize(&path)?))
    });
    match mounted.await? {
        Ok(true) => Ok(()),
        Ok(false) => Err(Reason::NotMounted),
        Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound => Err(Reason::Missing),
        Err(error) => Err(Reason::unreachable(&error)),
    }
}

/// A line of a mountinfo file (proc_pid_mountinfo(5)).
struct Mount<'a> {
    id: &'a [u8],
    parent: &'a [u8],
    device: &'a [u8],
    /// Which folder of the file system is mounted.
    root: PathBuf,
    point: PathBuf,
    kind: &'a [u8],
}

impl<'a> Mount<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let (id, parent, device) = (fields.next()?, fields.next()?, fields.next()?);
        let mut path = || Some(PathBuf::from(OsString::from_vec(unescape(fields.next()?))));
        let (root, point) = (path()?, path()?);
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        Some(Mount { id, parent, device, root, point, kind })
    }

    /// Whether it only shows again what is there without it. A sandbox makes such a mount for every path that it treats
    /// differently from the folder above, such as a writable one, whether something is mounted there or not.
    fn is_bound_to_itself(&self, all: &[Mount<'_>]) -> bool {
        let parent = all.iter().find(|other| other.id == self.parent && other.id != self.id);
        parent.filter(|parent| parent.device == self.device).is_some_and(|parent| {
            let below = self.point.strip_prefix(&parent.point);
            below.is_ok_and(|below| parent.root.join(below) == self.root)
        })
    }
}

/// Returns the mount points of a mountinfo file. A place where something would only be mounted when it is used (autofs) is
/// none.
fn mount_points(text: &[u8]) -> Vec<PathBuf> {
    let mounts: Vec<Mount<'_>> = text.split(|byte| *byte == b'\n').filter_map(Mount::parse).collect();
    let real = mounts.iter().filter(|mount| mount.kind != b"autofs" && !mount.is_bound_to_itself(&mounts));
    real.map(|mount| mount.point.clone()).collect()
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
        assert_eq!(mount_points(text), [Path::new("/mnt/a b\\"), Path::new("/mnt/auto/deep")]);
    }

    #[test]
    fn what_a_sandbox_binds_to_itself_is_no_mount() {
        let text = b"20 1 8:1 / / rw - ext4 /dev/a rw\n\
            21 20 8:1 /mnt/models /mnt/models rw - ext4 /dev/a rw\n\
            22 20 8:2 / /mnt/disk rw - ext4 /dev/b rw\n\
            23 22 8:2 / /mnt/disk rw - ext4 /dev/b rw\n\
            24 20 8:1 /srv/real /mnt/bind rw - ext4 /dev/a rw\n\
            25 20 8:1 /@home /home rw - btrfs /dev/a rw\n";
        assert_eq!(mount_points(text), ["/", "/mnt/disk", "/mnt/bind", "/home"].map(PathBuf::from));
    }
}
