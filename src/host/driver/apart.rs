//! The driver, asked by a second process that can be killed.

use std::collections::BTreeSet;
use std::io::{self, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::de::DeserializeOwned;

use super::answer::Question;
use super::{Devices, Driver, Gpu, Refusal, RefusalKind, Sample, Setting, Trouble};

/// How long a killed process gets to end. One that hangs in the kernel does not, and is left behind.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// An answer is far shorter; what is longer comes from no driver.
const LONGEST: usize = 1 << 20;

/// GPUs that a second process of this program talks to, `citadel-activate gpu answer`.
#[derive(Debug)]
pub struct Apart {
    deadline: Duration,
    helper: Option<Helper>,
    /// GPUs that gave no answer. They are not asked again: each question could leave a process behind.
    silent: BTreeSet<u32>,
    /// Set when the driver does not even let itself be opened: everything would wait as long again.
    hopeless: Option<Trouble>,
}

#[derive(Debug)]
struct Helper {
    child: Child,
    questions: ChildStdin,
    answers: ChildStdout,
    /// What was read behind the last answer.
    rest: Vec<u8>,
}

/// Why there is no answer.
enum NoAnswer {
    Late,
    Ended(String),
}

impl Apart {
    /// Returns GPUs that have so long for each answer.
    pub fn new(deadline: Duration) -> Self {
        Apart { deadline, helper: None, silent: BTreeSet::new(), hopeless: None }
    }

    fn ask<T: DeserializeOwned>(&mut self, question: Question) -> Result<T, Trouble> {
        let deadline = self.deadline;
        let helper = match &mut self.helper {
            Some(helper) => helper,
            none => {
                let helper = Helper::start().map_err(|error| Trouble::Failed { reason: error.to_string() })?;
                none.insert(helper)
            }
        };
        match helper.ask(question, deadline) {
            Ok(line) => serde_json::from_slice(&line).map_err(|error| Trouble::Failed { reason: error.to_string() }),
            Err(no_answer) => {
                self.helper = None;
                Err(match no_answer {
                    NoAnswer::Late => Trouble::Hung { seconds: deadline.as_secs().max(1) },
                    NoAnswer::Ended(how) => Trouble::Died { how },
                })
            }
        }
    }

    fn ask_gpu<T: DeserializeOwned>(&mut self, question: Question) -> Result<T, Refusal> {
        let gpu = question.gpu().unwrap_or_default();
        if self.silent.contains(&gpu) {
            return Err(Refusal::new(RefusalKind::Hung, "the GPU gave no answer before, so it is not asked again"));
        }
        if self.helper.is_none() {
            self.open()?;
        }
        let answer: Result<Result<T, Refusal>, Trouble> = self.ask(question);
        answer.unwrap_or_else(|trouble| {
            if matches!(trouble, Trouble::Hung { .. }) {
                self.silent.insert(gpu);
            }
            Err(trouble.into())
        })
    }
}

impl Devices for Apart {
    fn open(&mut self) -> Result<Driver, Trouble> {
        if let Some(trouble) = &self.hopeless {
            return Err(trouble.clone());
        }
        let answer: Result<Result<Driver, Trouble>, Trouble> = self.ask(Question::Open);
        self.hopeless = answer.as_ref().err().cloned();
        answer?
    }

    fn read(&mut self, gpu: u32) -> Result<Gpu, Refusal> {
        self.ask_gpu(Question::Read(gpu))
    }

    fn sample(&mut self, gpu: u32) -> Result<Sample, Refusal> {
        self.ask_gpu(Question::Sample(gpu))
    }

    fn set(&mut self, gpu: u32, setting: Setting) -> Result<(), Refusal> {
        self.ask_gpu(Question::Set(gpu, setting))
    }
}

impl Helper {
    fn start() -> io::Result<Self> {
        // The same program even when its file was replaced meanwhile.
        let mut child = Command::new("/proc/self/exe")
            .args(["gpu", "answer"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(questions), Some(answers)) => Ok(Helper { child, questions, answers, rest: Vec::new() }),
            _ => Err(io::Error::other("the second process has no pipes")),
        }
    }

    fn ask(&mut self, question: Question, within: Duration) -> Result<Vec<u8>, NoAnswer> {
        let mut line = serde_json::to_vec(&question).map_err(|error| NoAnswer::Ended(error.to_string()))?;
        line.push(b'\n');
        let end = Instant::now() + within;
        // What it has to say about its end is asked for below.
        let asked = self.questions.write_all(&line);
        loop {
            if let Some(at) = self.rest.iter().position(|byte| *byte == b'\n') {
                let rest = self.rest.split_off(at + 1);
                return Ok(std::mem::replace(&mut self.rest, rest));
            }
            if self.rest.len() > LONGEST {
                return Err(NoAnswer::Ended("it wrote no answer".to_owned()));
            }
            if !readable(&self.answers, end).map_err(|error| NoAnswer::Ended(error.to_string()))? {
                return Err(NoAnswer::Late);
            }
            let mut part = [0; 8192];
            match self.answers.read(&mut part) {
                Ok(0) => return Err(NoAnswer::Ended(self.how_it_ended(asked.err()))),
                Ok(length) => self.rest.extend_from_slice(&part[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(NoAnswer::Ended(error.to_string())),
            }
        }
    }

    fn how_it_ended(&mut self, error: Option<io::Error>) -> String {
        match self.reap() {
            Some(status) => status.to_string(),
            None => error.map_or_else(|| "it closed its output".to_owned(), |error| error.to_string()),
        }
    }

    /// Waits a moment for its end, so that no zombie is left, but never for long.
    fn reap(&mut self) -> Option<std::process::ExitStatus> {
        let end = Instant::now() + LAST_MOMENT;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
                _ => return None,
            }
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // NVML has nothing to say at its end that would be worth waiting for.
        let _ = self.child.kill();
        self.reap();
    }
}

/// Waits until there is something to read, or the end of the time; returns whether there is.
fn readable(answers: &ChildStdout, end: Instant) -> io::Result<bool> {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(answers, PollFlags::IN)], Some(&timeout)) {
            Ok(0) if Instant::now() >= end => return Ok(false),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}
