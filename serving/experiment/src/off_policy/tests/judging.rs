use plaudit_event::Seed;
use rand::Rng;

use super::super::*;
use crate::Error;

const RATES: [f64; 4] = [0.05, 0.05, 0.05, 0.15];

/// Logs `n` rows of a uniform policy over four actions, to evaluate the policy with these probabilities.
fn log(seed: u64, n: usize, evaluation: [f64; 4]) -> Vec<Row> {
    let mut rng = Seed::new(seed).stream("log");
    let mut row = |unit| {
        let action = rng.random_range(0..4);
        let reward = f64::from(u8::from(rng.random_bool(RATES[action])));
        let of = Candidates { behavior: &[0.25; 4], evaluation: &evaluation, values: Some(&[0.06; 4]), action };
        Row::from_candidates(unit, unit as u64 / 2, reward, &of).unwrap()
    };
    (0..n).map(&mut row).collect()
}

fn verdict(rows: Vec<Row>, gate: &Gate) -> Verdict {
    Sample::new(rows).unwrap().judge(gate).unwrap()
}

#[test]
fn a_better_policy_passes_and_an_equal_one_rarely() {
    let gate = Gate { weight_max: Some(4.0), ..Gate::default() };
    let better = [0.1, 0.1, 0.1, 0.7];
    assert!(matches!(verdict(log(1, 6_000, better), &gate), Verdict::Passed { lower, .. } if lower > 0.0));
    let strict = Gate { margin: 0.05, ..gate };
    assert!(matches!(verdict(log(1, 6_000, better), &strict), Verdict::Undecided { .. }));
    let robust = Gate { estimator: Estimator::Dr, ..gate };
    assert!(matches!(verdict(log(1, 6_000, better), &robust), Verdict::Passed { .. }));
    // Equal in value: all the mass on actions of .05 and .15 such that the mean is that of the log, .075.
    let equal = [0.7, 0.05, 0.0, 0.25];
    let passed = |seed: &u64| matches!(verdict(log(*seed, 1_500, equal), &gate), Verdict::Passed { .. });
    let share = (0..200).filter(passed).count();
    assert!(share <= 19, "{share}");
}

#[test]
fn a_policy_that_was_hardly_tried_is_refused() {
    let rows: Vec<Row> = log(2, 3_000, [0.25; 4])
        .into_iter()
        .enumerate()
        .map(|(index, row)| Row {
            propensity: if index % 1_500 == 7 { 1e-4 } else { 0.9 },
            evaluation: 0.9,
            unsupported: Some(0.0),
            ..row
        })
        .collect();
    let Verdict::Refused { reasons, diagnostics } = verdict(rows, &Gate::default()) else { panic!("not refused") };
    assert!(matches!(reasons[0], Refusal::EffectiveSampleSize { found, .. } if found < 3.0), "{reasons:?}");
    assert!(matches!(reasons[1], Refusal::MaxWeightShare { found, .. } if found > 0.4), "{reasons:?}");
    assert!(diagnostics.max_weight > 8_999.0);
    assert!(reasons[0].to_string().contains("must be at least 100"));
}

#[test]
fn wrong_propensities_are_refused() {
    let mut rows = log(3, 4_000, [0.25; 4]);
    for row in &mut rows {
        row.propensity *= if row.reward > 0.0 { 0.9 } else { 0.8 };
    }
    let Verdict::Refused { reasons, .. } = verdict(rows, &Gate::default()) else { panic!("not refused") };
    assert!(matches!(reasons[..], [Refusal::MeanWeight { .. }]), "{reasons:?}");
}

