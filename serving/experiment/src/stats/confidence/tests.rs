use plaudit_event::Seed;
use rand::Rng;
use serde_json::Value;

use super::*;
use crate::stats::RatioMoments;

fn cases(name: &str) -> Vec<Value> {
    let path = format!("{}/tests/oracles/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    file["cases"].as_array().unwrap().clone()
}

fn close(got: f64, want: f64, relative: f64) -> bool {
    (got - want).abs() <= relative * want.abs().max(got.abs())
}

#[test]
fn one_mean_agrees_with_the_reference_cases() {
    let cases = cases("asymp_cs");
    assert_eq!(cases.len(), 10);
    for case in cases {
        let (inp, out) = (&case["inp"], &case["out"]);
        let number = |key: &str| inp[key].as_f64().unwrap();
        let (alpha, rho) = (number("alpha"), inp["rho"].as_f64());
        let count = inp["count"].as_u64().unwrap();
        let got = asymp_cs(number("mean"), number("variance"), count, alpha, rho);
        assert!(close(got.lower, out["lower"].as_f64().unwrap(), 1e-12), "{case}");
        assert!(close(got.upper, out["upper"].as_f64().unwrap(), 1e-12), "{case}");
        if rho.is_none() {
            assert!(close(default_rho(alpha), out["rho"].as_f64().unwrap(), 1e-12));
        }
    }
}

fn arm(value: &Value) -> RatioMoments {
    let number = |part: &str, key: &str| value[part][key].as_f64().unwrap();
    let sums = [
        number("num", "sum"),
        number("num", "sum_squares"),
        number("den", "sum"),
        number("den", "sum_squares"),
        value["num_den_sum_of_products"].as_f64().unwrap(),
    ];
    RatioMoments::from_sums(value["n"].as_u64().unwrap(), sums)
}

#[test]
fn differences_of_ratio_metrics_agree_with_gbstats() {
    let mut compared = 0;
    for case in cases("gb_ratio") {
        let control = arm(&case["inp"]["control"]).estimate().unwrap();
        let treatment = arm(&case["inp"]["treatment"]).estimate().unwrap();
        let out = &case["out"];
        assert!(close(control.mean, out["mean_c"].as_f64().unwrap(), 1e-12));
        assert!(close(control.variance, out["var_c"].as_f64().unwrap(), 1e-9), "{case}");
        assert!(close(treatment.variance, out["var_t"].as_f64().unwrap(), 1e-9), "{case}");
        for (key, horizon) in [("seq_two_sided_absolute_N5000", 5000.0), ("seq_two_sided_absolute_N500", 500.0)] {
            let want = &out[key]["ci"];
            let got = contrast(&treatment, &control, 1.0, 0.05, horizon).unwrap();
            assert!(close(got.lower, want[0].as_f64().unwrap(), 1e-9), "{key} {got:?} {want}");
            assert!(close(got.upper, want[1].as_f64().unwrap(), 1e-9), "{key} {got:?} {want}");
            compared += 1;
        }
    }
    assert_eq!(compared, 16);
}

/// Simulates units with a random number of exposures and a love rate of their own, looks after every
/// 100 units per arm, and counts runs whose lift interval ever excluded zero.
fn share_of_alarms(runs: u64, units_per_arm: usize, rates: [f64; 2]) -> f64 {
    let mut alarms = 0_u64;
    for run in 0..runs {
        let mut rng = Seed::new(run).stream("a/a");
        let mut arms = [RatioMoments::default(); 2];
        for unit in 0..units_per_arm {
            for (moments, rate) in arms.iter_mut().zip(rates) {
                let personal = rate * if rng.random_bool(0.5) { 0.5 } else { 1.5 };
                let exposures = rng.random_range(1..=6);
                let loves = (0..exposures).filter(|_| rng.random_bool(personal)).count();
                moments.add((loves as f64, f64::from(exposures)));
            }
            let is_look = unit >= 300 && unit % 100 == 0;
            let estimates = (arms[0].estimate(), arms[1].estimate());
            if let (true, (Some(control), Some(treatment))) = (is_look, estimates) {
                let horizon = 2.0 * units_per_arm as f64;
                let interval = lift(&treatment, &control, 0.05, horizon);
                if interval.is_some_and(|i| i.lower > 0.0 || i.upper < 0.0) {
                    alarms += 1;
                    break;
                }
            }
        }
    }
    alarms as f64 / runs as f64
}

#[test]
fn watching_an_a_a_test_raises_no_false_alarm_beyond_alpha() {
    // 400 runs with 37 looks each: three standard errors above 5 % is 8.3 %.
    let share = share_of_alarms(400, 4_000, [0.05, 0.05]);
    assert!(share <= 0.083, "{share}");
}

#[test]
fn a_real_lift_is_found() {
    let share = share_of_alarms(60, 6_000, [0.05, 0.07]);
    assert!(share >= 0.9, "{share}");
}

#[test]
fn no_interval_without_evidence() {
    let nothing = Estimate { mean: 0.0, variance: 0.0, units: 500 };
    let something = Estimate { mean: 0.1, variance: 0.09, units: 500 };
    assert_eq!(contrast(&nothing, &nothing, 1.0, 0.05, 1000.0), None);
    assert_eq!(lift(&something, &nothing, 0.05, 1000.0), None);
    assert!(contrast(&something, &nothing, 1.0, 0.05, 1000.0).is_some());
}
