//! A diff for a terminal: as wide as it is, with or without colour, and plain enough for a pager.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::plain::{cut, visible};
use super::words::{self, Row};
use crate::diff::model::{Content, Diff, Effect, FileChange, Hunk, Sign, State, UnitChange};
use crate::plan::Action;

/// How to write.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Columns; at least 40 are used.
    pub width: usize,
    pub colour: bool,
    /// Numbers only.
    pub stat: bool,
}

/// A longer value or line is cut.
const LONGEST: usize = 2000;
/// Longer texts are left to other formats.
const MOST_LINES: usize = 2000;

/// Returns diffs as text; without any change there is none.
pub fn render(diffs: &[Diff], look: Look) -> String {
    let mut page = Page { look: Look { width: look.width.max(40), ..look }, out: String::new() };
    let (same, changed): (Vec<_>, Vec<_>) = diffs.iter().partition(|diff| diff.is_empty());
    for diff in &changed {
        if !page.out.is_empty() {
            page.out.push('\n');
        }
        if look.stat { stat(diff, &mut page) } else { whole(diff, &mut page) }
    }
    if !changed.is_empty() && !same.is_empty() {
        let names: Vec<&str> = same.iter().map(|diff| diff.new.profile.as_str()).collect();
        page.line(0, &[(Style::Faint, &format!("no changes: {}", names.join(", ")))]);
    }
    page.out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Bold,
    Faint,
    Old,
    New,
    Warn,
    OldMark,
    NewMark,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "1",
            Self::Faint => "2",
            Self::Old => "31",
            Self::New => "32",
            Self::Warn => "33",
            Self::OldMark => "31;7",
            Self::NewMark => "32;7",
        }
    }

    fn of(state: State) -> Self {
        match state {
            State::Added => Self::New,
            State::Removed => Self::Old,
            State::Changed => Self::Warn,
        }
    }
}

struct Page {
    look: Look,
    out: String,
}

impl Page {
    fn heading(&mut self, text: &str) {
        self.out.push('\n');
        self.line(0, &[(Style::Bold, text)]);
    }

    /// Writes pieces of text, harmless, broken between words where the line ends; what follows is indented further.
    fn line(&mut self, indent: usize, pieces: &[(Style, &str)]) {
        self.pad(indent);
        let mut column = indent;
        let hanging = (indent + 4).min(self.look.width / 2);
        for (style, text) in pieces {
            let text = visible(text);
            let mut open = false;
            for word in text.split_inclusive(' ') {
                let width = word.trim_end_matches(' ').width();
                if column > hanging && column + width > self.look.width {
                    self.close(&mut open);
                    self.wrap(hanging);
                    column = hanging;
                }
                for character in word.chars() {
                    let width = character.width().unwrap_or(0);
                    if character == ' ' && column >= self.look.width {
                        continue;
                    }
                    if column + width > self.look.width {
                        self.close(&mut open);
                        self.wrap(hanging);
                        column = hanging;
                    }
                    self.open(*style, &mut open);
                    self.out.push(character);
                    column += width;
                }
            }
            self.close(&mut open);
        }
        self.end();
    }

    fn pad(&mut self, columns: usize) {
        self.out.extend(std::iter::repeat_n(' ', columns));
    }

    fn wrap(&mut self, hanging: usize) {
        self.end();
        self.pad(hanging);
    }

    fn end(&mut self) {
        let kept = self.out.trim_end_matches(' ').len();
        self.out.truncate(kept);
        self.out.push('\n');
    }

    fn open(&mut self, style: Style, open: &mut bool) {
        if self.look.colour && !*open && style != Style::Plain {
            self.out.push_str("\u{1b}[");
            self.out.push_str(style.code());
            self.out.push('m');
            *open = true;
        }
    }

    fn close(&mut self, open: &mut bool) {
        if *open {
            self.out.push_str("\u{1b}[0m");
            *open = false;
        }
    }

    /// Writes rows with their values in one column where they fit, and below each other where they do not.
    fn rows(&mut self, indent: usize, rows: &[Row]) {
        let width = rows.iter().map(|row| visible(&row.name).width()).filter(|width| *width <= 34).max().unwrap_or(0);
        for row in rows {
            self.row(indent, row, width);
        }
    }

