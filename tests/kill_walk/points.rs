//! The system calls of a switch that change something, as `strace` writes them down.

use std::collections::{BTreeMap, BTreeSet};

/// The calls that are looked at: those that can change files, reach other processes, or make new ones.
pub const CALLS: &str = "open,openat,openat2,creat,write,writev,pwrite64,pwritev,sendfile,copy_file_range,rename,renameat,\
    renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,truncate,ftruncate,fallocate,fsync,fdatasync,\
    syncfs,chmod,fchmod,fchmodat,?fchmodat2,chown,lchown,fchown,fchownat,utimensat,setxattr,fsetxattr,flock,fcntl,\
    sendto,sendmsg,sendmmsg,kill,tgkill,fork,vfork,clone,clone3,mount,umount2,exit_group";

/// What a message to systemd has to say to change something; all others ask.
const ORDERS: [&str; 9] = [
    "StartUnit",
    "StopUnit",
    "RestartUnit",
    "ReloadUnit",
    "Reload\\0",
    "EnqueueMarkedJobs",
    "SetUnitProperties",
    "ResetFailedUnit",
    "CancelJob",
];

/// A moment in a switch: just before a call that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// The name of the call.
    pub call: String,
    /// How many calls of this name its thread makes up to it; `strace` counts them like this.
    pub number: usize,
    /// Whether it is in another thread than the first, so that `strace` has to follow these.
    pub in_thread: bool,
    /// Whether the disk can fail it.
    pub is_on_disk: bool,
    /// What it acts on, the same in every run.
    pub place: String,
    /// The call, for people.
    pub text: String,
}

/// A line of a trace: the thread, the call, and its arguments.
pub fn parse(line: &str) -> Option<(&str, &str, &str)> {
    let (head, arguments) = line.split_once('(')?;
    match head.split_once(' ') {
        Some((thread, call)) => Some((thread, call.trim_start(), arguments)),
        None => Some(("", head, arguments)),
    }
}

/// Returns the calls in the output of `strace -y` that change something.
pub fn points(trace: &str) -> Vec<Point> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut points = Vec::new();
    for line in trace.lines() {
        let Some((_, call, arguments)) = parse(line) else { continue };
        let number = counts.entry(call).or_default();
        *number += 1;
        points.extend(point(line, call, arguments, *number, false));
    }
    points
}

/// Returns what threads other than the first change, out of the output of `strace -f`: calls that no thread made so often
/// before, because `strace` strikes at the first that does.
pub fn points_in_threads(trace: &str) -> Vec<Point> {
    let first = trace.lines().find_map(parse).map_or("", |(thread, ..)| thread);
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut reached: BTreeSet<(&str, usize)> = BTreeSet::new();
    let mut points = Vec::new();
    for line in trace.lines() {
        let Some((thread, call, arguments)) = parse(line) else { continue };
        let number = counts.entry((thread, call)).or_default();
        *number += 1;
        if reached.insert((call, *number)) && thread != first {
            points.extend(point(line, call, arguments, *number, true));
        }
    }
    points
}

/// Returns the last call in a trace: the one that was struck, when the process was killed.
pub fn last_place(trace: &str) -> Option<(String, String)> {
    let (_, call, arguments) = trace.lines().filter_map(parse).next_back()?;
    Some((call.to_owned(), place(call, arguments)))
}

fn point(line: &str, call: &str, arguments: &str, number: usize, in_thread: bool) -> Option<Point> {
    let is_on_disk = changes(call, arguments)?;
    let text = line.chars().take(150).collect();
    Some(Point { call: call.to_owned(), number, in_thread, is_on_disk, place: place(call, arguments), text })
}

