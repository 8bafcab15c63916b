//! The gate that is asked after every row.

use plaudit_event::Seed;
use rand::Rng;

use crate::Error;
use crate::off_policy::{Logged, OnlineGate, OnlineRule, Refusal, Row, Sample, Verdict};

fn gate() -> OnlineGate {
    OnlineGate::new(OnlineRule::default()).unwrap()
}

/// Served: arm 0 with .8, arm 1 with .2; evaluated the other way round. `rates` may move with the row.
fn log(seed: u64, count: u32, rates: impl Fn(u32) -> [f64; 2]) -> Vec<Logged> {
    let mut rng = Seed::new(seed).stream("log");
    let row = |index: u32| {
        let arm = usize::from(rng.random_bool(0.2));
        let reward = f64::from(u8::from(rng.random_bool(rates(index)[arm])));
        Logged { unit: u64::from(index), weight: if arm == 0 { 0.25 } else { 4.0 }, reward }
    };
    (0..count).map(row).collect()
}

fn filled(rows: &[Logged]) -> OnlineGate {
    let mut gate = gate();
    rows.iter().for_each(|row| gate.add(*row).unwrap());
    gate
}

#[test]
fn a_better_policy_passes_and_stays_below_the_truth() {
    let rows = log(1, 4_000, |_| [0.1, 0.2]);
    let gate = filled(&rows);
    assert!(gate.has_passed());
    let Some(Verdict::Passed { lower, .. }) = gate.verdict() else { panic!("{:?}", gate.verdict()) };
    // The truth is (.2·.1 + .8·.2) − (.8·.1 + .2·.2).
    assert!(lower > 0.0 && lower < 0.06, "{lower}");
    assert!((gate.improvement().unwrap() - 0.06).abs() < 0.03);
}

/// Equal on average: the arms take turns at being better, for 200 rows each, so that a bound which only holds for
/// means that stand still would be tempted. Looked at after every row.
#[test]
fn a_policy_that_is_no_better_hardly_ever_passes() {
    let runs = 300;
    let passed = (0..runs).filter(|seed| {
        let mut gate = gate();
        let turns = |index: u32| if (index / 200).is_multiple_of(2) { [0.2, 0.1] } else { [0.1, 0.2] };
        log(*seed, 2_000, turns).into_iter().any(|row| {
            gate.add(row).unwrap();
            gate.has_passed()
        })
    });
    // α is 5 %; 24 would be three standard errors more.
    let passed = passed.count();
    assert!(passed <= 15 + 12, "{passed} of {runs}");
}

#[test]
fn the_order_does_not_matter_and_a_row_can_be_taken_back() {
    let rows = log(2, 500, |_| [0.3, 0.3]);
    let mut gate = filled(&rows);
    let reversed: Vec<Logged> = rows.iter().rev().copied().collect();
    assert!((gate.lower() - filled(&reversed).lower()).abs() < 1e-9);
    let before = gate.clone();
    let row = Logged { unit: 9, weight: 3.0, reward: 1.0 };
    gate.add(row).unwrap();
    assert!((gate.lower() - before.lower()).abs() > 1e-6);
    gate.remove(row).unwrap();
    assert!((gate.lower() - before.lower()).abs() < 1e-9);
    assert_eq!(gate.diagnostics().unwrap().rows, 500);
}

#[test]
fn too_few_effective_rows_or_units_are_refused_whatever_the_bound_says() {
    let few: Vec<Logged> = (0..90).map(|unit| Logged { unit, weight: 3.0, reward: 1.0 }).collect();
    let gate = filled(&few);
    assert!(gate.lower() > 0.0 && !gate.has_passed());
    let Some(Verdict::Refused { reasons, .. }) = gate.verdict() else { panic!("{:?}", gate.verdict()) };
    assert!(reasons.iter().any(|reason| matches!(reason, Refusal::EffectiveSampleSize { .. })), "{reasons:?}");
    // Many rows of few units.
    let rows = log(3, 4_000, |_| [0.1, 0.3]);
    let heavy: Vec<Logged> = rows.iter().map(|row| Logged { unit: row.unit % 50, ..*row }).collect();
    assert!(filled(&rows).has_passed() && !filled(&heavy).has_passed());
}

#[test]
fn diagnostics_are_those_of_a_sample() {
    let rows = log(4, 600, |_| [0.2, 0.2]);
    let rows: Vec<Logged> = rows.iter().map(|row| Logged { unit: row.unit / 3, ..*row }).collect();
    let whole: Vec<Row> = rows
        .iter()
        .map(|row| Row {
            unit: row.unit,
            reward: row.reward,
            propensity: if row.weight < 1.0 { 0.8 } else { 0.2 },
            evaluation: if row.weight < 1.0 { 0.2 } else { 0.8 },
            model: None,
            unsupported: None,
        })
        .collect();
    let (online, sample) = (filled(&rows).diagnostics().unwrap(), Sample::new(whole).unwrap().diagnostics());
    assert_eq!((online.rows, online.units), (sample.rows, sample.units));
    for (a, b) in [
        (online.effective_rows, sample.effective_rows),
        (online.effective_units, sample.effective_units),
        (online.max_weight_share, sample.max_weight_share),
        (online.mean_weight, sample.mean_weight),
        (online.mean_weight_error, sample.mean_weight_error),
    ] {
        assert!((a - b).abs() < 1e-9 * b, "{a} {b}");
    }
}

#[test]
fn bad_rows_and_rules_are_named() {
    let mut gate = gate();
    let row = Logged { unit: 1, weight: 1.0, reward: 0.5 };
    for bad in [Logged { weight: f64::INFINITY, ..row }, Logged { weight: -1.0, ..row }, Logged { reward: 1.1, ..row }]
    {
        assert!(matches!(gate.add(bad), Err(Error::RowValue { .. })), "{bad:?}");
    }
    assert!(gate.verdict().is_none() && gate.remove(row).is_err());
    assert!(OnlineGate::new(OnlineRule { alpha: 0.0, ..OnlineRule::default() }).is_err());
    assert!(OnlineGate::new(OnlineRule { margin: 1.0, ..OnlineRule::default() }).is_err());
}
