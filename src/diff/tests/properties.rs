//! What has to hold for any two bundles.

use proptest::prelude::*;

use super::bundles::{Service, add, bundle, diff, service};
use crate::bundle::Bundle;
use crate::bundle::manifest::FileKind;
use crate::diff::model::{
    Budget, Change, Content, Diff, Directive, Effect, FileChange, Hunk, NotShown, Sign, State, Subject, UnitChange,
};
use crate::diff::show::{json, markdown, terminal};

fn services() -> impl Strategy<Value = Vec<Service>> {
    let more = prop::sample::select(vec![
        "",
        "# a comment",
        "ReadWritePaths=/a /b",
        "ReadWritePaths=/b /a",
        "ReadWritePaths=/a\nReadWritePaths=/b",
        "IPAddressDeny=any\nIPAddressAllow=10.0.0.0/8",
        "AmbientCapabilities=CAP_NET_ADMIN\n\nRestart=always",
        "After=a.service b.service",
    ]);
    let memory = prop::sample::select(vec!["8G", "8192M", "9G"]);
    let name = prop::sample::select(vec!["a", "chat", "talk", "very-long-name"]);
    let one = (name, 8000u16..8003, 1u8..4, memory, more, any::<bool>());
    prop::collection::vec(one, 0..4).prop_map(|all| {
        let mut services: Vec<Service> = Vec::new();
        for (name, port, share, memory, more, boot) in all {
            if services.iter().all(|other| other.name != name) {
                let share = f64::from(share) / 10.0;
                services.push(Service {
                    share,
                    memory: memory.to_owned(),
                    more: more.to_owned(),
                    boot,
                    ..service(name, port)
                });
            }
        }
        services
    })
}

/// A bundle whose files can be read where a test fails.
#[derive(Clone)]
struct Made(Bundle);

impl std::fmt::Debug for Made {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.files.iter().try_for_each(|(path, text)| write!(out, "\n{path}: {:?}", String::from_utf8_lossy(text)))
    }
}

fn bundles() -> impl Strategy<Value = Made> {
    let raw = prop::option::of("(a|b|\n|é|\\PC){0,12}");
    let bytes = prop::option::of(prop::collection::vec(any::<u8>(), 0..6));
    (services(), raw, bytes).prop_map(|(services, raw, bytes)| {
        let mut bundle = bundle(&services);
        for (path, content) in [("files/raw.conf", raw.map(String::into_bytes)), ("files/raw.bin", bytes)] {
            if let Some(content) = content {
                add(&mut bundle, path, FileKind::Raw, &content);
            }
        }
        Made(bundle)
    })
}

/// Turns a diff round, as if the sides had been given the other way; the plan is no part of it.
fn mirrored(diff: &Diff) -> Diff {
    let mut diff = diff.clone();
    let swap = std::mem::swap;
    swap(&mut diff.old, &mut diff.new);
    for change in &mut diff.security.changes {
        change.effect = match change.effect {
            Effect::Weaker => Effect::Stronger,
            Effect::Stronger => Effect::Weaker,
        };
    }
    budget(&mut diff.budget);
    for subject in &mut diff.profile {
        self::subject(subject);
    }
    for unit in &mut diff.units {
        self::unit(unit);
    }
    for file in &mut diff.files {
        self::file(file);
    }
    changes(&mut diff.manifest);
    diff
}

fn turned(state: State) -> State {
    match state {
        State::Added => State::Removed,
        State::Removed => State::Added,
        State::Changed => State::Changed,
    }
}

fn changes(changes: &mut [Change]) {
    for change in changes {
        std::mem::swap(&mut change.old, &mut change.new);
        std::mem::swap(&mut change.removed, &mut change.added);
    }
}

fn budget(budget: &mut Budget) {
    for gpu in &mut budget.gpus {
        std::mem::swap(&mut gpu.old, &mut gpu.new);
        for share in &mut gpu.services {
            std::mem::swap(&mut share.old_bytes, &mut share.new_bytes);
            std::mem::swap(&mut share.old_start, &mut share.new_start);
        }
    }
    if let Some(memory) = &mut budget.memory {
        std::mem::swap(&mut memory.old, &mut memory.new);
    }
    for port in &mut budget.ports {
        std::mem::swap(&mut port.old, &mut port.new);
    }
}

fn subject(subject: &mut Subject) {
    subject.state = turned(subject.state);
    changes(&mut subject.changes);
}

fn unit(unit: &mut UnitChange) {
    unit.state = turned(unit.state);
    for Directive { old, new, removed, added, .. } in &mut unit.directives {
        std::mem::swap(old, new);
        std::mem::swap(removed, added);
    }
    changes(&mut unit.manifest);
}

fn file(file: &mut FileChange) {
    file.state = turned(file.state);
    changes(&mut file.attributes);
    match &mut file.content {
        Content::Same => {}
        Content::Keys { changes, .. } => self::changes(changes),
        Content::Lines { hunks } => hunks.iter_mut().for_each(hunk),
        Content::Bytes { old, new, .. } => std::mem::swap(old, new),
    }
}

fn hunk(hunk: &mut Hunk) {
    std::mem::swap(&mut hunk.old_start, &mut hunk.new_start);
    for line in &mut hunk.lines {
        line.sign = match line.sign {
            Sign::Both => Sign::Both,
            Sign::Old => Sign::New,
            Sign::New => Sign::Old,
        };
    }
    let mut at = 0;
    while at < hunk.lines.len() {
        let length = hunk.lines[at..].iter().take_while(|line| line.sign != Sign::Both).count();
        hunk.lines[at..at + length].sort_by_key(|line| line.sign == Sign::New);
        at += length.max(1);
    }
}

