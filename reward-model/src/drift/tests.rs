//! Against river 0.26.1 (`drift.ADWIN`, `drift.PageHinkley`) on five streams, and on changes made here.

use plaudit_event::Seed;
use rand::Rng as _;

use super::adwin::Adwin;
use super::page_hinkley::PageHinkley;
use super::*;

/// Where changes are found, counted from 0.
fn found(values: &[f64], mut update: impl FnMut(f64) -> bool) -> Vec<usize> {
    let found = values.iter().enumerate().filter(|(_, value)| update(**value));
    found.map(|(at, _)| at).collect()
}

/// Both detectors, each with two settings, on five streams: a jump of a rate, none, two jumps of a mean, a slow change
/// and a change of nothing but the spread.
#[test]
fn detectors_find_what_the_reference_finds_and_adwin_knows_the_mean_since() {
    let file: serde_json::Value = serde_json::from_str(include_str!("../../tests/fixtures/drift_stream.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let list = |value: &serde_json::Value| -> Vec<f64> {
            value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
        };
        let places = |value: &serde_json::Value| -> Vec<usize> {
            list(&value["detections"]).into_iter().map(|place| place as usize).collect()
        };
        let (name, out) = (&case["inp"]["name"], &case["out"]);
        let values: Vec<f64> = list(&case["inp"]["x"]).into_iter().map(|x| x / 1e4).collect();
        for (delta, key) in [(0.002, "adwin_0.002"), (0.05, "adwin_0.05")] {
            let mut adwin = Adwin::default();
            assert_eq!(found(&values, |value| adwin.update(value, delta)), places(&out[key]), "{name} {key}");
            assert_eq!(adwin.width() as f64, out[key]["final_width"].as_f64().unwrap(), "{name} {key}");
            let mean = out[key]["final_estimation"].as_f64().unwrap();
            assert!((adwin.mean() - mean).abs() < 1e-12, "{name} {key}: {} is not {mean}", adwin.mean());
        }
        for (threshold, key) in [(50.0, "page_hinkley"), (20.0, "page_hinkley_l20_d005_a9999")] {
            let mut test = PageHinkley::default();
            assert_eq!(found(&values, |value| test.update(value, threshold)), places(&out[key]), "{name} {key}");
        }
    }
}

/// Monitors after `n` predictions of a model that is right about a rate of 0.1, which then is `rate`.
fn watched(n: u32, rate: f64) -> Monitors {
    let (mut monitors, mut stream) = (Monitors::default(), Seed::new(5).stream("drift"));
    for number in 0..n {
        let rate = if number < n / 2 { 0.1 } else { rate };
        let label = f64::from(u8::from(stream.random_bool(rate)));
        monitors.update(0.1, label, 20 + number % 7);
    }
    monitors
}

fn told(monitors: &Monitors, statistic: Statistic) -> Drift {
    monitors.told().find(|(told, _)| *told == statistic).expect("every statistic").1
}

#[test]
fn a_change_of_the_rate_shows_in_label_and_error_and_nowhere_else() {
    let monitors = watched(20_000, 0.3);
    for (statistic, drift) in monitors.told() {
        let is_hit = matches!(statistic, Statistic::Label | Statistic::Error);
        assert_eq!(drift.changes > 0, is_hit, "{statistic:?}: {drift:?}");
    }
    let label = told(&monitors, Statistic::Label);
    assert!((label.mean - 0.3).abs() < 0.03 && label.since < 10_000, "only what came since: {label:?}");
    assert!(label.page_hinkley_changes > 0, "{label:?}");
    assert_eq!(told(&monitors, Statistic::Length).since, 20_000);
}

#[test]
fn nothing_is_told_where_nothing_changes() {
    for (statistic, drift) in watched(20_000, 0.1).told() {
        assert_eq!((drift.changes, drift.since), (0, 20_000), "{statistic:?}");
    }
}

#[test]
fn detectors_go_on_from_their_numbers_as_if_nothing_had_happened() {
    let mut watched = watched(3_001, 0.4);
    let columns: Vec<_> = watched.to_columns().collect();
    let read = |statistic| columns.iter().find(|(of, ..)| *of == statistic).map(|(_, c, s)| (c.clone(), s.clone()));
    let mut again = Monitors::of_columns(read).expect("what was written");
    assert_eq!(again, watched);
    for number in 0..500 {
        let label = f64::from(u8::from(number % 3 == 0));
        assert_eq!(again.update(0.4, label, number), watched.update(0.4, label, number));
    }
    assert_eq!(again, watched);
    for broken in [0, 1, 3] {
        let cut = |statistic| {
            let (mut counts, sums) = read(statistic)?;
            counts.truncate(broken);
            Some((counts, sums))
        };
        assert!(Monitors::of_columns(cut).is_none(), "cut after {broken}");
    }
}