/// Whether a call changes something on disk (`true`) or elsewhere (`false`).
fn changes(call: &str, arguments: &str) -> Option<bool> {
    let descriptor = arguments.split_once('<').map_or("", |(_, rest)| rest.split('>').next().unwrap_or_default());
    match call {
        "open" | "openat" | "openat2" => {
            let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|flag| arguments.contains(flag));
            (writes && !arguments.contains("\"/dev/")).then_some(true)
        }
        // What wakes the program itself up changes nothing, and neither does what probes ask.
        "write" | "writev" | "pwrite64" | "pwritev" => {
            (descriptor.starts_with('/') && !descriptor.starts_with("/dev/")).then_some(true)
        }
        "sendto" | "sendmsg" | "sendmmsg" => ORDERS.iter().any(|order| arguments.contains(order)).then_some(false),
        "flock" | "kill" | "tgkill" | "fork" | "vfork" | "clone" | "clone3" | "mount" | "umount2" | "exit_group" => {
            Some(false)
        }
        // Locks are made with it, and much else is read.
        "fcntl" => arguments.contains("F_SETLK").then_some(false),
        _ => Some(true),
    }
}

/// Returns the paths that a call names, without what differs from run to run: numbers of processes, generations and
/// sockets, and what is sent or written.
fn place(call: &str, arguments: &str) -> String {
    let arguments = arguments.rsplit_once(" = ").map_or(arguments, |(arguments, _)| arguments);
    let arguments = match call {
        "write" | "writev" | "pwrite64" | "pwritev" | "sendto" | "sendmsg" | "sendmmsg" => {
            arguments.split_once('"').map_or(arguments, |(before, _)| before)
        }
        "clone" | "clone3" => "",
        _ => arguments,
    };
    let mut place = String::new();
    for letter in arguments.trim_end().trim_end_matches([')', ',']).chars() {
        match letter {
            '0'..='9' if place.ends_with('#') => {}
            '0'..='9' => place.push('#'),
            letter => place.push(letter),
        }
    }
    place
}

#[test]
fn calls_that_change_something_are_counted_by_name() {
    let trace = "\
openat(AT_FDCWD</>, \"/etc/ld.so.cache\", O_RDONLY|O_CLOEXEC) = 3</etc/ld.so.cache>
openat(7</etc/citadel>, \".new\", O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0600) = 8</etc/citadel/.new>
write(5<anon_inode:[eventfd]>, \"\\1\", 8) = 8
write(8</etc/citadel/.new>, \"text\", 4) = 4
sendto(4<socket:[1]>, \"GetUnit\", 7, 0, NULL, 0) = 7
sendto(4<socket:[1]>, \"StartUnit\", 9, 0, NULL, 0) = 9
fsync(8</etc/citadel/.new>) = 0
+++ exited with 0 +++
";
    let found: Vec<(String, usize, bool)> =
        points(trace).into_iter().map(|point| (point.call, point.number, point.is_on_disk)).collect();
    let expected = [("openat", 2, true), ("write", 2, true), ("sendto", 2, false), ("fsync", 1, true)];
    assert_eq!(found, expected.map(|(call, number, is_on_disk)| (call.to_owned(), number, is_on_disk)));
}

#[test]
fn threads_count_for_themselves() {
    let trace = "\
10 fsync(3</a>) = 0
11 fsync(4</b>) = 0
12 fsync(5</c> <unfinished ...>
11 fsync(6</d>) = 0
12 <... fsync resumed>) = 0
12 fsync(7</e>) = 0
10 fsync(8</f>) = 0
";
    let found: Vec<(usize, String)> =
        points_in_threads(trace).into_iter().map(|point| (point.number, point.place)).collect();
    assert_eq!(found, [(2, "#</d>".to_owned())], "the first thread comes first to its first, thread 11 to its second");
    assert_eq!(last_place(trace), Some(("fsync".to_owned(), "#</f>".to_owned())));
}

#[test]
fn a_place_is_the_same_in_every_run() {
    let place = |line: &str| parse(line).map(|(_, call, arguments)| place(call, arguments)).unwrap_or_default();
    assert_eq!(
        place("renameat(13</etc/citadel>, \".citadel-tmp-189-7-current\", 13</etc/citadel>, \"current\") = 0"),
        place("77 renameat(14</etc/citadel>, \".citadel-tmp-1-9-current\", 14</etc/citadel>, \"current\") = ?"),
    );
    assert_ne!(place("fsync(3</etc>) = 0"), place("fsync(3</etc/citadel>) = 0"));
    assert_eq!(place("write(3</run/log>, \"a = (1\", 3) = 3"), "#</run/log>");
}
