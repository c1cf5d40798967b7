//! The same inputs give the same bytes: whoever builds, wherever, whenever, and in whichever language.

#![cfg(feature = "compiler")]
#![allow(clippy::expect_used, clippy::panic)]

#[path = "support/project.rs"]
mod project;
#[path = "support/skip.rs"]
mod skip;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each path in a bundle with its permissions, and what it holds unless it is a folder.
type Tree = BTreeMap<PathBuf, (u32, Option<Vec<u8>>)>;

fn tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = fs::symlink_metadata(&path).expect("an entry of the bundle");
        let content = if metadata.is_dir() {
            let entries = fs::read_dir(&path).expect("a folder of the bundle is read");
            open.extend(entries.map(|entry| entry.expect("an entry is read").path()));
            None
        } else {
            Some(fs::read(&path).expect("a file of the bundle is read"))
        };
        let name = path.strip_prefix(root).expect("below the root").to_owned();
        tree.insert(name, (metadata.permissions().mode(), content));
    }
    tree
}

/// How a build is started.
struct Circumstances {
    folder: PathBuf,
    /// The command that starts the program, which follows: another user, another time, another processor.
    before: Vec<&'static str>,
    environment: Vec<(&'static str, &'static str)>,
}

impl Circumstances {
    /// Builds a profile, and returns the digest that is printed, and the bundle.
    fn build(&self, program: &Path, profile: &str) -> (String, Tree) {
        let output = self.folder.join("out").join(profile);
        let built = Command::new("env")
            .arg("--ignore-environment")
            .args(self.environment.iter().map(|(name, value)| format!("{name}={value}")))
            .args(&self.before)
            .arg(program)
            .args(["build", profile, "--message-format", "json", "--output"])
            .arg(&output)
            .current_dir(&self.folder)
            .output()
            .expect("env starts");
        let printed = String::from_utf8(built.stdout).expect("output is UTF-8");
        assert!(built.status.success(), "{profile}: {printed}{}", String::from_utf8_lossy(&built.stderr));
        let mut messages = printed.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let report = messages.rfind(|message| message["type"] == "build").expect("the build is reported");
        assert_eq!(report["built"], true, "{profile} comes from a cache");
        (report["bundle"].as_str().expect("the bundle has a digest").to_owned(), tree(&output))
    }
}

#[test]
fn bundles_do_not_depend_on_path_user_clock_or_locale() {
    let scratch = tempfile::tempdir().expect("a temporary folder is made");
    // The other user has to get at the program and at the profiles.
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).expect("the folder is opened");
    let program = scratch.path().join("citadel");
    fs::copy(env!("CARGO_BIN_EXE_citadel"), &program).expect("the program is copied");

    let here = Circumstances {
        folder: scratch.path().join("here"),
        before: vec![],
        environment: vec![("PATH", "/usr/bin:/bin"), ("HOME", "/nonexistent"), ("LANG", "C"), ("TZ", "UTC")],
    };
    let other_root = scratch.path().join("else where");
    let elsewhere = Circumstances {
        folder: other_root.join("über/\u{1f680}"),
        before: elsewhere(),
        // No HOME, and a locale in which "I" is not the capital letter of "i".
        environment: vec![
            ("PATH", "/usr/bin:/bin"),
            ("LANG", "tr_TR.UTF-8"),
            ("LC_ALL", "tr_TR.UTF-8"),
            ("TZ", "Pacific/Kiritimati"),
            ("SOURCE_DATE_EPOCH", "1"),
            ("COLUMNS", "20"),
            ("TERM", "xterm-256color"),
            ("CLICOLOR_FORCE", "1"),
        ],
    };
    for circumstances in [&here, &elsewhere] {
        project::copy(&circumstances.folder, |_| ());
    }
    if is_root() {
        give_to_nobody(&other_root);
    }

    let pairs = project::in_parallel(project::profiles(), |profile| {
        let [one, other] = [&here, &elsewhere].map(|circumstances| circumstances.build(&program, &profile));
        (profile, one, other)
    });
    for (profile, (digest, bundle), (other_digest, other_bundle)) in pairs {
        let paths = |tree: &Tree| tree.keys().cloned().collect::<Vec<_>>();
        assert_eq!(paths(&bundle), paths(&other_bundle), "{profile}");
        for (path, (mode, content)) in &bundle {
            let (other_mode, other_content) = &other_bundle[path];
            assert_eq!(mode, other_mode, "{profile}: permissions of {}", path.display());
            let text =
                |content: &Option<Vec<u8>>| content.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            assert_eq!(text(content), text(other_content), "{profile}: {}", path.display());
            assert!(content == other_content, "{profile}: {}", path.display());
        }
        assert_eq!(digest, other_digest, "{profile}");
    }
}

/// The command before the other build: as another user where root may become one, long ago where there is faketime, on
/// one processor, and with a umask that lets nobody else read.
fn elsewhere() -> Vec<&'static str> {
    let mut before = Vec::new();
    if is_root() {
        before.extend(["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
    } else {
        skip::skipped("building as another user needs root");
    }
    before.extend(["taskset", "--cpu-list", "0"]);
    if Command::new("faketime").arg("--version").output().is_ok() {
        before.extend(["faketime", "2001-02-03 04:05:06"]);
    } else {
        skip::skipped("building at another time needs faketime; tests/prepare installs it");
    }
    before.extend(["sh", "-c", "umask 0077; exec \"$0\" \"$@\""]);
    before
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Gives a folder with all below it to the user `nobody`.
fn give_to_nobody(folder: &Path) {
    let given = Command::new("chown").args(["--recursive", "nobody:nogroup"]).arg(folder).output();
    assert!(given.is_ok_and(|output| output.status.success()), "{} stays with root", folder.display());
}