    fn row(&mut self, indent: usize, row: &Row, width: usize) {
        let name = visible(&row.name).into_owned();
        let padded = format!("{name}{}  ", " ".repeat(width.saturating_sub(name.width())));
        let note = row.note.map_or_else(String::new, |note| format!("  ({note})"));
        if row.is_list() {
            self.line(indent, &[(Style::Plain, &name), (Style::Faint, &note)]);
            for (style, sign, elements) in [(Style::Old, "- ", &row.removed), (Style::New, "+ ", &row.added)] {
                for element in elements {
                    self.line(indent + 2, &[(style, sign), (style, &cut(element, LONGEST))]);
                }
            }
            return;
        }
        let (old, new) =
            (row.old.as_deref().map(|old| cut(old, LONGEST)), row.new.as_deref().map(|new| cut(new, LONGEST)));
        match (old, new) {
            (Some(old), Some(new)) => {
                let fits = indent + padded.width() + old.width() + 3 + new.width() + note.width() <= self.look.width;
                if fits {
                    let pieces = [
                        (Style::Plain, padded.as_str()),
                        (Style::Old, &old),
                        (Style::Faint, " → "),
                        (Style::New, &new),
                        (Style::Faint, &note),
                    ];
                    self.line(indent, &pieces);
                } else {
                    self.line(indent, &[(Style::Plain, &name), (Style::Faint, &note)]);
                    self.line(indent + 2, &[(Style::Old, "- "), (Style::Old, &old)]);
                    self.line(indent + 2, &[(Style::New, "+ "), (Style::New, &new)]);
                }
            }
            (Some(old), None) => {
                self.line(
                    indent,
                    &[(Style::Plain, &padded), (Style::Old, "- "), (Style::Old, &old), (Style::Faint, &note)],
                );
            }
            (None, Some(new)) => {
                self.line(
                    indent,
                    &[(Style::Plain, &padded), (Style::New, "+ "), (Style::New, &new), (Style::Faint, &note)],
                );
            }
            (None, None) => self.line(indent, &[(Style::Plain, &name), (Style::Faint, &note)]),
        }
    }
}

fn title(diff: &Diff, page: &mut Page) {
    let (old, new) = (words::side(&diff.old), words::side(&diff.new));
    let name = if diff.old.profile == diff.new.profile {
        diff.new.profile.clone()
    } else {
        format!("{} → {}", diff.old.profile, diff.new.profile)
    };
    page.line(
        0,
        &[
            (Style::Bold, &name),
            (Style::Plain, ": "),
            (Style::Plain, &old),
            (Style::Faint, " → "),
            (Style::Plain, &new),
        ],
    );
}

fn stat(diff: &Diff, page: &mut Page) {
    title(diff, page);
    page.line(2, &[(Style::Plain, &words::summary(diff))]);
    for subject in &diff.profile {
        let count = format!(" {}", counted(subject.changes.len(), "option"));
        page.line(
            2,
            &[
                (Style::of(subject.state), &sign(subject.state)),
                (Style::Plain, &words::subject(subject)),
                (Style::Faint, &count),
            ],
        );
    }
    for unit in &diff.units {
        let count = counted(unit.directives.len(), "directive");
        let action = words::action(unit).map_or_else(String::new, |action| format!("  {action}"));
        page.line(
            2,
            &[
                (Style::of(unit.state), &sign(unit.state)),
                (Style::Plain, &unit.name),
                (Style::Faint, &format!(" {count}")),
                (Style::Warn, &action),
            ],
        );
    }
    for file in &diff.files {
        let count = match &file.content {
            Content::Same => "attributes".to_owned(),
            Content::Keys { changes, .. } => counted(changes.len(), "key"),
            Content::Lines { hunks } => {
                let count =
                    |sign: Sign| hunks.iter().flat_map(|hunk| &hunk.lines).filter(|line| line.sign == sign).count();
                format!("+{} -{} lines", count(Sign::New), count(Sign::Old))
            }
            Content::Bytes { .. } => "no text".to_owned(),
        };
        page.line(
            2,
            &[
                (Style::of(file.state), &sign(file.state)),
                (Style::Plain, &file.path),
                (Style::Faint, &format!(" {count}")),
            ],
        );
    }
}

