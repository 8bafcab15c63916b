use plaudit_event::{Actor, Label, Labels, Objective, SignalKind};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const SET: &str = r#"
metrics = [
    { name = "copies", kind = "mean", source = { signal = { kind = "copy" } }, direction = "up", cuped = { days = 5 } },
    { name = "copied", kind = "ratio", source = { signal = { kind = "copy", take = "presence" } }, denominator = "exposures", direction = "up" },
    { name = "dwell", kind = "mean", source = { signal = { kind = "dwell", take = "sum" } }, direction = "up", window_days = 7 },
    { name = "loved", kind = "proportion", source = { label = "love" }, direction = "up" },
    { name = "slow", kind = "quantile", quantile = 0.5, source = { attribute = "latency_ms" }, direction = "down" },
    { name = "back", kind = "retention", source = "exposures", days = [1, 3], direction = "up" },
    { name = "words", kind = "mean", source = "response_words", per_unit = "average", direction = "up", attributes = { country = "DE" } },
    { name = "searches", kind = "mean", source = "exposures", surface = "search", direction = "up" },
]
segments = [{ attribute = "country", values = ["DE", "FR"] }]
"#;

fn attributes(country: &str, latency: f64) -> Map<String, Value> {
    json!({ "country": country, "latency_ms": latency }).as_object().unwrap().clone()
}

fn did<'a>(id: &'a str, exposure_id: &'a str, day: f64, kind: &'a SignalKind) -> SignalView<'a> {
    let value = (*kind == SignalKind::Dwell).then_some(4.0);
    SignalView { signal_id: id, exposure_id, kind, value, ts: at(day), retracts: None, actor: Actor::User }
}

fn worth(view: ExposureView<'_>, revision: u32, labels: &Labels, mut act: impl FnMut(&ExampleView<'_>)) {
    act(&ExampleView { exposure: view, revision, labels, ts: view.ts.plus_millis(60_000) });
}

/// Feeds the story of one unit in the order given.
fn story(plan: &FoldPlan, order: &[usize]) -> (Folded, Ignored) {
    let (de, fr) = (attributes("DE", 100.0), attributes("FR", 300.0));
    let label = |value: f32| Labels::from([(Objective::new("love"), Label { value, weight: 1.0 })]);
    let mut fold = UnitFold::new(plan);
    for event in order {
        match event {
            0 => fold.exposure(&shown("e-before", 8.0, None, &fr)),
            1 => fold.exposure(&shown("e-first", 10.0, Some("new"), &de)),
            2 => fold.exposure(&shown("e-second", 12.0, Some("new"), &fr)),
            3 => fold.signal(&did("s1", "e-before", 8.1, &SignalKind::Copy)),
            // A late reaction to what was shown before is neither before nor after.
            4 => fold.signal(&did("s2", "e-before", 11.0, &SignalKind::Copy)),
            5 => fold.signal(&did("s3", "e-first", 10.1, &SignalKind::Copy)),
            6 => fold.signal(&did("s4", "e-first", 10.2, &SignalKind::Copy)),
            7 => fold.signal(&did("s5", "e-second", 12.1, &SignalKind::Copy)),
            8 => fold.signal(&SignalView { retracts: Some("s5"), ..did("s6", "e-second", 12.2, &SignalKind::Copy) }),
            9 => fold.signal(&did("s7", "e-first", 10.5, &SignalKind::Dwell)),
            10 => fold.signal(&did("s8", "e-first", 17.5, &SignalKind::Dwell)),
            11 => fold.signal(&did("s9", "e-first", 9.9, &SignalKind::Copy)),
            12 => fold.signal(&did("s10", "e-nowhere", 12.0, &SignalKind::Copy)),
            13 => worth(shown("e-first", 10.0, Some("new"), &de), 0, &label(0.0), |view| fold.example(view)),
            14 => worth(shown("e-first", 10.0, Some("new"), &de), 1, &label(1.0), |view| fold.example(view)),
            15 => {
                let shadow = SignalView { actor: Actor::Shadow, ..did("s11", "e-first", 10.3, &SignalKind::Copy) };
                fold.signal(&shadow);
            }
            _ => fold.signal(&SignalView { value: Some(f64::NAN), ..did("s12", "e-first", 11.0, &SignalKind::Dwell) }),
        }
    }
    fold.finish("unit-1")
}

