//! Both sides of a diff from revisions of the project's git repository.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::Pair;
use crate::bundle::Bundle;
use crate::bundle::digest::Digest;
use crate::cli::exit;
use crate::cli::project::{Session, build, check};
use crate::compile::project::{ProfilePath, Project};
use crate::compile::revision::{Commit, Range, RevisionError};

/// Profiles at one point of history.
struct Tree {
    label: String,
    profiles: Vec<ProfilePath>,
    root: PathBuf,
    /// Kept until the profiles are built.
    _folder: Option<TempDir>,
}

/// Builds profiles at both ends of a range; all that either end has when none is named.
pub fn pairs(range: &str, names: &[String], session: &Session) -> Result<Vec<Pair>, exit::Code> {
    let project = check::project(session)?;
    let (old, new) = trees(&Range::parse(range), &project).map_err(|error| {
        session.output.error("E0023", &error.to_string(), Some(error.help()));
        exit::Code::NotFound
    })?;
    let known: BTreeSet<&str> =
        [&old, &new].into_iter().flat_map(|tree| &tree.profiles).map(|it| it.name.as_str()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(name.as_str())) {
        let all = known.into_iter().collect::<Vec<_>>().join(", ");
        let message = format!("there is no profile {unknown:?} at either end of {range}");
        session.output.error("E0001", &message, Some(&format!("there are: {all}")));
        return Err(exit::Code::NotFound);
    }
    let wanted: Vec<&str> = match names {
        [] => known.into_iter().collect(),
        names => names.iter().map(String::as_str).collect(),
    };
    let mut pairs = Vec::new();
    let mut failed = Ok(());
    for name in wanted {
        match pair(name, &old, &new, session) {
            Ok(pair) => pairs.push(pair),
            Err(exit::Code::Limit) => return Err(exit::Code::Limit),
            Err(code) => failed = failed.and(Err(code)),
        }
    }
    failed.map(|()| pairs)
}

fn trees(range: &Range, project: &Project) -> Result<(Tree, Tree), RevisionError> {
    let root = project.root();
    let mut old = Commit::find(root, &range.old)?;
    let new = match &range.new {
        Some(name) => Some(Commit::find(root, name)?),
        None => None,
    };
    if let (true, Some(new)) = (range.from_base, &new) {
        old = Commit::base(root, &old, new)?;
    }
    let new = match new {
        Some(commit) => tree(&commit, root)?,
        None => Tree {
            label: "the work tree".to_owned(),
            profiles: project.profiles()?,
            root: root.to_owned(),
            _folder: None,
        },
    };
    Ok((tree(&old, root)?, new))
}

fn tree(commit: &Commit, root: &Path) -> Result<Tree, RevisionError> {
    let folder = commit.check_out(root)?;
    let project = Project::find(folder.path())?;
    let profiles = project.as_ref().map_or(Ok(Vec::new()), Project::profiles)?;
    let root = project.map_or_else(|| folder.path().to_owned(), |project| project.root().to_owned());
    Ok(Tree { label: commit.label(), profiles, root, _folder: Some(folder) })
}

fn pair(name: &str, old: &Tree, new: &Tree, session: &Session) -> Result<Pair, exit::Code> {
    let before = tree_bundle(name, old, session)?;
    let after = match &before {
        Some(bundle) if has(name, new) && is_same(bundle, new) => Some(bundle.clone()),
        _ => tree_bundle(name, new, session)?,
    };
    let label = |tree: &Tree| format!("{name} at {}", tree.label);
    Ok(Pair { old: (label(old), before), new: (label(new), after) })
}

fn has(name: &str, tree: &Tree) -> bool {
    tree.profiles.iter().any(|profile| profile.name == name)
}

/// Whether everything that a bundle was made of is the same in another tree, which then gives the same bundle.
fn is_same(bundle: &Bundle, tree: &Tree) -> bool {
    let own = bundle.manifest.inputs.iter().filter(|(path, _)| !path.starts_with("citadel:"));
    let same = |(path, digest): (&String, &Digest)| {
        std::fs::read(tree.root.join(path)).is_ok_and(|content| Digest::of(&content) == *digest)
    };
    own.into_iter().all(same)
}

fn tree_bundle(name: &str, tree: &Tree, session: &Session) -> Result<Option<Bundle>, exit::Code> {
    let Some(profile) = tree.profiles.iter().find(|profile| profile.name == name) else { return Ok(None) };
    match build::compile_from(profile, &tree.root, session) {
        Ok(compiled) => Ok(Some(compiled.bundle)),
        Err(code) => {
            session.output.hint(&format!("this is about {name} at {}", tree.label));
            Err(code)
        }
    }
}
