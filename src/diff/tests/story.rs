//! A change as a reviewer meets it: a port, a share of memory, a name.

use super::bundles::{Service, add, bundle, diff, service};
use crate::bundle::manifest::FileKind;
use crate::diff::model::{Content, Effect, NotShown, Power, State};
use crate::diff::show::{Only, terminal};
use crate::plan::Action;

fn look(width: usize) -> terminal::Look {
    terminal::Look { width, colour: false, stat: false }
}

#[test]
fn a_port_and_a_share() {
    let old = bundle(&[service("chat", 8000), service("other", 9000)]);
    let new = bundle(&[Service { port: 8001, share: 0.6, ..service("chat", 0) }, service("other", 9000)]);
    let diff = diff(&old, &new);
    let subject = &diff.profile[0];
    assert_eq!((subject.kind.as_str(), subject.name.as_str()), ("model", "chat"));
    let paths: Vec<_> = subject.changes.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(paths, ["port", "vllm.gpu_memory_utilization"]);
    // The digest of the configuration in its path is no change of the command.
    assert_eq!(diff.units.len(), 1);
    assert!(diff.units[0].directives.is_empty(), "{:?}", diff.units[0].directives);
    assert_eq!(diff.units[0].not_shown, [NotShown::Digests]);
    assert_eq!(diff.units[0].files, ["config/chat.yaml"]);
    let step = diff.units[0].step.as_ref().unwrap();
    assert_eq!((step.action, step.start_timeout_seconds), (Action::Restart, Some(900)));
    assert_eq!(diff.plan.steps.len(), 1);
    let ports: Vec<_> = diff.budget.ports.iter().map(|it| (it.old.join(" "), it.new.join(" "))).collect();
    assert_eq!(ports, [("127.0.0.1:8000".to_owned(), "127.0.0.1:8001".to_owned())]);
    assert_eq!(diff.budget.gpus[0].services.len(), 1);
    let opened: Vec<_> = diff.security.changes.iter().map(|it| (it.effect, it.kind, it.what.as_str())).collect();
    assert_eq!(
        opened,
        [(Effect::Weaker, Power::OpenPort, "127.0.0.1:8001"), (Effect::Stronger, Power::OpenPort, "127.0.0.1:8000")]
    );
}

#[test]
fn a_limit_of_memory_restarts_nothing() {
    let old = bundle(&[service("chat", 8000)]);
    let new = bundle(&[Service { memory: "10G".to_owned(), ..service("chat", 8000) }]);
    let changed = diff(&old, &new);
    assert_eq!(changed.units[0].step.as_ref().unwrap().action, Action::ReloadManager);
    let text = terminal::render(&[changed], look(80));
    assert!(text.contains("MemoryMax=  8G → 10G"), "{text}");
    let same = bundle(&[Service { memory: "8192M".to_owned(), ..service("chat", 8000) }]);
    let same = diff(&old, &same);
    assert!(same.units[0].directives.is_empty());
    assert_eq!(same.units[0].not_shown, [NotShown::SameMeaning { keys: vec!["MemoryMax".to_owned()] }]);
}

#[test]
fn a_renamed_service_is_one_change() {
    let old = bundle(&[service("chat", 8000), service("other", 9000)]);
    let new = bundle(&[service("talk", 8000), service("other", 9000)]);
    let diff = diff(&old, &new);
    assert_eq!(diff.profile.len(), 1);
    assert_eq!(diff.profile[0].renamed_from.as_deref(), Some("chat"));
    assert_eq!(diff.units.len(), 1);
    assert_eq!(diff.units[0].renamed_from.as_deref(), Some("chat.service"));
    let files: Vec<_> = diff.files.iter().map(|it| (it.path.as_str(), it.renamed_from.as_deref())).collect();
    assert_eq!(files, [("config/talk.yaml", Some("config/chat.yaml")), ("env/talk.env", Some("env/chat.env"))]);
    let actions: Vec<_> = diff.plan.steps.iter().map(|it| (it.unit.as_str(), it.step.action)).collect();
    assert_eq!(actions, [("chat.service", Action::Stop), ("talk.service", Action::Start)]);
}

#[test]
fn what_has_no_structure_is_shown_by_line() {
    let (mut old, mut new) = (bundle(&[]), bundle(&[]));
    add(&mut old, "udev/a.rules", FileKind::Udev, b"one\ntwo three\nfour\n");
    add(&mut new, "udev/a.rules", FileKind::Udev, b"one\ntwo five\nfour\n");
    add(&mut new, "files/b.bin", FileKind::Raw, b"\0\x01\x02");
    let diff = diff(&old, &new);
    let text = terminal::render(std::slice::from_ref(&diff), look(80));
    assert!(text.contains("-two three") && text.contains("+two five"), "{text}");
    assert!(matches!(diff.files[0].content, Content::Bytes { .. }) && diff.files[0].state == State::Added);
}

#[test]
fn sandboxes_that_get_weaker_come_first() {
    let old = bundle(&[service("chat", 8000)]);
    let more =
        "ReadWritePaths=/srv /opt\nSupplementaryGroups=docker\nAmbientCapabilities=CAP_NET_ADMIN\nIPAddressDeny=any";
    let new = bundle(&[Service { more: more.to_owned(), ..service("chat", 8000) }]);
    let diff = diff(&old, &new);
    let said: Vec<_> = diff.security.changes.iter().map(|it| (it.effect, it.kind, it.what.as_str())).collect();
    assert_eq!(
        said,
        [
            (Effect::Weaker, Power::Capability, "CAP_NET_ADMIN from the start"),
            (Effect::Weaker, Power::WritablePath, "/opt"),
            (Effect::Weaker, Power::WritablePath, "/srv"),
            (Effect::Weaker, Power::Group, "docker"),
            (Effect::Stronger, Power::Network, "any"),
        ]
    );
}

#[test]
fn a_reader_may_choose() {
    let old = bundle(&[service("chat", 8000), service("other", 9000)]);
    let new = bundle(&[service("chat", 8001), service("other", 9001)]);
    let mut some = diff(&old, &new);
    Only::read(["units", "chat"]).apply(&mut some);
    assert_eq!(some.units.iter().map(|unit| unit.name.as_str()).collect::<Vec<_>>(), ["chat.service"]);
    assert!(some.profile.is_empty() && some.files.is_empty() && some.plan.steps.is_empty());
}

#[test]
fn lines_are_no_wider_than_the_terminal() {
    let old = bundle(&[service("chat", 8000)]);
    let new =
        bundle(&[Service { more: format!("Environment=\"A={}\"", "word ".repeat(100)), ..service("chat", 8001) }]);
    let diff = diff(&old, &new);
    for width in [40, 60, 100] {
        let text = terminal::render(std::slice::from_ref(&diff), look(width));
        let wide = text.lines().find(|line| unicode_width::UnicodeWidthStr::width(*line) > width);
        assert_eq!(wide, None, "{width}");
    }
}
