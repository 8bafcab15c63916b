//! What is said, and what is said of bad data.

use super::*;
use crate::stats::{Guardrail, Proportions, Successes};

const SET: &str = r#"
[[metrics]]
name = "copies"
kind = "mean"
source = { signal = { kind = "copy" } }
direction = "up"
goal = true

[[metrics]]
name = "latency"
kind = "ratio"
source = { attribute = "latency_ms" }
denominator = "exposures"
direction = "down"
guardrail = { relative = 0.05 }
"#;

/// Forty thousand units: copies around 1, latencies around 100, with these effects.
fn data(set: &MetricSet, copies: f64, latency: f64) -> Aggregates {
    let rows = (0..40_000_u64).map(|index| {
        let variant = (index % 2) as usize;
        let effect = variant as f64;
        let spread = (index / 2 % 5) as f64 - 2.0;
        let slow = UnitValue { after: [(100.0 + latency * effect + 5.0 * spread) * 2.0, 2.0], ..UnitValue::default() };
        unit(index, variant, vec![single(1.0 + copies * effect + 0.3 * spread, 0.0), Some(slow)])
    });
    sums(set, rows)
}

fn report(copies: f64, latency: f64, method: Choice) -> Report {
    let set = set(SET);
    analyse(&set, &data(&set, copies, latency), &reading(method))
}

#[test]
fn advice_follows_goals_and_guardrails() {
    let methods = [Choice::Default, Choice::Msprt, Choice::GroupSequential, Choice::Fixed];
    for method in methods {
        let cases = [
            (0.1, 0.0, Advice::Ship, Guardrail::NotWorse),
            (-0.1, 0.0, Advice::Stop, Guardrail::NotWorse),
            (0.1, 20.0, Advice::Stop, Guardrail::Violated),
            (0.1, 5.0, Advice::GoOn, Guardrail::Undecided),
            (0.0, 0.0, Advice::GoOn, Guardrail::NotWorse),
        ];
        for (copies, latency, advice, guard) in cases {
            let report = report(copies, latency, method);
            assert_eq!(report.verdicts[0].advice, advice, "{method:?} {}", report.verdicts[0].sentence);
            assert_eq!(report.rows[1].guardrail, Some(guard), "{method:?} {:?}", report.rows[1]);
        }
    }
}

#[test]
fn bayes_tells_chances_and_no_p_value() {
    let report = report(0.1, 0.0, Choice::Bayes);
    assert!(report.rows[0].chance_to_win.unwrap() > 0.999 && report.rows[0].p.is_none());
    assert!(!report.rows[0].is_discovery);
}

#[test]
fn the_text_is_a_table_and_the_report_survives_a_round_trip() {
    let report = report(0.1, 5.0, Choice::Default);
    let text = report.to_text();
    let open = "new (go on): Go on: better in copies, but latency may still be worse than allowed.";
    assert!(text.contains(open), "{text}");
    let row = text.lines().find(|line| line.trim_start().starts_with("copies")).unwrap();
    assert!(row.contains("+10.00 %") && row.contains("better*") && row.contains("<0.0001"), "{text}");
    assert!(text.starts_with("7.0 days, units: control 20000, new 20000\n"), "{text}");
    let json = serde_json::to_string(&report).unwrap();
    let back: Report = serde_json::from_str(&json).unwrap();
    // Numbers may differ in the last digit.
    assert_eq!(back.to_text(), text);
}

#[test]
fn a_leak_and_multiple_exposure_forbid_to_decide() {
    let set = set(SET);
    let mut aggregates = data(&set, 0.1, 0.0);
    let mut few = aggregates.clone();
    few.multiple = 10;
    let report = analyse(&set, &few, &reading(Choice::Default));
    assert_eq!(report.verdicts[0].advice, Advice::Ship);
    assert!(matches!(report.warnings[..], [ReportWarning::MultipleExposure { units: 10, is_alarm: false, .. }]));
    few.multiple = 2_000;
    assert_eq!(analyse(&set, &few, &reading(Choice::Default)).verdicts[0].advice, Advice::DoNotDecide);
    for index in 0..2_000 {
        aggregates.row(&unit(1_000_000 + index, 1, vec![single(1.0, 0.0), None])).unwrap();
    }
    let report = analyse(&set, &aggregates, &reading(Choice::Default));
    assert_eq!(report.verdicts[0].advice, Advice::DoNotDecide, "{:?}", report.srm);
    assert!(report.srm.iter().all(|check| check.p < 1e-6) && report.srm[1].chi2.unwrap().p < 1e-6);
    assert!(report.to_text().contains("sample-ratio mismatch in phase 0"));
}

