//! How a terminal shows the events of a switch: lines for people on standard error, what came of it on standard output;
//! or every event as JSON on standard output.

mod live;
mod plain;
mod plan;
mod text;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};

use crate::activate::progress::{Event, UnitProgress};
use crate::bundle::unit::UnitName;
use live::Live;

pub use plan::lines as plan_lines;

/// How events are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A display that changes in place, below the lines.
    Live,
    /// A line an event.
    Plain,
    /// The events as they are, one JSON object a line.
    Json,
}

impl Mode {
    /// Returns what suits the standard error of this process.
    pub fn suitable(json: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
        match json {
            true => Mode::Json,
            false if io::stderr().is_terminal() && !dumb => Mode::Live,
            false => Mode::Plain,
        }
    }
}

/// Shows events.
#[derive(Debug)]
pub struct Show {
    json: bool,
    live: Option<Live>,
    /// What each service was last waited for, so that it is said once.
    waiting: BTreeMap<UnitName, String>,
}

impl Show {
    pub fn new(mode: Mode) -> Self {
        let live = (mode == Mode::Live).then(Live::new);
        Show { json: mode == Mode::Json, live, waiting: BTreeMap::new() }
    }

    pub fn show(&mut self, event: &Event) {
        if self.json {
            if let Ok(line) = serde_json::to_string(event) {
                write(&mut io::stdout().lock(), &line);
            }
            return;
        }
        let line = if self.is_news(event) { plain::line(event) } else { None };
        if let Some(live) = &mut self.live {
            live.show(event, line.as_deref());
        } else if let Some(line) = &line {
            write(&mut io::stderr().lock(), line);
        }
        if let Event::Finished { summary, .. } = event {
            self.live = None;
            write(&mut io::stdout().lock(), &text::harmless(summary));
        }
    }

    /// Says that nobody watches any more, and that this does not end the switch.
    pub fn leave(&mut self) {
        self.live = None;
        if !self.json {
            let line = "the switch goes on; `citadel-activate status` shows how far it is";
            write(&mut io::stderr().lock(), line);
        }
    }

    /// Whether something is said that was not said before.
    fn is_news(&mut self, event: &Event) -> bool {
        match event {
            Event::Waiting { unit, message } => {
                self.waiting.insert(unit.clone(), message.clone()).is_none_or(|before| before != *message)
            }
            Event::Unit { unit, state: UnitProgress::Begun, .. } => {
                self.waiting.remove(unit);
                true
            }
            _ => true,
        }
    }
}

/// Writes a line; a reader that went away is no error.
fn write(out: &mut dyn io::Write, line: &str) {
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_is_waited_for_is_said_once() {
        let unit = UnitName::parse("a.service").expect("a name");
        let waiting = |message: &str| Event::Waiting { unit: unit.clone(), message: message.to_owned() };
        let mut show = Show::new(Mode::Plain);
        assert!(show.is_news(&waiting("connection refused")));
        assert!(!show.is_news(&waiting("connection refused")));
        assert!(show.is_news(&waiting("status 503")));
        assert!(show.is_news(&waiting("connection refused")));
    }
}