#[test]
fn mass_that_was_never_served_is_refused_and_explains_the_mean_weight() {
    let mut rng = Seed::new(4).stream("unsupported");
    let rows = (0..4_000)
        .map(|unit| {
            let of = Candidates {
                behavior: &[0.5, 0.5, 0.0],
                evaluation: &[0.3, 0.4, 0.3],
                values: None,
                action: usize::from(rng.random_bool(0.5)),
            };
            Row::from_candidates(unit, unit as u64, 0.0, &of).unwrap()
        })
        .collect();
    let Verdict::Refused { reasons, .. } = verdict(rows, &Gate::default()) else { panic!("not refused") };
    assert!(matches!(reasons[..], [Refusal::Unsupported { found, .. }] if (found - 0.3).abs() < 1e-9), "{reasons:?}");
}

#[test]
fn bad_rows_are_named() {
    assert_eq!(Sample::new(Vec::new()), Err(Error::Empty));
    let good = Row { unit: 1, reward: 1.0, propensity: 0.5, evaluation: 0.5, model: None, unsupported: None };
    let bad = [
        ("propensity", Row { propensity: 0.0, ..good }),
        ("propensity", Row { propensity: f64::NAN, ..good }),
        ("propensity", Row { propensity: 1.1, ..good }),
        ("evaluation", Row { evaluation: -0.1, ..good }),
        ("reward", Row { reward: f64::INFINITY, ..good }),
        ("evaluation / propensity", Row { propensity: f64::MIN_POSITIVE / 4.0, evaluation: 1.0, ..good }),
        ("unsupported", Row { unsupported: Some(f64::NAN), ..good }),
    ];
    for (name, row) in bad {
        let error = Sample::new(vec![good, row]).unwrap_err();
        assert!(matches!(error, Error::RowValue { row: 1, field, .. } if field == name), "{name}: {error}");
    }
    let sample = Sample::new(vec![good]).unwrap();
    assert_eq!(sample.evaluate(Estimator::Dr), Err(Error::NoModel { row: 0 }));
    assert_eq!(sample.scores(Estimator::Snips), Err(Error::NoBound));
    assert_eq!(sample.evaluate(Estimator::Replay), Err(Error::NoWeight));
    assert!(matches!(sample.evaluate(Estimator::ClippedIps(0.0)), Err(Error::Value { field: "limit", .. })));
    let none = Sample::new(vec![Row { evaluation: 0.0, ..good }]).unwrap();
    assert_eq!(none.evaluate(Estimator::Snips), Err(Error::NoWeight));
    assert_eq!(none.diagnostics().effective_rows, 0.0);
}

#[test]
fn a_gate_checks_the_ranges_its_bound_rests_on() {
    let rows = log(5, 100, [0.1, 0.1, 0.1, 0.7]);
    let sample = Sample::new(rows).unwrap();
    let judge = |gate: Gate| sample.judge(&gate).unwrap_err();
    let bernstein = Gate { bound: LowerBound::EmpiricalBernstein, ..Gate::default() };
    assert!(matches!(judge(bernstein), Error::Value { field: "weight_max", .. }));
    let low = Gate { weight_max: Some(2.0), ..Gate::default() };
    assert!(matches!(judge(low), Error::RowValue { field: "evaluation / propensity", .. }));
    let small = Gate { reward_max: 0.5, ..Gate::default() };
    assert!(matches!(judge(small), Error::RowValue { field: "reward", .. }));
    let modelled = Gate { estimator: Estimator::Dr, ..Gate::default() };
    assert!(matches!(judge(modelled), Error::Value { field: "weight_max", .. }));
}

#[test]
fn candidates_that_do_not_fit_are_named() {
    let row = |behavior: &[f64], evaluation: &[f64], action| {
        Row::from_candidates(3, 1, 0.0, &Candidates { behavior, evaluation, values: None, action }).unwrap_err()
    };
    assert!(matches!(
        row(&[0.5, 0.5], &[1.0], 0),
        Error::RowLength { row: 3, field: "evaluation", found: 1, expected: 2 }
    ));
    assert!(matches!(row(&[0.5, 0.5], &[0.5, 0.5], 2), Error::RowLength { field: "behavior", .. }));
    assert!(matches!(row(&[0.5, 0.4], &[0.5, 0.5], 0), Error::RowValue { field: "behavior", .. }));
}
