//! What differs between two texts that have no structure, line by line, with marks on the words that differ in a line.
//!
//! Both directions give the same: the texts are compared in an order of their own, and turned round at the end.

use std::ops::Range;

use similar::{ChangeTag, DiffTag, TextDiff};

use super::model::{Hunk, Line, Piece, Sign};

/// How many lines around a difference are shown.
const CONTEXT: usize = 3;
/// With more pairs of lines to compare, everything between the common ends counts as replaced.
const MOST_PAIRS: usize = 25_000_000;
/// Words are not compared in longer lines.
const LONGEST_MARKED: usize = 4000;

/// Returns the lines that differ, with some around them.
pub fn compare(old: &str, new: &str) -> Vec<Hunk> {
    if old > new {
        let mut hunks = compare_ordered(new, old);
        for hunk in &mut hunks {
            turn_round(hunk);
        }
        return hunks;
    }
    compare_ordered(old, new)
}

/// A run of lines of both texts that is equal or not.
struct Run {
    old: Range<usize>,
    new: Range<usize>,
    equal: bool,
}

fn compare_ordered(old: &str, new: &str) -> Vec<Hunk> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.split_inclusive('\n').collect(), new.split_inclusive('\n').collect());
    let runs = runs(&old, &new);
    let mut hunks: Vec<Hunk> = Vec::new();
    for (at, run) in runs.iter().enumerate() {
        if run.equal {
            continue;
        }
        let before = at.checked_sub(1).map_or(0, |before| runs[before].old.len());
        let after = runs.get(at + 1).map_or(0, |after| after.old.len());
        // The lines between two runs that are close are all shown, in the hunk of the first.
        let joins = at >= 2 && before <= 2 * CONTEXT;
        if !joins {
            let context = before.min(CONTEXT);
            let (old_start, new_start) = (run.old.start - context, run.new.start - context);
            let start = |start: usize, texts: &[&str]| if texts.is_empty() { 0 } else { start + 1 };
            hunks.push(Hunk {
                old_start: start(old_start, &old),
                new_start: start(new_start, &new),
                lines: Vec::new(),
            });
            if let Some(hunk) = hunks.last_mut() {
                hunk.lines.extend(old[old_start..run.old.start].iter().map(|line| whole(line, Sign::Both)));
            }
        }
        let Some(hunk) = hunks.last_mut() else { continue };
        replaced(&old[run.old.clone()], &new[run.new.clone()], &mut hunk.lines);
        let last = at + 2 >= runs.len();
        let shown = if !last && after <= 2 * CONTEXT { after } else { after.min(CONTEXT) };
        hunk.lines.extend(old[run.old.end..run.old.end + shown].iter().map(|line| whole(line, Sign::Both)));
    }
    hunks
}

/// Returns the runs in order; equal ones and others alternate.
fn runs(old: &[&str], new: &[&str]) -> Vec<Run> {
    let start = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let rest = (old.len() - start).min(new.len() - start);
    let end = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(old, new)| old == new).count();
    let (middle_old, middle_new) = (start..old.len() - end, start..new.len() - end);
    let mut runs = vec![Run { old: 0..start, new: 0..start, equal: true }];
    if middle_old.len().saturating_mul(middle_new.len()) > MOST_PAIRS {
        runs.push(Run { old: middle_old, new: middle_new, equal: false });
    } else {
        let diff = TextDiff::from_slices(&old[middle_old], &new[middle_new]);
        for operation in diff.ops() {
            let shift = |range: Range<usize>| range.start + start..range.end + start;
            let (old, new) = (shift(operation.old_range()), shift(operation.new_range()));
            let equal = operation.tag() == DiffTag::Equal;
            match runs.last_mut() {
                // A removal beside an insertion is one replacement.
                Some(last) if last.equal == equal => {
                    last.old.end = old.end;
                    last.new.end = new.end;
                }
                _ => runs.push(Run { old, new, equal }),
            }
        }
    }
    let tail = Run { old: old.len() - end..old.len(), new: new.len() - end..new.len(), equal: true };
    match runs.last_mut() {
        Some(last) if last.equal => {
            last.old.end = tail.old.end;
            last.new.end = tail.new.end;
        }
        _ => runs.push(tail),
    }
    runs.retain(|run| !run.old.is_empty() || !run.new.is_empty());
    if runs.first().is_some_and(|run| !run.equal) {
        runs.insert(0, Run { old: 0..0, new: 0..0, equal: true });
    }
    runs
}

/// Writes the lines of a run that differs: all old ones, then all new ones, with marks where two belong together.
fn replaced(old: &[&str], new: &[&str], lines: &mut Vec<Line>) {
    let pairs: Vec<_> = old.iter().zip(new).map(|(old, new)| marked(old, new)).collect();
    let side = |sign: Sign, texts: &[&str], lines: &mut Vec<Line>| {
        for (at, text) in texts.iter().enumerate() {
            let pieces = pairs.get(at).and_then(Option::as_ref);
            let pieces = pieces.map(|(old, new)| if sign == Sign::Old { old.clone() } else { new.clone() });
            let line = whole(text, sign);
            lines.push(Line { pieces: pieces.unwrap_or(line.pieces), ..line });
        }
    };
    side(Sign::Old, old, lines);
    side(Sign::New, new, lines);
}

