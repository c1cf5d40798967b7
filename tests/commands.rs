//! The commands of `citadel` on profiles that are right: what each prints, and how it ends.
//!
//! The cases are the files of `tests/commands`; a command of a file sees what those before it wrote. After a change
//! `TRYCMD=overwrite cargo test --test commands` writes the files anew; read what changed.

#![cfg(feature = "compiler")]

use std::path::Path;

#[test]
fn commands_say_what_they_did() {
    // Stamps of earlier runs are of no use, because every run has folders of its own.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("commands-cache");
    let _ = std::fs::remove_dir_all(&cache);
    trycmd::TestCases::new().env("XDG_CACHE_HOME", cache.to_string_lossy()).case("tests/commands/*.md").run();
}
