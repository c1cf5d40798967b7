//! A project as it was at a revision of its git repository, in a folder of its own.
//!
//! Neither the work tree nor the index is touched, and nothing of the repository is run: files are read as objects, so
//! hooks, filters, line ends and attributes of a repository have no say. `git` itself is asked, as a program, for names
//! and objects.

use std::fs::{self, OpenOptions};
use std::io::{self, BufReader, Read as _, Write as _};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use tempfile::TempDir;

use super::project::PROFILES;

/// Larger files are no part of a configuration.
const LARGEST_FILE: u64 = 16 << 20;
/// The most that is taken out of a repository.
const LARGEST: u64 = 1 << 30;

/// Why a revision cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RevisionError {
    #[error("{0:?} is not a revision: it begins with a \"-\"")]
    Option(String),
    #[error("git does not know the revision {revision:?}: {reason}")]
    Unknown { revision: String, reason: String },
    #[error("{0:?} and {1:?} have no common ancestor here")]
    NoBase(String, String),
    #[error("git cannot be asked about {folder}: {reason}")]
    Git { folder: PathBuf, reason: String },
    #[error("the files of {0:?} take more than {LARGEST} bytes")]
    TooLarge(String),
    #[error("cannot take the files of a revision out of the repository: {0}")]
    Io(#[from] io::Error),
}

impl RevisionError {
    /// Returns what a user can do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Option(_) => "write revisions as in `--git main..HEAD`",
            Self::Unknown { .. } | Self::NoBase(..) => {
                "fetch it first; a shallow clone lacks history, which `git fetch --unshallow` brings"
            }
            Self::Git { .. } => "work in a git repository, and install git",
            Self::TooLarge(_) => "keep the profiles in a repository without large files",
            Self::Io(_) => "check the free space of the folder for temporary files",
        }
    }
}

/// What to compare: two revisions, or one with the work tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub old: String,
    /// None for the work tree.
    pub new: Option<String>,
    /// Whether the old side is where both parted.
    pub from_base: bool,
}

impl Range {
    /// Reads `A..B`, `A...B` or `A`, as git does; a side that is left out is `HEAD`.
    pub fn parse(text: &str) -> Self {
        let side = |text: &str| if text.is_empty() { "HEAD" } else { text }.to_owned();
        if let Some((old, new)) = text.split_once("...") {
            Range { old: side(old), new: Some(side(new)), from_base: true }
        } else if let Some((old, new)) = text.split_once("..") {
            Range { old: side(old), new: Some(side(new)), from_base: false }
        } else {
            Range { old: side(text), new: None, from_base: false }
        }
    }
}

/// A commit of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// What the user calls it.
    pub name: String,
    /// Its identity, in hexadecimal.
    pub id: String,
}

impl Commit {
    /// Finds a commit by any name that git knows.
    pub fn find(folder: &Path, revision: &str) -> Result<Self, RevisionError> {
        if revision.starts_with('-') {
            return Err(RevisionError::Option(revision.to_owned()));
        }
        let wanted = format!("{revision}^{{commit}}");
        match git(folder, &["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted])? {
            Ok(id) => Ok(Commit { name: revision.to_owned(), id: id.trim().to_owned() }),
            Err(reason) => {
                // Whether there is a repository at all is another question.
                if let Err(reason) = git(folder, &["rev-parse", "--git-dir"])? {
                    return Err(RevisionError::Git { folder: folder.to_owned(), reason });
                }
                let reason = if reason.is_empty() { "it names no commit".to_owned() } else { reason };
                Err(RevisionError::Unknown { revision: revision.to_owned(), reason })
            }
        }
    }

    /// Returns the commit where two lines of history parted.
    pub fn base(folder: &Path, one: &Commit, other: &Commit) -> Result<Self, RevisionError> {
        match git(folder, &["merge-base", &one.id, &other.id])? {
            Ok(id) => Ok(Commit { name: format!("{} (common)", one.name), id: id.trim().to_owned() }),
            Err(_) => Err(RevisionError::NoBase(one.name.clone(), other.name.clone())),
        }
    }

    /// Returns the name with the beginning of the identity.
    pub fn label(&self) -> String {
        let id = self.id.get(..10).unwrap_or(&self.id);
        if self.name == self.id { id.to_owned() } else { format!("{} {id}", self.name) }
    }

    /// Writes the files below `folder`, a folder of the repository, as they are in this commit, to a temporary folder.
    pub fn check_out(&self, folder: &Path) -> Result<TempDir, RevisionError> {
        let listed = match git_bytes(folder, &["ls-tree", "-r", "-z", "-l", &self.id])? {
            Ok(listed) => listed,
            Err(reason) => return Err(RevisionError::Git { folder: folder.to_owned(), reason }),
        };
        let entries: Vec<Entry> = listed.split(|byte| *byte == 0).filter_map(Entry::parse).collect();
        if entries.iter().map(|entry| entry.size).sum::<u64>() > LARGEST {
            return Err(RevisionError::TooLarge(self.name.clone()));
        }
        let target = tempfile::Builder::new().prefix("citadel-revision-").tempdir()?;
        // A folder without profiles is a project without any, and not a part of one further up.
        fs::create_dir_all(target.path().join(PROFILES))?;
        write_all(folder, &entries, target.path())?;
        Ok(target)
    }
}

/// A file of a commit.
struct Entry {
    id: String,
    path: PathBuf,
    size: u64,
    link: bool,
}

impl Entry {
    /// Reads `100644 blob ID SIZE\tPATH`; what is no plain file or link, or would lie elsewhere, is none.
    fn parse(line: &[u8]) -> Option<Self> {
        use std::os::unix::ffi::OsStrExt as _;
        let tab = line.iter().position(|byte| *byte == b'\t')?;
        let (head, path) = (std::str::from_utf8(&line[..tab]).ok()?, &line[tab + 1..]);
        let mut words = head.split_whitespace();
        let (mode, kind, id, size) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(path));
        let plain = path.components().all(|part| matches!(part, Component::Normal(name) if name != ".git"));
        let size = size.parse().ok()?;
        let known = kind == "blob" && ["100644", "100755", "120000"].contains(&mode);
        (known && plain && size <= LARGEST_FILE).then(|| Entry {
            id: id.to_owned(),
            path,
            size,
            link: mode == "120000",
        })
    }
}

