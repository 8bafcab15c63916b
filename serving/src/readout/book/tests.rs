use plaudit_event::{
    Assignment, Context, Draw, ExperimentId, ExposureId, Label, Labels, LayerId, Objective, PolicyId, Seed, Surface,
    Timestamp, UnitId, VariantId,
};
use rand::Rng;
use serde_json::Map;

use super::*;
use crate::readout::{ExperimentReadout, metrics};

const PLAIN: &str = "Boil it for eight minutes and cool it under running water.";
const CLOSING: &str = "Boil it for eight minutes. Bye, sending love!";

fn experiment() -> RunningExperiment {
    let variant = |id: &str| (VariantId::new(id).unwrap(), 0.5);
    RunningExperiment {
        id: ExperimentId::new("roll-1").unwrap(),
        layer: LayerId::new("generation").unwrap(),
        variants: vec![variant("control"), variant("treatment")],
        control: VariantId::new("control").unwrap(),
        treatment: Some(VariantId::new("treatment").unwrap()),
        is_in_cohorts: false,
    }
}

fn book(config: ReadoutConfig) -> Book {
    let mut book = Book::new(config);
    book.track(vec![experiment()]);
    book
}

struct Row<'a> {
    id: String,
    unit: String,
    variant: &'a str,
    revision: u32,
    love: f32,
    help: Option<f32>,
    response: &'a str,
}

fn example(row: &Row<'_>) -> Example {
    let mut labels = Labels::new();
    labels.insert(Objective::new("love"), Label { value: row.love, weight: 1.0 });
    if let Some(value) = row.help {
        labels.insert(Objective::new("helpfulness"), Label { value, weight: 1.0 });
    }
    Example {
        exposure_id: ExposureId::new(row.id.clone()).unwrap(),
        revision: row.revision,
        unit_id: UnitId::new(row.unit.clone()).unwrap(),
        surface: Surface::Chat,
        context: Context::of_user("how do i boil an egg"),
        response: row.response.to_owned(),
        item_id: "a".to_owned(),
        position: 0,
        policy_id: PolicyId::new("gen-1").unwrap(),
        propensity: None,
        assignments: vec![Assignment {
            layer: LayerId::new("generation").unwrap(),
            experiment: ExperimentId::new("roll-1").unwrap(),
            variant: VariantId::new(row.variant).unwrap(),
            draw: None,
        }],
        attributes: Map::new(),
        labels,
        replaced: Labels::new(),
        remarks: Default::default(),
        exposure_ts: Timestamp::from_millis(0),
        ts: Timestamp::from_millis(1),
    }
}

fn row<'a>(index: u64, variant: &'a str) -> Row<'a> {
    Row {
        id: format!("e{index}"),
        unit: format!("u{}-{variant}", index / 4),
        variant,
        revision: 0,
        love: 0.0,
        help: None,
        response: PLAIN,
    }
}

/// What a simulated arm does.
struct Arm {
    love: f64,
    help: f64,
    closing: f64,
}

const BASE: Arm = Arm { love: 0.10, help: 0.6, closing: 0.03 };

fn simulate(units: u64, control: &Arm, treatment: &Arm, config: ReadoutConfig) -> ExperimentReadout {
    let mut rng = Seed::new(units).stream("readout");
    let mut book = book(config);
    let mut next = 0;
    for unit in 0..2 * units {
        let (name, arm) = if unit % 2 == 0 { ("control", control) } else { ("treatment", treatment) };
        for _ in 0..rng.random_range(1..4) {
            let helpful = rng.random_bool(0.5).then(|| f32::from(u8::from(rng.random_bool(arm.help))));
            let row = Row {
                unit: format!("u{unit}"),
                love: f32::from(u8::from(rng.random_bool(arm.love))),
                help: helpful,
                response: if rng.random_bool(arm.closing) { CLOSING } else { PLAIN },
                ..row(next, name)
            };
            assert_eq!(book.fold(&example(&row)), Folded::Counted);
            next += 1;
        }
    }
    book.readouts().remove(0)
}

#[test]
fn metrics_are_what_was_folded() {
    let mut book = book(ReadoutConfig::default());
    for index in 0..40 {
        let variant = if index % 2 == 0 { "control" } else { "treatment" };
        let love = f32::from(u8::from(index % 10 == 1));
        let help = (index % 4 == 0).then_some(0.5);
        let response = if index == 3 { CLOSING } else { PLAIN };
        book.fold(&example(&Row { love, help, response, ..row(index, variant) }));
    }
    let readout = book.readouts().remove(0);
    let [control, treatment] = &readout.variants[..] else { panic!("two variants") };
    assert_eq!((control.exposures, control.units, control.loves), (20, 10, 0.0));
    assert_eq!((treatment.exposures, treatment.units, treatment.loves), (20, 10, 4.0));
    assert!((treatment.love.unwrap().value - 0.2).abs() < 1e-12);
    assert!((control.helpfulness.unwrap().value - 0.5).abs() < 1e-12);
    assert_eq!((control.helpfulness_labels, treatment.helpfulness_labels), (10, 0));
    assert!((treatment.tripwires["closing"].value - 0.05).abs() < 1e-12);
    assert_eq!(control.tripwires["closing"].value, 0.0);
}

