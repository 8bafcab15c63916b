use plaudit_event::Seed;
use rand::Rng;

use super::super::*;
use crate::Error;

/// Scores `w·r` of a policy that concentrates on few of ten actions, with their true mean.
fn scores(seed: u64, n: usize) -> (Vec<f64>, f64) {
    let mut rng = Seed::new(seed).stream("scores");
    let evaluation = |action: usize| if action == 0 { 0.55 } else { 0.05 };
    let rate = |action: usize| if action == 0 { 0.07 } else { 0.05 };
    let mut score = || {
        let action = rng.random_range(0..10);
        let reward = f64::from(u8::from(rng.random_bool(rate(action))));
        evaluation(action) / 0.1 * reward
    };
    let truth = (0..10).map(|action| evaluation(action) * rate(action)).sum();
    ((0..n).map(|_| score()).collect(), truth)
}

#[test]
fn the_betting_bound_is_valid_and_tighter_than_bernstein() {
    let runs = 400;
    let (mut above, mut closer) = (0, 0);
    for run in 0..runs {
        let (scores, truth) = scores(run, 1_000);
        let betting = betting(&scores, 0.0, 1.0, 0.05).unwrap();
        above += u32::from(betting > truth);
        closer += u64::from(betting > empirical_bernstein(&scores, 5.5, 0.05).unwrap());
    }
    // 5 % of 400 plus three standard errors.
    assert!(above <= 33, "{above}");
    assert_eq!(closer, runs);
}

#[test]
fn the_betting_bound_closes_in() {
    let (scores, truth) = scores(1, 200_000);
    let bound = betting(&scores, 0.0, 1.0, 0.05).unwrap();
    assert!(bound < truth && bound > 0.95 * truth, "{bound} {truth}");
}

#[test]
fn the_betting_bound_moves_with_its_values() {
    let (scores, _) = scores(2, 2_000);
    let bound = betting(&scores, 0.0, 1.0, 0.05).unwrap();
    let shifted: Vec<f64> = scores.iter().map(|score| score - 1.0).collect();
    assert!((betting(&shifted, -1.0, 1.0, 0.05).unwrap() - (bound - 1.0)).abs() < 1e-9);
    let doubled: Vec<f64> = scores.iter().map(|score| score * 2.0).collect();
    assert!((betting(&doubled, 0.0, 2.0, 0.05).unwrap() - 2.0 * bound).abs() < 1e-9);
}

#[test]
fn without_a_reward_the_bound_is_the_floor() {
    assert_eq!(betting(&[0.0; 50], 0.0, 1.0, 0.05).unwrap(), 0.0);
    assert_eq!(student_t(&[0.0; 50], 0.05).unwrap(), 0.0);
    assert!(hoeffding(&[0.0; 50], 1.0, 0.05).unwrap() < 0.0);
}

#[test]
fn a_bound_refuses_what_would_void_it() {
    let low = betting(&[0.5, -0.1], 0.0, 1.0, 0.05);
    assert!(matches!(low, Err(Error::RowValue { row: 1, field: "score", .. })), "{low:?}");
    assert!(matches!(betting(&[], 0.0, 1.0, 0.05), Err(Error::Empty)));
    assert!(matches!(betting(&[f64::NAN], 0.0, 1.0, 0.05), Err(Error::RowValue { row: 0, .. })));
    assert!(matches!(student_t(&[1.0], 0.05), Err(Error::Empty)));
    for alpha in [0.0, 1.0, f64::NAN] {
        assert!(matches!(betting(&[1.0], 0.0, 1.0, alpha), Err(Error::Value { field: "alpha", .. })));
    }
    let narrow = empirical_bernstein(&[0.0, 3.0], 2.0, 0.05);
    assert!(matches!(narrow, Err(Error::Value { field: "width", .. })), "{narrow:?}");
    assert!(matches!(betting(&[1.0], 0.0, 0.0, 0.05), Err(Error::Value { field: "scale", .. })));
}

#[test]
fn intervals_count_units_and_not_rows() {
    let mut rng = Seed::new(3).stream("rows");
    let mut row = |unit| {
        let reward = f64::from(u8::from(rng.random_bool(0.2)));
        Row { unit, reward, propensity: 0.5, evaluation: 0.5, model: None, unsupported: None }
    };
    let single: Vec<Row> = (0..500).map(&mut row).collect();
    // Ten copies of every row, under its own unit and under new ones.
    let copies = |fresh: bool| {
        let copy =
            |index: usize| Row { unit: if fresh { index as u64 } else { (index % 500) as u64 }, ..single[index % 500] };
        Sample::new((0..5_000).map(copy).collect()).unwrap()
    };
    let error = |sample: &Sample| sample.evaluate(Estimator::Ips).unwrap().standard_error;
    let once = Sample::new(single.clone()).unwrap();
    assert!((error(&copies(false)) / error(&once) - 1.0).abs() < 1e-9);
    assert!((error(&copies(true)) / error(&once) - 0.1_f64.sqrt()).abs() < 1e-9);
    let resampling = Resampling { seed: Seed::new(1), draws: 2_000, alpha: 0.05 };
    let width = |sample: &Sample| {
        let interval = sample.bootstrap(Estimator::Snips, resampling).unwrap();
        interval.upper - interval.lower
    };
    assert!((width(&copies(false)) / width(&once) - 1.0).abs() < 1e-9);
    assert!(width(&copies(true)) < 0.4 * width(&once));
}
