//! The joiner on random histories: against a second, naive implementation, and against itself.

use std::collections::{BTreeMap, BTreeSet};

use plaudit_event::{Exposure, Label, Labels, Objective, Signal, SignalId, SignalKind};
use plaudit_ingest::Config;
use plaudit_ingest::attribution::{Emission, Joiner};
use proptest::prelude::*;

use crate::support::{at, exposure, short, signal, tight};

/// The close of an exposure with the windows of `short`.
const OPEN: i64 = 60;
const EARLY: i64 = 30;
const CORRECTION: i64 = 60;
const MEMORY: i64 = OPEN + CORRECTION;

/// A record of the log, without its offset.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Exposure(Exposure),
    Signal(Signal),
}

/// Feeds events, each with the time it was appended, in the order given.
pub(crate) fn run(events: &[(i64, Event)], end: i64) -> Vec<Emission> {
    feed(&mut Joiner::new(&short()), events, end)
}

fn feed(joiner: &mut Joiner, events: &[(i64, Event)], end: i64) -> Vec<Emission> {
    let mut out = Vec::new();
    let (mut exposures, mut signals) = (0, 0);
    for (appended, event) in events {
        match event {
            Event::Exposure(exposure) => {
                joiner.exposure(at(*appended), exposures, &exposure.into(), &mut out);
                exposures += 1;
            }
            Event::Signal(signal) => {
                joiner.signal(at(*appended), signals, signal, &mut out);
                signals += 1;
            }
        }
    }
    joiner.advance(at(end), &mut out);
    out
}

/// What happens next, and how many milliseconds later.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    gap: i64,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Shown(u8),
    /// One of few signals: everything about a signal follows from its number, so that the same
    /// number is the same signal sent again.
    Said(u8),
}

pub(crate) fn any_steps(length: usize) -> impl Strategy<Value = Vec<Step>> {
    let what = prop_oneof![
        1 => (0..5_u8).prop_map(What::Shown),
        3 => any::<u8>().prop_map(What::Said),
    ];
    let gap = prop_oneof![3 => Just(0_i64), 3 => 0..8_i64, 1 => 0..80_i64];
    let step = (gap, what).prop_map(|(gap, what)| Step { gap, what });
    prop::collection::vec(step, 0..length)
}

/// The signal with this number, about an exposure shown around `now`.
fn numbered(number: u8, ts: i64) -> Signal {
    let kinds = [SignalKind::Love, SignalKind::Copy, SignalKind::ThumbsDown, SignalKind::Rating];
    let kind = kinds[usize::from(number / 5) % 4].clone();
    let mut signal = signal(&format!("s{number}"), &format!("e{}", number % 5), kind, ts);
    // Equal for all ratings of an exposure: which of two at the same moment stands is not defined.
    signal.value = Some(f64::from(number % 5) / 4.0);
    if number.is_multiple_of(6) && number > 0 {
        // About the same exposure: the number five below.
        signal.retracts = SignalId::new(format!("s{}", number - 5)).ok().filter(|_| number >= 5);
    }
    signal
}

/// The history in the order of the log: by time, exposures first.
pub(crate) fn history(steps: &[Step]) -> Vec<(i64, Event)> {
    let mut now = 1_000;
    let mut first_said: BTreeMap<u8, i64> = BTreeMap::new();
    let mut events: Vec<(i64, Event)> = Vec::new();
    for step in steps {
        now += step.gap;
        let event = match step.what {
            What::Shown(number) => Event::Exposure(exposure(&format!("e{number}"), now)),
            What::Said(number) => {
                let ts = *first_said.entry(number).or_insert(now - i64::from(number % 4) * 5);
                Event::Signal(numbered(number, ts))
            }
        };
        events.push((now, event));
    }
    events.sort_by_key(|(time, event)| (*time, matches!(event, Event::Signal(_))));
    events
}

