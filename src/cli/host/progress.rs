//! How a terminal shows the events of a switch.

use crate::activate::progress::Event;

/// Where events go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A display that changes in place.
    Live,
    /// A line an event.
    Plain,
    /// The events as they are, one JSON object a line.
    Json,
}

/// Shows events.
#[derive(Debug)]
pub struct Show {}

impl Show {
    pub fn new(_mode: Mode) -> Self {
        todo!()
    }

    pub fn show(&mut self, _event: &Event) {
        todo!()
    }
}
