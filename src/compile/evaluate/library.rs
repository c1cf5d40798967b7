//! The module library inside the program, so that profiles need no copy of it.

use std::path::{Path, PathBuf};

use nickel_lang_core::cache::{CacheHub, InputFormat, SourcePath};

/// The folder that the embedded files pretend to lie in; nothing is ever read from it.
pub const ROOT: &str = "/__citadel_library__";

/// The files of the library by the path that profiles import them with.
pub const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/library.rs"));

/// Makes the library importable.
pub fn add_to(hub: &mut CacheHub) {
    for (name, text) in FILES {
        hub.sources.add_string(SourcePath::Path(Path::new(ROOT).join(name), InputFormat::Nickel), (*text).to_owned());
    }
    hub.sources.add_import_paths(std::iter::once(PathBuf::from(ROOT)));
}

/// Returns the name of a file in the library, such as `citadel/lib.ncl`.
pub fn name_of(path: &Path) -> Option<&str> {
    path.strip_prefix(ROOT).ok()?.to_str()
}

/// Returns whether a file of the library says something about services, rather than what can be said.
pub fn is_stack(name: &str) -> bool {
    name.starts_with("citadel/stacks/") && name != "citadel/stacks/layers.ncl"
}
