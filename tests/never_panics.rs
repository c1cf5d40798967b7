//! Profiles with random mistakes: each gives a bundle or diagnostics, and none makes citadel crash.
//!
//! The mistakes are the same in every run. Each profile is checked by a process of its own, because what reaches its
//! limit goes on in the background, and because a stack that overflows cannot be caught.

#![cfg(feature = "compiler")]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

const PROFILE: &str = include_str!("never_panics/profile.ncl");

const CASES: u32 = 250;

/// Words that are put in, besides those of the profile itself.
const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "\"",
    "m%\"",
    "\"%",
    "%{",
    "'",
    "'boot",
    "'nothing",
    "=",
    "&",
    "|",
    ":",
    ",",
    ".",
    "@",
    "++",
    "=>",
    "->",
    "-1",
    "0",
    "0.5",
    "1e400",
    "70000",
    "99999999999999999999",
    "null",
    "true",
    "\"\"",
    "\"\\u{0}\"",
    "\"\\n[Service]\\nUser=root\"",
    "\"%{base}\"",
    "\"%h$HOME%%\"",
    "\"∞\"",
    "\"18446744073709551615G\"",
    "\"9999999999999w\"",
    "\"0000:ff:ff.9\"",
    "\"/\"",
    "\"../..\"",
    "\"$\"",
    "[]",
    "{}",
    "{ _ = 1 }",
    "| default",
    "| force",
    "| optional",
    "| not_exported",
    "| priority -100",
    "| citadel.Service",
    "| Number",
    ": Number",
    "fun x => x",
    "let rec x = x in",
    "let x = 1 in",
    "import \"nothing.ncl\"",
    "import",
    "if true then",
    "match",
    "std.fail_with \"no\"",
    "std.array.at 9 []",
    "citadel",
    "citadel.Profile",
    "base",
    "host",
    "services",
    "rec",
    "..",
    "# ",
    "vllm",
    "exec",
    "\"a b\"",
    "\"x.service\"",
    "tensor_parallel_size = 0",
    "kv_heads = 0",
    "max_delay = \"0s\"",
];

/// A mistake, at a place that fits every text.
#[derive(Clone, Debug)]
enum Mistake {
    DeleteWord(Index),
    InsertWord(Index, &'static str),
    ReplaceWord(Index, &'static str),
    DuplicateWord(Index),
    CopyWord(Index, Index),
    DeleteBytes(Index, usize),
    InsertByte(Index, u8),
    DuplicateLine(Index),
    DeleteLine(Index),
}

fn mistake() -> impl Strategy<Value = Mistake> {
    let place = any::<Index>;
    prop_oneof![
        3 => place().prop_map(Mistake::DeleteWord),
        3 => (place(), proptest::sample::select(WORDS)).prop_map(|(at, word)| Mistake::InsertWord(at, word)),
        6 => (place(), proptest::sample::select(WORDS)).prop_map(|(at, word)| Mistake::ReplaceWord(at, word)),
        1 => place().prop_map(Mistake::DuplicateWord),
        6 => (place(), place()).prop_map(|(from, to)| Mistake::CopyWord(from, to)),
        2 => (place(), 1usize..6).prop_map(|(at, length)| Mistake::DeleteBytes(at, length)),
        2 => (place(), any::<u8>()).prop_map(|(at, byte)| Mistake::InsertByte(at, byte)),
        2 => place().prop_map(Mistake::DuplicateLine),
        3 => place().prop_map(Mistake::DeleteLine),
    ]
}

/// Returns where the words of a text are: names, numbers and strings, or single signs.
fn words(text: &[u8]) -> Vec<std::ops::Range<usize>> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-'".contains(&byte) || byte >= 0x80;
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let start = at;
        match text[at] {
            byte if byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b'"' => at += 1 + text[at + 1..].iter().position(|byte| *byte == b'"').map_or(0, |length| length + 1),
            byte if is_name(byte) => at += text[at..].iter().take_while(|byte| is_name(**byte)).count(),
            _ => at += 1,
        }
        found.push(start..at);
    }
    found
}

fn lines(text: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut start = 0;
    text.split_inclusive(|byte| *byte == b'\n')
        .map(|line| {
            start += line.len();
            start - line.len()..start
        })
        .collect()
}

fn apply(text: &mut Vec<u8>, mistake: &Mistake) {
    let (words, lines) = (words(text), lines(text));
    if words.is_empty() {
        return;
    }
    let spaced = |word: &[u8]| [b" ", word, b" "].concat();
    match mistake {
        Mistake::DeleteWord(at) => drop(text.drain(at.get(&words).clone())),
        Mistake::InsertWord(at, word) => {
            let at = at.get(&words).start;
            text.splice(at..at, spaced(word.as_bytes()));
        }
        Mistake::ReplaceWord(at, word) => drop(text.splice(at.get(&words).clone(), spaced(word.as_bytes()))),
        Mistake::DuplicateWord(at) => {
            let word = at.get(&words).clone();
            text.splice(word.end..word.end, spaced(&text[word.clone()]));
        }
        Mistake::CopyWord(from, to) => {
            let word = text[from.get(&words).clone()].to_vec();
            text.splice(to.get(&words).clone(), word);
        }
        Mistake::DeleteBytes(at, length) => {
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            text.drain(at..end);
        }
        Mistake::InsertByte(at, byte) => text.insert(at.index(text.len()), *byte),
        Mistake::DuplicateLine(at) => {
            let line = at.get(&lines).clone();
            text.splice(line.end..line.end, text[line.clone()].to_vec());
        }
        Mistake::DeleteLine(at) => drop(text.drain(at.get(&lines).clone())),
    }
}

#[test]
fn the_profile_without_mistakes_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let output = check(folder.path(), PROFILE.as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn no_mistake_makes_citadel_crash() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { cases: CASES, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let mistakes = proptest::collection::vec(mistake(), 1..4);
    runner
        .run(&mistakes, |mistakes| {
            let mut text = PROFILE.as_bytes().to_vec();
            mistakes.iter().for_each(|mistake| apply(&mut text, mistake));
            let output = check(folder.path(), &text);
            let said = String::from_utf8_lossy(&output.stderr);
            let fine = match output.status.code() {
                Some(0) => !said.contains("error["),
                Some(1 | 3 | 5) => said.contains("error["),
                _ => false,
            };
            match fine && !said.contains("internal error") {
                true => Ok(()),
                false => Err(TestCaseError::fail(format!(
                    "{:?}\n{said}\n--- the profile ---\n{}",
                    output.status,
                    String::from_utf8_lossy(&text)
                ))),
            }
        })
        .unwrap();
}

fn check(folder: &std::path::Path, text: &[u8]) -> std::process::Output {
    fs::write(folder.join("profile.ncl"), text).unwrap();
    Command::new(env!("CARGO_BIN_EXE_citadel"))
        .args(["check", "./profile.ncl", "--max-memory", "1G", "--max-time", "10s"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}
