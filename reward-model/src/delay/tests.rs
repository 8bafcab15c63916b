//! Against gradients of `torch.autograd` in double precision on the formulas; see `oracle` in the file.

use serde_json::Value;

use super::*;

/// One row in, and the loss with its derivatives by logit and, where there is one, rate.
type RowLoss = fn(&dyn Fn(&str) -> f64) -> (f64, f64, f64);

fn cases(name: &str) -> Vec<Value> {
    let text = include_str!("../../tests/fixtures/delayed_feedback.json");
    let file: Value = serde_json::from_str(text).unwrap();
    let cases = file["cases"][name].as_array().unwrap().clone();
    assert_eq!(cases.len(), 8, "{name}");
    cases
}

fn close(got: f64, expected: &Value, what: &str) {
    let expected = expected.as_f64().unwrap();
    assert!((got - expected).abs() <= 1e-9 * expected.abs().max(1e-3), "{what}: {got} is not {expected}");
}

/// The mean over each case's batch, and its gradient.
fn compare(name: &str, row_loss: RowLoss) {
    for case in cases(name) {
        let rows = case["inp"]["logit"].as_array().unwrap().len();
        let mut loss = 0.0;
        for row in 0..rows {
            let read = |column: &str| case["inp"][column][row].as_f64().unwrap();
            let (row_loss, slope, rate_slope) = row_loss(&read);
            loss += row_loss / rows as f64;
            let expected = &case["out"]["grad"];
            close(slope / rows as f64, &expected["logit"][row], name);
            if expected["log_lambda"].is_array() {
                close(rate_slope / rows as f64, &expected["log_lambda"][row], name);
            }
        }
        close(loss, &case["out"]["loss"], name);
    }
}

fn pair(row: LossAndSlope) -> (f64, f64, f64) {
    (row.loss, row.slope, 0.0)
}

#[test]
fn losses_and_gradients_match_the_reference() {
    compare("dfm_exponential", |read| {
        let time = read("delay_if_y_else_elapsed");
        let reaction = if read("y") > 0.5 { Reaction::After(time) } else { Reaction::NotWithin(time) };
        let row = exponential(read("logit"), read("log_lambda"), reaction);
        (row.of_logit.loss, row.of_logit.slope, row.rate_slope)
    });
    compare("fake_negative_weighted", |read| pair(fake_negative_weighted(read("logit"), read("y"))));
    compare("es_dfm", |read| {
        let (delayed, true_negative) = (sigmoid(read("dp_logit")), sigmoid(read("tn_logit")));
        pair(elapsed_time_sampled(read("logit"), read("y"), delayed, true_negative))
    });
    compare("fsiw", |read| {
        pair(shift_weighted(read("logit"), read("y"), sigmoid(read("logit1")), sigmoid(read("logit0"))))
    });
}

#[test]
fn calibrated_probabilities_match_the_reference() {
    for case in cases("fake_negative_calibration") {
        for (b, p) in case["inp"]["b"].as_array().unwrap().iter().zip(case["out"]["p"].as_array().unwrap()) {
            close(calibrate_fake_negatives(b.as_f64().unwrap()), p, "p");
        }
    }
    assert_eq!([0.5, 0.9].map(calibrate_fake_negatives), [1.0; 2]);
    assert!(calibrate_fake_negatives(f64::NAN).is_nan());
}

#[test]
fn slopes_agree_with_finite_differences_at_both_ends() {
    let step = 1e-5;
    for logit in [-12.0, -3.0, 0.0, 4.0, 12.0] {
        for reaction in [Reaction::After(3.0), Reaction::NotWithin(0.5), Reaction::NotWithin(80.0)] {
            let loss = |logit: f64, log_rate: f64| exponential(logit, log_rate, reaction).of_logit.loss;
            let got = exponential(logit, -1.0, reaction);
            let by_logit = (loss(logit + step, -1.0) - loss(logit - step, -1.0)) / (2.0 * step);
            let by_rate = (loss(logit, -1.0 + step) - loss(logit, -1.0 - step)) / (2.0 * step);
            assert!((got.of_logit.slope - by_logit).abs() < 1e-6, "{logit} {reaction:?}");
            assert!((got.rate_slope - by_rate).abs() < 1e-6, "{logit} {reaction:?}");
        }
    }
}

#[test]
fn extreme_rows_stay_finite() {
    for logit in [-1e4, -800.0, 800.0, 1e4] {
        for reaction in [Reaction::After(0.0), Reaction::NotWithin(0.0), Reaction::NotWithin(1e9)] {
            for log_rate in [-1e3, 0.0, 1e3] {
                let row = exponential(logit, log_rate, reaction);
                let numbers = [row.of_logit.loss, row.of_logit.slope, row.rate_slope];
                assert!(numbers.iter().all(|number| number.is_finite()), "{logit} {log_rate} {reaction:?}: {row:?}");
            }
        }
        for label in [0.0, 1.0] {
            let row = fake_negative_weighted(logit, label);
            assert!(row.loss.is_finite() && row.slope.is_finite());
        }
    }
}

#[test]
fn certain_feedback_is_plain_cross_entropy() {
    for (logit, label) in [(-1.5, 1.0), (0.4, 0.0), (2.0, 1.0)] {
        let plain = LossAndSlope { loss: bce(logit, label), slope: sigmoid(logit) - label };
        for row in [elapsed_time_sampled(logit, label, 0.0, 1.0), shift_weighted(logit, label, 1.0, 1.0)] {
            assert!((row.loss - plain.loss).abs() < 1e-7 && (row.slope - plain.slope).abs() < 1e-7);
        }
    }
}
