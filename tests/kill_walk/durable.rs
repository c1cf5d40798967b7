//! Whether everything that a commit relies on is on disk before it, as a trace of `strace -f -y` shows.
//!
//! A power cut in these tests ends processes, and the disk of the machine below keeps what they wrote. So the trace has to
//! show that the same would be there if the disk forgot what was not synced.

use std::collections::BTreeSet;

use crate::points::parse;

/// Where everything that a boot relies on lies.
const OWN: &str = "/etc/citadel";

/// What is renamed to commit something: from then on, a boot relies on all that was written before.
const COMMITS: [&str; 2] = ["\"trial.json\"", "\"current\""];

/// Returns what was not on disk at a commit, and commits that were not on disk when systemd was told to read its units.
pub fn unsynced(trace: &str) -> Vec<String> {
    let mut waiting: BTreeSet<String> = BTreeSet::new();
    let mut wrong = Vec::new();
    for line in trace.lines() {
        let Some((_, call, arguments)) = parse(line) else { continue };
        if call == "sendto" && arguments.contains("Reload\\0") && waiting.contains(OWN) {
            wrong.push(format!("{OWN} before {line}"));
        }
        let paths = descriptors(arguments);
        let Some(first) = paths.first().copied() else { continue };
        match call {
            // The folder of the commit itself is synced after it.
            "renameat" | "renameat2"
                if COMMITS.iter().any(|name| arguments.trim_end_matches(") = 0").ends_with(name)) =>
            {
                wrong.extend(waiting.iter().filter(|path| *path != OWN).map(|path| format!("{path} before {line}")));
                waiting.insert(first.to_owned());
            }
            "fsync" | "fdatasync" => _ = waiting.remove(first),
            "write" | "pwrite64" | "writev" | "ftruncate" | "fchmod" | "fchown" => _ = waiting.insert(first.to_owned()),
            // The new file is in a folder, and both are new.
            "openat" | "openat2" if arguments.contains("O_CREAT") => {
                waiting.extend(paths.iter().map(|path| (*path).to_owned()))
            }
            "renameat" | "renameat2" | "symlinkat" | "linkat" | "mkdirat" | "unlinkat" => {
                waiting.extend(paths.iter().map(|path| (*path).to_owned()));
            }
            _ => {}
        }
        waiting.retain(|path| path.starts_with(OWN));
    }
    wrong
}

/// Returns the paths that `strace -y` writes behind descriptors.
fn descriptors(arguments: &str) -> Vec<&str> {
    let behind = arguments.split('<').skip(1);
    behind.filter_map(|rest| rest.split_once('>')).map(|(path, _)| path).filter(|path| path.starts_with('/')).collect()
}

#[test]
fn what_is_not_synced_before_a_commit_is_found() {
    let create = "9 openat(7</etc/citadel>, \".new\", O_WRONLY|O_CREAT|O_EXCL, 0600) = 8</etc/citadel/.new>\n";
    let write = "9 write(8</etc/citadel/.new>, \"text\", 4) = 4\n";
    let sync = "10 fsync(8</etc/citadel/.new>) = 0\n";
    let commit = "9 renameat(7</etc/citadel>, \".new\", 7</etc/citadel>, \"trial.json\") = 0\n";
    let sync_folder = "9 fsync(7</etc/citadel>) = 0\n";
    let reload = "9 sendto(4<socket:[1]>, \"...Manager\\0\\3\\1s\\0\\6\\0\\0\\0Reload\\0\", 9, 0, NULL, 0) = 9\n";
    let count = |lines: &[&str]| unsynced(&lines.concat()).len();
    assert_eq!(count(&[create, write, sync, commit, sync_folder, reload]), 0);
    assert_eq!(count(&[create, write, commit, sync_folder]), 1, "the file");
    assert_eq!(count(&[create, sync, write, commit]), 1, "written after it was synced");
    assert_eq!(count(&[create, write, sync, commit, reload]), 1, "the commit");
    let other = "9 mkdirat(7</etc/citadel/generations>, \"2\", 0755) = 0\n";
    assert_eq!(count(&[other, create, write, sync, commit]), 1, "another folder");
}
