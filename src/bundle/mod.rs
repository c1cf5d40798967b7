//! The bundle: what leaves the compiler and what a host is given. The ground floor; knows nothing else of this program.

pub mod archive;
pub(crate) mod characters;
pub mod digest;
pub mod env_file;
pub mod manifest;
pub mod quantity;
pub mod read;
#[cfg(test)]
pub(crate) mod testing;
pub mod unit;
pub mod write;

use std::collections::BTreeMap;
use std::io;

use self::digest::Digest;
use self::manifest::Manifest;

/// A whole bundle in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    pub manifest: Manifest,
    /// The content of every file of the manifest, by its path in the bundle.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Bundle {
    /// Returns the text of the manifest's file; the same manifest always gives the same bytes.
    pub fn manifest_text(&self) -> Vec<u8> {
        manifest_text(&self.manifest)
    }

    /// Returns the identity of the bundle: the digest of its manifest, which holds the digests of everything else.
    pub fn digest(&self) -> Digest {
        let mut digest = digest::Writer::default();
        // A digest takes everything that is written.
        let _ = write_manifest(&self.manifest, &mut digest);
        digest.finish()
    }
}

fn manifest_text(manifest: &Manifest) -> Vec<u8> {
    let mut text = Vec::new();
    // Nor does memory refuse anything.
    let _ = write_manifest(manifest, &mut text);
    text
}

fn write_manifest(manifest: &Manifest, mut out: impl io::Write) -> io::Result<()> {
    // Maps have strings for keys and numbers are finite, so there is nothing that JSON could not say.
    serde_json::to_writer_pretty(&mut out, manifest)?;
    out.write_all(b"\n")
}
