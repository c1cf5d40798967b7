//! Questions about GPUs, one JSON object a line, and who answers them.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use super::{Devices, Setting};

/// A question to the process that talks to the driver. The answer is the `Result` of the same call of [`Devices`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Question {
    Open,
    Read(u32),
    Sample(u32),
    Set(u32, Setting),
}

impl Question {
    /// Returns the GPU that it is about.
    pub(super) fn gpu(self) -> Option<u32> {
        match self {
            Question::Open => None,
            Question::Read(gpu) | Question::Sample(gpu) | Question::Set(gpu, _) => Some(gpu),
        }
    }
}

/// Answers questions until nobody asks any more.
///
/// # Errors
///
/// When a question cannot be understood, or nobody reads the answers.
pub fn answer(devices: &mut impl Devices, questions: impl BufRead, mut answers: impl Write) -> io::Result<()> {
    for question in questions.lines() {
        let mut line = match serde_json::from_str(&question?)? {
            Question::Open => serde_json::to_vec(&devices.open()),
            Question::Read(gpu) => serde_json::to_vec(&devices.read(gpu)),
            Question::Sample(gpu) => serde_json::to_vec(&devices.sample(gpu)),
            Question::Set(gpu, setting) => serde_json::to_vec(&devices.set(gpu, setting)),
        }?;
        line.push(b'\n');
        answers.write_all(&line)?;
        answers.flush()?;
    }
    Ok(())
}