/// Returns both lines in pieces, or `None` when they have too little in common.
fn marked(old: &str, new: &str) -> Option<(Vec<Piece>, Vec<Piece>)> {
    let (old, new) = (old.strip_suffix('\n').unwrap_or(old), new.strip_suffix('\n').unwrap_or(new));
    if old.len().max(new.len()) > LONGEST_MARKED {
        return None;
    }
    let diff = TextDiff::from_unicode_words(old, new);
    let (mut old_pieces, mut new_pieces) = (Vec::new(), Vec::new());
    let mut common = 0;
    for change in diff.iter_all_changes() {
        let text = change.value();
        match change.tag() {
            ChangeTag::Equal => {
                common += text.trim().len();
                push(&mut old_pieces, text, false);
                push(&mut new_pieces, text, false);
            }
            ChangeTag::Delete => push(&mut old_pieces, text, true),
            ChangeTag::Insert => push(&mut new_pieces, text, true),
        }
    }
    (common * 3 >= old.len().min(new.len())).then_some((old_pieces, new_pieces))
}

fn push(pieces: &mut Vec<Piece>, text: &str, marked: bool) {
    match pieces.last_mut() {
        Some(last) if last.marked == marked => last.text.push_str(text),
        _ => pieces.push(Piece { text: text.to_owned(), marked }),
    }
}

fn whole(line: &str, sign: Sign) -> Line {
    let text = line.strip_suffix('\n');
    let piece = Piece { text: text.unwrap_or(line).to_owned(), marked: false };
    Line { sign, pieces: vec![piece], no_line_end: text.is_none() }
}

fn turn_round(hunk: &mut Hunk) {
    std::mem::swap(&mut hunk.old_start, &mut hunk.new_start);
    for line in &mut hunk.lines {
        line.sign = match line.sign {
            Sign::Both => Sign::Both,
            Sign::Old => Sign::New,
            Sign::New => Sign::Old,
        };
    }
    // Old lines come before new ones in each run.
    let mut at = 0;
    while at < hunk.lines.len() {
        let length = hunk.lines[at..].iter().take_while(|line| line.sign != Sign::Both).count();
        hunk.lines[at..at + length].sort_by_key(|line| line.sign == Sign::New);
        at += length.max(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(old: &str, new: &str) -> Vec<String> {
        let line = |line: &Line| {
            let sign = match line.sign {
                Sign::Both => ' ',
                Sign::Old => '-',
                Sign::New => '+',
            };
            let pieces: String = line
                .pieces
                .iter()
                .map(|it| if it.marked { format!("[{}]", it.text) } else { it.text.clone() })
                .collect();
            format!("{sign}{pieces}{}", if line.no_line_end { "$" } else { "" })
        };
        let hunk = |hunk: &Hunk| {
            let head = format!("@{} {}", hunk.old_start, hunk.new_start);
            std::iter::once(head).chain(hunk.lines.iter().map(line)).collect::<Vec<_>>()
        };
        compare(old, new).iter().flat_map(hunk).collect()
    }

    #[test]
    fn words_are_marked() {
        assert_eq!(shown("a b c d\n", "a x c d\n"), ["@1 1", "-a [b] c d", "+a [x] c d"]);
        assert_eq!(shown("alpha\n", "omega"), ["@1 1", "-alpha", "+omega$"]);
        assert_eq!(shown("", "a\n"), ["@0 1", "+a"]);
        assert_eq!(shown("a\n", "a"), ["@1 1", "-a", "+a$"]);
        assert!(compare("a\n", "a\n").is_empty());
    }

    #[test]
    fn close_differences_share_a_hunk() {
        let numbers = |skipped: &[usize]| -> String {
            (0..40).filter(|number| !skipped.contains(number)).map(|number| format!("{number}\n")).collect()
        };
        let hunks = compare(&numbers(&[]), &numbers(&[5, 11, 30]));
        let starts: Vec<_> = hunks.iter().map(|hunk| (hunk.old_start, hunk.new_start, hunk.lines.len())).collect();
        assert_eq!(starts, [(3, 3, 13), (28, 26, 7)]);
    }

    #[test]
    fn huge_texts_end() {
        let text = |from: usize| (from..from + 20_000).map(|number| format!("{number}\n")).collect::<String>();
        assert_eq!(compare(&text(0), &text(100_000))[0].lines.len(), 40_000);
        let line = "word ".repeat(1 << 18);
        assert_eq!(compare(&format!("{line}a"), &format!("{line}b")).len(), 1);
    }

    proptest! {
        #[test]
        fn both_texts_can_be_told_from_it(old in "(a|b|c d|\n|\n){0,20}", new in "(a|b|c d|\n|\n){0,20}") {
            let hunks = compare(&old, &new);
            let (mut rest, mut made) = (old.split_inclusive('\n'), String::new());
            let mut line = 1;
            for hunk in &hunks {
                while line < hunk.old_start {
                    made.push_str(rest.next().unwrap());
                    line += 1;
                }
                for it in &hunk.lines {
                    if it.sign != Sign::Old {
                        made.extend(it.pieces.iter().map(|piece| piece.text.as_str()));
                        made.push_str(if it.no_line_end { "" } else { "\n" });
                    }
                    if it.sign != Sign::New {
                        rest.next();
                        line += 1;
                    }
                }
            }
            made.extend(rest);
            prop_assert_eq!(made, new);
        }

        #[test]
        fn both_directions_agree(old in "(a|b|c d|\n|\n){0,20}", new in "(a|b|c d|\n|\n){0,20}") {
            let mut back = compare(&new, &old);
            back.iter_mut().for_each(turn_round);
            prop_assert_eq!(compare(&old, &new), back);
        }
    }
}