/// The row of the first metric, for values by variant.
fn first_row(text: &str, method: Choice, values: impl Fn(u64) -> Option<UnitValue>) -> Row {
    let set = set(text);
    let others = set.metrics.len() - 1;
    let rows = (0..1000_u64).map(|index| {
        let mut all = vec![values(index)];
        all.extend(vec![None; others]);
        unit(index, (index % 2) as usize, all)
    });
    let report = analyse(&set, &sums(&set, rows.collect::<Vec<_>>()), &reading(method));
    assert!(!serde_json::to_string(&report).unwrap().contains("NaN"));
    assert!(!report.to_text().contains("NaN"));
    report.rows[0].clone()
}

const RATIO: &str = "metrics = [{ name = \"r\", kind = \"ratio\", source = { signal = { kind = \"copy\" } }, denominator = \"exposures\", direction = \"up\" }]";

#[test]
fn every_kind_of_empty_data_is_told_and_gives_no_number() {
    let every = [
        Choice::Default,
        Choice::ExactArms,
        Choice::Betting,
        Choice::Asymptotic,
        Choice::Msprt,
        Choice::GroupSequential,
        Choice::Fixed,
        Choice::Bayes,
        Choice::QuantileAb,
    ];
    for method in every {
        let nothing = first_row(SET, method, |_| None);
        assert_eq!(nothing.warnings, vec![RowWarning::NoData], "{method:?}");
        assert!(nothing.p.is_none() && nothing.absolute.is_none() && nothing.control.is_none());
        let one_sided = first_row(SET, method, |index| if index % 2 == 0 { single(index as f64, 0.0) } else { None });
        assert_eq!(one_sided.warnings, vec![RowWarning::NoData], "{method:?}");
        let flat = first_row(SET, method, |_| single(3.0, 0.0));
        assert_eq!((flat.warnings, flat.p, flat.absolute), (vec![RowWarning::NoVariance], None, None), "{method:?}");
        let divided = first_row(RATIO, method, |_| Some(UnitValue::default()));
        assert_eq!((divided.warnings, divided.p), (vec![RowWarning::DivisionByZero], None), "{method:?}");
        let huge = first_row(SET, method, |index| single(index as f64 * 1e305, 0.0));
        assert!(huge.p.is_none_or(|p| (0.0..=1.0).contains(&p)), "{huge:?}");
        let empty = set(SET);
        let report = analyse(&empty, &sums(&empty, []), &reading(method));
        assert_eq!(report.warnings, vec![ReportWarning::NoUnits]);
        assert_eq!(report.verdicts[0].advice, Advice::DoNotDecide);
        assert!(!report.to_text().contains("NaN"));
    }
}

#[test]
fn a_control_of_zero_has_an_effect_but_no_lift() {
    let row = first_row(SET, Choice::Fixed, |index| single(if index % 2 == 0 { 0.0 } else { (index % 7) as f64 }, 0.0));
    assert!(row.relative.is_none() && row.absolute.is_some() && row.p.unwrap() < 1e-6);
}

#[test]
fn rare_shares_at_one_look_have_score_intervals() {
    let text = r#"metrics = [{ name = "loved", kind = "proportion", source = { label = "love" }, direction = "up" }]"#;
    let rare = |index: u64| single(f64::from(u8::from(index % 2 == 1 && index < 12 || index == 0)), 0.0);
    let row = first_row(text, Choice::Fixed, rare);
    let arm = |hits| Successes { hits, units: 500 };
    let test = Proportions::new(arm(6), arm(1)).unwrap();
    let (interval, lift) = (row.absolute.unwrap(), row.relative.unwrap());
    assert_eq!(
        (interval.lower, interval.upper),
        (Some(test.score_difference(0.05).0), Some(test.score_difference(0.05).1))
    );
    assert_eq!((lift.lower, lift.value), (Some(test.score_ratio(0.05).unwrap().0 - 1.0), Some(5.0)));
    assert_eq!(row.p, test.barnard());
    // By phase there are several tables, and none of them is all of it.
    let set = set(text);
    let phased = (0..1000_u64).map(|index| UnitRow {
        phase: u32::from(index > 500),
        ..unit(index, (index % 2) as usize, vec![single(f64::from(u8::from(index % 50 < 3)), 0.0)])
    });
    let row = analyse(&set, &sums(&set, phased.collect::<Vec<_>>()), &reading(Choice::Fixed)).rows.remove(0);
    let (absolute, value) = (row.absolute.unwrap(), row.absolute.and_then(|interval| interval.value).unwrap());
    assert!((absolute.lower.unwrap() + absolute.upper.unwrap() - 2.0 * value).abs() < 1e-12, "{absolute:?}");
}