/// Returns a number with its noun, such as `1 key` or `2 keys`.
fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn sign(state: State) -> String {
    format!("{} ", words::sign(state))
}

fn whole(diff: &Diff, page: &mut Page) {
    title(diff, page);
    page.line(0, &[(Style::Plain, &words::summary(diff))]);
    security(diff, page);
    plan(diff, page);
    let budget = words::budget(&diff.budget);
    if !budget.is_empty() {
        page.heading("Budget");
        page.rows(2, &budget);
    }
    if !diff.profile.is_empty() {
        page.heading("Profile");
        for subject in &diff.profile {
            page.line(2, &[(Style::of(subject.state), &sign(subject.state)), (Style::Bold, &words::subject(subject))]);
            let (rows, usual) = words::subject_rows(subject);
            page.rows(6, &rows);
            if usual > 0 {
                page.line(6, &[(Style::Faint, &format!("and {} as most have them", counted(usual, "option")))]);
            }
        }
    }
    if !diff.units.is_empty() {
        page.heading("Units");
        diff.units.iter().for_each(|it| unit(it, page));
    }
    if !diff.files.is_empty() {
        page.heading("Other files");
        diff.files.iter().for_each(|it| file(it, page));
    }
    if !diff.manifest.is_empty() || !diff.inputs.is_empty() {
        page.heading("Manifest");
        page.rows(2, &diff.manifest.iter().map(words::change).collect::<Vec<_>>());
        for input in &diff.inputs {
            page.line(
                2,
                &[
                    (Style::of(input.state), &sign(input.state)),
                    (Style::Plain, "made from "),
                    (Style::Plain, &input.path),
                ],
            );
        }
    }
}

fn security(diff: &Diff, page: &mut Page) {
    let exposure = words::exposure(&diff.security.exposure);
    if diff.security.changes.is_empty() && exposure.as_ref().map_or(true, Vec::is_empty) {
        return;
    }
    page.heading("Security");
    for change in &diff.security.changes {
        let (style, word) = match change.effect {
            Effect::Weaker => (Style::Old, "weaker    "),
            Effect::Stronger => (Style::New, "stronger  "),
        };
        page.line(2, &[(style, word), (Style::Plain, &words::security(change))]);
    }
    match exposure {
        Ok(rows) if !rows.is_empty() => {
            page.line(2, &[(Style::Plain, "exposure by systemd-analyze, from 0 (safe) to 10:")]);
            page.rows(4, &rows);
        }
        Ok(_) => {}
        Err(why) => page.line(2, &[(Style::Faint, &format!("exposure not computed: {why}"))]),
    }
}

fn plan(diff: &Diff, page: &mut Page) {
    let steps: Vec<_> = diff.plan.steps.iter().filter(|step| step.step.action != Action::Nothing).collect();
    if steps.is_empty() {
        return;
    }
    page.heading("What a switch does");
    let mut phase = None;
    let width = steps.iter().map(|step| step.step.action.words().width()).max().unwrap_or(0);
    for step in steps {
        if phase != Some(&step.step.phase) {
            let name = step.step.phase.as_deref().map_or("in no phase".to_owned(), |name| format!("phase {name}"));
            if diff.plan.steps.iter().any(|step| step.step.phase.is_some()) {
                page.line(2, &[(Style::Faint, &name)]);
            }
            phase = Some(&step.step.phase);
        }
        let action = step.step.action;
        let style = match action {
            Action::Stop | Action::StopStart | Action::Restart => Style::Old,
            Action::Start => Style::New,
            _ => Style::Plain,
        };
        let padded = format!("{}{}  ", action.words(), " ".repeat(width - action.words().width()));
        let reasons = format!("  because {}", words::reasons(&step.step));
        page.line(4, &[(style, &padded), (Style::Bold, step.unit.as_str()), (Style::Plain, &reasons)]);
        let cost = words::cost(&step.step);
        if !cost.is_empty() {
            page.line(6 + width, &[(Style::Faint, &cost)]);
        }
    }
    if let Some(loading) = words::loading(diff) {
        page.line(2, &[(Style::Plain, &format!("last time, these starts took {loading} together"))]);
    }
}

