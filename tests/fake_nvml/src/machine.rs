//! The machine that the library pretends to be: a file with a line `KEY=VALUE` for each fact.
//!
//! Facts of a GPU begin with `gpuN.`. What a GPU has no line for it does not support.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

pub const NOT_SUPPORTED: u32 = 3;
pub const INVALID_ARGUMENT: u32 = 2;
pub const NO_PERMISSION: u32 = 4;
pub const UNKNOWN: u32 = 999;

pub struct Machine {
    facts: BTreeMap<String, String>,
}

/// Returns where the machine, its faults and the list of calls are.
pub fn folder() -> PathBuf {
    std::env::var_os("FAKE_NVML").map_or_else(|| PathBuf::from("/nonexistent"), PathBuf::from)
}

impl Machine {
    pub fn load() -> Result<Self, u32> {
        let text = fs::read_to_string(folder().join("machine")).map_err(|_| UNKNOWN)?;
        let facts = text.lines().filter_map(|line| line.split_once('='));
        Ok(Machine { facts: facts.map(|(key, value)| (key.to_owned(), value.to_owned())).collect() })
    }

    pub fn get(&self, key: &str) -> Result<&str, u32> {
        self.facts.get(key).map(String::as_str).ok_or(NOT_SUPPORTED)
    }

    pub fn number(&self, key: &str) -> Result<u64, u32> {
        self.get(key)?.parse().map_err(|_| UNKNOWN)
    }

    /// Returns clocks, written as single values or as `LOWEST-HIGHEST/STEP`, with commas between them.
    pub fn clocks(&self, key: &str) -> Result<Vec<u32>, u32> {
        let mut clocks = Vec::new();
        for part in self.get(key)?.split(',') {
            let number = |text: &str| text.parse::<u32>().map_err(|_| UNKNOWN);
            match part.split_once('/').and_then(|(range, step)| Some((range.split_once('-')?, step))) {
                Some(((low, high), step)) => {
                    let step = usize::try_from(number(step)?).map_err(|_| UNKNOWN)?;
                    clocks.extend((number(low)?..=number(high)?).step_by(step).collect::<Vec<_>>());
                }
                None => clocks.push(number(part)?),
            }
        }
        clocks.reverse();
        Ok(clocks)
    }

    pub fn gpus(&self) -> u32 {
        (0..).find(|gpu| !self.facts.contains_key(&format!("gpu{gpu}.name"))).unwrap_or_default()
    }

    /// Changes a fact that is there, as root may.
    pub fn change(&mut self, key: &str, value: impl ToString) -> Result<(), u32> {
        if !self.facts.contains_key(key) {
            return Err(NOT_SUPPORTED);
        }
        if self.facts.contains_key("not_root") {
            return Err(NO_PERMISSION);
        }
        self.facts.insert(key.to_owned(), value.to_string());
        let text: String = self.facts.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        let new = folder().join("machine.new");
        fs::write(&new, text).and_then(|()| fs::rename(&new, folder().join("machine"))).map_err(|_| UNKNOWN)
    }
}
