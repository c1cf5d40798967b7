//! The system calls of a switch that change something, as `strace` writes them down.

use std::collections::BTreeMap;

/// The calls that are looked at: those that can change files, reach other processes, or make new ones.
pub const CALLS: &str = "open,openat,openat2,creat,write,writev,pwrite64,pwritev,sendfile,copy_file_range,rename,renameat,\
    renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,truncate,ftruncate,fallocate,fsync,fdatasync,\
    syncfs,chmod,fchmod,fchmodat,?fchmodat2,chown,lchown,fchown,fchownat,utimensat,setxattr,fsetxattr,flock,fcntl,connect,\
    sendto,sendmsg,sendmmsg,kill,tgkill,fork,vfork,clone,clone3,mount,umount2,exit_group";

/// A moment in a switch: just before a call that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// The name of the call.
    pub call: String,
    /// How many calls of this name there are up to it; `strace` counts them like this.
    pub number: usize,
    /// What is called, for people.
    pub text: String,
    /// Whether the disk can fail it.
    pub is_on_disk: bool,
}

/// Returns the calls in the output of `strace -y` that change something.
pub fn points(trace: &str) -> Vec<Point> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut points = Vec::new();
    for line in trace.lines() {
        let Some((call, arguments)) = line.split_once('(') else { continue };
        let number = counts.entry(call).or_default();
        *number += 1;
        let Some(is_on_disk) = changes(call, arguments) else { continue };
        let text: String = line.chars().take(150).collect();
        points.push(Point { call: call.to_owned(), number: *number, text, is_on_disk });
    }
    points
}

/// Whether a call changes something on disk (`true`) or elsewhere (`false`).
fn changes(call: &str, arguments: &str) -> Option<bool> {
    let descriptor = arguments.split_once('<').map_or("", |(_, rest)| rest.split('>').next().unwrap_or_default());
    match call {
        "open" | "openat" | "openat2" => {
            let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|flag| arguments.contains(flag));
            (writes && !arguments.contains("\"/dev/")).then_some(true)
        }
        "write" | "writev" | "pwrite64" | "pwritev" => {
            // What wakes the program itself up changes nothing.
            let inner = ["anon_inode:", "pipe:", "/dev/"].iter().any(|kind| descriptor.starts_with(kind));
            (!inner).then_some(descriptor.starts_with('/'))
        }
        "flock" | "connect" | "sendto" | "sendmsg" | "sendmmsg" | "kill" | "tgkill" | "fork" | "vfork" | "clone"
        | "clone3" | "mount" | "umount2" | "exit_group" => Some(false),
        // Locks are made with it, and much else is read.
        "fcntl" => arguments.contains("F_SETLK").then_some(false),
        _ => Some(true),
    }
}

#[test]
fn calls_that_change_something_are_counted_by_name() {
    let trace = "\
openat(AT_FDCWD</>, \"/etc/ld.so.cache\", O_RDONLY|O_CLOEXEC) = 3</etc/ld.so.cache>
openat(7</etc/citadel>, \".new\", O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0600) = 8</etc/citadel/.new>
write(5<anon_inode:[eventfd]>, \"\\1\", 8) = 8
write(8</etc/citadel/.new>, \"text\", 4) = 4
sendmsg(4<socket:[1]>, {msg_name=NULL}, 0) = 12
fsync(8</etc/citadel/.new>) = 0
+++ exited with 0 +++
";
    let found: Vec<(String, usize, bool)> =
        points(trace).into_iter().map(|point| (point.call, point.number, point.is_on_disk)).collect();
    let expected = [("openat", 2, true), ("write", 2, true), ("sendmsg", 1, false), ("fsync", 1, true)];
    assert_eq!(found, expected.map(|(call, number, is_on_disk)| (call.to_owned(), number, is_on_disk)));
}