/// Sorts and forgets what belongs to one direction only: the plan, names of what is renamed.
fn comparable(mut diff: Diff) -> Diff {
    diff.plan = Default::default();
    diff.old.label.clear();
    diff.new.label.clear();
    let renamed = |name: &mut String, from: &mut Option<String>| {
        if let Some(other) = from
            && *other < *name
        {
            std::mem::swap(name, other);
        }
    };
    for unit in &mut diff.units {
        unit.step = None;
        renamed(&mut unit.name, &mut unit.renamed_from);
        unit.service = None;
    }
    for subject in &mut diff.profile {
        renamed(&mut subject.name, &mut subject.renamed_from);
    }
    for file in &mut diff.files {
        renamed(&mut file.path, &mut file.renamed_from);
        file.read_by.clear();
    }
    diff.units.sort_by(|one, other| one.name.cmp(&other.name));
    diff.files.sort_by(|one, other| one.path.cmp(&other.path));
    diff.profile.sort_by(|one, other| (&one.kind, &one.name).cmp(&(&other.kind, &other.name)));
    for change in &mut diff.security.changes {
        // A renamed unit stands under its new name.
        change.unit.clear();
    }
    diff.security.changes.sort();
    diff
}

/// Whether the diff says something about a file: where it differs, or why that is not shown.
fn tells_of(diff: &Diff, path: &str) -> bool {
    let unit = |unit: &UnitChange| {
        let own = |name: &str| format!("units/{name}") == path;
        let named = own(&unit.name) || unit.renamed_from.as_deref().is_some_and(own);
        named && (unit.state != State::Changed || !unit.directives.is_empty() || !unit.not_shown.is_empty())
    };
    let file = |file: &FileChange| {
        let named = file.path == path || file.renamed_from.as_deref() == Some(path);
        let said = match &file.content {
            Content::Same => false,
            Content::Keys { changes, not_shown } => !changes.is_empty() || !not_shown.is_empty(),
            Content::Lines { hunks } => !hunks.is_empty(),
            Content::Bytes { .. } => true,
        };
        named && (said || file.state != State::Changed)
    };
    diff.units.iter().any(unit) || diff.files.iter().any(file) || path == "profile.json" && !diff.profile.is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_bundle_does_not_differ_from_itself(Made(bundle) in bundles()) {
        let diff = diff(&bundle, &bundle);
        prop_assert!(diff.is_empty() && diff.units.is_empty() && diff.files.is_empty() && diff.profile.is_empty());
        prop_assert!(diff.plan.steps.is_empty() && diff.manifest.is_empty() && diff.security.changes.is_empty());
        prop_assert_eq!(&diff.budget, &Budget::default());
    }

    #[test]
    fn both_directions_mirror_each_other(Made(old) in bundles(), Made(new) in bundles()) {
        prop_assert_eq!(comparable(mirrored(&diff(&old, &new))), comparable(diff(&new, &old)));
    }

    #[test]
    fn every_file_that_differs_is_named(Made(old) in bundles(), Made(new) in bundles()) {
        let diff = diff(&old, &new);
        let paths = old.files.keys().chain(new.files.keys());
        for path in paths.filter(|path| old.files.get(*path) != new.files.get(*path)) {
            prop_assert!(tells_of(&diff, path), "{path} is not in {diff:#?}");
        }
    }

    #[test]
    fn every_byte_that_differs_is_named(
        Made(bundle) in bundles(), which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        action in 0..3
    ) {
        let mut changed = bundle.clone();
        let path = which.get(&bundle.files.keys().collect::<Vec<_>>()).to_string();
        let kind = bundle.manifest.files[&path].kind;
        let mut content = bundle.files[&path].clone();
        let place = at.index(content.len() + 1);
        match action {
            0 => content.insert(place, byte),
            1 if place < content.len() => { content.remove(place); }
            _ if place < content.len() => content[place] = byte,
            _ => {}
        }
        add(&mut changed, &path, kind, &content);
        let diff = diff(&bundle, &changed);
        if content != bundle.files[&path] {
            prop_assert!(tells_of(&diff, &path), "{path} is not in {diff:#?}");
        }
        // Whatever it is, it can be shown.
        terminal::render(std::slice::from_ref(&diff), terminal::Look { width: 80, colour: true, stat: false });
        markdown::render(std::slice::from_ref(&diff), &markdown::Options::default());
        json::render(&[diff], true);
    }

    #[test]
    fn meaningless_changes_are_told(more in prop::sample::select(vec![
        ("ReadWritePaths=/a /b", "ReadWritePaths=/a\nReadWritePaths=/b"),
        ("# one", "# two"),
        ("A=1\nB=2", "B=2\nA=1"),
        ("Restart=always", "Restart=on-failure\nRestart=always"),
    ])) {
        let with = |more: &str| bundle(&[Service { more: more.to_owned(), ..service("a", 1) }]);
        let diff = diff(&with(more.0), &with(more.1));
        prop_assert!(diff.units[0].directives.is_empty(), "{:?}", diff.units[0]);
        prop_assert!(!diff.units[0].not_shown.is_empty() && !diff.units[0].not_shown.contains(&NotShown::Digests));
    }
}
