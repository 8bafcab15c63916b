//! Against scikit-learn and netcal (see the `oracle` field of the file), and at the edges.

use super::*;

#[test]
fn ties_count_half_and_one_class_has_no_area() {
    assert_eq!(auroc(&[0.1, 0.5, 0.5, 0.9], &[0.0, 0.0, 1.0, 1.0]), Some(0.875));
    assert_eq!(auroc(&[0.1, 0.2], &[1.0, 1.0]), None);
    assert_eq!(Quality::measure(&[], &[], &[]), None);
}

#[test]
fn scores_that_are_not_numbers_have_no_area() {
    let labels = [0.0, 1.0, 0.0, 1.0];
    for bad in [f64::NAN, -f64::NAN] {
        for place in 0..4 {
            let mut scores = [0.1, 0.2, 0.3, 0.4];
            scores[place] = bad;
            assert_eq!(auroc(&scores, &labels), None);
        }
    }
    let infinite = [f64::NEG_INFINITY, f64::INFINITY, 0.0, f64::INFINITY];
    assert_eq!(auroc(&infinite, &labels), Some(1.0));
}

#[test]
fn counted_rows_equal_repeated_rows() {
    let (p, y) = ([0.2, 0.7, 0.4], [0.0, 1.0, 1.0]);
    let counted = auroc_weighted(&order(&p), &p, &y, &[2, 1, 0]);
    assert_eq!(counted, auroc(&[0.2, 0.2, 0.7], &[0.0, 0.0, 1.0]));
}

#[test]
fn correlation_has_the_sign_and_the_bounds() {
    assert!((pearson(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]).unwrap() - 1.0).abs() < 1e-12);
    assert!((pearson(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]).unwrap() + 1.0).abs() < 1e-12);
    assert_eq!(pearson(&[1.0, 1.0], &[1.0, 2.0]), None);
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn figures_match_all_reference_cases() {
    let file: serde_json::Value = serde_json::from_str(include_str!("../../tests/fixtures/calibration.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 10);
    for case in cases {
        let (p, y) = (numbers(&case["inp"]["p"]), numbers(&case["inp"]["y"]));
        let test = spiegelhalter(&p, &y).unwrap();
        let got = [
            ("auc", auroc(&p, &y).unwrap()),
            ("logloss", log_loss(&p, &y)),
            ("ece10_equal_width", ece(&p, &y)),
            ("netcal_ece10", ece(&p, &y)),
            ("ace10_equal_mass", ece_equal_mass(&p, &y, 10).unwrap()),
            ("mce10", mce(&p, &y)),
            ("brier", brier(&p, &y)),
            ("ap", average_precision(&p, &y).unwrap()),
            ("spiegelhalter_z", test.z),
            ("spiegelhalter_p", test.p_value),
        ];
        for (name, got) in got {
            let expected = case["out"][name].as_f64().unwrap();
            assert!((got - expected).abs() < 1e-6 * expected.abs(), "{name}: {got} is not {expected}");
        }
    }
}

#[test]
fn curves_agree_with_the_figures_that_sum_them_up() {
    let (p, y) = ([0.05, 0.15, 0.15, 0.45, 0.72, 0.9, 1.0], [0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    let bins = reliability(&p, &y);
    assert_eq!(bins.iter().map(|bin| bin.count).sum::<usize>(), 7);
    let sum: f64 = bins.iter().map(|bin| bin.count as f64 / 7.0 * (bin.mean_p - bin.mean_y).abs()).sum();
    assert!((sum - ece(&p, &y)).abs() < 1e-12);
    assert!(
        bins.iter().all(|bin| bin.low >= 0.0 && bin.low <= bin.mean_y && bin.mean_y <= bin.high && bin.high <= 1.0)
    );
    // SciPy: scipy.stats.binomtest(1, 2).proportion_ci(method="wilson").low
    assert!((bins[1].low - 0.094_531_205_734_230_77).abs() < 1e-9 && (bins[1].low + bins[1].high - 1.0).abs() < 1e-9);
    let curve = roc(&p, &y);
    let area: f64 = curve
        .windows(2)
        .map(|w| {
            (w[1].false_positive_rate - w[0].false_positive_rate) * (w[0].true_positive_rate + w[1].true_positive_rate)
                / 2.0
        })
        .sum();
    assert!((area - auroc(&p, &y).unwrap()).abs() < 1e-12);
    assert_eq!((curve[0].false_positive_rate, curve[0].true_positive_rate), (0.0, 0.0));
    let last = curve.last().unwrap();
    assert_eq!((last.false_positive_rate, last.true_positive_rate), (1.0, 1.0));
}

#[test]
fn what_cannot_be_measured_is_absent() {
    assert_eq!((mce(&[], &[]), brier(&[], &[]), reliability(&[], &[]).len()), (0.0, 0.0, 0));
    assert_eq!((average_precision(&[0.3], &[0.0]), spiegelhalter(&[], &[])), (None, None));
    assert_eq!((ece_equal_mass(&[], &[], 10), ece_equal_mass(&[0.1], &[0.0], 0)), (None, None));
    assert_eq!(ece_equal_mass(&[0.1, 0.2], &[0.0, 1.0], 10).map(|e| (e * 100.0).round()), Some(45.0));
    assert!(roc(&[0.1, 0.2], &[1.0, 1.0]).is_empty() && roc(&[f64::NAN, 0.2], &[1.0, 0.0]).is_empty());
    assert_eq!(spiegelhalter(&[0.5, 0.5], &[0.0, 1.0]), None, "no variance to test with");
    assert_eq!(average_precision(&[f64::NAN, 0.3], &[0.0, 1.0]), None);
    assert!(reliability(&[f64::NAN], &[1.0]).is_empty());
}
