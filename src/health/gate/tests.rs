//! Gates on a host that is played, in time that is played.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::*;
use crate::bundle::quantity::Span;
use crate::health::host::GpuProcesses;
use crate::health::probe::{Probe, Test};
use crate::plan::{ActiveState, LoadState, UnitState};

/// What a unit is like at a time since the beginning.
type Play = Box<dyn Fn(Duration) -> Result<UnitState, String>>;

/// What the GPU probe of a unit answers at a time since the beginning; none never answers.
type Gpu = Box<dyn Fn(Duration) -> Option<bool>>;

struct Stage {
    began: Instant,
    units: BTreeMap<UnitName, Play>,
    gpu: Option<BTreeMap<UnitName, Gpu>>,
    /// How many probes run at this moment, and how many did at most.
    probing: RefCell<(usize, usize)>,
}

impl Host for Stage {
    async fn unit(&self, unit: &UnitName) -> Result<UnitState, String> {
        self.units[unit](self.began.elapsed())
    }

    fn gpu(&self) -> Option<&dyn GpuProcesses> {
        self.gpu.as_ref().map(|_| self as &dyn GpuProcesses)
    }
}

impl GpuProcesses for Stage {
    fn uses_its_gpus<'a>(&'a self, unit: &'a UnitName) -> Pin<Box<dyn Future<Output = Result<bool, String>> + 'a>> {
        Box::pin(async move {
            let now = self.probing.borrow().0 + 1;
            self.probing.replace_with(|(_, most)| (now, now.max(*most)));
            sleep(Duration::from_millis(1)).await;
            self.probing.borrow_mut().0 -= 1;
            match self.gpu.as_ref().expect("there are GPUs")[unit](self.began.elapsed()) {
                Some(answer) => Ok(answer),
                None => future::pending().await,
            }
        })
    }
}

fn stage(gpu: bool) -> Stage {
    Stage { began: Instant::now(), units: BTreeMap::new(), gpu: gpu.then(BTreeMap::new), probing: RefCell::default() }
}

impl Stage {
    fn add(&mut self, name: &str, unit: impl Fn(Duration) -> UnitState + 'static) -> Subject {
        let unit_name = UnitName::parse(name).expect("a name");
        self.units.insert(unit_name.clone(), Box::new(move |at| Ok(unit(at))));
        Subject {
            unit: unit_name,
            user: None,
            group: None,
            supplementary: Vec::new(),
            oneshot: false,
            restarts: None,
            probes: BTreeMap::new(),
        }
    }

    /// Adds a unit with a probe every 30 s that may fail for 90 s.
    fn probed(
        &mut self,
        name: &str,
        unit: impl Fn(Duration) -> UnitState + 'static,
        gpu: impl Fn(Duration) -> Option<bool> + 'static,
    ) -> Subject {
        let mut subject = self.add(name, unit);
        let probe = Probe {
            test: Test::GpuProcess,
            interval: Span::seconds(30),
            timeout: Span::seconds(10),
            retries: 3,
            start_period: Span::seconds(90),
        };
        subject.probes.insert("gpu".to_owned(), probe);
        self.gpu.get_or_insert_default().insert(subject.unit.clone(), Box::new(gpu));
        subject
    }

    /// Returns the verdicts, the events as text, and how long it took.
    async fn gate(&self, services: &[Subject], deadline: Option<u64>) -> (Vec<Verdict>, Vec<String>, Duration) {
        let mut events = Vec::new();
        let deadline = deadline.map(|seconds| self.began + Duration::from_secs(seconds));
        let mut observe = |event| {
            events.push(match event {
                GateEvent::Waiting { unit, message } => format!("{unit} waits: {message}"),
                GateEvent::Note { unit, message } => format!("{unit} note: {message}"),
                GateEvent::Healthy { unit, .. } => format!("{unit} is healthy"),
                GateEvent::Unhealthy { unit, why } => format!("{unit}: {why}"),
            });
        };
        let verdicts = gate(services, self, deadline, &mut observe).await;
        (verdicts.into_iter().map(|(_, verdict)| verdict).collect(), events, self.began.elapsed())
    }
}

fn unit(active: ActiveState, sub: &str, restarts: u32, run: &str) -> UnitState {
    UnitState {
        load: LoadState::Loaded,
        active,
        sub: sub.to_owned(),
        restarts,
        invocation: Some(run.to_owned()),
        ..UnitState::default()
    }
}

