//! Embeds the module library, and names this build so that results of another build are not taken for its own.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let modules = files_below(&root.join("modules"))?;

    let mut list = String::from("&[\n");
    for path in modules.iter().filter(|path| path.extension().is_some_and(|extension| extension == "ncl")) {
        let name = path.strip_prefix(root.join("modules")).unwrap_or(path);
        let _ =
            writeln!(list, "    ({:?}, include_str!({:?})),", name.display().to_string(), path.display().to_string());
    }
    list.push_str("]\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("library.rs"), list)?;

    let mut hasher = DefaultHasher::new();
    for folder in ["src", "templates"] {
        for path in files_below(&root.join(folder))? {
            path.strip_prefix(&root).unwrap_or(&path).hash(&mut hasher);
            fs::read(&path)?.hash(&mut hasher);
        }
    }
    for path in modules.iter().chain([&root.join("Cargo.lock")]) {
        fs::read(path).unwrap_or_default().hash(&mut hasher);
    }
    println!("cargo:rustc-env=CITADEL_BUILD_ID={:016x}", hasher.finish());
    for watched in ["src", "templates", "modules", "Cargo.lock", "build.rs"] {
        println!("cargo:rerun-if-changed={watched}");
    }
    Ok(())
}

/// Returns all files below a folder, sorted.
fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files_below(&path)?) } else { found.push(path) }
    }
    found.sort();
    Ok(found)
}