fn write_all(repository: &Path, entries: &[Entry], target: &Path) -> Result<(), RevisionError> {
    let mut child = command(repository, &["cat-file", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (Some(mut asked), Some(given)) = (child.stdin.take(), child.stdout.take()) else { return Ok(()) };
    let wanted: String = entries.iter().map(|entry| format!("{}\n", entry.id)).collect();
    // git answers while it is still asked; both at once, or both would wait for each other.
    let asking = thread::spawn(move || asked.write_all(wanted.as_bytes()));
    let mut given = BufReader::new(given);
    let mut links = Vec::new();
    for entry in entries {
        let content = object(&mut given)?;
        if entry.link {
            links.push((entry, content));
        } else {
            let path = target.join(&entry.path);
            fs::create_dir_all(path.parent().unwrap_or(target))?;
            OpenOptions::new().write(true).create_new(true).open(path)?.write_all(&content)?;
        }
    }
    drop(given);
    let _ = asking.join();
    child.wait()?;
    // Links come last, so that no file is written through one.
    for (entry, content) in links {
        use std::os::unix::ffi::OsStrExt as _;
        let path = target.join(&entry.path);
        fs::create_dir_all(path.parent().unwrap_or(target))?;
        std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(&content), path)?;
    }
    Ok(())
}

/// Reads `ID blob SIZE`, and so many bytes.
fn object(given: &mut impl io::BufRead) -> io::Result<Vec<u8>> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "git does not give an object of the commit");
    let mut head = String::new();
    given.read_line(&mut head)?;
    let size: u64 = head.split_whitespace().nth(2).and_then(|size| size.parse().ok()).ok_or_else(wrong)?;
    if size > LARGEST_FILE {
        return Err(wrong());
    }
    let mut content = Vec::new();
    given.by_ref().take(size).read_to_end(&mut content)?;
    let mut end = [0];
    given.read_exact(&mut end)?;
    if content.len() as u64 == size { Ok(content) } else { Err(wrong()) }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["--no-pager", "-c", "core.fsmonitor=false"]).args(arguments);
    command.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C").stdin(Stdio::null());
    command
}

/// Asks git; the inner result is what git says, or complains about.
fn git(folder: &Path, arguments: &[&str]) -> Result<Result<String, String>, RevisionError> {
    let answer = git_bytes(folder, arguments)?;
    Ok(answer.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

fn git_bytes(folder: &Path, arguments: &[&str]) -> Result<Result<Vec<u8>, String>, RevisionError> {
    let output = command(folder, arguments).output().map_err(|error| RevisionError::Git {
        folder: folder.to_owned(),
        reason: format!("git does not start: {error}"),
    })?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    let complaint = complaint.lines().next().unwrap_or_default().trim_start_matches("fatal: ").to_owned();
    Ok(if output.status.success() { Ok(output.stdout) } else { Err(complaint) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_git_does() {
        for (text, old, new, from_base) in [
            ("main..HEAD", "main", Some("HEAD"), false),
            ("main...feature", "main", Some("feature"), true),
            ("main..", "main", Some("HEAD"), false),
            ("..next", "HEAD", Some("next"), false),
            ("main", "main", None, false),
        ] {
            let new = new.map(str::to_owned);
            assert_eq!(Range::parse(text), Range { old: old.to_owned(), new, from_base }, "{text}");
        }
    }

    #[test]
    fn entries_stay_inside() {
        let entry = |line: &str| Entry::parse(line.as_bytes()).map(|entry| entry.path);
        assert_eq!(entry("100644 blob 0a 12\tprofiles/a.ncl"), Some("profiles/a.ncl".into()));
        for wrong in [
            "100644 blob 0a 12\t../a",
            "100644 blob 0a 12\t/etc/passwd",
            "100644 blob 0a 12\ta/.git/config",
            "160000 commit 0a -\tsub",
            "100644 blob 0a 99999999999\tlarge",
            "100644 blob 0a 12",
        ] {
            assert_eq!(entry(wrong), None, "{wrong}");
        }
    }
}
