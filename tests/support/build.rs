//! Building a profile with the real program.

use std::path::Path;
use std::process::Command;

/// Builds a profile of a project into `output`, and leaves nothing elsewhere.
pub fn build(project: &Path, profile: &str, output: &Path) {
    let built = Command::new(env!("CARGO_BIN_EXE_citadel"))
        .args(["build", profile, "--output"])
        .arg(output)
        .current_dir(project)
        .env("XDG_CACHE_HOME", project.join("cache"))
        .output()
        .expect("citadel starts");
    assert!(built.status.success(), "{profile} does not build:\n{}", String::from_utf8_lossy(&built.stderr));
}
