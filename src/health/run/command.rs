//! Programs: run as the service's user, with next to no environment, and gone with all their children afterwards.
//!
//! A child is waited for through its pidfd, and its process group is killed before it is reaped: as long as it is a
//! zombie nobody else can get its number, so the signal cannot meet a stranger. What leaves its process group
//! (setsid(2)) is not followed.

use std::ffi::OsString;
use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpid};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

use super::aside::aside;
use super::identity::Identity;
use crate::health::failure::{Reason, plain, short};
use crate::health::process::Watched;
use crate::health::subject::Subject;

/// Where programs look for others.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How many characters of the last line of output a message has.
const LINE: usize = 200;

/// How many bytes of output are kept to find that line.
const TAIL: usize = 4096;

/// How many bytes are still read after the end: what was written before it fits into a pipe.
const REST: usize = 64 * 1024;

/// What a program finds around it.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// Its environment, and nothing else.
    pub environment: Vec<(OsString, OsString)>,
    /// Its working directory.
    pub folder: PathBuf,
}

/// Next to nothing: a probe does not depend on who asks.
impl Default for Surroundings {
    fn default() -> Self {
        Surroundings { environment: vec![("PATH".into(), PATH.into())], folder: PathBuf::from("/") }
    }
}

/// Runs a program to its end, as the service's user.
///
/// # Errors
///
/// [`Reason::NotRun`], or [`Reason::Ended`] with anything but status 0.
pub(crate) async fn run(command: &[String], subject: &Subject, around: &Surroundings) -> Result<(), Reason> {
    let (command, subject, around) = (command.to_owned(), subject.clone(), around.clone());
    // Users are looked up there, and the thread takes on their identity.
    let mut running = aside(move || Running::start(&command, &subject, around)).await??;
    let unwatched = |error: io::Error| Reason::NotRun(plain(&error));
    let watched = Watched::new(&running.pidfd).map_err(unwatched)?;
    let mut output =
        Receiver::from_owned_fd(running.output.try_clone().map_err(unwatched)?.into()).map_err(unwatched)?;
    let mut tail = Tail::default();
    let mut buffer = [0; 4096];
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            // One that never stops writing may end all the same.
            () = watched.ended() => break,
            read = output.read(&mut buffer), if open => match read {
                Ok(count) if count > 0 => tail.push(&buffer[..count]),
                _ => open = false,
            },
        }
    }
    let status = running.finish().map_err(unwatched)?;
    let mut rest = REST;
    while let Ok(count @ 1..) = output.try_read(&mut buffer) {
        tail.push(&buffer[..count]);
        rest = rest.saturating_sub(count);
        if rest == 0 {
            break;
        }
    }
    if status.success() {
        return Ok(());
    }
    let end = match (status.code(), status.signal()) {
        (Some(code), _) => format!("status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    };
    Err(Reason::Ended { end, output: tail.last_line() })
}

/// A process group that is killed and reaped when this goes out of scope.
struct Running {
    child: Child,
    group: Option<Pid>,
    pidfd: OwnedFd,
    output: PipeReader,
    reaped: bool,
}

impl Running {
    /// Starts a program. Changes the identity of the calling thread for good.
    fn start(command: &[String], subject: &Subject, around: Surroundings) -> Result<Self, Reason> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(Reason::NotRun("there is no program".to_owned()));
        };
        if let Some(identity) = Identity::of(subject)? {
            identity.assume().map_err(|error| Reason::NotRun(format!("cannot become its user: {}", plain(&error))))?;
        }
        let start = || {
            let (output, writer) = io::pipe()?;
            let child = Command::new(program)
                .args(arguments)
                .env_clear()
                .envs(around.environment)
                .current_dir(around.folder)
                .stdin(Stdio::null())
                .stdout(writer.try_clone()?)
                .stderr(writer)
                .process_group(0)
                .spawn()?;
            Ok((child, output))
        };
        let (mut child, output) = start().map_err(|error: io::Error| Reason::NotRun(plain(&error)))?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        match group.map(Watched::open) {
            Some(Ok(pidfd)) => Ok(Running { child, group, pidfd, output, reaped: false }),
            failed => {
                let _ = child.kill();
                let _ = child.wait();
                let why = failed.and_then(Result::err).map(|error| plain(&error)).unwrap_or_default();
                Err(Reason::NotRun(why))
            }
        }
    }

    /// Kills what the program left behind, and reaps it; it has ended already.
    fn finish(&mut self) -> io::Result<ExitStatus> {
        self.kill();
        let status = self.child.wait();
        self.reaped = true;
        status
    }

    fn kill(&self) {
        // It fails when nothing is left.
        let _ = self.group.map(|group| kill_process_group(group, Signal::KILL));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        self.kill();
        if let Ok(None) = self.child.try_wait()
            && let Some(pid) = self.group
        {
            // It dies as soon as the kernel lets it, which a dead disk may delay.
            let _ = thread::Builder::new().name("reap".to_owned()).spawn(move || reap(pid));
        }
    }
}

fn reap(pid: Pid) {
    while let Err(rustix::io::Errno::INTR) = waitpid(Some(pid), WaitOptions::empty()) {}
}

/// The end of what a program wrote.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        self.0.drain(..self.0.len().saturating_sub(TAIL));
    }

    fn last_line(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.0);
        text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(|line| short(line, LINE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_with_words_is_kept() {
        let mut tail = Tail::default();
        assert_eq!(tail.last_line(), None);
        tail.push(b"first\nsecond \x1b[0m\n\n  \n");
        assert_eq!(tail.last_line().as_deref(), Some("second  [0m"));
        tail.push(&[b'x'; 10_000]);
        assert_eq!(tail.0.len(), TAIL);
        assert_eq!(tail.last_line().map(|line| line.chars().count()), Some(LINE + 1));
    }
}
