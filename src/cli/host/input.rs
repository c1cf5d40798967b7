//! Reading files that somebody names on the command line.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// More than the largest manifest has.
const LIMIT: u64 = 64 << 20;

/// Reads a regular file of at most 64 MiB: a pipe may never end, and neither does `/dev/zero`.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe would otherwise wait for a writer.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut content = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LIMIT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 64 MiB"));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "text").expect("a file");
        assert_eq!(read(&path("file")).expect("it is read"), b"text");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
        std::fs::File::create(path("hole")).and_then(|file| file.set_len(1 << 40)).expect("a hole");
        for refused in [path("pipe"), path("hole"), "/dev/zero".into(), path("no")] {
            assert!(read(&refused).is_err(), "{}", refused.display());
        }
    }
}
