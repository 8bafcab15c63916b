//! Against scikit-learn, and on a world with one segment that is misjudged.

use plaudit_event::{Seed, Stream};
use rand::Rng as _;

use super::*;
use crate::quality::{ece, log_loss};

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// scikit-learn 1.9.1; see the `oracle` field of the file.
#[test]
fn platt_and_isotonic_match_all_reference_cases() {
    let file: serde_json::Value = serde_json::from_str(include_str!("../../tests/fixtures/calibration.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 10);
    let close = |got: f64, expected: f64, what: &str| {
        assert!((got - expected).abs() <= 1e-6 * expected.abs().max(1e-3), "{what}: {got} is not {expected}");
    };
    for case in cases {
        let logits: Vec<f64> = numbers(&case["inp"]["p"]).into_iter().map(logit).collect();
        let rows = Rows::unweighted(&logits, &numbers(&case["inp"]["y"])).unwrap();
        let Calibrator::Platt { a, b } = Calibrator::fit(Method::Platt, &rows) else { panic!("not the method") };
        let expected = numbers(&case["out"]["platt_a_b"]);
        close(a, expected[0], "a");
        close(b, expected[1], "b");
        let isotonic = Isotonic::fit(&rows);
        for (p, expected) in case["out"]["isotonic_at"].as_object().unwrap() {
            close(isotonic.apply(p.parse().unwrap()), expected.as_f64().unwrap(), p);
        }
    }
}

/// Logits, and labels whose truth is `slope·z + offset`.
fn drawn(n: usize, slope: f64, offset: f64, stream: &mut Stream) -> (Vec<f64>, Vec<f64>) {
    let draw = |_| {
        let z = -1.0 + 4.0 * (stream.random::<f64>() - 0.5);
        (z, f64::from(u8::from(stream.random::<f64>() < sigmoid(slope * z + offset))))
    };
    (0..n).map(draw).unzip()
}

#[test]
fn a_misjudged_segment_gets_honest_without_harm_to_the_others() {
    let mut stream = Seed::new(3).stream("segments");
    let parts = [("de", 4_000, 1.0, 0.0), ("fr", 1_500, 0.5, -1.2), ("tiny", 20, 3.0, 4.0)];
    let draw = |stream: &mut Stream| {
        let (mut logits, mut labels, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for (name, n, slope, offset) in parts {
            let (z, y) = drawn(n, slope, offset, stream);
            names.extend(vec![name; z.len()]);
            logits.extend(z);
            labels.extend(y);
        }
        (logits, labels, names)
    };
    let (logits, labels, names) = draw(&mut stream);
    let rows = Rows::unweighted(&logits, &labels).unwrap();
    let (fresh, truth, fresh_names) = draw(&mut stream);
    for method in [Method::Platt, Method::Isotonic] {
        let fitted = PerSegment::fit(method, &rows, &names, SegmentLimits::default()).unwrap();
        assert_eq!(fitted.segments.keys().collect::<Vec<_>>(), ["de", "fr"], "the third has too few labels");
        let error = |segment: &str, apply: &dyn Fn(f64) -> f64| {
            let of = |at: &usize| fresh_names[*at] == segment;
            let p: Vec<f64> = (0..fresh.len()).filter(of).map(|at| apply(fresh[at])).collect();
            let y: Vec<f64> = (0..fresh.len()).filter(of).map(|at| truth[at]).collect();
            ece(&p, &y)
        };
        let own = |segment| error(segment, &|z| fitted.apply(segment, z));
        let (raw, global) = (error("fr", &sigmoid), error("fr", &|z| fitted.global.apply(z)));
        assert!(raw > 0.12 && own("fr") < 0.04 && own("fr") < global, "{method:?}: {raw} {global} {}", own("fr"));
        assert!(own("de") < 0.03, "{method:?}: {}", own("de"));
        assert_eq!(fitted.apply("tiny", 0.3), fitted.global.apply(0.3));
        let text = serde_json::to_string(&fitted).unwrap();
        assert_eq!(serde_json::from_str::<PerSegment>(&text).unwrap(), fitted);
    }
    let one = SegmentLimits { max_segments: 1, ..SegmentLimits::default() };
    let bounded = PerSegment::fit(Method::Platt, &rows, &names, one).unwrap();
    assert_eq!(bounded.segments.keys().collect::<Vec<_>>(), ["de"], "the largest");
}

#[test]
fn the_method_is_chosen_by_what_is_wrong() {
    let mut stream = Seed::new(4).stream("select");
    for (slope, offset, expected) in
        [(1.0, 0.0, Method::Identity), (0.4, 0.0, Method::Temperature), (0.6, -1.0, Method::Platt)]
    {
        let (z, y) = drawn(6_000, slope, offset, &mut stream);
        let rows = Rows::unweighted(&z, &y).unwrap();
        let selection = select(&rows, &Method::ALL, 5).unwrap();
        let losses = &selection.log_losses;
        assert!(losses[&expected] < losses[&selection.method] + 1e-3, "{selection:?}");
        let fitted = Calibrator::fit(selection.method, &rows);
        let p: Vec<f64> = z.iter().map(|z| fitted.apply(*z)).collect();
        assert!(ece(&p, &y) < 0.03, "{selection:?}");
        if expected != Method::Identity {
            assert!(losses[&selection.method] < losses[&Method::Identity] - 5e-3, "{selection:?}");
        }
    }
}

#[test]
fn the_temperature_is_the_least_point_of_the_log_loss() {
    let (z, y) = drawn(3_000, 0.5, 0.0, &mut Seed::new(6).stream("temperature"));
    let rows = Rows::unweighted(&z, &y).unwrap();
    let Calibrator::Temperature { temperature } = Calibrator::fit(Method::Temperature, &rows) else { panic!() };
    assert!((temperature - 2.0).abs() < 0.4, "{temperature}");
    let loss = |t: f64| log_loss(&z.iter().map(|z| sigmoid(z / t)).collect::<Vec<_>>(), &y);
    assert!(loss(temperature) < loss(temperature * 1.01) && loss(temperature) < loss(temperature / 1.01));
}

#[test]
fn weights_count_like_repeated_rows() {
    let (z, y) = ([-1.0, 0.5, 0.2, 2.0], [0.0, 1.0, 0.0, 1.0]);
    let weighted = Rows::new(&z, &y, &[2.0, 1.0, 3.0, 0.0]).unwrap();
    let repeated = Rows::unweighted(&[-1.0, -1.0, 0.5, 0.2, 0.2, 0.2], &[0.0, 0.0, 1.0, 0.0, 0.0, 0.0]).unwrap();
    for method in Method::ALL {
        let (a, b) = (Calibrator::fit(method, &weighted), Calibrator::fit(method, &repeated));
        for z in [-3.0, 0.0, 0.3, 4.0] {
            assert!((a.apply(z) - b.apply(z)).abs() < 1e-6, "{method:?}");
        }
    }
}

#[test]
fn poor_rows_are_refused_or_change_nothing() {
    let none = Rows::unweighted(&[], &[]).unwrap();
    let one_class = Rows::unweighted(&[0.1, 0.9], &[1.0, 1.0]).unwrap();
    for method in Method::ALL {
        assert_eq!(Calibrator::fit(method, &none), Calibrator::Identity);
        assert_eq!(Calibrator::fit(method, &one_class), Calibrator::Identity);
    }
    // Perfectly separated, and one logit for all.
    for z in [[-1e300, -1.0, 1.0, 1e300], [0.7; 4]] {
        let rows = Rows::unweighted(&z, &[0.0, 0.0, 1.0, 1.0]).unwrap();
        for method in Method::ALL {
            let p = Calibrator::fit(method, &rows).apply(0.7);
            assert!((0.0..=1.0).contains(&p), "{method:?}: {p}");
        }
    }
    let error = |rows: Result<Rows, Error>| rows.unwrap_err().to_string();
    assert_eq!(error(Rows::unweighted(&[0.0, f64::NAN], &[0.0, 1.0])), "`logits[1]` must be finite, got NaN");
    assert_eq!(error(Rows::unweighted(&[0.0], &[1.5])), "`labels[0]` must be 0 to 1, got 1.5");
    assert_eq!(error(Rows::unweighted(&[0.0], &[])), "`labels` must be 1 values, one per logit, got 0");
    assert_eq!(error(Rows::new(&[0.0], &[1.0], &[-1.0])), "`weights[0]` must be finite and at least 0, got -1");
    assert!(select(&one_class, &Method::ALL, 3).is_err() && select(&one_class, &[], 2).is_err());
    assert!(PerSegment::fit(Method::Platt, &one_class, &["a"], SegmentLimits::default()).is_err());
}
