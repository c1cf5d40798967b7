//! The folder that profiles live in: finding it, its profiles, and what a file in it is called.

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::diagnostic::Diagnostic;
use super::finding::nearest;

/// The folder of a project that holds its profiles.
pub const PROFILES: &str = "profiles";

/// A folder with profiles. Nothing outside it is ever imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Absolute, without links.
    root: PathBuf,
}

/// A profile of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfilePath {
    pub project: Project,
    /// What it is called, such as `production` or `ultravox/production`.
    pub name: String,
    /// The file, absolute.
    pub file: PathBuf,
}

/// There is no such profile.
pub const NOT_FOUND: &str = "E0001";

impl Project {
    /// Finds the project of a folder: the nearest one upwards with a folder `profiles`.
    pub fn find(from: &Path) -> io::Result<Option<Self>> {
        let from = from.canonicalize()?;
        Ok(from.ancestors().find(|folder| folder.join(PROFILES).is_dir()).map(|root| Project { root: root.to_owned() }))
    }

    /// Returns a project without any file, for evaluating what is embedded.
    pub fn nowhere() -> Self {
        Project { root: PathBuf::from("/nonexistent") }
    }

    /// Returns the root of the project.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns a path as seen from the root, with `/` between its parts; `None` when it lies outside.
    pub fn relative(&self, path: &Path) -> Option<String> {
        let inside = path.strip_prefix(&self.root).ok()?;
        let parts: Option<Vec<&str>> = inside
            .components()
            .map(|part| match part {
                Component::Normal(name) => name.to_str(),
                _ => None,
            })
            .collect();
        parts.map(|parts| parts.join("/"))
    }

    /// Returns all profiles, sorted by name. A link to a folder is followed unless that folder was seen already: it may
    /// lead back up.
    pub fn profiles(&self) -> io::Result<Vec<ProfilePath>> {
        let folder = self.root.join(PROFILES);
        let mut found = Vec::new();
        let mut folders = vec![folder.clone()];
        let (mut links, mut seen) = (BTreeSet::new(), BTreeSet::new());
        // A folder goes by its own name, so links have to wait for all of them.
        while let Some(next) = folders.pop().or_else(|| links.pop_first()) {
            if !seen.insert(next.canonicalize()?) {
                continue;
            }
            for entry in std::fs::read_dir(&next)? {
                let path = entry?.path();
                if path.is_symlink() && path.is_dir() {
                    links.insert(path);
                } else if path.is_dir() {
                    folders.push(path);
                } else if let Some(name) = profile_name(&folder, &path) {
                    found.push(ProfilePath { project: self.clone(), name, file: path });
                }
            }
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }
}

impl ProfilePath {
    /// Finds a profile by its name in the project of `folder`, or by the path of its file.
    pub fn find(argument: &str, folder: &Path) -> Result<Self, Diagnostic> {
        if argument.ends_with(".ncl") || Path::new(argument).is_absolute() || argument.starts_with("./") {
            return Self::of_file(&folder.join(argument), argument);
        }
        let project = Project::find(folder).ok().flatten().ok_or_else(|| {
            Diagnostic::error(
                NOT_FOUND,
                format!("no folder `{PROFILES}` here or further up, so there is no profile {argument:?}"),
            )
            .help("run `citadel init` to start a project, or name the file of a profile: `citadel build ./machine.ncl`")
        })?;
        let known = project.profiles().unwrap_or_default();
        match known.iter().find(|profile| profile.name == argument) {
            Some(profile) => Ok(profile.clone()),
            None => {
                let names: Vec<&str> = known.iter().map(|profile| profile.name.as_str()).collect();
                let missing = Diagnostic::error(NOT_FOUND, format!("there is no profile {argument:?}")).note(format!(
                    "the project in {} has: {}",
                    project.root.display(),
                    names.join(", ")
                ));
                Err(match nearest(argument, names.iter().copied()) {
                    Some(near) => missing.help(format!("did you mean {near:?}?")),
                    None => missing,
                })
            }
        }
    }

    fn of_file(path: &Path, argument: &str) -> Result<Self, Diagnostic> {
        let file = path.canonicalize().map_err(|error| {
            Diagnostic::error(NOT_FOUND, format!("cannot open the profile {argument:?}: {}", plain(&error)))
        })?;
        let folder = file.parent().unwrap_or(Path::new("/"));
        let project =
            Project::find(folder).ok().flatten().filter(|project| file.starts_with(project.root.join(PROFILES)));
        Ok(match project {
            Some(project) => {
                let name = profile_name(&project.root.join(PROFILES), &file);
                ProfilePath { name: name.unwrap_or_else(|| stem(&file)), project, file }
            }
            None => ProfilePath { name: stem(&file), project: Project { root: folder.to_owned() }, file },
        })
    }
}

/// Returns the text of an input or output error without its number.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

fn profile_name(folder: &Path, file: &Path) -> Option<String> {
    let inside = file.strip_prefix(folder).ok()?;
    (inside.extension()? == "ncl").then(|| inside.with_extension("").to_str().map(str::to_owned))?
}

fn stem(file: &Path) -> String {
    file.file_stem().map_or_else(|| "profile".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_lead_back_up_end() {
        let folder = tempfile::tempdir().unwrap();
        let profiles = folder.path().join(PROFILES);
        std::fs::create_dir_all(profiles.join("real")).unwrap();
        std::fs::write(profiles.join("real/a.ncl"), "").unwrap();
        for (name, target) in
            [("b", PROFILES), ("c", PROFILES), ("real/d", PROFILES), ("e", "profiles/real"), ("f", "x")]
        {
            std::fs::create_dir_all(folder.path().join(target)).unwrap();
            std::os::unix::fs::symlink(folder.path().join(target), profiles.join(name)).unwrap();
        }
        std::fs::write(folder.path().join("x/g.ncl"), "").unwrap();
        let found = Project::find(folder.path()).unwrap().unwrap().profiles().unwrap();
        assert_eq!(found.iter().map(|profile| profile.name.as_str()).collect::<Vec<_>>(), ["f/g", "real/a"]);
    }
}
