//! A display that changes in place: what is done, and a line for each unit that something is done to or waited for.
//!
//! What stays on the screen are the lines of the plain display; what only says that something begins is left out.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::text::{count, harmless};
use crate::activate::progress::{Event, UnitProgress};
use crate::bundle::unit::UnitName;

/// Between two pictures of a turning sign.
const TICK: Duration = Duration::from_millis(120);

/// What changes in place.
#[derive(Debug)]
pub struct Live {
    all: MultiProgress,
    head: ProgressBar,
    units: BTreeMap<UnitName, ProgressBar>,
}

impl Live {
    pub fn new() -> Self {
        let all = MultiProgress::new();
        let head = line(&all, "{spinner} {wide_msg} {elapsed}");
        Live { all, head, units: BTreeMap::new() }
    }

    /// Shows an event; `text` is the line for it, if it says something new.
    pub fn show(&mut self, event: &Event, text: Option<&str>) {
        match event {
            Event::Stage { name } => self.head.set_message(harmless(name)),
            Event::Phase { name, units } => {
                self.head.set_message(format!("{}: {}", harmless(name), count(*units, "unit")));
            }
            Event::Confirm { .. } => self.head.set_message(text.unwrap_or_default().to_owned()),
            Event::Unit { unit, action, state: UnitProgress::Begun } => {
                self.unit(unit).set_message(action.words());
            }
            Event::Waiting { unit, message } => self.unit(unit).set_message(harmless(message)),
            Event::Unit { unit, .. } | Event::Healthy { unit } => {
                if let Some(bar) = self.units.remove(unit) {
                    bar.finish_and_clear();
                    self.all.remove(&bar);
                }
                self.keep(text);
            }
            Event::Begun { .. }
            | Event::Planned { .. }
            | Event::Warning { .. }
            | Event::Failed { .. }
            | Event::Finished { .. } => self.keep(text),
        }
    }

    fn unit(&mut self, unit: &UnitName) -> &ProgressBar {
        self.units.entry(unit.clone()).or_insert_with(|| {
            let bar = line(&self.all, "  {spinner} {prefix} {wide_msg} {elapsed}");
            bar.set_prefix(unit.to_string());
            bar
        })
    }

    /// Writes a line above the display.
    fn keep(&self, text: Option<&str>) {
        if let Some(text) = text {
            // Where the terminal went away there is nobody to tell.
            let _ = self.all.println(text);
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.all.clear();
    }
}

/// Adds a line to the display. `{wide_msg}` takes what the other parts leave of the width, and is cut off there.
fn line(all: &MultiProgress, template: &str) -> ProgressBar {
    let bar = all.add(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(TICK);
    bar
}
