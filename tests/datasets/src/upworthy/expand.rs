//! From counts to events.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use plaudit_event::{
    Actor, Assignment, Context, Event, Exposure, ExposureId, Impression, LayerId, PolicyId, Propensity, Seed, Signal,
    SignalId, SignalKind, Stream, Surface, Timestamp, UnitId, VariantId,
};
use rand::Rng as _;
use rand::seq::SliceRandom as _;
use serde_json::Map;

use super::{CLICK_DELAY_MS, LAYER, PREFIX, TEST_MS, Test};

/// The policy that the tests stand for: each headline as often as any other.
const POLICY: &str = "upworthy-uniform";

/// The events of tests in the order of their times.
#[derive(Debug)]
pub struct Events<'a> {
    seed: Seed,
    /// Tests of later weeks.
    waiting: &'a [Test],
    /// The tests of the present week.
    running: Vec<Running<'a>>,
    /// When each of them has its next event.
    next: BinaryHeap<Reverse<(Timestamp, usize)>>,
}

impl<'a> Events<'a> {
    /// Expands `tests`, which are in the order of their weeks.
    pub(super) fn new(tests: &'a [Test], seed: Seed) -> Self {
        Self { seed, waiting: tests, running: Vec::new(), next: BinaryHeap::new() }
    }

    /// Lets the tests of the next week begin.
    fn begin_week(&mut self) {
        self.running.clear();
        let Some(first) = self.waiting.first() else { return };
        let length = self.waiting.partition_point(|test| test.week == first.week);
        let (present, later) = self.waiting.split_at(length);
        self.waiting = later;
        for (index, test) in present.iter().enumerate() {
            let running = Running::new(test, self.seed);
            if let Some(at) = running.next_at() {
                self.next.push(Reverse((at, index)));
            }
            self.running.push(running);
        }
    }
}

impl Iterator for Events<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        while self.next.is_empty() && !self.waiting.is_empty() {
            self.begin_week();
        }
        let Reverse((_, index)) = self.next.pop()?;
        let running = &mut self.running[index];
        let event = running.step();
        if let Some(at) = running.next_at() {
            self.next.push(Reverse((at, index)));
        }
        Some(event)
    }
}

/// A test under way.
#[derive(Debug)]
struct Running<'a> {
    test: &'a Test,
    rng: Stream,
    /// The arm of each impression.
    order: Vec<u8>,
    /// Impressions shown.
    shown: usize,
    arms: Vec<Progress>,
    /// Clicks to come, the earliest first: all take the same time.
    clicks: VecDeque<(Timestamp, ExposureId)>,
}

/// How far an arm has come.
#[derive(Debug, Clone, Copy)]
struct Progress {
    shown: u64,
    clicked: u64,
}

impl<'a> Running<'a> {
    fn new(test: &'a Test, seed: Seed) -> Self {
        let mut rng = seed.stream(&format!("upworthy {}", test.id));
        let mut order = Vec::new();
        for (arm, counts) in test.arms.iter().enumerate() {
            let arm = u8::try_from(arm).expect("checked when read");
            let impressions = usize::try_from(counts.impressions).expect("checked when read");
            order.resize(order.len() + impressions, arm);
        }
        order.shuffle(&mut rng);
        let arms = vec![Progress { shown: 0, clicked: 0 }; test.arms.len()];
        Self { test, rng, order, shown: 0, arms, clicks: VecDeque::new() }
    }

    /// When the next impression comes.
    fn impression_at(&self) -> Option<Timestamp> {
        let (count, number) = (self.order.len() as i64, self.shown as i64);
        // Within its slice of the day, and the last early enough for its click.
        let time = TEST_MS - 2 * CLICK_DELAY_MS;
        (number < count).then(|| self.test.start.plus_millis((2 * number + 1) * time / (2 * count)))
    }

    fn next_at(&self) -> Option<Timestamp> {
        let click = self.clicks.front().map(|(at, _)| *at);
        [self.impression_at(), click].into_iter().flatten().min()
    }

    /// The next event; there must be one.
    fn step(&mut self) -> Event {
        let impression = self.impression_at();
        let is_click_first = self.clicks.front().is_some_and(|(at, _)| impression.is_none_or(|next| *at < next));
        match impression {
            Some(at) if !is_click_first => Event::Exposure(self.show(at)),
            _ => {
                let (at, exposure_id) = self.clicks.pop_front().expect("asked only while there is an event");
                Event::Signal(click(exposure_id, at))
            }
        }
    }

    fn show(&mut self, at: Timestamp) -> Exposure {
        let arm = usize::from(self.order[self.shown]);
        self.shown += 1;
        let (counts, progress) = (&self.test.arms[arm], &mut self.arms[arm]);
        let id = format!("{PREFIX}-{}-{arm}-{}", self.test.id, progress.shown);
        let exposure = exposure(self.test, arm, id, at);
        // Selection sampling: of the impressions left, exactly the clicks left are clicked.
        let (shows, clicks) = (counts.impressions - progress.shown, counts.clicks - progress.clicked);
        progress.shown += 1;
        if self.rng.random_range(0..shows) < clicks {
            progress.clicked += 1;
            self.clicks.push_back((at.plus_millis(CLICK_DELAY_MS), exposure.exposure_id.clone()));
        }
        exposure
    }
}

fn exposure(test: &Test, arm: usize, id: String, ts: Timestamp) -> Exposure {
    let short = "a prefix, a test of 64 bytes and two numbers";
    let variant = arm.to_string();
    let chance = 1.0 / test.arms.len() as f64;
    let propensity = Propensity::new(chance).expect("one through a positive number");
    Exposure {
        unit_id: UnitId::new(id.clone()).expect(short),
        exposure_id: ExposureId::new(id).expect(short),
        session_id: None,
        surface: Surface::Decide,
        context: Context::default(),
        slate: vec![Impression {
            item_id: variant.clone(),
            position: 0,
            content: test.arms[arm].headline.clone(),
            score: None,
        }],
        chosen: 0,
        propensity: (!test.randomisation_suspect).then_some(propensity),
        token_logprobs: None,
        policy_id: PolicyId::new(POLICY).expect("plain letters"),
        stage: None,
        assignments: vec![Assignment {
            layer: LayerId::new(LAYER).expect("plain letters"),
            experiment: test.id.clone(),
            variant: VariantId::new(variant).expect("a number"),
            draw: None,
        }],
        rewrite_applied: None,
        interleaving: None,
        attributes: Map::new(),
        ts,
        unknown: Map::new(),
    }
}

fn click(exposure_id: ExposureId, ts: Timestamp) -> Signal {
    Signal {
        signal_id: SignalId::new(format!("{exposure_id}.click")).expect("a short exposure id and a suffix"),
        exposure_id,
        item_id: None,
        kind: SignalKind::Click,
        value: None,
        text: None,
        spans: Vec::new(),
        stage: None,
        op: None,
        actor: Actor::User,
        ts,
        retracts: None,
        unknown: Map::new(),
    }
}
