//! How an entry of the history comes about, and how people see it.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use super::Generation;
use super::history::{Entry, Kind, acted_on};
use super::progress::Outcome;
use crate::bundle::Bundle;
use crate::bundle::unit::UnitName;
use crate::plan::Plan;

impl Entry {
    /// Returns an entry that begins now and has not ended.
    pub fn new(id: &str, by: &str, kind: Kind) -> Self {
        Entry {
            id: id.to_owned(),
            at: jiff::Timestamp::now(),
            by: by.to_owned(),
            kind,
            from: None,
            to: None,
            profile: None,
            bundle: None,
            outcome: Outcome::Broken,
            seconds: 0.0,
            units: Default::default(),
            starts: Default::default(),
            message: String::new(),
        }
    }

    /// Adds what is known when the plan is made.
    pub fn describe(&mut self, from: Option<Generation>, to: Generation, bundle: &Bundle, plan: &Plan) {
        self.from = from;
        self.to = Some(to);
        self.profile = Some(bundle.manifest.profile.clone());
        self.bundle = Some(bundle.digest());
        self.units = acted_on(plan);
    }

    /// Adds how long each unit that was started took until it was ready, to the millisecond.
    pub fn started(&mut self, starts: &BTreeMap<UnitName, Duration>) {
        let seconds = |start: &Duration| start.as_millis() as f64 / 1000.0;
        self.starts = starts.iter().map(|(unit, start)| (unit.clone(), seconds(start))).collect();
    }

    /// Returns everything about the entry.
    pub fn details(&self) -> String {
        let mut text = format!("{self}\n");
        for (unit, action) in &self.units {
            // Writing to a string cannot fail.
            let _ = write!(text, "  {:<20}  {unit}", action.words());
            let _ = match self.starts.get(unit) {
                Some(seconds) => writeln!(text, ", ready after {seconds:.1} s"),
                None => writeln!(text),
            };
        }
        if !self.message.is_empty() {
            let _ = writeln!(text, "\n{}", self.message);
        }
        text
    }
}

impl fmt::Display for Entry {
    /// Writes one line: when, which, what, from where to where, how it ended, who.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |generation: Option<Generation>| generation.map_or("none".to_owned(), |it| it.to_string());
        write!(
            out,
            "{}  {:<24}  {:<8}  {:>4} -> {:<4}  {:<16}  {:>7.1}s  {}",
            self.at.strftime("%Y-%m-%d %H:%M:%S UTC"),
            self.id,
            self.kind.words(),
            number(self.from),
            number(self.to),
            self.outcome.words(),
            self.seconds,
            self.by
        )
    }
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Kind::Switch => "switch",
            Kind::Rollback => "rollback",
            Kind::Recover => "recover",
            Kind::Boot => "boot",
        }
    }
}

impl Outcome {
    /// Returns the outcome in words, such as `rolled back`.
    pub fn words(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Unchanged => "nothing to do",
            Outcome::NextBoot => "at the next boot",
            Outcome::Invalid => "not a bundle",
            Outcome::NotWritten => "not written",
            Outcome::Refused => "refused",
            Outcome::Busy => "busy",
            Outcome::RolledBack => "rolled back",
            Outcome::Broken => "broken",
        }
    }
}