/// The labels at the close of every exposure, straight from the definition: for each exposure, look
/// at the whole history.
fn naive(events: &[(i64, Event)]) -> Vec<(u64, i64, Labels)> {
    let mut closes = Vec::new();
    let mut last_seen: BTreeMap<String, i64> = BTreeMap::new();
    let mut offset = 0;
    for (shown_at, event) in events {
        let Event::Exposure(shown) = event else { continue };
        let id = shown.exposure_id.to_string();
        let before = last_seen.insert(id.clone(), *shown_at);
        if before.is_none_or(|before| before + MEMORY <= *shown_at) {
            let from = (shown_at - EARLY).max(before.map_or(i64::MIN, |b| b + MEMORY));
            let about: Vec<&Signal> = events
                .iter()
                .filter(|(time, _)| (from..shown_at + OPEN).contains(time))
                .filter_map(|(_, event)| match event {
                    Event::Signal(signal) if signal.exposure_id.as_str() == id => Some(signal),
                    _ => None,
                })
                .collect();
            let labels = naive_labels(&about, shown.ts.as_millis());
            closes.push((offset, shown_at + OPEN, labels));
        }
        offset += 1;
    }
    closes
}

fn naive_labels(about: &[&Signal], shown_ts: i64) -> Labels {
    let retracted: BTreeSet<&SignalId> = about.iter().filter_map(|s| s.retracts.as_ref()).collect();
    let mut votes: BTreeMap<&SignalKind, (i64, f64)> = BTreeMap::new();
    for signal in about {
        let delay = signal.ts.as_millis() - shown_ts;
        let counts = signal.retracts.is_none() && !retracted.contains(&signal.signal_id) && (-10..=50).contains(&delay);
        let vote = match signal.kind {
            SignalKind::Love => 1.0,
            SignalKind::Copy => 0.5,
            SignalKind::ThumbsDown => -1.0,
            _ => 2.0 * signal.value.unwrap() - 1.0,
        };
        let ts = signal.ts.as_millis();
        let stands = votes.get(&signal.kind).is_none_or(|(latest, _)| ts > *latest);
        if counts && stands {
            votes.insert(&signal.kind, (ts, vote));
        }
    }
    let love = f32::from(u8::from(votes.contains_key(&SignalKind::Love)));
    let mut labels = Labels::from([(Objective::new("love"), Label { value: love, weight: 1.0 })]);
    let kinds = [SignalKind::Copy, SignalKind::ThumbsDown, SignalKind::Rating];
    let sum: f64 = kinds.iter().filter_map(|kind| votes.get(kind)).map(|v| v.1).sum();
    if sum.abs() > 1e-6 {
        let value = if sum > 0.0 { 1.0 } else { 0.0 };
        let weight = sum.abs().min(1.0) as f32;
        labels.insert(Objective::new("helpfulness"), Label { value, weight });
    }
    labels
}

/// Equal up to rounding.
fn agree(found: &Labels, expected: &Labels) -> bool {
    found.len() == expected.len()
        && found.iter().zip(expected).all(|(found, expected)| {
            found.0 == expected.0
                && found.1.value == expected.1.value
                && (found.1.weight - expected.1.weight).abs() < 1e-5
        })
}

