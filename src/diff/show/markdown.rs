//! A diff as a comment on a pull request: what matters first, the rest folded, and never longer than is allowed.
//!
//! Text of a bundle stands only in code: in spans and fences longer than any run of backticks in it, or in HTML elements
//! for code with HTML's own escapes. There it is no markup, mentions nobody and links nowhere.

use super::plain::{cut, visible};
use super::terminal::TELLING;
use super::words::{self, Row};
use crate::diff::markup;
use crate::diff::model::{Content, Diff, Effect, FileChange, Hunk, Sign, State, UnitChange};
use crate::plan::Action;

/// GitHub takes comments of at most 65,536 characters, and a byte is at most one.
pub const GITHUB_LIMIT: usize = 65_536;

/// How to write.
#[derive(Clone, Debug)]
pub struct Options {
    /// The most bytes.
    pub limit: usize,
    /// Where the whole diff is, for what does not fit.
    pub rest: Option<String>,
    /// Numbers only.
    pub stat: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { limit: GITHUB_LIMIT, rest: None, stat: false }
    }
}

/// A longer value is cut.
const LONGEST: usize = 300;
/// Longer texts are cut.
const MOST_LINES: usize = 200;

/// Returns diffs as Markdown.
pub fn render(diffs: &[Diff], options: &Options) -> String {
    let mut page = Page { out: String::new(), limit: options.limit.saturating_sub(RESERVE), left_out: 0 };
    let (same, changed): (Vec<_>, Vec<_>) = diffs.iter().partition(|diff| diff.is_empty());
    for diff in &changed {
        head(diff, &mut page);
    }
    if changed.is_empty() {
        page.add("No changes to any unit, file or setting.\n".to_owned());
    } else if !same.is_empty() {
        let names: Vec<String> = same.iter().map(|diff| code(&diff.new.profile)).collect();
        page.add(format!("No changes: {}\n\n", names.join(", ")));
    }
    // Details of the first profile must not push out the head of the last one, so all heads come first.
    for diff in changed.iter().filter(|_| !options.stat) {
        let several = changed.len() > 1;
        details(diff, several, &mut page);
    }
    page.end(options)
}

/// Kept for the words about what was left out.
const RESERVE: usize = 1024;

struct Page {
    out: String,
    limit: usize,
    left_out: usize,
}

impl Page {
    /// Adds a whole piece, or nothing of it when it is too long.
    fn add(&mut self, piece: String) -> bool {
        let fits = self.out.len() + piece.len() <= self.limit;
        if fits {
            self.out.push_str(&piece);
        } else {
            self.left_out += 1;
        }
        fits
    }

    /// Adds a title and a table, with as many rows as there is room for.
    fn table(&mut self, before: &str, rows: &[String], after: &str) {
        if rows.is_empty() {
            return;
        }
        let mut piece = before.to_owned();
        let room = self.limit.saturating_sub(self.out.len() + after.len());
        let mut shown = 0;
        for row in rows {
            if piece.len() + row.len() > room {
                break;
            }
            piece.push_str(row);
            shown += 1;
        }
        self.left_out += rows.len() - shown;
        if shown > 0 {
            self.out.push_str(&piece);
            self.out.push_str(after);
        }
    }

    fn end(mut self, options: &Options) -> String {
        if self.left_out > 0 {
            let what = if self.left_out == 1 { "1 part" } else { &format!("{} parts", self.left_out) };
            let place = options.rest.as_deref().filter(|place| place.len() < RESERVE / 2);
            let place = match place {
                Some(url) if is_plain_url(url) => format!("[the whole diff]({url})"),
                Some(place) => format!("the whole diff: {}", code(place)),
                None => "`citadel diff` shows the whole diff".to_owned(),
            };
            self.out.push_str(&format!("\n> {what} did not fit into this comment; see {place}.\n"));
        }
        self.out
    }
}

fn is_plain_url(url: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#@!$&'*+,;=%".contains(&byte);
    url.starts_with("https://") && url.bytes().all(plain)
}