fn unit(unit: &UnitChange, page: &mut Page) {
    let from = unit.renamed_from.as_ref().map_or_else(String::new, |from| format!(" (was {from})"));
    let action = words::action(unit).map_or_else(String::new, |action| format!("  {action}"));
    page.line(
        2,
        &[
            (Style::of(unit.state), &sign(unit.state)),
            (Style::Bold, &unit.name),
            (Style::Plain, &from),
            (Style::Warn, &action),
        ],
    );
    if let Some(step) = unit.step.as_ref().filter(|step| !step.reasons.is_empty()) {
        page.line(6, &[(Style::Faint, &format!("because {}", words::reasons(step)))]);
    }
    if unit.state == State::Changed {
        let mut section = "";
        for directive in &unit.directives {
            if directive.section != section {
                section = &directive.section;
                page.line(6, &[(Style::Faint, &format!("[{section}]"))]);
            }
            page.row(6, &words::directive(directive), 0);
        }
    } else if !unit.directives.is_empty() {
        page.line(6, &[(Style::Faint, &counted(unit.directives.len(), "directive"))]);
        let shown: Vec<Row> =
            unit.directives.iter().filter(|it| TELLING.contains(&it.key.as_str())).map(words::directive).collect();
        shown.iter().for_each(|row| page.row(6, row, 0));
    }
    page.rows(6, &words::unit_rows(unit));
    if !unit.files.is_empty() && unit.state == State::Changed {
        page.line(
            6,
            &[(Style::Plain, "reads "), (Style::Plain, &unit.files.join(", ")), (Style::Plain, ", which differs")],
        );
    }
    for it in &unit.not_shown {
        page.line(6, &[(Style::Faint, "not shown: "), (Style::Faint, &it.words())]);
    }
}

/// Of a unit that is new or gone, these are shown; every format for programs has all.
pub const TELLING: [&str; 12] = [
    "Description",
    "DeviceAllow",
    "ExecStart",
    "ListenStream",
    "MemoryMax",
    "OnCalendar",
    "ReadWritePaths",
    "Restart",
    "StateDirectory",
    "Type",
    "User",
    "WantedBy",
];

fn file(file: &FileChange, page: &mut Page) {
    let note = words::file_note(file);
    let note = if note.is_empty() { note } else { format!("  ({note})") };
    page.line(2, &[(Style::of(file.state), &sign(file.state)), (Style::Bold, &file.path), (Style::Faint, &note)]);
    page.rows(6, &file.attributes.iter().map(words::change).collect::<Vec<_>>());
    match &file.content {
        Content::Keys { changes, .. } => page.rows(6, &changes.iter().map(words::change).collect::<Vec<_>>()),
        Content::Lines { hunks: all } => hunks(all, page),
        Content::Same | Content::Bytes { .. } => {}
    }
    for note in words::content_notes(&file.content) {
        page.line(6, &[(Style::Faint, &note)]);
    }
}

fn hunks(hunks: &[Hunk], page: &mut Page) {
    let mut left = MOST_LINES;
    for hunk in hunks {
        page.line(6, &[(Style::Faint, &format!("@@ -{} +{} @@", hunk.old_start, hunk.new_start))]);
        for line in hunk.lines.iter().take(left) {
            let (sign, style, mark) = match line.sign {
                Sign::Both => (" ", Style::Plain, Style::Plain),
                Sign::Old => ("-", Style::Old, Style::OldMark),
                Sign::New => ("+", Style::New, Style::NewMark),
            };
            let mut pieces = vec![(style, sign.to_owned())];
            let mut room = LONGEST;
            for piece in &line.pieces {
                let shown = cut(&piece.text, room);
                room = room.saturating_sub(shown.chars().count());
                pieces.push((if piece.marked { mark } else { style }, shown));
                if room == 0 {
                    break;
                }
            }
            if line.no_line_end {
                pieces.push((Style::Faint, " (no line end)".to_owned()));
            }
            page.line(6, &pieces.iter().map(|(style, text)| (*style, text.as_str())).collect::<Vec<_>>());
        }
        left = left.saturating_sub(hunk.lines.len());
    }
    let all: usize = hunks.iter().map(|hunk| hunk.lines.len()).sum();
    if all > MOST_LINES {
        page.line(6, &[(Style::Faint, &format!("… {} more lines; --format json has all", all - MOST_LINES))]);
    }
}
