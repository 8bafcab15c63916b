//! The joiner, against hand-written cases.

use plaudit_event::{Actor, Label, Labels, Objective, SignalId, SignalKind, Span};
use plaudit_ingest::Config;
use plaudit_ingest::attribution::{Emission, ExposureHead, Joiner, Phase};

use crate::histories::{Event, run};
use crate::support::{at, exposure, short, signal};

fn shown(appended: i64, id: &str) -> (i64, Event) {
    (appended, Event::Exposure(exposure(id, appended)))
}

fn said(appended: i64, id: &str, kind: SignalKind) -> (i64, Event) {
    (appended, Event::Signal(signal(id, "e", kind, appended)))
}

fn taken_back(appended: i64, id: &str, retracted: &str) -> (i64, Event) {
    let mut signal = signal(id, "e", SignalKind::Love, appended);
    signal.retracts = Some(SignalId::new(retracted).unwrap());
    (appended, Event::Signal(signal))
}

/// (revision, time, love, helpfulness) of each emission.
fn summary(emissions: &[Emission]) -> Vec<(u32, i64, Option<f32>, Option<f32>)> {
    let value = |labels: &Labels, name: &str| labels.get(name).map(|label| label.value);
    emissions
        .iter()
        .map(|e| {
            let love = value(&e.labels, Objective::LOVE);
            let helpful = value(&e.labels, Objective::HELPFULNESS);
            (e.revision, e.order.at.as_millis(), love, helpful)
        })
        .collect()
}

#[test]
fn silence_is_no_love_and_says_nothing_about_helpfulness() {
    let out = run(&[shown(100, "e")], 160);
    assert_eq!(summary(&out), [(0, 160, Some(0.0), None)]);
    assert_eq!(run(&[shown(100, "e")], 159), [], "censored until the window closes");
}

#[test]
fn love_counts_but_does_not_come_out_earlier() {
    let out = run(&[shown(100, "e"), said(101, "s", SignalKind::Love)], 300);
    assert_eq!(summary(&out), [(0, 160, Some(1.0), None)]);
}

#[test]
fn a_signal_after_the_close_makes_a_revision_once() {
    let late = |appended, id: &str, ts| (appended, Event::Signal(signal(id, "e", SignalKind::Love, ts)));
    let out = run(&[shown(100, "e"), late(170, "s", 140), late(171, "s", 140), late(172, "t", 140)], 300);
    assert_eq!(summary(&out), [(0, 160, Some(0.0), None), (1, 170, Some(1.0), None)]);
    assert_eq!(out[1].order.phase, Phase::Correction);
    let beyond_the_horizon = run(&[shown(100, "e"), late(220, "s", 140)], 300);
    assert_eq!(beyond_the_horizon.len(), 1);
    let outside_the_window = run(&[shown(100, "e"), late(155, "s", 151)], 300);
    assert_eq!(summary(&outside_the_window), [(0, 160, Some(0.0), None)]);
}

#[test]
fn an_early_close_leaves_the_rest_of_the_window_to_corrections() {
    let config = Config { close_after: Some(std::time::Duration::from_millis(5)), ..short() };
    assert_eq!(config.validate(), []);
    let closed = |events: &[(i64, Event)]| {
        let (mut joiner, mut out) = joined(&config, events);
        joiner.advance(at(300), &mut out);
        out
    };
    let late = |appended, id: &str, ts| (appended, Event::Signal(signal(id, "e", SignalKind::Love, ts)));
    let out = closed(&[shown(100, "e"), late(145, "s", 140)]);
    assert_eq!(summary(&out), [(0, 115, Some(0.0), None), (1, 145, Some(1.0), None)]);
    let out = closed(&[shown(100, "e"), late(110, "s", 104)]);
    assert_eq!(summary(&out), [(0, 115, Some(1.0), None)]);
    let out = closed(&[shown(100, "e"), late(155, "s", 151)]);
    assert_eq!(summary(&out), [(0, 115, Some(0.0), None)], "the window ends where it did");
}

#[test]
fn a_retraction_works_before_the_close_after_it_and_before_its_signal() {
    let (love, back) = (said(110, "s", SignalKind::Love), taken_back(120, "r", "s"));
    let out = run(&[shown(100, "e"), love.clone(), back.clone()], 300);
    assert_eq!(summary(&out), [(0, 160, Some(0.0), None)]);
    let out = run(&[shown(100, "e"), (110, back.1.clone()), (120, love.1.clone())], 300);
    assert_eq!(summary(&out), [(0, 160, Some(0.0), None)]);
    let out = run(&[shown(100, "e"), love, (170, back.1)], 300);
    assert_eq!(summary(&out), [(0, 160, Some(1.0), None), (1, 170, Some(0.0), None)]);
}