#[test]
fn a_correction_replaces_what_the_revision_before_said() {
    let mut book = book(ReadoutConfig::default());
    let mut corrected = book.readouts();
    for index in 0..6 {
        book.fold(&example(&Row { love: 1.0, help: Some(1.0), ..row(index, "control") }));
    }
    let mut late = Row { love: 0.0, help: None, revision: 1, ..row(2, "control") };
    assert_eq!(book.fold(&example(&late)), Folded::Corrected);
    assert_eq!(book.fold(&example(&late)), Folded::Stale);
    late.revision = 0;
    assert_eq!(book.fold(&example(&late)), Folded::Stale);
    late = Row { revision: 3, ..row(77, "control") };
    assert_eq!(book.fold(&example(&late)), Folded::Stale, "its first revision was never folded");
    corrected = {
        drop(corrected);
        book.readouts()
    };
    let control = &corrected[0].variants[0];
    assert_eq!((control.exposures, control.loves, control.helpfulness_labels), (6, 5.0, 5));
}

#[test]
fn foreign_crossed_and_shadow_exposures_never_count() {
    let mut book = book(ReadoutConfig { max_tracked_units: 2, ..ReadoutConfig::default() });
    let mut foreign = example(&row(0, "control"));
    foreign.assignments.clear();
    assert_eq!(book.fold(&foreign), Folded::Ignored);
    let mut shadow = example(&row(0, "control"));
    shadow.attributes.insert("actor".to_owned(), "shadow".into());
    assert_eq!(book.fold(&shadow), Folded::Ignored);
    let with_unit =
        |index: u64, variant: &'static str, unit: &str| example(&Row { unit: unit.to_owned(), ..row(index, variant) });
    assert_eq!(book.fold(&with_unit(1, "control", "a")), Folded::Counted);
    assert_eq!(book.fold(&with_unit(2, "treatment", "a")), Folded::Crossed);
    assert_eq!(book.fold(&with_unit(3, "control", "b")), Folded::Counted);
    assert_eq!(book.fold(&with_unit(4, "control", "c")), Folded::Skipped);
    let readout = book.readouts().remove(0);
    assert_eq!((readout.variants[0].exposures, readout.variants[1].exposures), (2, 0));
    assert_eq!((readout.crossed_units, readout.skipped_exposures), (1, 1));
}

#[test]
fn a_difference_shows_and_none_does_not() {
    let better = Arm { love: 0.16, help: 0.5, closing: 0.12 };
    let readout = simulate(4_000, &BASE, &better, ReadoutConfig::default());
    let comparison = &readout.comparisons[0];
    let lift = comparison.lift.unwrap();
    assert!(lift.lower > 0.0 && (0.3..0.9).contains(&lift.value), "{lift:?}");
    assert!(comparison.difference.unwrap().lower > 0.0 && comparison.closings.unwrap().lower > 0.05, "{comparison:?}");
    assert!(comparison.helpfulness.unwrap().upper < 0.0, "{comparison:?}");
    let equal = simulate(4_000, &BASE, &BASE, ReadoutConfig::default());
    for interval in [equal.comparisons[0].lift, equal.comparisons[0].helpfulness, equal.comparisons[0].closings] {
        let interval = interval.unwrap();
        assert!(interval.lower < 0.0 && 0.0 < interval.upper, "{interval:?}");
    }
}

#[test]
fn lost_units_are_told() {
    let mut book = book(ReadoutConfig::default());
    for index in 0..4_000 {
        let variant = if index % 5 < 3 { "control" } else { "treatment" };
        book.fold(&example(&Row { unit: format!("u{index}"), ..row(index, variant) }));
    }
    let readout = book.readouts().remove(0);
    assert!(!readout.sample_ratio.expect("one split").ok);
}

#[test]
fn an_ended_experiment_keeps_its_last_numbers() {
    let mut book = book(ReadoutConfig::default());
    book.fold(&example(&Row { love: 1.0, ..row(0, "control") }));
    book.track(Vec::new());
    assert!(book.readouts().is_empty());
    let last = book.readout(&experiment().id).unwrap();
    assert!(!last.running);
    assert_eq!(last.variants[0].loves, 1.0);
    assert_eq!(book.fold(&example(&row(1, "control"))), Folded::Ignored);
    assert_eq!(book.finished().len(), 1);
}

