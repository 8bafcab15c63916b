use plaudit_event::Seed;
use rand::Rng as _;
use serde_json::json;

use super::super::*;
use crate::assign::AllocationConfig;

fn config(rule: serde_json::Value) -> AllocationConfig {
    serde_json::from_value(json!({"metric": "loved", "cohorts": 10, "rule": rule})).unwrap()
}

fn split(propensities: &[f64], counts: &[(u64, u64)]) -> Split {
    let arms = counts.iter().map(|(units, successes)| ArmCount { units: *units, successes: *successes });
    Split { propensities: propensities.to_vec(), arms: arms.collect() }
}

/// Cohorts of `size` units whose rates grow with time; the weights of the last cohort and the winner.
fn simulate(rates: &[f64], size: usize, rule: serde_json::Value, seed: u64) -> (Vec<f64>, Option<usize>) {
    let mut rng = Seed::new(seed).stream("cohorts");
    let mut cohorts = Cohorts::new(rates.len(), &config(rule), Goal::Maximise).unwrap();
    let mut weights = vec![1.0 / rates.len() as f64; rates.len()];
    for number in 0..10 {
        let mut arms = vec![ArmCount::default(); rates.len()];
        for _ in 0..size {
            let mut left: f64 = rng.random();
            let position = weights.iter().position(|weight| {
                left -= weight;
                left < 0.0
            });
            let arm = position.unwrap_or(0);
            arms[arm].units += 1;
            let rate = rates[arm] * (1.0 + 0.1 * f64::from(number));
            arms[arm].successes += u64::from(rng.random_bool(rate));
        }
        let seen = [Split { propensities: weights.clone(), arms }];
        match cohorts.close(&seen).unwrap() {
            Some(next) => weights = next.to_vec(),
            None => break,
        }
    }
    (weights, cohorts.winner())
}

#[test]
fn the_best_arm_gets_more_of_each_cohort_and_is_found() {
    for rule in [json!("track_and_stop"), json!({"top_two": 0.5}), json!("thompson")] {
        let (weights, winner) = simulate(&[0.05, 0.05, 0.09], 900, rule.clone(), 1);
        assert_eq!(winner, Some(2), "{rule}");
        assert!(weights[2] > 0.45, "{rule} {weights:?}");
    }
    let (weights, _) = simulate(&[0.05, 0.05, 0.09], 900, json!("uniform"), 1);
    assert!(weights.iter().all(|weight| (weight - 1.0 / 3.0).abs() < 1e-9), "{weights:?}");
}

#[test]
fn a_winner_among_equals_is_rare() {
    let wrong = (0..200).filter(|seed| simulate(&[0.1; 3], 500, json!({"top_two": 0.5}), *seed).1.is_some()).count();
    assert!(wrong <= 10, "{wrong} of 200 at 5 %");
}

#[test]
fn units_together_are_as_good_as_one_by_one() {
    let weights = [0.2, 0.3, 0.5];
    let mut together = WinnerTest::new(3, Goal::Maximise, 0.05).unwrap();
    let (mut alone, mut counts) = (together.clone(), vec![ArmCount::default(); 3]);
    for (arm, units) in [(0, 40), (1, 60), (2, 100)] {
        let successes = 2 * (arm as u64 + 1);
        counts[arm] = ArmCount { units, successes };
        for unit in 0..units {
            // With the guess that all of them are met with, which is what a new test has.
            let mut one = WinnerTest::new(3, Goal::Maximise, 0.05).unwrap();
            one.observe(arm, f64::from(u8::from(unit < successes)), &weights).unwrap();
            alone.add_evidence_of(&one);
        }
    }
    together.observe_all(&counts, &weights).unwrap();
    for (better, worse) in [(0, 1), (1, 0), (2, 0), (1, 2)] {
        let (one, other) = (together.ln_evidence(better, worse), alone.ln_evidence(better, worse));
        assert!((one - other).abs() < 1e-9, "{one} {other}");
    }
}

#[test]
fn counts_that_cannot_be_are_refused() {
    let even = [0.5, 0.5];
    let close = |seen: Split| {
        let mut cohorts = Cohorts::new(2, &config(json!("thompson")), Goal::Maximise).unwrap();
        cohorts.close(&[seen]).map(|weights| weights.map(<[f64]>::to_vec)).map_err(|error| error.to_string())
    };
    assert_eq!(close(split(&even, &[(1, 2), (1, 0)])), Err("successes is 2, must be at most units".to_owned()));
    assert_eq!(close(split(&even, &[(1, 0)])), Err("counts has 1 entries, must have 2".to_owned()));
    assert_eq!(close(split(&[1.0, 0.0], &[(1, 0), (0, 0)])), Err("propensity is 0, must be in (0, 1]".to_owned()));
    assert_eq!(close(split(&even, &[(0, 0), (0, 0)])), Ok(Some(even.to_vec())), "nobody came");
    assert!(Cohorts::new(1, &config(json!("thompson")), Goal::Maximise).is_err());
}
