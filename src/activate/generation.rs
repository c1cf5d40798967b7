//! The number of a generation.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A bundle that a host has been given; counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// Parses a number as it is written in paths: no sign, no leading zero.
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.parse().ok()?;
        (number > 0 && text == format!("{number}")).then_some(Generation(number))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}
