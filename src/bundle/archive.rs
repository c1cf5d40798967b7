//! Bundles in one file: a `.tar.gz` archive of the bundle's files.
//!
//! An archive comes from elsewhere and is read by root, so it is read into memory, within limits, and nothing is written
//! before the whole of it has been checked. It holds `manifest.json` and exactly the files that the manifest names, as
//! plain files; folders are allowed and mean nothing.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Write};

use flate2::bufread::GzDecoder;
use flate2::{Compression, GzBuilder};
use tar::EntryType;

use super::Bundle;
use super::digest::Digest;
use super::manifest::FILE_NAME;
use super::read::{ReadError, is_inside, parse_manifest};

/// The most that an archive may unpack to, in bytes, with its own headers. A bundle of a hundred services has one or two
/// megabytes.
pub const MOST_BYTES: u64 = 64 << 20;

/// The most entries that an archive may have.
pub const MOST_ENTRIES: usize = 8192;

/// Why something is not a bundle in one file.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("the archive cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("the archive unpacks to more than {MOST_BYTES} bytes, which no bundle has")]
    TooLarge,
    #[error("the archive has more than {MOST_ENTRIES} entries, which no bundle has")]
    TooMany,
    #[error("the archive holds {0:?}, and a bundle holds only plain paths without `.` and `..`")]
    Path(String),
    #[error("the archive holds {0:?} twice")]
    Twice(String),
    #[error("the archive holds {0:?}, which is neither a file nor a folder")]
    Kind(String),
    #[error("the archive has no {FILE_NAME}, so it is not a bundle")]
    NotABundle,
    #[error("the archive's {FILE_NAME} is not a manifest: {0}")]
    Manifest(ReadError),
    #[error("the archive holds {0:?}, which its manifest does not name")]
    Unnamed(String),
    #[error("the manifest names {0:?}, which the archive does not hold")]
    Missing(String),
    #[error("{0:?} has changed since the bundle was built")]
    Changed(String),
    #[error("something follows the end of the archive")]
    Trailing,
}

impl Bundle {
    /// Writes the bundle as a `.tar.gz` archive; equal bundles give equal bytes.
    ///
    /// Modes and owners are those of the manifest; the archive's own say nothing.
    pub fn pack(&self, output: impl Write) -> io::Result<()> {
        let packed = GzBuilder::new().mtime(0).write(output, Compression::best());
        let mut archive = tar::Builder::new(packed);
        let manifest = self.manifest_text();
        let files = self.files.iter().map(|(path, content)| (path.as_str(), content));
        for (path, content) in [(FILE_NAME, &manifest)].into_iter().chain(files) {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(EntryType::Regular);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, path, content.as_slice())?;
        }
        archive.into_inner()?.finish()?.flush()
    }

    /// Reads a `.tar.gz` archive into memory and checks that it is a bundle, whole and nothing else.
    pub fn unpack(input: impl Read) -> Result<Self, ArchiveError> {
        let mut packed = BufReader::new(input);
        let mut files = {
            let mut unpacked = Limited { inner: GzDecoder::new(&mut packed), left: MOST_BYTES, exceeded: false };
            let files = entries(&mut unpacked);
            if unpacked.exceeded {
                return Err(ArchiveError::TooLarge);
            }
            let files = files?;
            // The end of the archive is marked by zeros; the checksum behind the packed data is read with the rest.
            let mut rest = [0; 4096];
            loop {
                match unpacked.read(&mut rest) {
                    Ok(0) => break,
                    Ok(some) if rest[..some].iter().all(|byte| *byte == 0) => {}
                    Ok(_) => return Err(ArchiveError::Trailing),
                    Err(_) if unpacked.exceeded => return Err(ArchiveError::TooLarge),
                    Err(error) => return Err(error.into()),
                }
            }
            files
        };
        if packed.read(&mut [0])? > 0 {
            return Err(ArchiveError::Trailing);
        }

        let manifest = files.remove(FILE_NAME).ok_or(ArchiveError::NotABundle)?;
        let manifest = parse_manifest(&manifest).map_err(ArchiveError::Manifest)?;
        for (path, entry) in &manifest.files {
            if !is_inside(path) {
                return Err(ArchiveError::Path(path.clone()));
            }
            let content = files.get(path).ok_or_else(|| ArchiveError::Missing(path.clone()))?;
            if content.len() as u64 != entry.size || Digest::of(content) != entry.sha256 {
                return Err(ArchiveError::Changed(path.clone()));
            }
        }
        match files.keys().find(|path| !manifest.files.contains_key(*path)) {
            Some(unnamed) => Err(ArchiveError::Unnamed(unnamed.clone())),
            None => Ok(Bundle { manifest, files }),
        }
    }
}

/// Reads all files of an archive.
fn entries(unpacked: &mut impl Read) -> Result<BTreeMap<String, Vec<u8>>, ArchiveError> {
    let mut files = BTreeMap::new();
    let mut archive = tar::Archive::new(unpacked);
    for (count, entry) in archive.entries()?.enumerate() {
        let mut entry = entry?;
        if count == MOST_ENTRIES {
            return Err(ArchiveError::TooMany);
        }
        let path = entry.path_bytes();
        let path = String::from_utf8(path.into_owned())
            .map_err(|error| ArchiveError::Path(String::from_utf8_lossy(error.as_bytes()).into_owned()))?;
        match entry.header().entry_type() {
            // `tar -C bundle -cz .` is how people make one; its names begin with `./`.
            EntryType::Directory if matches!(path.as_str(), "." | "./") => {}
            EntryType::Directory => {
                let plain = path.strip_prefix("./").unwrap_or(&path);
                if !is_inside(plain.strip_suffix('/').unwrap_or(plain)) {
                    return Err(ArchiveError::Path(path));
                }
            }
            EntryType::Regular => {
                let plain = path.strip_prefix("./").unwrap_or(&path);
                if !is_inside(plain) {
                    return Err(ArchiveError::Path(path));
                }
                // What the header says of the size is not trusted with memory.
                let mut content = Vec::new();
                entry.read_to_end(&mut content)?;
                if content.len() as u64 != entry.size() {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                if files.insert(plain.to_owned(), content).is_some() {
                    return Err(ArchiveError::Twice(plain.to_owned()));
                }
            }
            _ => return Err(ArchiveError::Kind(path)),
        }
    }
    Ok(files)
}

/// A source that ends in an error after so many bytes.
struct Limited<R> {
    inner: R,
    left: u64,
    exceeded: bool,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => {
                self.exceeded = true;
                return Err(io::Error::other("too large"));
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