#[test]
fn few_units_and_low_power_are_told() {
    let text = SET.replacen("goal = true", "goal = true\nminimum_units = 501\nsmallest_interesting = 0.01", 1);
    let spread = |index: u64| single(10.0 + (index % 2) as f64 * 5.0 + (index % 9) as f64, 0.0);
    let row = first_row(&text, Choice::Default, spread);
    assert!(row.warnings.contains(&RowWarning::TooFewUnits { units: 500, needed: 501 }), "{row:?}");
    assert!(row.warnings.iter().any(|warning| matches!(warning, RowWarning::LowPower { .. })));
    assert_eq!(row.decision, crate::stats::Decision::Undecided);
    let decided = first_row(SET, Choice::Default, spread);
    assert_eq!((decided.decision, decided.warnings.len()), (crate::stats::Decision::Better, 0), "{decided:?}");
}

#[test]
fn a_covariate_that_does_not_vary_is_told() {
    let text = SET.replacen("goal = true", "cuped = { days = 7 }", 1);
    let row = first_row(&text, Choice::Default, |index| single((index % 9) as f64, 4.0));
    assert_eq!((row.warnings, row.theta), (vec![RowWarning::FlatCovariate], Some(0.0)));
}

#[test]
fn looks_that_do_not_increase_are_told() {
    let set = set(SET);
    let aggregates = data(&set, 0.1, 0.0);
    let reading = Reading { looks: vec![0.5, 0.4], ..reading(Choice::GroupSequential) };
    let report = analyse(&set, &aggregates, &reading);
    assert!(report.warnings.contains(&ReportWarning::UnusableLooks) && report.rows[0].absolute.is_none());
}

#[test]
fn an_effect_that_was_carried_over_is_told() {
    let set = set(SET);
    let rows = |carried: f64| {
        let one = move |index: u64| {
            let (variant, is_carried) = ((index % 2) as usize, index % 4 < 2);
            let effect = variant as f64 * if is_carried { carried } else { 0.0 };
            let row = unit(index, variant, vec![single((index / 4 % 9) as f64 + effect, 0.0), None]);
            UnitRow { is_carried, ..row }
        };
        (0..4000).map(one)
    };
    let told = |carried: f64| {
        let report = analyse(&set, &sums(&set, rows(carried)), &reading(Choice::Default));
        report.rows[0].warnings.iter().any(|warning| matches!(warning, RowWarning::CarryOver { .. }))
    };
    assert!(told(2.0) && !told(0.0));
}

#[test]
fn segments_have_rows_of_their_own() {
    let set = set(&format!("{SET}\n[[segments]]\nattribute = \"country\"\nvalues = [\"DE\", \"FR\"]\n"));
    let rows = (0..6000_u64).map(|index| {
        let (variant, segment) = ((index % 2) as usize, (index / 2 % 3) as usize);
        let effect = if segment == 1 { 2.0 * variant as f64 } else { 0.0 };
        UnitRow {
            segments: vec![segment],
            ..unit(index, variant, vec![single((index / 6 % 9) as f64 + effect, 0.0), None])
        }
    });
    let report = analyse(&set, &sums(&set, rows), &reading(Choice::Default));
    let copies: Vec<_> = report.segments.iter().filter(|row| row.metric == "copies").collect();
    let values: Vec<&str> = copies.iter().map(|row| row.segment.as_ref().unwrap().1.as_str()).collect();
    assert_eq!(values, ["DE", "FR", "other"]);
    assert_eq!(copies.iter().map(|row| row.is_discovery).collect::<Vec<_>>(), [false, true, false]);
    assert!(report.to_text().contains("copies [country = FR]"));
}

#[test]
fn a_sample_is_told_and_bets_fall_back() {
    let text = "metrics = [{ name = \"m\", kind = \"mean\", source = \"exposures\", direction = \"up\", bounds = [0.0, 9.0], window_days = 1 }]";
    let set = set(text);
    let rows = (0..50_000_u64).map(|index| {
        // Spread over the hashes, so that the sample is one of all.
        let hash = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        unit(hash, (index % 2) as usize, vec![single((index / 2 % 9) as f64, 0.0)])
    });
    let row = analyse(&set, &sums(&set, rows), &reading(Choice::Default)).rows.remove(0);
    assert_eq!((row.method, row.units), (Choice::Asymptotic, [25_000, 25_000]));
    assert_eq!(row.warnings, vec![RowWarning::FellBack { from: Choice::Betting }]);
}