/// Returns a code span that holds the text as it is.
pub fn code(text: &str) -> String {
    let text = cut(text, LONGEST);
    if text.trim().is_empty() {
        return "*empty*".to_owned();
    }
    let longest = text.split(|it| it != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    // A blank at both ends is taken off again by the reader.
    let pad = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// Returns a code span for a table, where a bar would end the cell even in code.
fn cell(text: &str) -> String {
    code(text).replace('|', "\\|")
}

/// Returns code for inside of HTML, where there is no Markdown.
fn html(text: &str) -> String {
    format!("<code>{}</code>", markup::escaped(&cut(text, LONGEST)))
}

fn head(diff: &Diff, page: &mut Page) {
    let (old, new) = (code(&words::side(&diff.old)), code(&words::side(&diff.new)));
    page.add(format!("### citadel: {}\n\n{old} → {new}: **{}**\n\n", code(&diff.new.profile), words::summary(diff)));
    security(diff, page);
    plan(diff, page);
    let budget: Vec<String> = words::budget(&diff.budget).iter().map(table_row).collect();
    page.table("#### Budget\n\n| what | before | after |\n| --- | --- | --- |\n", &budget, "\n");
}

fn security(diff: &Diff, page: &mut Page) {
    let rows: Vec<String> = diff
        .security
        .changes
        .iter()
        .map(|change| {
            let effect = match change.effect {
                Effect::Weaker => "**weaker**",
                Effect::Stronger => "stronger",
            };
            let unit = if change.unit.is_empty() { String::new() } else { cell(&change.unit) };
            let what = if change.what.is_empty() { String::new() } else { cell(&change.what) };
            format!("| {effect} | {unit} | {} {what} |\n", change.kind.words())
        })
        .collect();
    page.table("#### Security\n\n| | unit | what |\n| --- | --- | --- |\n", &rows, "\n");
    match words::exposure(&diff.security.exposure) {
        Ok(rows) => {
            let rows: Vec<String> = rows.iter().map(table_row).collect();
            let head = "Exposure by `systemd-analyze security`, from 0 (safe) to 10:\n\n| unit | before | after |\n| --- | --- | --- |\n";
            page.table(head, &rows, "\n");
        }
        Err(why) if !diff.security.changes.is_empty() => {
            page.add(format!("<sub>Exposure not computed: {}</sub>\n\n", html(why)));
        }
        Err(_) => {}
    }
}

fn plan(diff: &Diff, page: &mut Page) {
    let steps = diff.plan.steps.iter().filter(|step| step.step.action != Action::Nothing);
    let rows: Vec<String> = steps
        .map(|step| {
            let action = match step.step.action {
                action @ (Action::Restart | Action::Stop | Action::StopStart) => format!("**{}**", action.words()),
                action => action.words().to_owned(),
            };
            let phase = step.step.phase.as_deref().map_or_else(String::new, cell);
            let cost = words::cost(&step.step);
            let cost = if cost.is_empty() { cost } else { cell(&cost) };
            let reasons = cell(&words::reasons(&step.step));
            format!("| {action} | {} | {phase} | {reasons} | {cost} |\n", cell(step.unit.as_str()))
        })
        .collect();
    let head = "#### What a switch does\n\n| | unit | phase | because | cost |\n| --- | --- | --- | --- | --- |\n";
    let loading =
        words::loading(diff).map_or_else(String::new, |it| format!("\nLast time, these starts took {it} together.\n"));
    page.table(head, &rows, &format!("{loading}\n"));
}

fn table_row(row: &Row) -> String {
    let side = |value: &Option<String>, elements: &[String], sign: &str| match value {
        Some(value) => cell(value),
        None => elements.iter().map(|element| format!("{sign}{}", cell(element))).collect::<Vec<_>>().join("<br>"),
    };
    let note = row.note.map_or_else(String::new, |note| format!(" <sub>{note}</sub>"));
    let (old, new) = (side(&row.old, &row.removed, "− "), side(&row.new, &row.added, "+ "));
    format!("| {}{note} | {old} | {new} |\n", cell(&row.name))
}

fn details(diff: &Diff, several: bool, page: &mut Page) {
    let of = if several { format!(" of {}", code(&diff.new.profile)) } else { String::new() };
    let mut title = Some(format!("#### Profile{of}\n\n"));
    for subject in &diff.profile {
        let (rows, usual) = words::subject_rows(subject);
        let rows: Vec<String> = rows.iter().map(table_row).collect();
        let count = subject.changes.len();
        let head = folded(
            &format!("{} {}", words::sign(subject.state), html(&words::subject(subject))),
            &format!("{count} option{}", if count == 1 { "" } else { "s" }),
        );
        let usual = if usual > 0 { format!("\n{usual} more as most have them\n") } else { String::new() };
        let table = "| option | before | after |\n| --- | --- | --- |\n";
        with_title(
            &mut title,
            page,
            format!("{head}{}{}{usual}\n</details>\n\n", if rows.is_empty() { "" } else { table }, rows.concat()),
        );
    }
    let mut title = Some(format!("#### Units{of}\n\n"));
    for it in &diff.units {
        with_title(&mut title, page, unit(it));
    }
    let mut title = Some(format!("#### Other files{of}\n\n"));
    for it in &diff.files {
        with_title(&mut title, page, file(it));
    }
    let mut rows: Vec<String> = diff.manifest.iter().map(|change| table_row(&words::change(change))).collect();
    rows.extend(diff.inputs.iter().map(|input| {
        let sign = words::sign(input.state);
        format!(
            "| made from {} | {} | {} |\n",
            cell(&input.path),
            if sign == '+' { "" } else { "✓" },
            if sign == '-' { "" } else { "✓" }
        )
    }));
    let head = format!(
        "#### Manifest{of}\n\n{}| | before | after |\n| --- | --- | --- |\n",
        folded("the rest", &if rows.len() == 1 { "1 entry".to_owned() } else { format!("{} entries", rows.len()) })
    );
    page.table(&head, &rows, "\n</details>\n\n");
}

/// Adds a piece, below its title when it is the first.
fn with_title(title: &mut Option<String>, page: &mut Page, piece: String) {
    let whole = format!("{}{piece}", title.as_deref().unwrap_or_default());
    if page.add(whole) {
        *title = None;
    }
}

fn folded(title: &str, note: &str) -> String {
    let note = if note.is_empty() { String::new() } else { format!(" · {note}") };
    format!("<details><summary>{title}{note}</summary>\n\n")
}

fn unit(unit: &UnitChange) -> String {
    let action = words::action(unit).unwrap_or_default();
    let from = unit.renamed_from.as_ref().map_or_else(String::new, |from| format!(" (was {})", html(from)));
    let mut out = folded(&format!("{} {}{from}", words::sign(unit.state), html(&unit.name)), action);
    if let Some(step) = unit.step.as_ref().filter(|step| !step.reasons.is_empty()) {
        out.push_str(&format!("Because {}\n\n", code(&words::reasons(step))));
    }
    let shown = unit.directives.iter().filter(|it| unit.state == State::Changed || TELLING.contains(&it.key.as_str()));
    let mut lines = Vec::new();
    let mut section = "";
    for directive in shown {
        if directive.section != section {
            section = &directive.section;
            lines.push(format!(" [{section}]"));
        }
        let row = words::directive(directive);
        let note = row.note.map_or_else(String::new, |note| format!("   # {note}"));
        if row.is_list() {
            lines.push(format!(" {}{note}", row.name));
            lines.extend(row.removed.iter().map(|element| format!("-    {element}")));
            lines.extend(row.added.iter().map(|element| format!("+    {element}")));
        } else {
            lines.extend(row.old.iter().map(|old| format!("-{}{old}{note}", row.name)));
            lines.extend(row.new.iter().map(|new| format!("+{}{new}{note}", row.name)));
        }
    }
    out.push_str(&fenced("diff", &lines));
    let rows: Vec<String> = words::unit_rows(unit).iter().map(table_row).collect();
    if !rows.is_empty() {
        out.push_str(&format!("| manifest | before | after |\n| --- | --- | --- |\n{}\n", rows.concat()));
    }
    if !unit.files.is_empty() && unit.state == State::Changed {
        let files: Vec<String> = unit.files.iter().map(|file| code(file)).collect();
        out.push_str(&format!("Reads {}, which differs\n\n", files.join(", ")));
    }
    for it in &unit.not_shown {
        out.push_str(&format!("<sub>Not shown: {}</sub>\n\n", html(&it.words())));
    }
    out.push_str("</details>\n\n");
    out
}

fn file(file: &FileChange) -> String {
    let from = file.renamed_from.as_ref().map_or_else(String::new, |from| format!(" (was {})", html(from)));
    let mut out = folded(&format!("{} {}{from}", words::sign(file.state), html(&file.path)), "");
    if !file.read_by.is_empty() {
        let units: Vec<String> = file.read_by.iter().take(8).map(|unit| code(unit)).collect();
        out.push_str(&format!("Read by {}\n\n", units.join(", ")));
    }
    let mut rows: Vec<String> = file.attributes.iter().map(|change| table_row(&words::change(change))).collect();
    if let Content::Keys { changes, .. } = &file.content {
        rows.extend(changes.iter().map(|change| table_row(&words::change(change))));
    }
    if !rows.is_empty() {
        out.push_str(&format!("| key | before | after |\n| --- | --- | --- |\n{}\n", rows.concat()));
    }
    if let Content::Lines { hunks } = &file.content {
        out.push_str(&lines(hunks));
    }
    for note in words::content_notes(&file.content) {
        out.push_str(&format!("<sub>{}</sub>\n\n", html(&note)));
    }
    out.push_str("</details>\n\n");
    out
}

fn lines(hunks: &[Hunk]) -> String {
    let mut lines = Vec::new();
    for hunk in hunks {
        lines.push(format!("@@ -{} +{} @@", hunk.old_start, hunk.new_start));
        for line in &hunk.lines {
            let sign = match line.sign {
                Sign::Both => ' ',
                Sign::Old => '-',
                Sign::New => '+',
            };
            let text: String = line.pieces.iter().map(|piece| piece.text.as_str()).collect();
            lines.push(format!("{sign}{text}{}", if line.no_line_end { " (no line end)" } else { "" }));
        }
    }
    let all = lines.len();
    lines.truncate(MOST_LINES);
    let rest = if all > MOST_LINES { format!("… and {} more lines\n\n", all - MOST_LINES) } else { String::new() };
    fenced("diff", &lines) + &rest
}

/// Returns lines as a block of code, between fences longer than any run of backticks in them.
fn fenced(language: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let lines: Vec<String> = lines.iter().map(|line| shortened(line)).collect();
    let runs = lines.iter().flat_map(|line| line.split(|it| it != '`')).map(str::len);
    let fence = "`".repeat(runs.max().unwrap_or(0).max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}\n\n", lines.join("\n"))
}

fn shortened(line: &str) -> String {
    match visible(line).chars().count() > LONGEST {
        true => cut(line, LONGEST),
        false => visible(line).into_owned(),
    }
}