const EVENTS: usize = 17;

#[test]
fn a_story_becomes_a_row() {
    let plan = plan(SET);
    let order: Vec<usize> = (0..EVENTS).collect();
    let (Folded::Row(row), ignored) = story(&plan, &order) else { panic!("in the experiment") };
    let value = |index: usize| row.values[index].clone().unwrap();
    assert_eq!((row.variant, row.first, row.is_carried, row.segments.clone()), (1, at(10.0), false, vec![0]));
    assert_eq!((value(0).after, value(0).before), ([2.0, 1.0], [1.0, 1.0]));
    assert_eq!(value(1).after, [1.0, 2.0]);
    assert_eq!(value(2).after, [4.0, 1.0]);
    assert_eq!(value(3).after, [1.0, 1.0]);
    assert_eq!(value(4).events, vec![100.0, 300.0]);
    assert_eq!(value(5).after, [1.0, 1.0]);
    assert_eq!(value(6).after, [3.0, 1.0]);
    assert_eq!(value(7).after, [0.0, 1.0]);
    let want = Ignored { backwards: 1, orphans: 1, not_numbers: 1, ..Ignored::default() };
    assert_eq!(ignored, want);
}

proptest! {
    #[test]
    fn order_and_repetition_change_nothing(
        order in Just((0..EVENTS).chain(0..EVENTS).collect::<Vec<_>>()).prop_shuffle()
    ) {
        let plan = plan(SET);
        let once: Vec<usize> = (0..EVENTS).collect();
        let (row, _) = story(&plan, &order);
        prop_assert_eq!(row, story(&plan, &once).0);
    }
}

#[test]
fn a_value_that_is_not_final_is_not_there() {
    let mut plan = plan(SET);
    plan.now = at(13.0);
    let order: Vec<usize> = (0..EVENTS).collect();
    let (Folded::Row(row), _) = story(&plan, &order) else { panic!("in the experiment") };
    assert!(row.values[2].is_none() && row.values[5].is_none() && row.values[0].is_some());
}

#[test]
fn a_unit_in_two_variants_is_in_none() {
    let plan = plan(SET);
    let de = attributes("DE", 1.0);
    let mut fold = UnitFold::new(&plan);
    fold.exposure(&shown("a", 1.0, Some("new"), &de));
    fold.exposure(&shown("b", 2.0, Some("control"), &de));
    let mut aggregates = Aggregates::new(&plan.variants, &plan.set);
    aggregates.add(fold.finish("u")).unwrap();
    assert_eq!((aggregates.multiple, aggregates.units()), (1, vec![0, 0]));
    let mut outside = UnitFold::new(&plan);
    outside.exposure(&shown("a", 1.0, None, &de));
    outside.exposure(&shown("b", 1.0, Some("newest"), &de));
    let off = Assigned { variant: "new", phase: 0, weights: &[0.5, 0.6] };
    outside.exposure(&ExposureView { assigned: Some(off), ..shown("c", 1.0, None, &de) });
    let (folded, ignored) = outside.finish("u");
    assert_eq!((folded, ignored.unknown_variants), (Folded::Outside, 2));
}

#[test]
fn an_earlier_experiment_of_the_layer_is_remembered() {
    let plan = plan(SET);
    let de = attributes("DE", 1.0);
    let mut fold = UnitFold::new(&plan);
    fold.exposure(&shown("b", 2.0, Some("new"), &de));
    fold.exposure(&ExposureView { is_elsewhere: true, ..shown("a", 1.0, None, &de) });
    let (Folded::Row(row), _) = fold.finish("u") else { panic!("in the experiment") };
    assert!(row.is_carried);
}

#[test]
fn events_beyond_the_limit_are_counted() {
    let plan = plan("metrics = [{ name = \"n\", kind = \"mean\", source = \"exposures\", direction = \"up\" }]");
    let none = Map::new();
    let mut fold = UnitFold::new(&plan);
    for index in 0..MAX_EVENTS + 5 {
        fold.exposure(&shown(&index.to_string(), 1.0, Some("new"), &none));
    }
    let (Folded::Row(row), ignored) = fold.finish("u") else { panic!("in the experiment") };
    assert_eq!(ignored.beyond_limit, 5);
    assert_eq!(row.values[0].as_ref().unwrap().after[0], MAX_EVENTS as f64);
}