proptest! {
    #[test]
    fn every_exposure_closes_once_as_the_definition_says(steps in any_steps(60)) {
        let events = history(&steps);
        let closes: Vec<_> = run(&events, 1_000_000)
            .into_iter()
            .filter(|e| e.revision == 0)
            .collect();
        let expected = naive(&events);
        prop_assert_eq!(closes.len(), expected.len());
        for (found, (offset, time, labels)) in closes.iter().zip(&expected) {
            prop_assert_eq!(found.exposure_offset, *offset);
            prop_assert_eq!(found.order.at, at(*time));
            prop_assert!(agree(&found.labels, labels), "{:?} {:?}", found.labels, labels);
        }
    }

    #[test]
    fn emissions_rise_strictly_and_revisions_count_changes(steps in any_steps(60)) {
        let out = run(&history(&steps), 1_000_000);
        prop_assert!(out.windows(2).all(|w| w[0].order < w[1].order));
        let mut last: BTreeMap<u64, &Emission> = BTreeMap::new();
        for emission in &out {
            if let Some(before) = last.insert(emission.exposure_offset, emission) {
                prop_assert_eq!(emission.revision, before.revision + 1);
                prop_assert_ne!(&emission.labels, &before.labels, "a correction corrects");
                prop_assert_eq!(&emission.replaced, &before.labels, "and says what it replaces");
            } else {
                prop_assert_eq!(emission.revision, 0);
                prop_assert!(emission.replaced.is_empty());
            }
        }
    }

    /// Signals that come between the exposure and its close may come in any order.
    #[test]
    fn the_order_of_arrival_within_the_window_does_not_matter(
        numbers in prop::collection::vec(any::<u8>(), 0..20).prop_shuffle(),
        seed in any::<u64>(),
    ) {
        let about: Vec<Signal> = numbers
            .iter()
            .map(|n| numbered(n - n % 5, 1_000 + i64::from(n % 8)))
            .collect();
        let distinct: BTreeMap<SignalId, Signal> =
            about.into_iter().map(|s| (s.signal_id.clone(), s)).collect();
        let mut signals: Vec<Signal> = distinct.into_values().collect();
        let labels = |signals: &[Signal]| {
            let mut events = vec![(1_000, Event::Exposure(exposure("e0", 1_000)))];
            let said = signals.iter().map(|s| (1_020, Event::Signal(s.clone())));
            events.extend(said);
            run(&events, 2_000)
        };
        let forward = labels(&signals);
        signals.sort_by_key(|s| {
            let text = s.signal_id.as_str().bytes().map(u64::from);
            text.fold(seed, |hash, byte| hash.wrapping_mul(0x0100_0000_01b3) ^ byte)
        });
        prop_assert_eq!(&forward, &labels(&signals));
        signals.reverse();
        prop_assert_eq!(&forward, &labels(&signals));
    }

    /// It does not matter how often the joiner is told the time.
    #[test]
    fn telling_the_time_more_often_changes_nothing(steps in any_steps(60)) {
        check_telling_the_time(&history(&steps), &short())?;
    }

    #[test]
    fn telling_the_time_more_often_changes_nothing_at_the_limits(steps in any_steps(60)) {
        check_telling_the_time(&history(&steps), &tight())?;
    }

    /// What waits for an exposure is what the records of one `early_slack` say, whatever came before.
    #[test]
    fn what_waits_does_not_depend_on_what_is_too_old(steps in any_steps(40), more in any_steps(40)) {
        let shift = |events: Vec<(i64, Event)>, by: i64| {
            events.into_iter().filter(|(_, event)| matches!(event, Event::Signal(_))).map(move |(t, e)| (t + by, e))
        };
        let old: Vec<_> = shift(history(&steps), 0).collect();
        let recent: Vec<_> = shift(history(&more), 100_000).collect();
        let now = recent.last().map_or(100_000, |(time, _)| *time);
        let shown = (0..5).map(|number| (now, Event::Exposure(exposure(&format!("e{number}"), 1_000))));
        let recent: Vec<_> = recent.into_iter().filter(|(time, _)| *time >= now - EARLY).chain(shown).collect();
        let all: Vec<_> = old.into_iter().chain(recent.iter().cloned()).collect();
        let labels = |events: &[(i64, Event)]| feed(&mut Joiner::new(&tight()), events, now + OPEN);
        let (alone, after) = (labels(&recent), labels(&all));
        prop_assert_eq!(alone, after);
    }
}

fn check_telling_the_time(events: &[(i64, Event)], config: &Config) -> Result<(), TestCaseError> {
    let mut joiner = Joiner::new(config);
    let mut out = Vec::new();
    let mut offsets = [0, 0];
    let mut told = 900;
    for (appended, event) in events {
        for time in told..*appended {
            joiner.advance(at(time), &mut out);
        }
        told = *appended;
        match event {
            Event::Exposure(e) => {
                joiner.exposure(at(*appended), offsets[0], &e.into(), &mut out);
                offsets[0] += 1;
            }
            Event::Signal(s) => {
                joiner.signal(at(*appended), offsets[1], s, &mut out);
                offsets[1] += 1;
            }
        }
        prop_assert!(joiner.stats().awaited <= config.max_early_exposures as u64);
    }
    joiner.advance(at(1_000_000), &mut out);
    let mut untold = Joiner::new(config);
    prop_assert_eq!(out, feed(&mut untold, events, 1_000_000));
    let stats = joiner.stats();
    prop_assert_eq!(stats, untold.stats());
    prop_assert_eq!((stats.open, stats.remembered, stats.awaited), (0, 0, 0), "all is forgotten");
    Ok(())
}