#[test]
fn a_signal_may_come_before_its_exposure_but_not_long_before() {
    let mut joiner = Joiner::new(&short());
    let mut out = Vec::new();
    for (appended, id, exposure) in [(70, "s", "e"), (69, "t", "f")] {
        let love = signal(id, exposure, SignalKind::Love, 100);
        joiner.signal(at(appended), 0, &love, &mut out);
    }
    let heads = ["e", "f"].map(|id| ExposureHead::from(&exposure(id, 100)));
    joiner.exposure(at(100), 0, &heads[0], &mut out);
    joiner.exposure(at(100), 1, &heads[1], &mut out);
    joiner.advance(at(160), &mut out);
    assert_eq!(summary(&out), [(0, 160, Some(1.0), None), (0, 160, Some(0.0), None)]);
    assert_eq!(joiner.stats().orphans, 1);
}

#[test]
fn only_people_and_only_the_chosen_item_count() {
    let mut shadow = signal("s", "e", SignalKind::Love, 110);
    shadow.actor = Actor::Shadow;
    let mut other_item = signal("t", "e", SignalKind::Love, 110);
    other_item.item_id = Some("first".into());
    let events = [shown(100, "e"), (110, Event::Signal(shadow)), (111, Event::Signal(other_item))];
    assert_eq!(summary(&run(&events, 300)), [(0, 160, Some(0.0), None)]);
    let mut chosen = signal("u", "e", SignalKind::Love, 110);
    chosen.item_id = Some("second".into());
    let out = run(&[shown(100, "e"), (112, Event::Signal(chosen))], 300);
    assert_eq!(summary(&out), [(0, 160, Some(1.0), None)]);
}

#[test]
fn conflicting_signs_are_weighed_and_repetition_does_not_shout() {
    let help = |events: &[(i64, Event)]| {
        let out = run(events, 300);
        out[0].labels.get(Objective::HELPFULNESS).copied()
    };
    let (up, down) = (SignalKind::ThumbsUp, SignalKind::ThumbsDown);
    let tie = [shown(100, "e"), said(101, "a", up), said(102, "b", down.clone())];
    assert_eq!(help(&tie), None);
    let copies = (0..9).map(|i| said(103 + i, &format!("c{i}"), SignalKind::Copy));
    let shouting: Vec<_> = [shown(100, "e"), said(102, "b", down)].into_iter().chain(copies).collect();
    let label = Label { value: 0.0, weight: 0.5 };
    assert_eq!(help(&shouting), Some(label), "−1 for the thumb, +0.5 for copying");
    let mut rating = signal("r", "e", SignalKind::Rating, 110);
    rating.value = Some(0.75);
    let rated = [shown(100, "e"), (110, Event::Signal(rating))];
    assert_eq!(help(&rated), Some(Label { value: 1.0, weight: 0.5 }));
}

#[test]
fn an_exposure_shown_again_is_one_exposure() {
    let out = run(&[shown(100, "e"), shown(130, "e"), shown(200, "e"), said(230, "s", SignalKind::Copy)], 500);
    assert_eq!(out.len(), 1);
}

#[test]
fn a_shadow_takes_nothing_back() {
    let mut back = signal("r", "e", SignalKind::Love, 120);
    back.retracts = Some(SignalId::new("s").unwrap());
    back.actor = Actor::Shadow;
    let out = run(&[shown(100, "e"), said(110, "s", SignalKind::Love), (120, Event::Signal(back))], 300);
    assert_eq!(summary(&out), [(0, 160, Some(1.0), None)]);
}

#[test]
fn a_retraction_is_about_one_exposure_and_stays() {
    let mut elsewhere = signal("r", "f", SignalKind::Love, 120);
    elsewhere.retracts = Some(SignalId::new("s").unwrap());
    let said_so = [shown(100, "e"), shown(100, "f"), said(110, "s", SignalKind::Love)];
    let out = run(&[said_so.to_vec(), vec![(120, Event::Signal(elsewhere))]].concat(), 160);
    assert_eq!(summary(&out), [(0, 160, Some(1.0), None), (0, 160, Some(0.0), None)]);
    let out = run(
        &[shown(100, "e"), said(110, "s", SignalKind::Love), taken_back(120, "r", "s"), taken_back(130, "q", "r")],
        300,
    );
    assert_eq!(summary(&out), [(0, 160, Some(0.0), None)]);
}

/// Feeds events one by one; returns the joiner.
fn joined(config: &Config, events: &[(i64, Event)]) -> (Joiner, Vec<Emission>) {
    let mut joiner = Joiner::new(config);
    let mut out = Vec::new();
    for (offset, (appended, event)) in (0..).zip(events) {
        match event {
            Event::Exposure(e) => joiner.exposure(at(*appended), offset, &e.into(), &mut out),
            Event::Signal(s) => joiner.signal(at(*appended), offset, s, &mut out),
        }
    }
    (joiner, out)
}

#[test]
fn signals_that_make_no_label_are_counted_by_reason() {
    let mut other_item = signal("a", "e", SignalKind::Love, 110);
    other_item.item_id = Some("first".into());
    let (too_late, too_early) = (signal("b", "e", SignalKind::Love, 151), signal("c", "e", SignalKind::Love, 89));
    let signals = [other_item, too_late, too_early].map(|signal| (120, Event::Signal(signal)));
    let (joiner, _) = joined(&short(), &[vec![shown(100, "e")], signals.to_vec()].concat());
    let stats = joiner.stats();
    assert_eq!((stats.other_item, stats.outside_window), (1, 2));
    assert_eq!((stats.late, stats.orphans, stats.over_limit), (0, 0, 0));
}

