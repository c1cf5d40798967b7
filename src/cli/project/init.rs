//! `citadel init`: starts a project that builds.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::{Session, exit};

/// Start a project: a commented profile that builds, and facts of a host
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The directory of the project
    #[arg(value_name = "DIR", default_value = ".")]
    project: PathBuf,
}

const FILES: [(&str, &str); 3] = [
    ("profiles/machine.ncl", include_str!("init/machine.ncl")),
    ("hosts/machine.json", include_str!("init/machine.json")),
    (".gitignore", "/result\n"),
];

pub fn run(arguments: &Arguments, session: &Session) -> Result<(), exit::Code> {
    let here = arguments.project.as_os_str() == ".";
    let root = if here { session.folder.clone() } else { session.folder.join(&arguments.project) };
    if let Some((name, _)) = FILES[..2].iter().find(|(name, _)| root.join(name).exists()) {
        let message = format!("{} exists already", root.join(name).display());
        session.output.error("E0011", &message, Some("`citadel init` starts new projects only"));
        return Err(exit::Code::NotWritten);
    }
    for (name, text) in FILES {
        let path = root.join(name);
        if let Err(error) = write_new(&path, text) {
            session.output.error("E0011", &format!("cannot write {}: {error}", path.display()), None);
            return Err(exit::Code::NotWritten);
        }
    }
    let place = match here {
        true => String::new(),
        false => format!(" -C {}", arguments.project.display()),
    };
    let text = format!(
        "started a project with the profile `machine`\n\
         next: describe your machine in hosts/machine.json and what it runs in profiles/machine.ncl, then\n\
         \x20   citadel build machine{place}"
    );
    session.output.result(
        &text,
        || serde_json::json!({ "type": "init", "directory": root, "files": FILES.map(|(name, _)| name) }),
    );
    Ok(())
}

/// Writes a file that is not there yet; one that is stays as it is.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}
