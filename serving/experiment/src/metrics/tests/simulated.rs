//! Known effects, many times.

use plaudit_event::Seed;
use rand::Rng;

use super::*;
use crate::stats::{Decision, Proportions, Sample, Successes, welch};

const MEAN: &str = "metrics = [{ name = \"m\", kind = \"mean\", source = \"exposures\", direction = \"up\" }]";
const LOVED: &str = "metrics = [{ name = \"loved\", kind = \"proportion\", source = { label = \"love\" }, direction = \"up\", goal = true }]";

fn normal(rng: &mut impl Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random_range(f64::MIN_POSITIVE..1.0), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

fn ends(effect: Option<EffectInterval>) -> (f64, f64) {
    let effect = effect.unwrap();
    (effect.lower.unwrap(), effect.upper.unwrap())
}

fn share(runs: u64, mut hit: impl FnMut(u64) -> bool) -> f64 {
    (0..runs).filter(|run| hit(*run)).count() as f64 / runs as f64
}

#[test]
fn intervals_of_means_hold_the_effect_and_have_its_sign() {
    let set = set(MEAN);
    let one = |run: u64, method: Choice| {
        let mut rng = Seed::new(run).stream("mean");
        let rows = (0..600).map(|hash| {
            let variant = usize::from(rng.random_bool(0.5));
            unit(hash, variant, vec![single(2.0 + 0.3 * variant as f64 + normal(&mut rng), 0.0)])
        });
        let rows: Vec<UnitRow> = rows.collect();
        analyse(&set, &sums(&set, rows), &reading(method)).rows.remove(0)
    };
    for (method, range) in [(Choice::Fixed, 0.92..0.98), (Choice::Default, 0.97..1.01), (Choice::Msprt, 0.97..1.01)] {
        let covered = share(400, |run| {
            let row = one(run, method);
            let (low, high) = ends(row.absolute);
            assert_ne!(row.decision, Decision::Worse);
            low <= 0.3 && 0.3 <= high
        });
        assert!(range.contains(&covered), "{method:?} {covered}");
    }
}

#[test]
fn the_fixed_method_is_the_t_test() {
    let set = set(MEAN);
    let values = [[1.0, 2.0, 4.0, 7.0, 1.0], [2.0, 9.0, 4.0, 8.0, 6.0]];
    let mut rows = Vec::new();
    for (variant, values) in values.iter().enumerate() {
        for value in values {
            rows.push(unit(rows.len() as u64, variant, vec![single(*value, 0.0)]));
        }
    }
    let row = analyse(&set, &sums(&set, rows), &reading(Choice::Fixed)).rows.remove(0);
    let sample = |values: &[f64; 5]| {
        let mean = values.iter().sum::<f64>() / 5.0;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 4.0;
        Sample { mean, sd: variance.sqrt(), units: 5 }
    };
    let want = welch(&sample(&values[1]), &sample(&values[0])).unwrap();
    assert!((row.p.unwrap() - want.p()).abs() < 1e-12);
    let (low, high) = ends(row.absolute);
    assert!((low - want.interval(0.05).0).abs() < 1e-9 && (high - want.interval(0.05).1).abs() < 1e-9);
}

#[test]
fn cuped_shrinks_the_interval_as_the_correlation_says() {
    let text = MEAN.replace(" }]", ", cuped = { days = 14 } }]");
    let (adjusted, plain) = (set(&text), set(MEAN));
    let mut rng = Seed::new(5).stream("cuped");
    let correlation = 0.8_f64;
    let rows: Vec<UnitRow> = (0..20_000)
        .map(|hash| {
            let variant = usize::from(rng.random_bool(0.5));
            let before = normal(&mut rng);
            let noise = (1.0 - correlation * correlation).sqrt() * normal(&mut rng);
            let after = 10.0 + 0.1 * variant as f64 + correlation * before + noise;
            unit(hash, variant, vec![single(after, 5.0 + before)])
        })
        .collect();
    let width = |set: &MetricSet| {
        let row = analyse(set, &sums(set, rows.clone()), &reading(Choice::Fixed)).rows.remove(0);
        let ((low, high), (relative_low, relative_high)) = (ends(row.absolute), ends(row.relative));
        assert!(low < 0.1 && 0.1 < high && relative_low < 0.01 && 0.01 < relative_high, "{row:?}");
        assert!((row.control.unwrap() - 10.0).abs() < 0.05, "{row:?}");
        (high - low, row.theta)
    };
    let ((narrow, theta), (wide, none)) = (width(&adjusted), width(&plain));
    assert!((narrow / wide - 0.6).abs() < 0.015, "{}", narrow / wide);
    assert!((theta.unwrap() - 0.8).abs() < 0.03 && none.is_none());
}

#[test]
fn a_ratio_over_units_keeps_its_level_where_a_test_of_requests_does_not() {
    let text = "metrics = [{ name = \"r\", kind = \"ratio\", source = { signal = { kind = \"love\", take = \"presence\" } }, \
                denominator = \"exposures\", direction = \"up\" }]";
    let set = set(text);
    let (runs, mut by_request) = (1000, 0_u64);
    let by_unit = share(runs, |run| {
        let mut rng = Seed::new(run).stream("ratio");
        let mut requests = [[0_u64; 2]; 2];
        let rows: Vec<UnitRow> = (0..400)
            .map(|hash| {
                let variant = usize::from(rng.random_bool(0.5));
                let rate = if rng.random_bool(0.5) { 0.05 } else { 0.45 };
                let count = rng.random_range(5..25_u64);
                let loves = (0..count).filter(|_| rng.random_bool(rate)).count() as u64;
                requests[variant][0] += loves;
                requests[variant][1] += count;
                let value = UnitValue { after: [loves as f64, count as f64], ..UnitValue::default() };
                unit(hash, variant, vec![Some(value)])
            })
            .collect();
        let [control, treatment] = requests.map(|[hits, units]| Successes { hits, units });
        let (_, p) = Proportions::new(treatment, control).unwrap().pooled_z().unwrap();
        by_request += u64::from(p < 0.05);
        analyse(&set, &sums(&set, rows), &reading(Choice::Fixed)).rows[0].p.unwrap() < 0.05
    });
    let by_request = by_request as f64 / runs as f64;
    // Standard error 0.7 %.
    assert!((0.03..0.072).contains(&by_unit), "{by_unit}");
    assert!(by_request > 0.14, "{by_request}");
}

/// A ramp from 5 to 50 % while the base rate doubles; no effect.
fn ramp(run: u64, is_pooled: bool, set: &MetricSet) -> Aggregates {
    let mut rng = Seed::new(run).stream("ramp");
    let mut rows = Vec::new();
    for (phase, (share, rate)) in [(0.05, 0.1), (0.2, 0.15), (0.5, 0.2)].into_iter().enumerate() {
        for _ in 0..2000 {
            let variant = usize::from(rng.random_bool(share));
            let hit = f64::from(u8::from(rng.random_bool(rate)));
            let mut row = unit(rows.len() as u64, variant, vec![single(hit, 0.0)]);
            if !is_pooled {
                row.phase = phase as u32;
                row.weights = vec![1.0 - share, share];
            }
            rows.push(row);
        }
    }
    sums(set, rows)
}

#[test]
fn phases_of_a_ramp_are_not_pooled() {
    let set = set(LOVED);
    for (method, range) in [(Choice::Fixed, 0.02..0.085), (Choice::Default, 0.0..0.05)] {
        let rejected = |is_pooled: bool| {
            share(300, |run| analyse(&set, &ramp(run, is_pooled, &set), &reading(method)).rows[0].p.unwrap() < 0.05)
        };
        let (stratified, pooled) = (rejected(false), rejected(true));
        assert!(range.contains(&stratified), "{method:?} {stratified}");
        assert!(pooled > 0.9, "{method:?} {pooled}");
    }
    // The shares of the ramp are what was promised: no mismatch by phase, one when pooled.
    let has_alarm = |is_pooled: bool| {
        let report = analyse(&set, &ramp(1, is_pooled, &set), &reading(Choice::Default));
        report.warnings.iter().any(|warning| matches!(warning, ReportWarning::SampleRatioMismatch { .. }))
    };
    assert!(has_alarm(true) && !has_alarm(false));
}

#[test]
fn rare_and_common_reactions_are_read_with_the_right_sign() {
    let common = LOVED.replace("goal = true", "expected = 0.9, window_days = 1");
    for (text, rates) in [(LOVED, [0.05, 0.08]), (common.as_str(), [0.9, 0.94])] {
        let set = set(text);
        let lift = rates[1] / rates[0] - 1.0;
        let covered = share(60, |run| {
            let mut rng = Seed::new(run).stream("reactions");
            let rows: Vec<UnitRow> = (0..20_000)
                .map(|hash| {
                    let variant = usize::from(rng.random_bool(0.5));
                    unit(hash, variant, vec![single(f64::from(u8::from(rng.random_bool(rates[variant]))), 0.0)])
                })
                .collect();
            let row = analyse(&set, &sums(&set, rows), &reading(Choice::Default)).rows.remove(0);
            assert_eq!((row.method, row.decision), (Choice::ExactArms, Decision::Better), "{row:?}");
            assert!(row.is_discovery && row.days_to_significance == Some(0.0));
            let (low, high) = ends(row.relative);
            low <= lift && lift <= high
        });
        assert!(covered >= 0.95, "{text} {covered}");
    }
}

#[test]
fn bets_find_an_effect_of_bounded_values() {
    let text = MEAN.replace(" }]", ", bounds = [0.0, 5.0], window_days = 1 }]");
    let set = set(&text);
    let row = |run: u64, effect: f64| {
        let mut rng = Seed::new(run).stream("bets");
        let rows: Vec<UnitRow> = (0..3000)
            .map(|hash| {
                let variant = usize::from(rng.random_bool(0.5));
                unit(hash, variant, vec![single(4.0 * rng.random::<f64>() + effect * variant as f64, 0.0)])
            })
            .collect();
        analyse(&set, &sums(&set, rows), &reading(Choice::Default)).rows.remove(0)
    };
    let found = row(0, 0.3);
    assert_eq!((found.method, found.decision), (Choice::Betting, Decision::Better));
    // Many units enter at the same moment: were they ordered by arm, this would be 100 %.
    let false_alarms = share(60, |run| row(run, 0.0).decision != Decision::Undecided);
    assert!(false_alarms <= 0.1, "{false_alarms}");
    let (low, high) = ends(found.absolute);
    assert!(low > 0.0 && low < 0.3 && 0.3 < high && found.e.unwrap() > 20.0);
}

/// Latencies of units that are slow or fast as a whole.
fn latencies(run: u64, set: &MetricSet, effect: f64, per_unit: u64) -> Aggregates {
    let mut rng = Seed::new(run).stream("latency");
    let rows: Vec<UnitRow> = (0..600)
        .map(|hash| {
            let variant = usize::from(rng.random_bool(0.5));
            let own = normal(&mut rng) + effect * variant as f64;
            let events = (0..per_unit).map(|_| 100.0 * (own + 0.5 * normal(&mut rng)).exp()).collect();
            unit(hash, variant, vec![Some(UnitValue { events, ..UnitValue::default() })])
        })
        .collect();
    sums(set, rows)
}

#[test]
fn quantiles_are_clustered_by_unit() {
    let text = "metrics = [{ name = \"q\", kind = \"quantile\", quantile = 0.5, source = { attribute = \"latency_ms\" }, direction = \"down\" }]";
    let set = set(text);
    let rejected = share(400, |run| {
        analyse(&set, &latencies(run, &set, 0.0, 10), &reading(Choice::Fixed)).rows[0].p.unwrap() < 0.05
    });
    // Standard error 1.1 %; as if values were independent it is 50 % and more.
    assert!((0.02..0.09).contains(&rejected), "{rejected}");
    let slower = analyse(&set, &latencies(1, &set, 0.8, 10), &reading(Choice::Default));
    assert_eq!(slower.rows[0].decision, Decision::Worse);
    for (effect, is_found) in [(0.0, false), (0.8, true)] {
        let row = analyse(&set, &latencies(2, &set, effect, 1), &reading(Choice::QuantileAb)).rows.remove(0);
        assert_eq!((row.method, row.p.unwrap() < 0.05), (Choice::QuantileAb, is_found), "{row:?}");
    }
}

#[test]
fn percentiles_tame_a_heavy_tail_and_can_be_fixed() {
    let text = MEAN.replace(" }]", ", winsorise = { percentile = 0.99 } }]");
    let (tamed, plain) = (set(&text), set(MEAN));
    let mut rng = Seed::new(2).stream("tail");
    let rows: Vec<UnitRow> = (0..4000)
        .map(|hash| unit(hash, usize::from(rng.random_bool(0.5)), vec![single((2.0 * normal(&mut rng)).exp(), 0.0)]))
        .collect();
    let width = |set: &MetricSet| {
        let row = analyse(set, &sums(set, rows.clone()), &reading(Choice::Fixed)).rows.remove(0);
        let (low, high) = ends(row.absolute);
        high - low
    };
    assert!(width(&tamed) < 0.8 * width(&plain), "{} {}", width(&tamed), width(&plain));
    let fixed = with_limits(&tamed, &sums(&tamed, rows.clone()));
    let Some(Winsorise::Bound(limit)) = fixed.metrics[0].winsorise else { panic!("a bound") };
    // The 99 % quantile of exp(2·Z) is exp(4.65) = 104.8.
    assert!((70.0..150.0).contains(&limit), "{limit}");
}