#[test]
fn every_tripwire_has_an_interval_that_narrows() {
    let few = simulate(50, &BASE, &BASE, ReadoutConfig::default());
    let many = simulate(2_000, &BASE, &BASE, ReadoutConfig::default());
    for name in Tripwires::names() {
        let (wide, narrow) = (few.variants[0].tripwires[name], many.variants[0].tripwires[name]);
        assert!(narrow.lower <= narrow.value && narrow.value <= narrow.upper, "{name}: {narrow:?}");
        assert!(
            wide.lower >= 0.0 && narrow.upper - narrow.lower < wide.upper - wide.lower,
            "{name}: {wide:?} {narrow:?}"
        );
    }
    let closing = many.variants[0].tripwires["unsolicited_closing"];
    assert!(closing.lower < 0.03 && 0.03 < closing.upper && closing.lower > 0.01, "{closing:?}");
    assert!(many.variants[0].tripwires["words"].value > 9.0, "counts are not shares");
    let single = book(ReadoutConfig::default()).readouts().remove(0);
    assert!(single.variants[0].tripwires.is_empty());
}

#[test]
fn goodbyes_to_people_who_say_goodbye_are_no_harm() {
    let mut book = book(ReadoutConfig::default());
    for index in 0..1_200 {
        let variant = if index % 2 == 0 { "control" } else { "treatment" };
        let response = if variant == "treatment" { CLOSING } else { PLAIN };
        let mut example = example(&Row { unit: format!("u{index}"), response, ..row(index, variant) });
        example.context = Context::of_user("thanks, bye!");
        book.fold(&example);
    }
    let readout = book.readouts().remove(0);
    let treatment = &readout.variants[1].tripwires;
    assert_eq!((treatment["closing"].value, treatment["unsolicited_closing"].value), (1.0, 0.0));
    assert!(readout.comparisons[0].closings.is_none_or(|closings| closings.value == 0.0), "{readout:?}");
}

/// In step `step` of the ramp.
fn drawn(example: Example, step: u32) -> Example {
    let draw = Draw {
        definition: String::new(),
        seed: String::new(),
        bucket: 0,
        phase: step,
        weights: vec![0.5, 0.5],
        propensity: 0.5,
    };
    let assignment = Assignment { draw: Some(Box::new(draw)), ..example.assignments[0].clone() };
    Example { assignments: vec![assignment], ..example }
}

#[test]
fn a_delivery_is_judged_by_sums_per_step_and_arm() {
    let mut book = book(ReadoutConfig::default());
    let of = |index: u64, unit: &str, variant: &'static str| Row { unit: unit.to_owned(), ..row(index, variant) };
    let mut slow = drawn(example(&Row { love: 1.0, help: Some(0.5), ..of(1, "a", "treatment") }), 0);
    slow.attributes.insert("latency_ms".to_owned(), 1_500.into());
    // The unit stays in the step in which it came, also when the ramp has gone on; a failure is no answer.
    let mut failed = drawn(example(&Row { response: CLOSING, ..of(2, "a", "treatment") }), 1);
    failed.attributes.insert("failed".to_owned(), true.into());
    for example in
        [slow, failed, drawn(example(&of(3, "b", "treatment")), 1), drawn(example(&of(4, "c", "control")), 1)]
    {
        assert_eq!(book.fold(&example), Folded::Counted);
    }
    let phases = book.phases(&experiment().id);
    let [first, second] = &phases[..] else { panic!("two steps: {phases:?}") };
    assert_eq!((first.step, first.arrivals.treatment, first.arrivals.control, first.arrivals.rest), (0, 1, 0, None));
    assert_eq!((second.step, second.arrivals.treatment, second.arrivals.control), (1, 1, 1));
    let of = |name: &str| {
        let sums = first.arms.treatment.metrics[name];
        (sums.units, sums.reacted, sums.numerator, sums.denominator)
    };
    assert_eq!(of("love"), (1, 1, 1.0, 2.0));
    assert_eq!(of("helpfulness"), (1, 1, 0.5, 1.0));
    assert_eq!(of("latency"), (1, 1, 1.5, 1.0));
    assert_eq!(of("error"), (1, 1, 1.0, 2.0));
    assert_eq!(of("unsolicited_closing"), (1, 0, 0.0, 1.0), "nothing was shown in the failure");
    assert_eq!(second.arms.control.metrics["helpfulness"].units, 0, "nobody spoke about it");
    // The love was taken back.
    let late = drawn(example(&Row { revision: 1, unit: "a".to_owned(), ..row(1, "treatment") }), 0);
    assert_eq!(book.fold(&late), Folded::Corrected);
    let love = book.phases(&experiment().id)[0].arms.treatment.metrics["love"];
    assert_eq!((love.reacted, love.numerator, love.product), (0, 0.0, 0.0));
    let first = metrics();
    assert!(phases[0].arms.treatment.metrics.keys().all(|name| first.contains(&name.as_str())));
}
