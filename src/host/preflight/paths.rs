//! Files, directories, programs and links.

use std::io;
use std::path::Path;

use super::answer::{Answer, Failure};
use super::machine::{Kind, Machine, May};
use crate::health::failure::plain;

pub fn file(machine: &impl Machine, path: &Path) -> Answer {
    let shown = path.display();
    match kind(machine, path, "the file")? {
        Kind::File => {}
        _ => return Err(Failure::new(format!("{shown} is not a file"), "put the file there, or correct the path")),
    }
    let help = format!("let the user of the service read it: `ls -l {shown}`");
    machine
        .may(path, May::Read)
        .map_err(|error| Failure::new(format!("{shown} cannot be read: {}", plain(&error)), help))?;
    Ok(format!("{shown} can be read"))
}

pub fn directory(machine: &impl Machine, path: &Path) -> Answer {
    let shown = path.display();
    match kind(machine, path, "the directory")? {
        Kind::Directory => {}
        _ => {
            return Err(Failure::new(format!("{shown} is not a directory"), "make the directory, or correct the path"));
        }
    }
    let help = format!("let the user of the service into it: `ls -ld {shown}`");
    let may = machine.may(path, May::Execute);
    may.map_err(|error| Failure::new(format!("{shown} cannot be entered: {}", plain(&error)), help))?;
    Ok(format!("{shown} is there"))
}

pub fn executable(machine: &impl Machine, path: &Path) -> Answer {
    let shown = path.display();
    match kind(machine, path, "the program")? {
        Kind::File => {}
        _ => return Err(Failure::new(format!("{shown} is not a program"), "install it, or correct the path")),
    }
    let help = format!("let the user of the service execute it: `ls -lL {shown}`");
    let may = machine.may(path, May::Execute);
    may.map_err(|error| Failure::new(format!("{shown} cannot be executed: {}", plain(&error)), help))?;
    Ok(format!("{shown} can be executed"))
}

pub fn link(machine: &impl Machine, path: &Path, target: &Path) -> Answer {
    let (shown, wanted) = (path.display(), target.display());
    let help = format!("make it with: ln -sfn {wanted} {shown}");
    let leads_to = match machine.link(path) {
        Ok(Some(leads_to)) => leads_to,
        Ok(None) => return Err(Failure::new(format!("{shown} is not a link"), format!("move it away, then {help}"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Failure::new(format!("the link {shown} does not exist"), help));
        }
        Err(error) => return Err(unreachable(path, &error)),
    };
    // A relative link, or one over another link, may mean the same.
    let same = leads_to == target
        || machine.real(path).is_ok_and(|real| machine.real(target).is_ok_and(|target| real == target));
    if same {
        Ok(format!("{shown} leads to {wanted}"))
    } else {
        Err(Failure::new(format!("{shown} leads to {} and not to {wanted}", leads_to.display()), help))
    }
}

/// The rights of the user on a socket of a daemon, without connecting to it.
pub fn socket(machine: &impl Machine, path: &Path, group: &str) -> Result<(), Failure> {
    let help = || format!("start the daemon, or let the user of the service into the group {group}");
    machine
        .may(path, May::Write)
        .map_err(|error| Failure::new(format!("{}: {}", path.display(), plain(&error)), help()))
}

/// Returns what is at a path, or why nothing can be found there.
fn kind(machine: &impl Machine, path: &Path, what: &str) -> Result<Kind, Failure> {
    machine.kind(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            let missing = path.ancestors().skip(1).find(|above| machine.kind(above).is_ok());
            let help = match missing {
                Some(above) if Some(above) != path.parent() => {
                    format!("nothing is there below {}; is everything installed and mounted?", above.display())
                }
                _ => "put it there, or correct the path in the profile".to_owned(),
            };
            Failure::new(format!("{what} {} does not exist", path.display()), help)
        }
        _ => unreachable(path, &error),
    })
}

fn unreachable(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    Failure::new(
        format!("{path} cannot be looked at: {}", plain(error)),
        format!("let the user of the service reach it: `namei -l {path}`; also see `sandbox.protect_home`"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Fake, reason};
    use super::*;

    #[test]
    fn a_file_has_to_be_one_and_readable() {
        let machine = Fake::default().file("/a/b").directory("/a/c").denied("/a/d", May::Read);
        assert_eq!(file(&machine, Path::new("/a/b")), Ok("/a/b can be read".to_owned()));
        assert_eq!(reason(file(&machine, Path::new("/a/c"))), "/a/c is not a file");
        assert_eq!(reason(file(&machine, Path::new("/a/d"))), "/a/d cannot be read: permission denied");
        assert_eq!(reason(file(&machine, Path::new("/a/e"))), "the file /a/e does not exist");
    }

    #[test]
    fn what_is_missing_above_is_told() {
        let machine = Fake::default().directory("/srv");
        let failure = file(&machine, Path::new("/srv/models/a/config.json")).unwrap_err();
        assert_eq!(failure.help, "nothing is there below /srv; is everything installed and mounted?");
        let failure = file(&machine, Path::new("/srv/config.json")).unwrap_err();
        assert_eq!(failure.help, "put it there, or correct the path in the profile");
    }

    #[test]
    fn a_directory_has_to_be_one_and_open() {
        let machine = Fake::default().directory("/a").file("/b").sealed("/c");
        assert_eq!(directory(&machine, Path::new("/a")), Ok("/a is there".to_owned()));
        assert_eq!(reason(directory(&machine, Path::new("/b"))), "/b is not a directory");
        assert_eq!(reason(directory(&machine, Path::new("/c"))), "/c cannot be entered: permission denied");
        assert_eq!(reason(directory(&machine, Path::new("/d"))), "the directory /d does not exist");
    }

    #[test]
    fn a_program_has_to_be_executable() {
        let machine = Fake::default().file("/a").denied("/b", May::Execute).directory("/c");
        assert_eq!(executable(&machine, Path::new("/a")), Ok("/a can be executed".to_owned()));
        assert_eq!(reason(executable(&machine, Path::new("/b"))), "/b cannot be executed: permission denied");
        assert_eq!(reason(executable(&machine, Path::new("/c"))), "/c is not a program");
        assert_eq!(reason(executable(&machine, Path::new("/d"))), "the program /d does not exist");
    }

    #[test]
    fn a_link_may_lead_there_in_its_own_words() {
        let machine = Fake::default().directory("/b").link("/a", "/b").link("/r", "b").link("/o", "/c").directory("/c");
        assert_eq!(link(&machine, Path::new("/a"), Path::new("/b")), Ok("/a leads to /b".to_owned()));
        assert_eq!(link(&machine, Path::new("/r"), Path::new("/b")), Ok("/r leads to /b".to_owned()));
        let failure = link(&machine, Path::new("/o"), Path::new("/b")).unwrap_err();
        assert_eq!(failure.reason, "/o leads to /c and not to /b");
        assert_eq!(failure.help, "make it with: ln -sfn /b /o");
        assert_eq!(reason(link(&machine, Path::new("/b"), Path::new("/c"))), "/b is not a link");
        assert_eq!(reason(link(&machine, Path::new("/x"), Path::new("/c"))), "the link /x does not exist");
    }
}