#[test]
fn signals_beyond_the_limit_per_exposure_do_not_count() {
    let config = Config { max_signals_per_exposure: 2, ..short() };
    let up = |i: i64| said(101 + i, &format!("u{i}"), SignalKind::ThumbsUp);
    let down = said(109, "d", SignalKind::ThumbsDown);
    let (mut joiner, mut out) = joined(&config, &[shown(100, "e"), up(0), up(1), down.clone()]);
    assert_eq!(joiner.stats().over_limit, 1);
    joiner.advance(at(160), &mut out);
    assert_eq!(summary(&out), [(0, 160, Some(0.0), Some(1.0))], "the first two count");

    let (mut joiner, mut out) = joined(&config, &[up(0), up(1), down, shown(110, "e")]);
    assert_eq!(joiner.stats().over_limit, 1);
    joiner.advance(at(170), &mut out);
    assert_eq!(summary(&out), [(0, 170, Some(0.0), None)], "of those that waited the last two: one up, one down");
}

#[test]
fn signals_wait_for_so_many_exposures_and_the_oldest_go_first() {
    let config = Config { max_early_exposures: 2, ..short() };
    let love = |appended, id: &str, exposure| (appended, Event::Signal(signal(id, exposure, SignalKind::Love, 110)));
    let waiting = [love(100, "a", "e"), love(101, "b", "f"), love(102, "c", "e")];
    let (joiner, _) = joined(&config, &waiting);
    assert_eq!((joiner.stats().awaited, joiner.stats().orphans), (2, 0), "at the limit");
    let one_more = [waiting.to_vec(), vec![love(103, "d", "g")]].concat();
    let (joiner, _) = joined(&config, &one_more);
    assert_eq!((joiner.stats().awaited, joiner.stats().orphans), (2, 2), "the oldest of e, and f");
    let shown = ["e", "f", "g"].map(|id| (110, Event::Exposure(exposure(id, 110))));
    let (mut joiner, mut out) = joined(&config, &[one_more, shown.to_vec()].concat());
    joiner.advance(at(200), &mut out);
    let loves: Vec<_> = summary(&out).into_iter().map(|(_, _, love, _)| love).collect();
    assert_eq!(loves, [Some(1.0), Some(0.0), Some(1.0)]);
}

/// A signal with parts of the response or a text.
fn remarked(appended: i64, id: &str, kind: SignalKind, spans: &[(u32, u32)], text: Option<&str>) -> (i64, Event) {
    let mut signal = signal(id, "e", kind, appended);
    signal.spans = spans.iter().map(|(start, end)| Span { start: *start, end: *end }).collect();
    signal.text = text.map(str::to_owned);
    (appended, Event::Signal(signal))
}

fn ranges(spans: &[Span]) -> Vec<(u32, u32)> {
    spans.iter().map(|span| (span.start, span.end)).collect()
}

#[test]
fn parts_and_reasons_are_in_the_example_oldest_first_and_within_the_response() {
    // The response is `second of e`, 11 characters.
    let events = [
        shown(100, "e"),
        remarked(104, "s3", SignalKind::Comment, &[], Some("  too short ")),
        remarked(101, "s1", SignalKind::Copy, &[(0, 6)], None),
        remarked(102, "s2", SignalKind::Edit, &[(7, 9), (10, 40), (50, 60)], Some("second by f")),
        remarked(103, "s4", SignalKind::ThumbsDown, &[], Some("wrong")),
        remarked(105, "s5", SignalKind::Highlight, &[(7, 9)], None),
        remarked(106, "s6", SignalKind::Comment, &[], Some("taken back")),
        taken_back(107, "r", "s6"),
        remarked(108, "s7", SignalKind::Copy, &[], Some("not a reason")),
    ];
    let out = run(&events, 300);
    assert_eq!(summary(&out), [(0, 160, Some(0.0), Some(0.0))]);
    let example = out[0].example(exposure("e", 100));
    assert_eq!(ranges(&example.remarks.edited), [(7, 9), (10, 11)]);
    assert_eq!(ranges(&example.remarks.taken), [(0, 6), (7, 9)]);
    assert_eq!(example.remarks.reasons, ["wrong", "too short"]);
}

#[test]
fn a_late_remark_makes_a_correction_even_where_no_label_changes() {
    let out = run(&[shown(100, "e"), remarked(170, "s", SignalKind::Comment, &[], Some("so kind"))], 300);
    // It happened after the window, and is no part of the example.
    assert_eq!(summary(&out), [(0, 160, Some(0.0), None)]);
    let mut late = signal("s", "e", SignalKind::Comment, 140);
    late.text = Some("so kind".to_owned());
    let out = run(&[shown(100, "e"), (170, Event::Signal(late))], 300);
    assert_eq!(summary(&out), [(0, 160, Some(0.0), None), (1, 170, Some(0.0), None)]);
    assert!(out[0].remarks.is_empty() && out[1].remarks.reasons == ["so kind"]);
}
