//! File systems that keep data.

use std::collections::BTreeMap;

use super::{FactsError, GIB, MIB, Mount, Tree, rounded};

/// Kinds that keep nothing of their own, or nothing that can be written.
const TRANSIENT: [&str; 4] = ["squashfs", "iso9660", "erofs", "ramfs"];

/// Kinds without a device that keep data.
const KEEPING: [&str; 3] = ["zfs", "bcachefs", "virtiofs"];

/// Kinds that other machines keep. They are not asked for their size: one that does not answer would hang us.
const REMOTE: [&str; 6] = ["nfs", "nfs4", "cifs", "smb3", "ceph", "9p"];

/// Returns the mounts by mount point.
pub(super) fn mounts(tree: Tree<'_>) -> Result<BTreeMap<String, Mount>, FactsError> {
    let text = tree.read("proc/self/mountinfo")?;
    let found = text.lines().filter_map(|line| {
        let (path, kind, local) = keeps_data(line)?;
        let space = local.then(|| rustix::fs::statvfs(tree.path(path.trim_start_matches('/'))).ok()).flatten();
        let bytes = |blocks: u64| space.as_ref().map(|space| blocks.saturating_mul(space.f_frsize));
        let size = space.as_ref().and_then(|space| bytes(space.f_blocks)).map(|bytes| rounded(bytes, MIB));
        let free = space.as_ref().and_then(|space| bytes(space.f_bavail)).map(|bytes| rounded(bytes, GIB));
        Some((path, Mount { kind, size, free }))
    });
    Ok(found.collect())
}

/// Returns mount point, kind, and whether it is local, of a line of proc_pid_mountinfo(5) about a file system that keeps
/// data; none for others, for parts of one that are mounted elsewhere, and for what containers mount.
fn keeps_data(line: &str) -> Option<(String, String, bool)> {
    let (own, rest) = line.split_once(" - ")?;
    let mut own = own.split(' ').skip(3);
    let (part, path) = (own.next()?, unescaped(own.next()?));
    let mut rest = rest.split(' ');
    let (kind, source) = (rest.next()?, rest.next()?);
    let remote = REMOTE.contains(&kind) || kind.starts_with("fuse.");
    let known = source.starts_with("/dev/") || KEEPING.contains(&kind) || remote || path == "/";
    let whole = part == "/" || kind == "btrfs";
    let wanted = known && whole && !TRANSIENT.contains(&kind) && !path.chars().any(char::is_control);
    wanted.then(|| (path, kind.to_owned(), !remote))
}

/// Returns a path as it is: the kernel writes blanks and the like as a backslash and three octal digits.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = tail.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_data_is_found() {
        let table = [
            ("22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw", Some("/ ext4 true")),
            ("22 1 0:2 / / rw - overlay overlay rw", Some("/ overlay true")),
            ("23 22 8:2 / /mnt/my\\040models rw - xfs /dev/sdb rw", Some("/mnt/my models xfs true")),
            ("24 22 0:9 / /srv rw shared:3 master:2 - nfs4 nas:/srv rw", Some("/srv nfs4 false")),
            ("25 22 0:9 /@home /home rw - btrfs /dev/sdc rw", Some("/home btrfs true")),
            ("26 22 8:1 /var/lib/x /elsewhere rw - ext4 /dev/sda1 rw", None),
            ("27 22 0:5 / /proc rw - proc proc rw", None),
            ("28 22 0:6 / /run rw - tmpfs tmpfs rw", None),
            ("29 22 7:1 / /snap/x ro - squashfs /dev/loop1 ro", None),
            ("30 22 0:7 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw", None),
            ("nonsense", None),
        ];
        for (line, expected) in table {
            let found = keeps_data(line).map(|(path, kind, local)| format!("{path} {kind} {local}"));
            assert_eq!(found.as_deref(), expected, "{line}");
        }
    }
}