fn running(_: Duration) -> UnitState {
    unit(ActiveState::Active, "running", 0, "a")
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn what_is_healthy_costs_milliseconds() {
    let mut stage = stage(true);
    let services = [stage.probed("a.service", running, |_| Some(true)), stage.add("b.target", running)];
    let (verdicts, events, took) = stage.gate(&services, Some(60)).await;
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Healthy { .. })), "{verdicts:?}");
    assert_eq!(events, ["b.target is healthy", "a.service is healthy"]);
    assert!(took < Duration::from_millis(50), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_to_wait_for_is_done_at_once() {
    let (verdicts, _, took) = stage(false).gate(&[], Some(0)).await;
    assert_eq!((verdicts, took), (Vec::new(), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_slow_start_is_noticed_soon_after() {
    let mut stage = stage(true);
    let services = [stage.probed("a.service", running, |at| Some(at > seconds(80)))];
    let (verdicts, events, took) = stage.gate(&services, None).await;
    let Verdict::Healthy { after } = verdicts[0] else { panic!("{verdicts:?}") };
    assert!((seconds(80)..seconds(82)).contains(&after) && took < seconds(82), "{after:?}");
    let waits = "a.service waits: gpu: GPU: no process of the unit holds memory on its GPU";
    assert_eq!(events, [waits, "a.service is healthy"]);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_too_often_after_the_start_period_decides() {
    let mut stage = stage(true);
    let services = [stage.probed("a.service", running, |_| Some(false)), stage.add("b.service", running)];
    let (verdicts, events, took) = stage.gate(&services, None).await;
    let Verdict::Unhealthy(Why::Probe { probe, failure, .. }) = &verdicts[0] else { panic!("{verdicts:?}") };
    assert_eq!((probe.as_str(), &failure.reason), ("gpu", &crate::health::Reason::NotOnGpu));
    assert!(matches!(verdicts[1], Verdict::Healthy { .. }));
    assert!((seconds(150)..seconds(153)).contains(&took), "{took:?}");
    assert!(events.last().expect("an event").starts_with("a.service: gpu: GPU: no process"), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_it_with_the_last_answer() {
    let mut stage = stage(true);
    let services = [stage.probed("a.service", running, |_| None), stage.add("b.service", running)];
    let (verdicts, _, took) = stage.gate(&services, Some(60)).await;
    let Verdict::Unhealthy(why) = &verdicts[0] else { panic!("{verdicts:?}") };
    assert_eq!(why.to_string(), "not healthy within 1min: last answer: gpu: GPU: no answer in 10s");
    assert!(matches!(verdicts[1], Verdict::Healthy { .. }));
    assert_eq!(took, seconds(60));
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_fails_decides_at_once_and_the_others_are_looked_at_once_more() {
    let mut stage = stage(true);
    let fails = |at| match at {
        at if at < seconds(5) => running(at),
        _ => UnitState { result: "exit-code".to_owned(), ..unit(ActiveState::Failed, "failed", 0, "a") },
    };
    let services = [
        stage.probed("a.service", fails, |_| Some(false)),
        stage.probed("b.service", running, |_| Some(false)),
        stage.probed("c.service", fails, |_| Some(false)),
    ];
    let (verdicts, _, took) = stage.gate(&services, None).await;
    let failed = Verdict::Unhealthy(Why::State("failed (exit-code)".to_owned()));
    assert_eq!((&verdicts[0], &verdicts[2]), (&failed, &failed));
    assert!(matches!(&verdicts[1], Verdict::Undecided { last: Some(_) }), "{verdicts:?}");
    assert!(took < seconds(7), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_keeps_dying_is_caught_although_its_probe_passes_in_between() {
    let mut stage = stage(true);
    // It is up for 3 s, then systemd waits 100 ms and starts it again.
    let dies = |at: Duration| {
        let run = u32::try_from(at.as_millis() / 3100).expect("not for ever");
        let name = run.to_string();
        match at.as_millis() % 3100 {
            0..3000 => unit(ActiveState::Active, "running", run, &name),
            _ => unit(ActiveState::Activating, "auto-restart", run, &name),
        }
    };
    let services =
        [stage.probed("a.service", dies, |_| Some(true)), stage.probed("b.service", running, |_| Some(false))];
    let (verdicts, events, took) = stage.gate(&services, None).await;
    let Verdict::Unhealthy(why) = &verdicts[0] else { panic!("{verdicts:?}") };
    assert!(["restarted once", "is activating (auto-restart)"].contains(&why.to_string().as_str()), "{why}");
    assert!(events.contains(&"a.service is healthy".to_owned()), "{events:?}");
    assert!(took < seconds(5), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_restarted_before_the_gate_began_is_caught_when_that_is_known() {
    let mut stage = stage(false);
    let once = |_| unit(ActiveState::Active, "running", 1, "b");
    let old = stage.add("a.service", once);
    let fresh = Subject { restarts: Some(0), ..stage.add("b.service", once) };
    let (verdicts, ..) = stage.gate(std::slice::from_ref(&old), None).await;
    assert!(matches!(verdicts[0], Verdict::Healthy { .. }));
    let (verdicts, ..) = stage.gate(&[old, fresh], None).await;
    assert_eq!(verdicts[1], Verdict::Unhealthy(Why::Restarted(1)));
}

#[tokio::test(start_paused = true)]
async fn a_start_by_somebody_else_needs_new_answers() {
    let mut stage = stage(true);
    let restarted = |at| match at {
        at if at < seconds(10) => running(at),
        _ => unit(ActiveState::Active, "running", 0, "b"),
    };
    let services = [
        stage.probed("a.service", restarted, |at| Some(at < seconds(10) || at > seconds(40))),
        stage.probed("b.service", running, |at| Some(at > seconds(20))),
    ];
    let (verdicts, events, _) = stage.gate(&services, None).await;
    let Verdict::Healthy { after } = verdicts[0] else { panic!("{verdicts:?}") };
    assert!((seconds(40)..seconds(42)).contains(&after), "{after:?}");
    assert!(events.contains(&"a.service waits: was started anew".to_owned()), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_nothing_can_answer_does_not_count_and_is_noted_once() {
    let mut stage = stage(true);
    let services = [
        stage.probed("a.service", running, |_| Some(true)),
        stage.add("b.service", |at| match at {
            at if at < seconds(200) => unit(ActiveState::Activating, "start", 0, "a"),
            at => running(at),
        }),
    ];
    stage.gpu = None;
    let (verdicts, events, _) = stage.gate(&services, None).await;
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Healthy { .. })), "{verdicts:?}");
    let notes: Vec<_> = events.iter().filter(|event| event.contains("note")).collect();
    assert_eq!(notes, [r#"a.service note: nothing on this host can tell about the probe "gpu", so it does not count"#]);
}

#[tokio::test(start_paused = true)]
async fn a_systemd_that_does_not_answer_is_asked_again_but_not_for_ever() {
    let mut stage = stage(false);
    let subject = stage.add("a.service", running);
    let mute_for =
        |length| -> Play { Box::new(move |at| if at < length { Err("lost".to_owned()) } else { Ok(running(at)) }) };
    stage.units.insert(subject.unit.clone(), mute_for(seconds(20)));
    let (verdicts, ..) = stage.gate(std::slice::from_ref(&subject), None).await;
    assert!(matches!(verdicts[0], Verdict::Healthy { .. }), "{verdicts:?}");
    stage.units.insert(subject.unit.clone(), mute_for(seconds(1000)));
    let (verdicts, _, took) = stage.gate(std::slice::from_ref(&subject), None).await;
    assert_eq!(verdicts[0], Verdict::Unhealthy(Why::Unknown("lost".to_owned())));
    assert!(took < seconds(55), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_dies_after_its_probe_passed_is_seen_at_the_last_look() {
    let mut stage = stage(false);
    // The first look and the last one are at the same instant of played time.
    let looks = std::cell::Cell::new(0);
    let services = [stage.add("a.service", move |at| {
        looks.set(looks.get() + 1);
        if looks.get() == 1 { running(at) } else { unit(ActiveState::Failed, "failed", 0, "a") }
    })];
    let (verdicts, ..) = stage.gate(&services, None).await;
    assert_eq!(verdicts[0], Verdict::Unhealthy(Why::State("failed (failed)".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn not_all_probes_run_at_once() {
    let mut stage = stage(true);
    let services: Vec<_> =
        (0..200).map(|index| stage.probed(&format!("a{index}.service"), running, |_| Some(true))).collect();
    let (verdicts, _, took) = stage.gate(&services, None).await;
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Healthy { .. })));
    assert_eq!(stage.probing.borrow().1, AT_ONCE);
    assert!(took < Duration::from_millis(100), "{took:?}");
}