#[test]
fn shards_add_up_to_the_whole() {
    let plan = plan(SET);
    let mut whole = Aggregates::new(&plan.variants, &plan.set);
    let mut shards = [whole.clone(), whole.clone(), whole.clone()];
    for unit in 0..60_usize {
        let id = unit.to_string();
        let country = attributes(["DE", "FR", "IT"][unit % 3], unit as f64);
        let mut fold = UnitFold::new(&plan);
        let weights: &[f64] = if unit < 20 { &[0.9, 0.1] } else { &[0.5, 0.5] };
        let variant = ["control", "new"][unit % 2];
        let assigned = Some(Assigned { variant, phase: u32::from(unit >= 20), weights });
        fold.exposure(&ExposureView { assigned, ..shown(&id, 1.0, None, &country) });
        for signal in 0..unit % 4 {
            fold.signal(&did(&signal.to_string(), &id, 1.5, &SignalKind::Copy));
        }
        if unit % 20 == 5 {
            fold.exposure(&shown("other", 2.0, Some(["new", "control"][unit % 2]), &country));
        }
        let row = fold.finish(&id);
        whole.add(row.clone()).unwrap();
        shards[unit % 3].add(row).unwrap();
    }
    let [mut sum, second, third] = shards;
    sum.merge(&third).unwrap();
    sum.merge(&second).unwrap();
    assert_eq!(sum, whole);
    assert_eq!((whole.strata.len(), whole.units(), whole.multiple), (2, vec![30, 27], 3));
    let text = serde_json::to_string(&whole).unwrap();
    let back: Aggregates = serde_json::from_str(&text).unwrap();
    assert_eq!(back, whole);
    let other = Aggregates::new(&["x".to_owned()], &plan.set);
    assert!(sum.merge(&other).is_err());
}

#[test]
fn a_draw_counts_and_a_forced_variant_does_not() {
    let draw =
        json!({ "definition": "d", "seed": "s", "bucket": 1, "phase": 2, "weights": [0.8, 0.2], "propensity": 0.2 });
    let exposure = |id: &str, variant: &str, draw: Option<&Value>| -> plaudit_event::Exposure {
        let mut assignment = json!({ "layer": "l", "experiment": "x", "variant": variant });
        if let Some(draw) = draw {
            assignment["draw"] = draw.clone();
        }
        let all = json!({
            "exposure_id": id, "unit_id": "u", "surface": "chat", "context": {}, "policy_id": "p", "ts": 5,
            "slate": [{ "item_id": "i", "position": 0, "content": "two words" }], "assignments": [assignment],
        });
        serde_json::from_value(all).unwrap()
    };
    let plan = plan(SET);
    let outcome = |exposures: &[plaudit_event::Exposure], fixed: Option<(u32, &[f64])>| {
        let mut fold = UnitFold::new(&plan);
        for exposure in exposures {
            fold.exposure(&ExposureView::of(exposure, ("l", "x"), fixed));
        }
        fold.finish("u").0
    };
    let drawn = exposure("a", "new", Some(&draw));
    let Folded::Row(row) = outcome(std::slice::from_ref(&drawn), None) else { panic!("in the experiment") };
    assert_eq!((row.variant, row.phase, row.weights), (1, 2, vec![0.8, 0.2]));
    let forced = exposure("b", "control", None);
    assert_eq!(outcome(std::slice::from_ref(&forced), None), Folded::Outside);
    assert_eq!(outcome(&[drawn.clone(), forced.clone()], None), Folded::Multiple);
    let Folded::Row(row) = outcome(&[forced], Some((0, &[0.5, 0.5]))) else { panic!("decided elsewhere") };
    assert_eq!((row.variant, row.weights), (0, vec![0.5, 0.5]));
    assert!(ExposureView::of(&drawn, ("l", "y"), None).is_elsewhere);
}
