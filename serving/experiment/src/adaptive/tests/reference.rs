//! Agreement with exact integration and with the formulas of the papers.

use serde_json::Value;

use super::super::*;

fn cases(name: &str, number: usize) -> (Vec<Value>, f64) {
    let path = format!("{}/tests/oracles/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = file["cases"].as_array().unwrap().clone();
    assert_eq!(cases.len(), number);
    let tolerance = file["abs_tol"].as_f64().or(file["rel_tol"].as_f64()).unwrap();
    (cases, tolerance)
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn assert_all_close(got: &[f64], want: &Value, tolerance: f64) {
    let want = numbers(want);
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() <= tolerance, "{got} {want}");
    }
}

#[test]
fn probabilities_of_beta_arms_agree() {
    let (cases, tolerance) = cases("beta_thompson", 10);
    let mut losses = 0;
    for case in cases {
        let arms: Vec<Posterior> = case["inp"]["beta"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| Posterior::Beta { a: pair[0].as_f64().unwrap(), b: pair[1].as_f64().unwrap() })
            .collect();
        // The reference's own sum says how far its integrals are from one.
        let slack = (case["out"]["sum"].as_f64().unwrap() - 1.0).abs();
        let best = probability_best(&arms, Goal::Maximise).unwrap();
        assert_all_close(&best, &case["out"]["p_best"], tolerance + slack);
        let loss = expected_loss(&arms, Goal::Maximise).unwrap();
        for (arm, name) in ["expected_loss_choose_arm0", "expected_loss_choose_arm1"].into_iter().enumerate() {
            let Some(want) = case["out"][name].as_f64() else { continue };
            assert!((loss[arm] - want).abs() <= tolerance + slack, "{loss:?} {case}");
            losses += 1;
        }
    }
    assert_eq!(losses, 12);
}

#[test]
fn probabilities_of_gaussian_arms_agree() {
    let (cases, tolerance) = cases("gauss_thompson", 6);
    for case in cases {
        let (means, sds) = (numbers(&case["inp"]["mean"]), numbers(&case["inp"]["sd"]));
        let arms: Vec<Posterior> =
            means.iter().zip(&sds).map(|(mean, sd)| Posterior::Gaussian { mean: *mean, sd: *sd }).collect();
        let best = probability_best(&arms, Goal::Maximise).unwrap();
        assert_all_close(&best, &case["out"]["p_best"], tolerance);
        assert_all_close(&top_two(&best, 0.5).unwrap(), &case["out"]["top_two_psi_beta_half"], tolerance);
        let floor = case["inp"]["floor"].as_f64().unwrap();
        assert_all_close(&with_floor(&best, floor).unwrap(), &case["out"]["gb_additive_floor"], tolerance);
        // The same arms with the signs turned, where less is better.
        let turned: Vec<Posterior> =
            means.iter().zip(&sds).map(|(mean, sd)| Posterior::Gaussian { mean: -mean, sd: *sd }).collect();
        let lowest = probability_best(&turned, Goal::Minimise).unwrap();
        assert_all_close(&lowest, &case["out"]["p_best"], tolerance);
    }
}

#[test]
fn track_and_stop_agrees() {
    let (cases, tolerance) = cases("track_and_stop", 6);
    for case in cases {
        let (means, variances) = (numbers(&case["inp"]["mean"]), numbers(&case["inp"]["variance"]));
        let epsilon = case["inp"]["epsilon"].as_f64().unwrap();
        let got = track_and_stop(&means, &variances, epsilon, Goal::Maximise).unwrap().unwrap();
        assert_all_close(&got.weights, &case["out"]["weights"], tolerance);
        let want = case["out"]["characteristic_time"].as_f64().unwrap();
        assert!((got.characteristic_time - want).abs() <= tolerance * want, "{got:?} {want}");
        if case["out"]["closed_form_2arm"].is_array() {
            assert_all_close(&got.weights, &case["out"]["closed_form_2arm"], 1e-9);
        }
        let turned: Vec<f64> = means.iter().map(|mean| -mean).collect();
        assert_eq!(track_and_stop(&turned, &variances, epsilon, Goal::Minimise).unwrap().unwrap(), got);
    }
}

#[test]
fn the_stopping_rule_agrees() {
    let (cases, tolerance) = cases("glr_stop", 6);
    for case in cases {
        let (inp, out) = (&case["inp"], &case["out"]);
        let counts: Vec<u64> = numbers(&inp["n"]).into_iter().map(|count| count as u64).collect();
        let (epsilon, delta) = (inp["epsilon"].as_f64().unwrap(), inp["delta"].as_f64().unwrap());
        let got = glr_stop(&counts, &numbers(&inp["mean"]), &numbers(&inp["variance"]), epsilon, delta).unwrap();
        assert_eq!(got.leader as u64, out["leader"].as_u64().unwrap());
        assert_eq!(got.stops(), out["stop"].as_bool().unwrap());
        for (got, name) in [(got.statistic, "glr_min"), (got.threshold, "threshold")] {
            let want = out[name].as_f64().unwrap();
            assert!((got - want).abs() <= tolerance * want.abs(), "{got} {want}");
        }
    }
}
